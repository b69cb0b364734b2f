"""Read from a Mach-O file which libraries it needs: its load commands (mach-o/loader.h, mach-o/fat.h).

A library has a compatibility version. A program that was linked with it needs this version or a later one.
"""

from __future__ import annotations

import struct

from sage_wheels.building.inputs.binary import Binary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

_THIN = {0xFEEDFACE: 28, 0xFEEDFACF: 32}  # the size of the header
_FAT = {b"\xca\xfe\xba\xbe": ">iiIII", b"\xca\xfe\xba\xbf": ">iiQQII"}  # processor, its kind, offset, size, ...
_ID, _LOAD, _REEXPORT, _RPATH = 0xD, 0xC, 0x8000001F, 0x8000001C  # without weak libraries, which may be missing
_OF_SYSTEM = ("/usr/lib/", "/System/")  # these libraries are in a cache of the loader, not on the disk
_MOST_FAT = 64
_MOST = 10_000  # commands


def read(data: bytes | mmap) -> list[Binary]:
    """The binaries in the file with these bytes, one for each machine; none if it is no Mach-O file.

    Raises `ValueError` if it is damaged.
    """
    try:
        return [_read(data, start) for start in _parts(data)]
    except (struct.error, IndexError) as error:
        raise ValueError(f"the Mach-O file is damaged ({error})") from error


def _parts(data: bytes | mmap) -> Iterator[int]:
    form = _FAT.get(data[:4])
    if form is None:
        if len(data) > 4 and (_word("<", data, 0) in _THIN or _word(">", data, 0) in _THIN):
            yield 0
        return
    count = _word(">", data, 4)
    if count > _MOST_FAT:  # a class file of Java begins with the same bytes
        return
    for number in range(count):
        yield struct.unpack_from(form, data, 8 + number * struct.calcsize(form))[2]


def _word(order: str, data: bytes | mmap, offset: int) -> int:
    number: int = struct.unpack_from(f"{order}I", data, offset)[0]
    return number


def _read(data: bytes | mmap, start: int) -> Binary:
    order = "<" if _word("<", data, start) in _THIN else ">"
    head = _THIN.get(_word(order, data, start))
    if head is None:
        raise ValueError("a part of the Mach-O file is no Mach-O file")
    processor, kind = struct.unpack_from(f"{order}ii", data, start + 4)
    count = _word(order, data, start + 16)
    name, needed, search = "", [], []
    versions: dict[str, list[str]] = {}
    defined: set[str] = set()
    at = start + head
    for _ in range(min(count, _MOST)):
        command, size = struct.unpack_from(f"{order}II", data, at)
        if size < 8:
            raise ValueError("the Mach-O file has a command without length")
        if command in (_ID, _LOAD, _REEXPORT):
            text, compatible = _text(order, data, at, size), _version(_word(order, data, at + 20))
            if command == _ID:
                name = text
                defined.add(compatible)
            elif not text.startswith(_OF_SYSTEM):
                needed.append(text)
                versions[text] = [compatible]
        elif command == _RPATH:
            search.append(_text(order, data, at, size))
        at += size
    return Binary((0, processor, kind), name, needed, search, versions, frozenset(defined))


def _text(order: str, data: bytes | mmap, at: int, size: int) -> str:
    start = at + _word(order, data, at + 8)
    return data[start : at + size].partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _version(number: int) -> str:
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


def is_enough(needed: str, there: frozenset[str]) -> bool:
    """Whether a library with one of the compatibility versions `there` is new enough if `needed` is needed.

    >>> is_enough("1.2.0", frozenset(["1.10.0"])), is_enough("2.0.0", frozenset(["1.10.0"]))
    (True, False)
    """
    return any(_numbers(each) >= _numbers(needed) for each in there)


def _numbers(version: str) -> list[int]:
    return [int(each) for each in version.split(".") if each.isdecimal()]
