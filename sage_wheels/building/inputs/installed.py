"""The digest of everything that a build without isolation could import: RECORDs of distributions, stats of files."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import re

from sage_wheels.building.inputs.machine import tree
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.requirements import direct_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_BYTE_CODE = re.compile(r"(?:.*/)?__pycache__")


def everything(path: Iterable[str]) -> dict[str, str]:
    """Version and digest of RECORD of each distribution on the search path `path`, by name; and, under "all files", the
    digest of names, sizes and times of all files there.

    Raises `NotKeyable` for an editable distribution, one without RECORD, and if there are too many files.
    """
    directories = list(dict.fromkeys(each for each in path if os.path.exists(each)))
    found: dict[str, str] = {}
    for each in importlib.metadata.distributions(path=directories):
        name = each.metadata["Name"] or "something without a name"
        record = each.read_text("RECORD")
        if not record or direct_url.may_be_editable(each.read_text(direct_url.FILE)):
            raise NotKeyable(f"{name} is editable, or has no RECORD")
        found.setdefault(name, f"{each.version} {hashlib.sha256(record.encode()).hexdigest()}")
    if editable := next(filter(None, map(_editable, directories)), None):
        raise NotKeyable(f"{editable} belongs to something editable")
    return {**found, "all files": hashlib.sha256("".join(map(_digest, directories)).encode()).hexdigest()}


def _editable(directory: str) -> str | None:
    """A `.pth` file in `directory` that starts the finder of an editable installation; it may have no direct_url.json.

    Setuptools, scikit-build-core and meson-python say so in its name, `editables` (hatchling) in its text.
    """
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if name.endswith(".pth"):
            with contextlib.suppress(OSError), open(f"{directory}/{name}", encoding="utf-8", errors="replace") as f:
                if re.search("^import.*editable", f.read(), re.MULTILINE):
                    return name
    return None


def _digest(path: str) -> str:
    if os.path.isdir(path):
        return tree(path, _BYTE_CODE)
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns}"
