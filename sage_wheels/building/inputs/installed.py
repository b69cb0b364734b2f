"""Everything that a build without isolation could import: each distribution by its RECORD, each file by its stat."""

from __future__ import annotations

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
    """What is on the search path `path`, but for the standard library: version and digest of RECORD by name, and the
    digest of names, sizes and times of all files.

    Raises `NotKeyable` for what is editable or has no RECORD, and if there is too much.
    """
    directories = list(dict.fromkeys(each for each in path if os.path.exists(each)))
    found: dict[str, str] = {}
    for each in importlib.metadata.distributions(path=directories):
        name = each.metadata["Name"] or "something without a name"
        record = each.read_text("RECORD")
        if not record or direct_url.may_be_editable(each.read_text(direct_url.FILE)):
            raise NotKeyable(f"{name} is editable, or has no RECORD")
        found.setdefault(name, f"{each.version} {hashlib.sha256(record.encode()).hexdigest()}")
    return {**found, "all files": hashlib.sha256("".join(map(_digest, directories)).encode()).hexdigest()}


def _digest(path: str) -> str:
    if os.path.isdir(path):
        return tree(path, _BYTE_CODE)
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns}"
