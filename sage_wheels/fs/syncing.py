"""Wait until what was written is on the disk (durability)."""

from __future__ import annotations

import os


def sync_file_system(path: str) -> None:
    """Flush the file system that `path` is on to its disk, by syncfs(2) or, where there is none, sync(2).

    Raises `OSError`.
    """
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        os.sync()
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if function(fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(fd)


def sync_path(path: str) -> None:
    """Flush the file or directory at `path` to the disk, by fsync(2). Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
