"""The prefix lock: only the process that holds it may write to the prefix.

A lock of `fs.locking`. The file holds one line of JSON about the holder, for people who wait, and the number of the
last change that was made, by which the next one gets its own; nothing else depends on that line. `build/bin/sage-flock`
and `filelock` lock the same file by the same primitive.
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
    """A lock that is held: `number` is that of the last change, None if the file does not tell."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.number = holder.number(fd)
        self._command = redaction.command_line(sys.argv[:4])
        holder.write(fd, self._command)

    def advance(self, number: int) -> None:
        """Let `number` be that of the last change."""
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
