"""The stamp of an installed package of Sage: a JSON file, which Sage calls an installation record.

sage-spkg-uninstall deletes the "files" in it one by one. Packages that are installed as wheels list the wheel and
spkg-requirements.txt there. The stamps of packages that were copied from DESTDIR as a whole list every file of their
distributions, but not the byte-code that was made later. These distributions are uninstalled, and then taken out of the
list. If that is not possible, their byte-code is added to the list.
"""

from __future__ import annotations

import contextlib
import json
import os

from sage_wheels.errors import NotRemovable, SourceError
from sage_wheels.fs.files import regular, write_whole
from sage_wheels.installed import files, find_all
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.locator import Locator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.prefix import Prefix


class Listed(NamedTuple):
    """The names of the distributions whose `.dist-info` a stamp lists, and that stamp without any of their files."""

    names: list[str]
    rest: dict[str, Any]


def listed_in(prefix: Prefix, stamp: str) -> Listed:
    """What the file `stamp` lists. The files of distributions that cannot be uninstalled stay in the rest.

    Raises `SourceError` if it is no stamp, and `OSError`.
    """
    try:
        with open(stamp, encoding="utf-8", opener=regular) as f:
            content = json.load(f)
        listed = [path.lstrip("/") for path in content["files"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{stamp} is no installation record", "see what is in it") from error
    locator = Locator(prefix.root)
    at = {path: locator.locate("", path) for path in listed}
    there = set(at.values())
    names: list[str] = []
    gone: set[str] = set()
    for each in find_all(prefix):
        try:
            rows = files.owned(prefix, each, locator).rows
        except NotRemovable:
            continue
        if there.intersection(row for row in rows if row.startswith(f"{locator.directory(each.path)}/")):
            names.append(each.name)
            gone.update(rows)
    rest = {path for path in listed if at[path] not in gone}
    return Listed(names, {**content, "files": sorted(rest | _bytecode(prefix, rest))})


def _bytecode(prefix: Prefix, sources: set[str]) -> set[str]:
    """The existing byte-code of `sources`."""
    found: set[str] = set()
    for directory in {os.path.dirname(path) for path in sources if path.endswith(".py")}:
        with contextlib.suppress(OSError):
            found.update(
                f"{directory}/__pycache__/{name}" for name in os.listdir(prefix.path(f"{directory}/__pycache__"))
            )
    return {path for path in found if files.source_of_bytecode(path) in sources}


def rewrite(stamp: str, content: dict[str, Any]) -> None:
    """Replace the content of the file `stamp` by `content`, in one step. Raises `OSError`."""
    write_whole(stamp, json.dumps(content, indent=4).encode())
