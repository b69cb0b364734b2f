"""Locks between processes: flock(2) on a file that is never deleted.

The kernel releases such a lock when the process that holds it ends, so a dead process blocks nobody. `filelock` and
other programs lock the same files in the same way. That library is not used here (`waiting` and eviction use it): it
can open a file only by its path, follows symbolic links, and has no shared lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from sage_wheels.errors import FileOperationFailed, LockTimeout, LockUnusable
from sage_wheels.fs import holder
from sage_wheels.fs.files import open_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# flock(2) has no timeout. So with a time limit the lock is tried repeatedly, with this pause.
PAUSE = 0.005  # seconds


def acquire(
    path: str,
    *,
    timeout: float | None = None,
    on_wait: Callable[[str], None] | None = None,
    directory: int | None = None,
    denied: str = "",
) -> int:
    """An open descriptor of the lock file `path`, which holds an exclusive lock until it is closed.

    If `directory` is given, it is the descriptor of the directory of `path`, and the file is opened relative to it;
    otherwise the directory is made if it does not exist. `timeout` is in seconds; None waits for ever. If the lock is
    not free at once, `on_wait` is called once with a sentence that names its holder. Raises `LockTimeout`,
    `LockUnusable`, or `FileOperationFailed` if the file cannot be opened for writing; then `denied` is its advice, if
    it is not the lock of a prefix.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            fd = _open(path, directory)
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, "opening the lock file", denied=denied) from error
        try:
            if not exclude(fd, path, blocking=False):
                if on_wait:
                    on_wait(f"waiting for {path}, {holder.sentence(fd)}")
                    on_wait = None
                if deadline is None:
                    exclude(fd, path, blocking=True)
                else:
                    while not exclude(fd, path, blocking=False):
                        if time.monotonic() >= deadline:
                            raise LockTimeout(
                                f"{path} was not free within {timeout:g} s, {holder.sentence(fd)}",
                                "wait for that process or give a longer --lock-timeout",
                            )
                        time.sleep(PAUSE)
            if holder.is_still_at(fd, path if directory is None else os.path.basename(path), directory):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # the file was deleted while we waited; try again with the new one


def _open(path: str, directory: int | None) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    if directory is not None:
        try:
            return open_at(os.path.basename(path), flags, directory)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)


def exclude(fd: int, path: str, *, blocking: bool) -> bool:
    """Lock the open file `fd` exclusively; `path` is for messages.

    Returns False if `blocking` is false and another process holds a lock. Raises `LockUnusable`.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES) and not blocking:
            return False
        raise LockUnusable(
            f"the file system of {path} cannot lock ({os.strerror(error.errno or 0)})",
            "put it on a file system where flock works",
        ) from error
