"""Find scripts that cannot start, because the interpreter in their shebang does not exist: the prefix was moved."""

from __future__ import annotations

import os
import re

from sage_wheels.fs.files import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.prefix import Prefix

_HEAD = 4096  # bytes: PATH_MAX, and more than a kernel reads
# The beginning of a script whose interpreter has a path that no shebang can contain (see `wheel.scripts`).
_SECOND_LINE = re.compile(rb"^'''exec' .*", re.MULTILINE)
_OCTAL = re.compile(rb"^'''exec' \"\$\(printf %b '([^']*)'\)\"")


def dead_scripts(prefix: Prefix, paths: Iterable[str]) -> list[str]:
    """Those of `paths`, in the prefix, that are scripts whose interpreter does not exist."""
    scripts = [path for path in paths if path.startswith(f"{prefix.scheme.scripts}/")]
    named = {path: interpreter_of(prefix.path(path)) for path in scripts}
    return [path for path, interpreter in named.items() if interpreter and not os.path.exists(interpreter)]


def interpreter_of(path: str) -> str | None:
    """The absolute path of the interpreter in the shebang of the file at `path`; None if there is none."""
    try:
        with open(path, "rb", opener=regular) as f:
            head = f.read(_HEAD)
    except OSError:
        return None
    if not head.startswith(b"#!"):
        return None
    named = head[2:].split(b"\n", 1)[0].split()
    second = _SECOND_LINE.search(head) if named == [b"/bin/sh"] else None
    if second:
        if octal := _OCTAL.match(second[0]):
            return os.fsdecode(re.sub(rb"\\0([0-7]{3})", lambda found: bytes([int(found[1], 8)]), octal[1]))
        try:
            import shlex

            return shlex.split(os.fsdecode(second[0]))[1]
        except (ValueError, IndexError):
            return None
    return os.fsdecode(named[0]) if named and named[0].startswith(b"/") else None
