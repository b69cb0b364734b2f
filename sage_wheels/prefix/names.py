"""The names of Python interpreters: `python3.12`, `python3.13t` of a free-threaded one, `python3` and others.

Patterns are compiled when they are needed.
"""

from __future__ import annotations

import re

_WITH_VERSION = r"python(\d+)\.(\d+)t?"
_ANY = r"(python|pythonw|pypy)(\d+(\.\d+)*t?d?)?(-config)?(\.exe)?"


def executables(version: tuple[int, int]) -> list[str]:
    """The names that an interpreter of `version` may have, the most exact one first.

    >>> executables((3, 12))
    ['python3.12', 'python3', 'python']
    """
    return [f"python{version[0]}.{version[1]}", "python3", "python"]


def version_in(name: str) -> tuple[int, int] | None:
    """The version in the name of an interpreter, or of its directory in `lib`; None if there is none.

    >>> [version_in(name) for name in ("python3.12", "python3.13t", "python3", "python3.12-config")]
    [(3, 12), (3, 13), None, None]
    """
    found = re.fullmatch(_WITH_VERSION, name, re.ASCII)
    return (int(found[1]), int(found[2])) if found else None


def is_interpreter(name: str) -> bool:
    """Whether a script of this name would replace a Python interpreter, also if the file system ignores case.

    >>> [is_interpreter(name) for name in ("python3.11", "python", "pythonic", "ipython3")]
    [True, True, False, False]
    """
    return bool(re.fullmatch(_ANY, name, re.IGNORECASE))
