"""The JSON stamp of an installed package of Sage, whose "files" sage-spkg-uninstall deletes one by one.

Packages that are installed as wheels list the wheel and spkg-requirements.txt there. Those from the days when whole
packages were copied from DESTDIR list every file of their distributions, but not what came later (byte-code); these are
taken out of the list, and removed as what they are.
"""

from __future__ import annotations

import json
import os

from sage_wheels.errors import NotRemovable, SourceError
from sage_wheels.installed import files, find_all
from sage_wheels.prefix.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix


def take_over(prefix: Prefix, stamp: str) -> list[str]:
    """The distributions whose records `stamp` lists; it no longer lists any of their files afterwards.

    Distributions that cannot be removed by a record stay in the list. Raises `SourceError` if that is no stamp, and
    `OSError`.
    """
    try:
        with open(stamp, encoding="utf-8") as f:
            content = json.load(f)
        listed = [path.lstrip("/") for path in content["files"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{stamp} is no record of an installed package", "see what is in it") from error
    places = Places(prefix.root)
    at = {path: places.locate("", path) for path in listed}
    there = set(at.values())
    names: list[str] = []
    gone: set[str] = set()
    for each in find_all(prefix):
        try:
            rows = files.owned(prefix, each, places).rows
        except NotRemovable:
            continue
        if there.intersection(row for row in rows if row.startswith(f"{each.path}/")):
            names.append(each.name)
            gone.update(rows)
    if names:
        content["files"] = [path for path in listed if at[path] not in gone]
        new = f"{stamp}.new"
        with open(new, "w", encoding="utf-8") as f:
            json.dump(content, f, indent=4)
        os.replace(new, stamp)
    return names
