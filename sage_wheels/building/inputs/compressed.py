"""Find what compressed data in the files of a wheel contain: manual pages, archives, debugging information.

Known are gzip, bzip2, xz, zlib, zip, tar, static libraries (ar), and the compressed sections of ELF files, also in each
other. Other formats are only recognised; nobody can look into them.
"""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MOST = 1 << 30  # bytes of one file, decompressed
_DEPTH = 4  # files in files, such as a manual page in a wheel in an archive
_COMPRESSED = 0x800  # SHF_COMPRESSED, elf(5)
_BY_ZLIB = 1  # ELFCOMPRESS_ZLIB
_GZIP = 16 + zlib.MAX_WBITS  # for zlib: the data are a gzip file
_OF_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
# The first bytes of formats that the standard library of each Python cannot read: Zstandard (a frame, and one to skip),
# LZ4, 7z, lzip, compress, RAR.
_DARK = (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c", b"LZIP", b"\x1f\x9d", b"Rar!\x1a\x07")
_END_OF_ZIP, _COMMENT = b"PK\x05\x06", 22 + (1 << 16)  # the end record, and how far from the end of a file it may be
_AR = b"!<arch>\n"


def contents(data: bytes, depth: int = _DEPTH) -> Iterator[bytes | None]:
    """Each file and section in `data` that is compressed or in an archive, decompressed; None if that is not possible.

    Nothing is returned for a damaged file: that is data for a test.
    """
    for part in _parts(data):
        yield part if depth else None
        if part and depth:
            yield from contents(part, depth - 1)


def _parts(data: bytes) -> Iterator[bytes | None]:
    if data.startswith(b"\x7fELF"):
        yield from _sections(data)
    elif data.startswith(b"\x1f\x8b"):
        yield from _streams(data, lambda: zlib.decompressobj(_GZIP))
    elif data.startswith(_OF_ZLIB):
        yield from _streams(data, zlib.decompressobj)
    elif data.startswith(b"BZh"):
        yield from _streams(data, _bz2)
    elif data.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        yield from _streams(data, _xz)
    elif data.startswith(_AR):
        yield from _members_of_ar(data)
    elif data[257:262] == b"ustar":
        yield from _members_of_tar(data)
    elif _END_OF_ZIP in data[-_COMMENT:]:
        yield from _members_of_zip(data)
    elif data.startswith(_DARK):
        yield None


def _bz2() -> Any:
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> Any:
    import lzma

    return lzma.LZMADecompressor()


def _streams(data: bytes, start: Callable[[], Any]) -> Iterator[bytes | None]:
    """What is in the compressed streams of which `data` consists; None if that is too much, or if this Python lacks the
    module for it."""
    left = MOST
    while data:
        try:
            stream = start()
            found = stream.decompress(data, left)
        except ImportError:
            yield None
            return
        except Exception:  # each module has its own one for damaged data
            return
        yield found
        left -= len(found)
        if left <= 0:
            yield None
            return
        data = stream.unused_data if stream.eof else b""


def _members_of_zip(data: bytes) -> Iterator[bytes | None]:
    import io
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                yield archive.read(member) if member.file_size <= MOST else None
    except (NotImplementedError, RuntimeError):  # compressed in another way, or encrypted
        yield None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
        return


def _members_of_tar(data: bytes) -> Iterator[bytes | None]:
    import io
    import tarfile

    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file:
                    yield file.read()
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return


def _members_of_ar(data: bytes) -> Iterator[bytes | None]:
    """The members of a static library (ar(5)): each after a header of 60 bytes, at an even offset."""
    at = len(_AR)
    while (size := data[at + 48 : at + 58].strip()).isdigit():
        yield data[at + 60 : at + 60 + int(size)]
        at += 60 + int(size) + int(size) % 2


def _sections(data: bytes) -> Iterator[bytes | None]:
    """The compressed sections of an ELF file, inflated; None for one that cannot be inflated."""
    if len(data) < 64 or data[4] not in (1, 2) or data[5] not in (1, 2):
        return
    order, is_64 = "<" if data[5] == 1 else ">", data[4] == 2
    try:
        start = struct.unpack_from(f"{order}Q" if is_64 else f"{order}I", data, 0x28 if is_64 else 0x20)[0]
        size, count, _ = struct.unpack_from(f"{order}HHH", data, 0x3A if is_64 else 0x2E)
        for number in range(count):
            at = start + number * size
            if is_64:
                _, _, flags, _, offset, length = struct.unpack_from(f"{order}IIQQQQ", data, at)
            else:
                _, _, flags, _, offset, length = struct.unpack_from(f"{order}IIIIII", data, at)
            section = data[offset : offset + length]
            if flags & _COMPRESSED:
                kind = struct.unpack_from(f"{order}I", section)[0]
                yield _unpacked(section[24 if is_64 else 12 :]) if kind == _BY_ZLIB else None
            elif section[:4] == b"ZLIB":  # the older form, .zdebug_*
                yield _unpacked(section[12:])
    except struct.error:
        yield None


def _unpacked(data: bytes) -> bytes | None:
    try:
        inflater = zlib.decompressobj()
        result = inflater.decompress(data, MOST)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else result
