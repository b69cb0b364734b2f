"""The prefix lock: one writer, whoever it is, until it lets go or dies.

flock(2) on one file that is never deleted: the kernel frees it with the process, so a dead holder blocks nobody. The
file holds one line of JSON about the holder, for people who wait; nothing depends on that line. `filelock` and
`build/bin/sage-flock` lock the same file by the same primitive.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time

from sage_wheels.errors import FileOperationFailed, LockTimeout, LockUnusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# With a time limit the lock is tried again and again, for flock(2) has no timeout; the lock is held for milliseconds.
_PAUSE = 0.005  # seconds


@contextlib.contextmanager
def hold(path: str, *, timeout: float | None = None, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` exclusively; its directory is made if need be.

    `timeout` is in seconds (None: for ever). `on_wait` gets one sentence, once, if the lock is not free at once.
    Raises `LockTimeout`, `LockUnusable`, or `FileOperationFailed` if the file cannot be opened for writing.
    """
    fd = _acquire(path, timeout, on_wait)
    try:
        _write_holder(fd)
        yield
    finally:
        os.close(fd)


def _acquire(path: str, timeout: float | None, on_wait: Callable[[str], None] | None) -> int:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            fd = _open(path)
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, "opening the lock file") from error
        try:
            if not exclude(fd, path, blocking=False):
                if on_wait:
                    on_wait(f"waiting for {path}, {_holder(fd)}")
                    on_wait = None
                if deadline is None:
                    exclude(fd, path, blocking=True)
                else:
                    while not exclude(fd, path, blocking=False):
                        if time.monotonic() >= deadline:
                            raise LockTimeout(
                                f"{path} was not free within {timeout:g} s, {_holder(fd)}",
                                "wait for that process or give a longer --lock-timeout",
                            )
                        time.sleep(_PAUSE)
            if _still_there(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # somebody deleted the file while we waited: that lock no longer excludes anybody


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)


def exclude(fd: int, path: str, *, blocking: bool) -> bool:
    """Lock what is open as `fd` and stands at `path`; False if it is locked already. Raises `LockUnusable`."""
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


def _still_there(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _write_holder(fd: int) -> None:
    """Say who holds the lock; a full disk is no reason not to hold it."""
    import json

    about = {"pid": os.getpid(), "host": os.uname().nodename, "since": int(time.time()), "command": sys.argv[:4]}
    with contextlib.suppress(OSError):
        data = json.dumps(about).encode()
        os.pwrite(fd, data.ljust(os.fstat(fd).st_size), 0)


def _holder(fd: int) -> str:
    import json

    try:
        about = json.loads(os.pread(fd, 4096, 0))
        since = time.strftime("%H:%M:%S", time.localtime(about["since"]))
        command = " ".join(map(str, about["command"]))
        return f"held by process {about['pid']} on {about['host']} since {since} ({command})"
    except (ValueError, KeyError, TypeError, OSError):
        return "held by a process that does not say who it is"
