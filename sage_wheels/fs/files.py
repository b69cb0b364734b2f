"""Open regular files without blocking, write files atomically, and open files relative to a directory descriptor.

`open_at` raises the audit event `sage_wheels.open` (`sys.audit`), because Python's own event `open` does not tell the
directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys

from sage_wheels.fs import presence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, AnyStr

_BLOCK = 1 << 20  # bytes
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class LinkInTheWay(OSError):
    """A symbolic link was found where a directory was expected; it was not followed."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ELOOP, "a symbolic link is in the way", path)


def below(directory: str, subdirectory: str) -> str:
    """The path of `subdirectory` in `directory`; `directory` itself if `subdirectory` is ""."""
    return os.path.join(directory, subdirectory) if subdirectory else directory


def current_umask() -> int:
    """The umask of this process, which can only be read by setting it: no other thread may make a file meanwhile."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


def regular(path: str, flags: int) -> int:
    """An opener, for `open(path, opener=regular)`, that opens only regular files.

    Opening a named pipe would block until somebody writes to it, and reading a device may never end. For these it
    raises `OSError` with ENXIO.
    """
    fd = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(mode := os.fstat(fd).st_mode) and not stat.S_ISDIR(mode):  # `open` refuses a directory later
        os.close(fd)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)
    return fd


def read_most(file: IO[AnyStr], most: int) -> AnyStr:
    """The content of the open regular file `file`, at most the first `most` bytes or characters.

    `file.read(most)` would allocate `most` bytes, however small the file is. Raises `OSError`.
    """
    return file.read(min(os.fstat(file.fileno()).st_size, most))


def has_holes(status: os.stat_result) -> bool:
    """Whether the file with this `status` is sparse: holes in it take no space."""
    return status.st_blocks * 512 < status.st_size


def data_in(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the data between the holes of an open file of that `size` begin and end; if the system cannot tell, all of
    it."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data follow
                return
            start, end = end, size
        yield start, end


def has_same_content(one: str, other: str) -> bool:
    """Whether there are regular files at `one` and `other`, with the same content; links are not followed.

    Raises `OSError`.
    """
    first, second = presence.lstat(one), presence.lstat(other)
    if not (first and second and stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)):
        return False
    if first.st_size != second.st_size:
        return False
    with open(one, "rb") as f, open(other, "rb") as g:
        while block := f.read(_BLOCK):
            if block != g.read(_BLOCK):
                return False
    return True


def write_whole(path: str, content: bytes, mode: int = 0o666) -> None:
    """Write `content` to a temporary file and rename that to `path`; if this fails, the old file stays.

    The umask is applied to `mode`. Raises `OSError`.
    """
    temporary = f"{path}.{os.getpid()}"
    with replacing(path, temporary), open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as f:
        f.write(content)


@contextlib.contextmanager
def replacing(path: str, temporary: str, aside: str = "") -> Iterator[None]:
    """Rename `temporary` to `path` at the end of this context, or delete it after an error.

    If a directory is there, it is renamed to `aside` first, an unused path. Raises `OSError`.
    """
    try:
        yield
        try:
            os.replace(temporary, path)
        except IsADirectoryError:
            if not aside:
                raise
            os.rename(path, aside)
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def open_at(name: str, flags: int, directory: int, mode: int = 0o666) -> int:
    """Open `name` in the directory with the descriptor `directory`; returns a descriptor. Raises `OSError`."""
    sys.audit("sage_wheels.open", name, flags, directory)
    return os.open(name, flags, mode, dir_fd=directory)
