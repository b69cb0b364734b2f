"""Whether a file or directory exists.

`os.path.exists` and similar functions return False for any error; these functions raise `OSError`, unless the error
means that nothing is there. Otherwise a file that a failing disk cannot show for a moment would count as absent, and
would not be removed or restored.
"""

from __future__ import annotations

import errno
import os
import stat as modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The errors that mean that nothing is at a path: no such entry, a component is a file, a loop of links, too long.
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def lstat(path: str) -> os.stat_result | None:
    """The status of `path`, without following a link; None if nothing is there. Raises `OSError`."""
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno in _NOTHING:
            return None
        raise


def is_there(path: str) -> bool:
    """Whether anything is at `path`; a dangling symbolic link counts. Raises `OSError`."""
    return lstat(path) is not None


def leads_somewhere(path: str) -> bool:
    """Whether anything is at `path`, with links followed; a dangling symbolic link does not count. Raises `OSError`."""
    return _mode(path) != 0


def is_directory(path: str) -> bool:
    """Whether `path` is a directory, or a link to one. Raises `OSError`."""
    return modes.S_ISDIR(_mode(path))


def is_real_directory(path: str) -> bool:
    """Whether `path` is a directory and not a link to one. Raises `OSError`."""
    status = lstat(path)
    return status is not None and modes.S_ISDIR(status.st_mode)


def is_file(path: str) -> bool:
    """Whether `path` is a regular file, or a link to one. Raises `OSError`."""
    return modes.S_ISREG(_mode(path))


def files_below(directory: str) -> Iterator[tuple[str, list[str]]]:
    """Walk `directory`: the path of each directory, and the names in it that are not directories.

    Raises `OSError`, which `os.walk` would ignore.
    """

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
    except ValueError:  # the path contains a NUL character
        return 0
