"""Hash files and bytes."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

from sage_wheels.fs.files import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib

_BLOCK = 1 << 20  # bytes
# How many bytes a process hashes before it loads OpenSSL, which is faster: loading it takes as long as hashing 700 KiB
# without it.
_WITHOUT_OPENSSL = 256 << 10
_hashed = 0


def sha256(data: bytes = b"", *, size: int = 0) -> hashlib._Hash:
    """A hash object for SHA-256 that has hashed `data`. `size`: how many bytes will be hashed in all, if it is known.

    >>> sha256(b"").hexdigest()[:8]
    'e3b0c442'
    """
    global _hashed
    _hashed += max(size, len(data))
    if "_hashlib" not in sys.modules and _hashed <= _WITHOUT_OPENSSL and sys.implementation.name == "cpython":
        with contextlib.suppress(ImportError):  # CPython can be built without it
            ours = importlib.import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256")
            found: hashlib._Hash = ours.sha256(data)
            return found
    import hashlib

    return hashlib.sha256(data)


def new(algorithm: str, data: bytes = b"", *, size: int = 0) -> hashlib._Hash:
    """As `sha256`, for any algorithm of `hashlib`."""
    if algorithm == "sha256":
        return sha256(data, size=size)
    import hashlib  # not at the top: it loads OpenSSL

    # old algorithms are not used for security; some Pythons refuse MD5 unless told so
    return hashlib.new(algorithm, data, usedforsecurity=False)


def of_file(path: str, algorithm: str = "sha256") -> bytes:
    """The digest (bytes) of the regular file at `path`, by an algorithm of `hashlib`. Raises `OSError`."""
    fd = regular(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return of_open(fd, algorithm, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def of_open(fd: int, algorithm: str, size: int) -> bytes:
    """The digest (bytes) of what is left to read of the descriptor `fd`, about `size` bytes: they limit the buffer."""
    digest = new(algorithm, size=size)
    while block := os.read(fd, min(size + 1, _BLOCK)):
        digest.update(block)
    return digest.digest()
