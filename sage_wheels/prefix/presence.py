"""Whether something is there. `os.path.exists` and its like say no where they cannot tell; here that is an `OSError`.

What a failing disk hides for a moment would else be taken for what is not there: left behind, or not undone.
"""

from __future__ import annotations

import errno
import os
import stat as modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# What the system says of a path at which nothing is: no entry, a file on the way, links in a circle, too long for one.
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def lstat(path: str) -> os.stat_result | None:
    """The status of what stands at `path`, a link itself; None if nothing does. Raises `OSError`."""
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno in _NOTHING:
            return None
        raise


def is_there(path: str) -> bool:
    """Whether anything stands at `path`, a link that leads nowhere included. Raises `OSError`."""
    return lstat(path) is not None


def leads_somewhere(path: str) -> bool:
    """Whether anything stands at `path`, or where a link there leads. Raises `OSError`."""
    return _mode(path) != 0


def is_directory(path: str) -> bool:
    """Whether `path` is a directory, or a link to one. Raises `OSError`."""
    return modes.S_ISDIR(_mode(path))


def is_real_directory(path: str) -> bool:
    """Whether `path` is a directory, and no link to one. Raises `OSError`."""
    status = lstat(path)
    return status is not None and modes.S_ISDIR(status.st_mode)


def is_file(path: str) -> bool:
    """Whether `path` is a regular file, or a link to one. Raises `OSError`."""
    return modes.S_ISREG(_mode(path))


def files_below(directory: str) -> Iterator[tuple[str, list[str]]]:
    """`directory` and each one below it, with the names in it that are no directories. Raises `OSError`."""

    def fail(error: OSError) -> None:
        if error.errno not in _NOTHING:
            raise error

    for above, _, names in os.walk(directory, onerror=fail):
        yield above, names


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if error.errno in _NOTHING:
            return 0
        raise
    except ValueError:  # it holds a NUL
        return 0
