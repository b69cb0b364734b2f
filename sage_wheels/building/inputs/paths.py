"""Find out whether a wheel contains the path of its build directory, or of the prefix. Then it fits only this path.

The paths are searched in the inflated members: as they are, with links resolved, as in strings of C, Python and JSON,
percent-encoded, and as UTF-16. Debug sections of ELF files, gzip files (manual pages) and zip files are inflated first.
"""

from __future__ import annotations

import os
import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_COMPRESSED = 0x800  # SHF_COMPRESSED, elf(5)
_BY_ZLIB = 1  # ELFCOMPRESS_ZLIB
_GZIP = 16 + zlib.MAX_WBITS  # for zlib: the data are a gzip file
_MOST = 1 << 30  # bytes of a section


def named_in(
    wheel: str, named_paths: Mapping[str, str], look: Callable[[str, bytes], object] = lambda name, data: None
) -> list[str]:
    """The names of those `named_paths` (absolute paths) that a file in the wheel contains.

    `look` is called with the name and the content of each file. Raises `OSError`, and `zipfile.BadZipFile` if it is no
    wheel.
    """
    import zipfile

    wanted = {name: [form for each in spellings(path) for form in _forms(each)] for name, path in named_paths.items()}
    found: set[str] = set()
    is_dark = False
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            data = archive.read(member)
            look(member.filename, data)
            for part in (data, *_unpacked_files(data), *_inflated(data)):
                if part is None:
                    is_dark = True  # it cannot be inflated, so it may contain any path
                    continue
                found.update(name for name, forms in wanted.items() if any(form in part for form in forms))
    return sorted(named_paths if is_dark else found)


def spellings(path: str) -> list[str]:
    """`path`, and the path that the system names instead of it (getcwd) if there are links in it."""
    return list(dict.fromkeys([path, os.path.realpath(path)]))


def _forms(path: str) -> Iterator[bytes]:
    import json
    from urllib.parse import quote

    plain = path.encode("utf-8", "surrogateescape")
    forms = {plain, plain.replace(b"/", b"\\/"), quote(plain).encode(), quote(plain, safe="").encode()}
    forms |= {path.encode("unicode_escape", "replace"), plain.replace(b" ", b"\\ "), json.dumps(path)[1:-1].encode()}
    forms |= {_escaped(plain, "\\x{:02x}"), _escaped(plain, "\\{:03o}")}
    yield from forms
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield path.encode(encoding, "surrogatepass")


def _escaped(data: bytes, form: str) -> bytes:
    """`data` with bytes that are not ASCII in that `form`, as in a string of bytes in Python or C."""
    return "".join(chr(byte) if 32 <= byte < 127 else form.format(byte) for byte in data).encode()


def _unpacked_files(data: bytes) -> Iterator[bytes]:
    """What is in a gzip or zip file; nothing if it is none, or damaged: then it is data for a test."""
    import io
    import zipfile

    if data[:2] == b"\x1f\x8b":
        yield _unpacked(data, _GZIP) or b""
    elif data[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield from (archive.read(member) for member in archive.infolist() if member.file_size <= _MOST)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError):
            return


def _inflated(data: bytes) -> Iterator[bytes | None]:
    """The compressed sections of an ELF file, inflated; None for one that cannot be inflated."""
    if data[:4] != b"\x7fELF" or len(data) < 64 or data[4] not in (1, 2) or data[5] not in (1, 2):
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


def _unpacked(data: bytes, window: int = zlib.MAX_WBITS) -> bytes | None:
    try:
        inflater = zlib.decompressobj(window)
        result = inflater.decompress(data, _MOST)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else result
