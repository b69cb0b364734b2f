"""The local store: a directory that only the user can write to.

    ROOT/content/DI/DIGEST    a file under its SHA-256
    ROOT/results/KE/KEY       the SHA-256 of a result's bytes, a line break, and these bytes
    ROOT/trees/KE/KEY/        a directory (see `trees`)
    ROOT/staging/             what is being written; it gets its final path by one rename
    ROOT/added                how many bytes were added since all files were counted (see `eviction`)

Reading takes no lock: a file that is open stays readable when another process deletes it. At any time the directory may
be deleted, full, read-only or damaged. A file that does not have the digest in its name is treated as missing, and
deleted; so is anything else in the place of a file, but a directory is moved to `staging`. The modification time of a
file is when it was used last.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from sage_wheels.fs import caches, copies
from sage_wheels.fs.digest import sha256
from sage_wheels.fs.files import read_most
from sage_wheels.store.results import MOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 1 << 20  # bytes
_NO_WAY = (errno.ENOTDIR, errno.ELOOP)  # there is no directory above a file
_EXACT = 600.0  # seconds: the time of the last use of a result is noted with this precision


class NoFile(OSError):
    """There is something else in the place of a file of the store, such as a directory."""


class LocalTier:
    """The directory `root`, which is made when needed. `on_trouble` is called with each `OSError`; none is raised."""

    def __init__(self, root: str, on_trouble: Callable[[OSError], object]) -> None:
        self.root = root
        self._on_trouble = on_trouble
        self._count = 0

    def get_result(self, key: str) -> bytes | None:
        path = self.result_path(key)
        try:
            with open(path, "rb", buffering=0, opener=caches.own) as f:
                used = os.fstat(f.fileno()).st_mtime
                head, _, body = read_most(f, MOST).partition(b"\n")
        except OSError as error:
            self._failed(error, path)
            return None
        if head != sha256(body).hexdigest().encode():
            self.forget(path)
            return None
        if abs(time.time() - used) > _EXACT:
            touch(path)
        return body

    def put_result(self, key: str, data: bytes) -> None:
        head = sha256(data).hexdigest().encode()
        self._put(self.result_path(key), lambda path: _write(path, head + b"\n" + data))

    def get_content(self, digest: str, path: str) -> bool:
        source = self.content_path(digest)
        try:
            with open(source, "rb", opener=caches.own) as f, open(path, "xb") as target:
                found = sha256()
                while block := f.read(_BLOCK):
                    found.update(block)
                    target.write(block)
        except OSError as error:
            self._failed(error, source)
            _unlink(path)
            return False
        if found.hexdigest() != digest:
            _unlink(path)
            self.forget(source)
            return False
        touch(source)
        return True

    def read_content(self, digest: str) -> bytes | None:
        """The content with this SHA-256, if it is there and undamaged."""
        path = self.content_path(digest)
        try:
            with open(path, "rb", opener=caches.own) as f:
                data = f.read()
        except OSError as error:
            self._failed(error, path)
            return None
        if sha256(data).hexdigest() != digest:
            self.forget(path)
            return None
        touch(path)
        return data

    def put_bytes(self, data: bytes) -> str:
        """Keep `data` as a content. Returns its SHA-256."""
        digest = sha256(data).hexdigest()
        self._put(self.content_path(digest), lambda path: _write(path, data))
        return digest

    def put_content(self, digest: str, path: str) -> None:
        self._put(self.content_path(digest), lambda new: copy(path, new))

    def has_content(self, digest: str, size: int) -> bool:
        """Whether there is a file for the content; nothing is read."""
        try:
            return os.stat(self.content_path(digest)).st_size == size
        except OSError:
            return False

    def use_content(self, digest: str, size: int) -> bool:
        """As `has_content`, and note that it was used now, so that it is not deleted soon."""
        if not self.has_content(digest, size):
            return False
        touch(self.content_path(digest))
        return True

    def content_path(self, digest: str) -> str:
        return f"{self.root}/content/{digest[:2]}/{digest}"

    def result_path(self, key: str) -> str:
        return f"{self.root}/results/{key[:2]}/{key}"

    def forget(self, path: str) -> None:
        """Delete a file that does not have the digest in its name, or is not needed any more.

        A directory in its place is moved to `staging`. A file in the place of a directory of the store is deleted.
        """
        try:
            os.unlink(path)
        except OSError as error:
            above = os.path.dirname(path)
            if error.errno in _NO_WAY and above != self.root:
                self.forget(above)
            elif os.path.isdir(path):
                with contextlib.suppress(OSError):
                    os.rename(path, self.new_path())

    def _failed(self, error: OSError, path: str) -> None:
        """Report that the file at `path` cannot be read, unless it is missing; remove what is in its place."""
        if error.errno == errno.ENOENT:
            return
        if error.filename == path and error.errno in (*caches.NO_FILE, *_NO_WAY) and os.path.isdir(self.root):
            self.forget(path)
            error = NoFile(error.errno, error.strerror, path)
        self._on_trouble(error)

    def new_path(self) -> str:
        """An unused path in `staging`, a directory that is made if needed. Raises `OSError`."""
        caches.make_directory(f"{self.root}/staging")
        self._count += 1
        return f"{self.root}/staging/{os.getpid()}-{self._count}-{os.urandom(4).hex()}"

    def note_added(self, size: int) -> None:
        """Note that `size` bytes were added: one line, which the system appends in one piece."""
        with contextlib.suppress(OSError):
            fd = os.open(f"{self.root}/added", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, b"%d\n" % size)
            finally:
                os.close(fd)

    def _put(self, destination: str, write: Callable[[str], object]) -> None:
        """Let `write` make a new file, and rename it to `destination`. An `OSError` is only reported."""
        temporary = ""
        try:
            temporary = self.new_path()
            write(temporary)
            size = os.stat(temporary).st_size
            os.chmod(temporary, 0o600)
            self._rename(temporary, destination)
        except OSError as error:
            _unlink(temporary)
            self._on_trouble(error)
        except BaseException:
            _unlink(temporary)
            raise
        else:
            self.note_added(size)

    def _rename(self, temporary: str, destination: str) -> None:
        try:
            os.replace(temporary, destination)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EISDIR, *_NO_WAY):
                raise
            self.forget(destination)
            caches.make_directory(os.path.dirname(destination))
            os.replace(temporary, destination)


def copy(source: str, destination: str) -> None:
    """Copy the content of a file to a new one; where the file system can, it shares the blocks. Raises `OSError`."""
    with open(source, "rb") as f, open(destination, "xb") as target:
        copies.copy_blocks(f.fileno(), target.fileno())


def _write(path: str, data: bytes) -> None:
    with open(path, "xb") as f:
        f.write(data)


def touch(path: str) -> None:
    """Note that `path` was used now. Nothing is done if it is read-only."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
