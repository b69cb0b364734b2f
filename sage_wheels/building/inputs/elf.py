"""Read from an ELF file which libraries and versions it needs.

It reads what the loader of the GNU C library reads: the dynamic section (elf(5), "Symbol Versioning" in the Linux
Standard Base). The file is not trusted: every offset is checked, and every loop is limited.
"""

from __future__ import annotations

import struct

from sage_wheels.building.inputs.binary import Binary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

_LOAD, _DYNAMIC = 1, 2  # types of segments
_NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29
_VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_WEAK = 2  # the loader does without such a version
_MOST = 10_000  # entries of a kind


def read(data: bytes | mmap) -> Binary | None:
    """The `Binary` with these bytes; None if it is no ELF file, or has no dynamic section.

    Raises `ValueError` if it is damaged.
    """
    if data[:4] != b"\x7fELF":
        return None
    try:
        return _Reader(data).read()
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"the ELF file is damaged ({error})") from error


class _Reader:
    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        kind, order = data[4], data[5]
        if kind not in (1, 2) or order not in (1, 2):
            raise ValueError("the ELF file is of a class that is unknown")
        self._order, self._is_64 = "<" if order == 1 else ">", kind == 2
        (machine,) = self._at("H", 18)
        self.kind = (kind, order, machine)
        self._segments = list(self._read_segments())
        self._strings = (0, 0)

    def read(self) -> Binary | None:
        dynamic = next((each for each in self._segments if each[0] == _DYNAMIC), None)
        if dynamic is None:
            return None
        entries = list(self._read_dynamic(dynamic[1], dynamic[3]))
        values = dict(entries)
        self._strings = (self._offset(values.get(_STRINGS, 0)), values.get(_STRINGS_SIZE, 0))
        search = [self._text(values[tag]) for tag in (_RUNPATH, _RPATH) if tag in values][:1]
        return Binary(
            self.kind,
            self._text(values[_SONAME]) if _SONAME in values else "",
            [self._text(value) for tag, value in entries if tag == _NEEDED],
            [each for path in search for each in path.split(":") if each],
            self._needed_versions(values),
            frozenset(self._defined_versions(values)),
        )

    def _at(self, form: str, offset: int) -> tuple[int, ...]:
        if offset < 0:
            raise ValueError("the ELF file has an offset before its beginning")
        return struct.unpack_from(self._order + form, self._data, offset)

    def _read_segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Type, offset, address and size of each segment."""
        (start,) = self._at("Q", 32) if self._is_64 else self._at("I", 28)
        size, count = self._at("HH", 54 if self._is_64 else 42)
        for number in range(count):
            at = start + number * size
            if self._is_64:
                kind, _, offset, address, _, length = self._at("IIQQQQ", at)
            else:
                kind, offset, address, _, length = self._at("IIIII", at)
            yield kind, offset, address, length

    def _read_dynamic(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        form, each = ("qQ", 16) if self._is_64 else ("iI", 8)
        for at in range(offset, offset + min(size, _MOST * each), each):
            tag, value = self._at(form, at)
            if tag == 0:
                return
            yield tag, value

    def _offset(self, address: int) -> int:
        """The offset in the file of the byte that the loader puts at `address`."""
        for kind, offset, start, size in self._segments:
            if kind == _LOAD and start <= address < start + size:
                return address - start + offset
        raise ValueError("the ELF file has an address outside of it")

    def _text(self, offset: int) -> str:
        start, size = self._strings
        end = self._data.find(b"\0", start + offset, start + size)
        if offset >= size or end < 0:
            raise ValueError("the ELF file has the address of a text outside of it")
        return self._data[start + offset : end].decode("utf-8", "surrogateescape")

    def _needed_versions(self, values: dict[int, int]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for at in self._chain("HHIII", self._list(values, _VERNEED), values.get(_VERNEEDNUM, 0), 4):
            _, count, file, first, _ = self._at("HHIII", at)
            names = found.setdefault(self._text(file), [])
            for aux in self._chain("IHHII", at + first, count, 4):
                _, flags, _, name, _ = self._at("IHHII", aux)
                if not flags & _WEAK:
                    names.append(self._text(name))
        return found

    def _defined_versions(self, values: dict[int, int]) -> Iterator[str]:
        for at in self._chain("HHHHIII", self._list(values, _VERDEF), values.get(_VERDEFNUM, 0), 6):
            first = self._at("HHHHIII", at)[5]
            yield self._text(self._at("II", at + first)[0])

    def _list(self, values: dict[int, int], tag: int) -> int:
        return self._offset(values[tag]) if tag in values else 0

    def _chain(self, form: str, at: int, count: int, behind: int) -> Iterator[int]:
        """The offsets of `count` entries; the field with the number `behind` of each is the distance to the next."""
        for _ in range(min(count, _MOST) if at else 0):
            yield at
            step = self._at(form, at)[behind]
            if step == 0:
                return
            at += step
