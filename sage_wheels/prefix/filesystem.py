"""What the file system of a prefix can do that `os` does not offer: exchange, syncfs, and who else can see it; a file
that is read without waiting for anybody, or written whole or not at all; and a tree that is deleted whatever its modes
are.

`ctypes` is imported only here and only when an exchange is near (it costs 3 ms). Every exchange raises the audit
event `sage_wheels.exchange`, because a call through ctypes raises none that names the paths.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_AT_FDCWD = -100  # Linux <fcntl.h>: relative to the current directory
_RENAME_EXCHANGE = 2  # Linux <linux/fs.h>, renameat2(2)
_RENAME_SWAP = 2  # macOS <sys/stdio.h>, renamex_np(2)
_MISSING = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}

# File systems whose other users may be on other hosts, which flock(2) here does not keep out.
_NETWORK_TYPES = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "afpfs", "ncpfs", "ceph", "lustre", "beegfs", "gpfs"),
    *("glusterfs", "fuse.glusterfs", "fuse.sshfs"),
}


def exchange(one: str, other: str) -> None:
    """Exchange what stands at two paths, atomically (renameat2 RENAME_EXCHANGE, renamex_np RENAME_SWAP).

    Raises `OSError`; ENOSYS where the platform has no such call.
    """
    sys.audit("sage_wheels.exchange", one, other)
    _exchange()(os.fsencode(one), os.fsencode(other))


def prepare_exchange() -> None:
    """Import what `exchange` needs, so that nothing is imported when it is called."""
    _exchange()


_call: Callable[[bytes, bytes], None] | None = None


def _exchange() -> Callable[[bytes, bytes], None]:
    global _call
    if _call is None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            name, before, between, after = "renamex_np", (), (), (_RENAME_SWAP,)
        else:
            name, before, between, after = "renameat2", (_AT_FDCWD,), (_AT_FDCWD,), (_RENAME_EXCHANGE,)
        function = getattr(libc, name, None)

        def call(one: bytes, other: bytes) -> None:
            if function is None:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), os.fsdecode(one), None, os.fsdecode(other))
            if function(*before, one, *between, other, *after):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), os.fsdecode(one), None, os.fsdecode(other))

        _call = call
    return _call


def can_exchange(directory: str) -> bool:
    """Try an exchange of two directories made for it in `directory`; also imports what `exchange` needs."""
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


def sync_file_system(path: str) -> None:
    """Write everything that waits for the file system of `path` to its disk (syncfs(2), else sync(2))."""
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


def regular(path: str, flags: int) -> int:
    """For `open(path, opener=regular)`: opens a regular file, and nothing else.

    A pipe would wait for somebody to write into it, and a device may have no end. Raises `OSError`; ENXIO for those.
    """
    fd = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(mode := os.fstat(fd).st_mode) and not stat.S_ISDIR(mode):  # which `open` refuses by itself
        os.close(fd)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)
    return fd


def write_whole(path: str, content: bytes) -> None:
    """Put `content` into the file at `path` by one rename; what was there stays if that fails. Raises `OSError`."""
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as f:
            f.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def copy_tree(source: str, goal: str) -> None:
    """Copy a directory as it is, with modes, times and links; to `goal`, which must not exist.

    Raises the first `OSError`: `shutil.copytree` goes on after it, and raises a list of them in the end.
    """
    import shutil

    os.mkdir(goal)
    with os.scandir(source) as scan:
        for entry in scan:
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, f"{goal}/{entry.name}")
            else:
                shutil.copy2(entry, f"{goal}/{entry.name}", follow_symlinks=False)
    shutil.copystat(source, goal)


def delete_tree(path: str) -> None:
    """Delete a directory tree, if it is there; directories without write permission are no obstacle to their owner.

    Raises `OSError`.
    """
    import shutil

    def retry(function: object, name: str, error: BaseException) -> None:
        if isinstance(error, FileNotFoundError):
            return
        if not isinstance(error, PermissionError):
            raise error
        for each in (os.path.dirname(name), name):
            mode = os.lstat(each).st_mode
            if stat.S_ISDIR(mode):
                os.chmod(each, stat.S_IMODE(mode) | 0o700)
        if stat.S_ISDIR(os.lstat(name).st_mode):
            shutil.rmtree(name)
        else:
            os.unlink(name)

    try:
        if sys.version_info >= (3, 12):
            shutil.rmtree(path, onexc=retry)
        else:
            shutil.rmtree(path, onerror=lambda function, name, info: retry(function, name, info[1]))
    except OSError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None  # in rmtree's close(2), which it then does again
        raise


def sync_path(path: str) -> None:
    """fsync(2) a file or a directory by its path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def network_type(path: str) -> str | None:
    """The type of the file system of `path` if other hosts may use it, too; None for a local one.

    Read from /proc/self/mountinfo (proc(5)); where there is none, nothing can be said and None is the answer.
    """
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            kind = type_of_mount(os.path.realpath(path), f)
    except OSError:
        return None
    return kind if kind in _NETWORK_TYPES else None


def type_of_mount(path: str, mountinfo: Iterable[str]) -> str | None:
    """The type of the file system that `path` is on, by the lines of a mountinfo file.

    >>> type_of_mount("/home/me/p", ["1 0 8:1 / / rw - ext4 a rw", "2 1 0:9 / /home rw shared:7 - nfs4 b:/ rw"])
    'nfs4'
    """
    best, kind = "", None
    for line in mountinfo:
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, rest.split(" ", 1)[0]
    return kind
