"""Copy files and directories with their modes, times and symbolic links."""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from sage_wheels.fs.files import regular

_FICLONE = 0x40049409  # Linux <linux/fs.h>, ioctl_ficlonerange(2)


def clone(path: str, destination: str) -> bool:
    """Copy the file at `path`, with mode and times, to `destination`, which must not exist, by sharing its blocks.

    Returns False, and makes no file, if the file system has no such copies (reflinks). Raises `OSError`.
    """
    with open(path, "rb") as source, open(destination, "xb") as target:
        if not share_blocks(source.fileno(), target.fileno()):
            os.unlink(destination)
            return False
        copy_status(source.fileno(), target.fileno())
    return True


def share_blocks(source: int, destination: int) -> bool:
    """Make the open, empty file `destination` a copy of the open file `source` by sharing its blocks, on Linux.

    Returns False, and changes nothing, if the system or the file system cannot do it.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_blocks(source: int, destination: int) -> None:
    """Copy the content of the open file `source` to the open, empty file `destination`. Raises `OSError`."""
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):  # not possible between these file systems; a real error occurs again below
            while os.copy_file_range(source, destination, 1 << 30):
                pass
    position = os.lseek(destination, 0, os.SEEK_END)
    while block := os.pread(source, 1 << 20, position):
        position += os.write(destination, block)


def make_own(path: str) -> None:
    """Replace the file at `path`, which has other hard links, by a copy, so that they can differ. Raises `OSError`."""
    own = f"{path}.{os.getpid()}"
    copy(path, own)
    os.rename(own, path)


def copy_tree(source: str, destination: str) -> None:
    """Copy a directory with modes, times and symbolic links to `destination`, which must not exist.

    Stops at the first `OSError` and raises it. (`shutil.copytree` continues, and raises a list of errors at the end.)
    """
    import shutil

    os.mkdir(destination)
    with os.scandir(source) as scan:
        for entry in scan:
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, f"{destination}/{entry.name}")
            else:
                shutil.copy2(entry, f"{destination}/{entry.name}", follow_symlinks=False)
    shutil.copystat(source, destination)


def copy(path: str, destination: str) -> None:
    """Copy a regular file, or a link as a link, with mode, times and extended attributes, as `shutil.copy2` does.

    `destination` must not exist. `shutil` is not used, because importing it takes a tenth of the time of a command.
    Raises `OSError`.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(path), destination)
        os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
        return
    with open(path, "rb", opener=regular) as source, open(destination, "xb") as copy:
        copy_file(source.fileno(), copy.fileno())


def copy_file(source: int, destination: int) -> None:
    """Copy the content of the open file `source` to the open, empty file `destination`; then call `copy_status`."""
    with open(source, "rb", closefd=False) as old, open(destination, "wb", closefd=False) as new:
        while block := old.read(1 << 20):
            new.write(block)
    copy_status(source, destination)


def take_over(path: str, replacement: str) -> None:
    """Give the file `replacement` what the file at `path` has besides its content: mode, extended attributes (with the
    access control list) and, if possible, owner and group. Raises `OSError`."""
    with open(path, "rb", opener=regular) as old, open(replacement, "rb+") as new:
        status = os.fstat(old.fileno())
        with contextlib.suppress(OSError):  # not root, or a file system without owners
            os.chown(new.fileno(), status.st_uid, status.st_gid)
        copy_status(old.fileno(), new.fileno())
        os.utime(new.fileno())


def copy_status(source: int, destination: int) -> None:
    """Copy mode, times and, if possible, extended attributes from the open file `source` to the open `destination`."""
    status = os.fstat(source)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            for name in os.listxattr(source):
                os.setxattr(destination, name, os.getxattr(source, name))
    os.chmod(destination, stat.S_IMODE(status.st_mode))
    os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns))
