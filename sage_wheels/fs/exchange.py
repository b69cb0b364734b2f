"""Exchange two files or directories atomically: renameat2(2) on Linux, renameatx_np(2) on macOS.

`ctypes` takes 3 ms to import, so it is imported only before an exchange. Every exchange raises the audit event
`sage_wheels.exchange` (`sys.audit`) with the arguments of `os.rename`, because calls through ctypes raise no event with
the paths.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AT_FDCWD = -2 if sys.platform == "darwin" else -100  # <fcntl.h>: relative to the current directory
_RENAME_EXCHANGE = 2  # Linux <linux/fs.h>, renameat2(2)
_RENAME_SWAP = 2  # macOS <sys/stdio.h>, renameatx_np(2)
_MISSING = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(one: str, other: str) -> None:
    """Exchange the files or directories at two paths atomically (RENAME_EXCHANGE, on macOS RENAME_SWAP).

    Raises `OSError`; ENOSYS if the platform has no such call.
    """
    sys.audit("sage_wheels.exchange", one, other, -1, -1)
    _exchange()(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))


def exchange_at(one: str, directory: int, other: str, other_directory: int) -> None:
    """As `exchange`, with each name relative to the directory descriptor behind it."""
    sys.audit("sage_wheels.exchange", one, other, directory, other_directory)
    _exchange()(directory, os.fsencode(one), other_directory, os.fsencode(other))


def prepare_exchange() -> None:
    """Import `ctypes` and look up the system call, so that `exchange` need not do that while the lock is held."""
    _exchange()


_call: Callable[[int, bytes, int, bytes], None] | None = None


def _exchange() -> Callable[[int, bytes, int, bytes], None]:
    global _call
    if _call is None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        is_mac = sys.platform == "darwin"
        function = getattr(libc, "renameatx_np" if is_mac else "renameat2", None)
        flag = ctypes.c_uint(_RENAME_SWAP if is_mac else _RENAME_EXCHANGE)

        def call(directory: int, one: bytes, other_directory: int, other: bytes) -> None:
            code = errno.ENOSYS
            if function is not None:
                if not function(directory, one, other_directory, other, flag):
                    return
                code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fsdecode(one), None, os.fsdecode(other))

        _call = call
    return _call


def can_exchange(directory: str) -> bool:
    """Whether the file system of `directory` supports an exchange: tried with two new directories in it.

    Also does what `prepare_exchange` does.
    """
    one, other = f"{directory}/exchange-a", f"{directory}/exchange-b"
    try:
        os.mkdir(one)
        os.mkdir(other)
        exchange(one, other)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        return False
    finally:
        for path in (one, other):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(path)
    return True
