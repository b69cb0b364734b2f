"""Read a file compressed with gzip, bzip2 or xz as a stream, in bounded memory.

A damaged file raises `EOFError`, `zlib.error`, or an `OSError` whose `errno` is None.
"""

from __future__ import annotations

import io
from typing import cast

from sage_wheels.errors import SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK = 1 << 16  # bytes read at once
# The output of `xz -9` needs 65 MB to decompress; a header can ask for 4 GiB.
_XZ_MEMORY = 128 << 20  # bytes
# The extensions and the first bytes of each format.
_KINDS = {
    "gz": ((".gz", ".tgz"), b"\x1f\x8b"),
    "bz2": ((".bz2", ".tbz"), b"BZh"),
    "xz": ((".xz", ".txz"), b"\xfd7zXZ\0"),
    "zip": ((".zip",), b"PK\x03\x04"),
}


def of(path: str) -> str:
    """The compression of the file at `path`: "gz", "bz2", "xz", "zip", or "" for none.

    It is known by the extension or, if that is not an extension of archives, by the first bytes: the URL of a download
    may end in anything. Raises `OSError`.
    """
    name = path.lower()
    for kind, (extensions, _) in _KINDS.items():
        if name.endswith(extensions):
            return kind
    if not name.endswith(".tar"):
        with open(path, "rb") as f:
            begin = f.read(8)
        return next((kind for kind, (_, start) in _KINDS.items() if begin.startswith(start)), "")
    return ""


def opened(path: str) -> io.BufferedIOBase:
    """Open the file at `path` for reading, decompressed.

    Raises `OSError`, and `SourceError` if this Python was built without the library for that compression.
    """
    kind = of(path)
    try:
        if kind == "gz":
            import gzip

            return cast("io.BufferedIOBase", gzip.GzipFile(path))
        if kind == "bz2":
            import bz2

            return cast("io.BufferedIOBase", bz2.BZ2File(path))
        if kind == "xz":
            return io.BufferedReader(_Xz(path))
    except ImportError as error:  # this Python was built without that library
        raise SourceError(f"this Python cannot read {path} ({error})", "unpack it and name the directory") from error
    return open(path, "rb")


class _Xz(io.RawIOBase):
    """As `lzma.LZMAFile`, with a limit on memory, and without seeking."""

    def __init__(self, path: str) -> None:
        import lzma

        self._lzma = lzma
        self._file = open(path, "rb")  # noqa: SIM115  closed by `close`
        self._position = 0
        self._start(b"")

    def _start(self, data: bytes) -> None:
        self._stream = self._lzma.LZMADecompressor(self._lzma.FORMAT_XZ, _XZ_MEMORY)
        self._data = data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._some(len(view))
        except self._lzma.LZMAError as error:
            raise OSError(str(error)) from error
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _some(self, size: int) -> bytes:
        """Between 1 and `size` bytes; no bytes at the end."""
        result = b""
        while size and not result:
            if self._stream.eof and not self._next():
                break
            if self._stream.needs_input and not self._data:
                self._data = self._file.read(_BLOCK)
                if not self._data:
                    raise EOFError("it ends in the middle of a stream")
            result = self._stream.decompress(self._data, size)
            self._data = b""
        return result

    def _next(self) -> bool:
        """Begin the next stream, if there is one; zeros may stand between streams (xz file format, 2.2)."""
        rest = self._stream.unused_data
        while not (rest := rest.lstrip(b"\0")):
            rest = self._file.read(_BLOCK)
            if not rest:
                return False
        self._start(rest)
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()
        super().close()
