"""Find out whether a build in place can continue with an earlier configuration of the build directory by meson.

It can, except in three cases, in which meson fails or builds for an interpreter that does not exist any more:

- meson was killed while it wrote `cmd_line.txt`, which is empty then (sagemath/sage#41804)
- the directory was moved or copied: `cmd_line.txt` names a file that meson-python has written to the old directory
- another Python is at the same path now (sagemath/sage#40307): meson keeps what it has found out about the old one

Then it is configured again. Compiled files stay, because ninja compares the commands. meson itself notices a new
version of meson.
"""

from __future__ import annotations

import contextlib
import os
import re

from sage_wheels.errors import FileOperationFailed

_STATE = ("meson-private/coredata.dat", "meson-private/cmd_line.txt")
_OF_MESON_PYTHON = "meson-python-native-file.ini"
_PYTHON = ".sage-wheels-python"  # the interpreter that the directory was last configured for


def forget_unusable(directory: str, python: str) -> str | None:
    """Delete the configuration of `directory` if the next build cannot use it; returns the reason, or None.

    `python` describes the interpreter in one line, which is stored in the directory. Raises `FileOperationFailed`.
    """
    note = os.path.join(directory, _PYTHON)
    try:
        why = None
        if os.path.exists(os.path.join(directory, _STATE[0])):
            why = _why_unusable(directory) or _why_other_python(note, python)
        if why:
            for name in _STATE:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))
        if _read(note) != python:
            with open(note, "w", encoding="utf-8") as f:
                f.write(python)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"preparing the build directory {directory}") from error
    return why


def _why_unusable(directory: str) -> str | None:
    options = _read(os.path.join(directory, _STATE[1]))
    if "[options]" not in options:
        return "meson was ended while it configured that"
    for path in re.findall(r"'((?:[^'\\]|\\.)*)'", options):
        if os.path.basename(path) == _OF_MESON_PYTHON and not _is_in(path, directory):
            return f"it was configured as {os.path.dirname(path)}"
    return None


def _why_other_python(note: str, python: str) -> str | None:
    before = _read(note)
    return f"it was configured for {before}" if before and before != python else None


def _is_in(path: str, directory: str) -> bool:
    try:
        return os.path.samestat(os.stat(os.path.dirname(path)), os.stat(directory))
    except OSError:
        return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""
