"""Scripts: shebangs, entry points, and the names that no wheel may take."""

from __future__ import annotations

import os
import re
import shlex
import sys

from sage_wheels.wheel.archive import MAX_COMPONENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sage_wheels.wheel.wheel import Wheel

# Linux reads 127 bytes of the first line before 5.1 (BINPRM_BUF_SIZE), macOS 512.
_SHEBANG_LIMIT = 512 if sys.platform == "darwin" else 127
_INTERPRETER = re.compile(r"(python|pythonw|pypy)(\d+(\.\d+)*t?d?)?(-config)?(\.exe)?", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^-/\\][^/\\]*")  # one that begins with a hyphen would be an option to every other program
_OBJECT = re.compile(r"\w+(\.\w+)*")


def shebang(executable: str) -> bytes:
    """The first line of a script run by `executable`; through /bin/sh where the kernel could not read it.

    >>> shebang("/p/bin/python")
    b'#!/p/bin/python\\n'
    >>> print(shebang("/my prefix/bin/python").splitlines()[1].decode())
    '''exec' '/my prefix/bin/python' "$0" "$@"
    """
    path = os.fsencode(executable)
    if len(path) + 3 <= _SHEBANG_LIMIT and not re.search(rb"\s", path):
        return b"#!" + path + b"\n"
    # sh runs the second line; Python reads the second and third as a string
    return b"#!/bin/sh\n'''exec' " + os.fsencode(shlex.quote(executable)) + b' "$0" "$@"\n' + b"' '''\n"


def with_shebang(head: bytes, executable: str) -> bytes:
    """Replace a first line that begins with `#!python` (PEP 427, "Recommended installer features")."""
    return shebang(executable) + head.partition(b"\n")[2] if head.startswith(b"#!python") else head


def is_interpreter(name: str) -> bool:
    """Whether a script of this name would stand in for a Python interpreter.

    >>> [is_interpreter(name) for name in ("python3.11", "python", "pythonic", "ipython3")]
    [True, True, False, False]
    """
    return bool(_INTERPRETER.fullmatch(name))


def entry_points(wheel: Wheel, executable: str, version: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each script that the entry points of `wheel` ask for.

    Raises `WheelRefused` for a name that is no plain file name or that of an interpreter, or an object reference that
    is none ("Entry points specification").
    """
    text = wheel.read_text("entry_points.txt")
    if not text or "_scripts" not in text:
        return
    from installer.scripts import Script

    try:
        parsed = list(_parse(text))
    except ValueError as error:
        raise wheel.refused(f"its entry_points.txt cannot be read ({error})") from error
    for name, reference in _versioned_pip(parsed, version) if wheel.canonical_name == "pip" else parsed:
        plain = _PLAIN_NAME.fullmatch(name) and name not in (".", "..") and name.isprintable()
        if not plain or len(name.encode("utf-8")) > MAX_COMPONENT:
            raise wheel.refused(f"its entry point {name!r} is no plain file name")
        if is_interpreter(name):
            raise wheel.refused(f"its entry point {name!r} would replace the interpreter")
        function, bracket, extras = reference.partition("[")
        module, _, attribute = (each.strip() for each in function.partition(":"))
        is_function = _OBJECT.fullmatch(module) and _OBJECT.fullmatch(attribute)
        if not is_function or (bracket and not extras.endswith("]")):
            raise wheel.refused(f"its entry point {name!r} names no function: {reference[:100]}")
        _, script = Script(name, module, attribute, "console").generate("python", "posix")
        yield name, shebang(executable) + script.split(b"\n", 1)[1]


def _parse(text: str) -> Iterator[tuple[str, str]]:
    """Name and object reference of each script, each name once ("Entry points specification").

    Not by configparser, in whose patterns and interpolations a line of a kilobyte can take hours. Raises `ValueError`.
    """
    section = ""
    seen: set[str] = set()
    indent: int | None = None  # of the option before
    for line in text.split("\n"):
        content = line.strip()
        if not content or content[0] in "#;":
            continue
        if content[0] == "[" and content[-1] == "]":
            section, indent = content[1:-1], None
            _note(f"section {section!r}", seen)
            continue
        if not section:
            raise ValueError("something stands before its first section")
        if section not in ("console_scripts", "gui_scripts"):
            continue
        name, equals, reference = content.partition("=")
        before, indent = indent, len(line) - len(line.lstrip())
        if not equals or (before is not None and indent > before):  # indented further, it would continue a line
            raise ValueError(f"the line {content[:100]!r} is no entry point")
        _note(f"entry point {name.strip()!r} in {section}", seen)
        yield name.strip(), reference.strip()


def _note(what: str, seen: set[str]) -> None:
    if what in seen:
        raise ValueError(f"the {what} stands there twice")
    seen.add(what)


def _versioned_pip(parsed: Iterable[tuple[str, str]], version: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """pip's own wheel names pip and pip3; what it installs is pip, pip3 and pip3.11 (so does ensurepip)."""
    for name, reference in parsed:
        if name == "pip":
            for alias in ("pip", f"pip{version[0]}", f"pip{version[0]}.{version[1]}"):
                yield alias, reference
        elif not re.fullmatch(r"pip\d+(\.\d+)?", name):
            yield name, reference
