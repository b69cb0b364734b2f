"""The prefix lock: only the process that holds it may write to the prefix.

It is a lock of `fs.locking`: flock(2) on a file. The file has one line of JSON, with the process that holds the lock,
for messages, and the number of the last change of the prefix, from which the next change gets its own number. Nothing
else depends on that line. `build/bin/sage-flock` and `filelock` lock the same file in the same way.

It is not a lock of `filelock`, because the file is opened relative to a descriptor of the prefix, without following
links, and `sage-flock` also takes it shared. That library can do neither.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time

from sage_wheels import redaction
from sage_wheels.fs import holder, locking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Held:
    """The lock, which is held: `number` is that of the last change of the prefix, None if the file does not have it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.number = holder.number(fd)
        self._command = redaction.command_line(sys.argv[:4])
        holder.write(fd, self._command)

    def advance(self, number: int) -> None:
        """Write `number` into the lock file as that of the last change."""
        self.number = number
        holder.write(self._fd, self._command, number)


@contextlib.contextmanager
def hold(
    path: str,
    *,
    timeout: float | None = None,
    on_wait: Callable[[str], None] | None = None,
    directory: int | None = None,
) -> Iterator[Held]:
    """Hold the lock file `path` exclusively.

    Arguments and errors are those of `locking.acquire`.
    """
    fd = locking.acquire(path, timeout=timeout, on_wait=on_wait, directory=directory)
    try:
        yield Held(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def keep_out(path: str, timeout: float) -> Iterator[bool]:
    """Within this context, hold a shared lock on the file `path`, so that nobody changes the prefix; write nothing.

    Yields False if that is not possible: another process held the lock for all of `timeout` seconds, or the file cannot
    be opened or locked. Yields True if the file does not exist, because then this tool has never changed the prefix.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        yield error.errno in (errno.ENOENT, errno.ENOTDIR)
        return
    try:
        yield _share(fd, timeout)
    finally:
        os.close(fd)


def _share(fd: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES) or time.monotonic() >= deadline:
                return False
        time.sleep(locking.PAUSE)
