"""The default prefix, if the user names none: the virtual environment `.venv` of the current project."""

from __future__ import annotations

import os

from sage_wheels.errors import UnsafePath
from sage_wheels.fs import presence, trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def nearby(start: str, home: str, *, changes: bool) -> str | None:
    """The path of the nearest `.venv` in the directory `start` or above it; None if there is none.

    With `changes` (the command changes the prefix), only the `.venv` beside the nearest pyproject.toml counts.
    Directories above `home` are not searched. Raises `UnsafePath` if the `.venv` that was found, its pyvenv.cfg, or the
    directory around it belongs to neither root nor this user.
    """
    for directory in upwards(os.path.abspath(start), os.path.realpath(home)):
        found = os.path.join(directory, ".venv")
        if changes and not presence.is_file(os.path.join(directory, "pyproject.toml")):
            continue
        if presence.is_file(os.path.join(found, "pyvenv.cfg")):
            if not all(map(trust.is_own, (directory, found, os.path.join(found, "pyvenv.cfg")))):
                raise UnsafePath(f"{found} belongs to another user, and was not named", "name the prefix with --prefix")
            return found
        if changes:
            return None
    return None


def upwards(directory: str, home: str) -> Iterator[str]:
    """`directory` and the directories above it, the innermost first, but none that is above `home`."""
    while (real := os.path.realpath(directory)) == home or not home.startswith(os.path.join(real, "")):
        yield directory
        if directory == (above := os.path.dirname(directory)):
            return
        directory = above
