"""A lock file for work that may take long, such as building in a directory. The lock of a prefix is `prefix.lock`.

A free lock is taken at once, by `locking`. Only if it has to wait, it imports and uses `filelock`, because importing
that takes longer than most of these locks are held. Both use flock(2).
"""

from __future__ import annotations

import contextlib
import os
import sys

from sage_wheels.errors import LockTimeout
from sage_wheels.fs import holder, locking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def hold(path: str, on_wait: Callable[[str], None] | None = None, *, denied: str = "") -> Iterator[None]:
    """Within this context, hold the lock file `path` exclusively; wait until it is free.

    `on_wait`, `denied` and the errors are those of `locking.acquire`. The file is never deleted.
    """
    with contextlib.ExitStack() as held:
        try:
            fd = locking.acquire(path, timeout=0, on_wait=on_wait, denied=denied)
        except LockTimeout:
            import filelock

            held.enter_context(filelock.FileLock(path, fallback_to_soft=False))
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        held.callback(os.close, fd)
        holder.write(fd, sys.argv)
        yield
