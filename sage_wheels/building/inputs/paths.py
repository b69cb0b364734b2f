"""Find out whether a wheel contains the path of its build directory, or of the prefix. Then it fits only this path.

The paths are searched in the inflated members: as they are, with escaped slashes, percent-encoded, and as UTF-16. The
debug sections of ELF files are inflated first.
"""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_COMPRESSED = 0x800  # SHF_COMPRESSED, elf(5)
_BY_ZLIB = 1  # ELFCOMPRESS_ZLIB
_MOST = 1 << 30  # bytes of a section


def named_in(
    wheel: str, named_paths: Mapping[str, str], look: Callable[[str, bytes], object] = lambda name, data: None
) -> list[str]:
    """The names of those `named_paths` (absolute paths) that a file in the wheel contains.

    `look` is called with the name and the content of each file. Raises `OSError`, and `zipfile.BadZipFile` if it is no
    wheel.
    """
    import zipfile

    wanted = {name: list(_forms(path)) for name, path in named_paths.items()}
    found: set[str] = set()
    is_dark = False
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            data = archive.read(member)
            look(member.filename, data)
            for part in (data, *_inflated(data)):
                if part is None:
                    is_dark = True  # it cannot be inflated, so it may contain any path
                    continue
                found.update(name for name, forms in wanted.items() if any(form in part for form in forms))
    return sorted(named_paths if is_dark else found)


def _forms(path: str) -> Iterator[bytes]:
    from urllib.parse import quote

    plain = path.encode("utf-8", "surrogateescape")
    forms = {plain, plain.replace(b"/", b"\\/"), quote(plain).encode(), quote(plain, safe="").encode()}
    forms |= {path.encode("unicode_escape", "replace"), plain.replace(b" ", b"\\ ")}
    yield from forms
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield path.encode(encoding, "surrogatepass")


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


def _unpacked(data: bytes) -> bytes | None:
    try:
        inflater = zlib.decompressobj()
        result = inflater.decompress(data, _MOST)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else result
