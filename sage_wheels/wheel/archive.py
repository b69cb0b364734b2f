"""Read a zip archive as strictly as it is meant to be written, one pass over each member.

The standard library's `zipfile` reads what it can make sense of; this reads only what has one meaning (APPNOTE 6.3.10,
PEP 427): the archive begins and ends where it says, local and central headers agree, no two members share a name or a
byte, names are relative UTF-8 paths, members are regular files or directories, stored or deflated, and as long as they
say; directories are empty. Everything else raises `Damaged`.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from typing import NamedTuple

from sage_wheels.prefix.filesystem import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_END = struct.Struct("<4s4H2LH")  # 4.3.16, end of central directory record
_END64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_NOT_TOLD = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # what the end says instead (4.4.1.4)
_STORED, _DEFLATED = 0, 8
_FLAG_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_FLAG_SIZES_FOLLOW = 0x0008
_FLAG_UTF8 = 0x0800
_DESCRIPTORS = (0, 12, 16, 20, 24)  # bytes that may follow then: CRC and sizes of 4 or 8 bytes, a signature (4.3.9)
_UNICODE_PATH = 0x7075
_CHUNK = 1 << 20  # bytes held at once, of the archive and of a member: 4 MiB in all at the worst
_RATIO_FREE = 16 << 20  # bytes of a member that may inflate as they like: tables of zeros are real, and harmless
_MAX_DIRECTORY = 256 << 20  # bytes, read in one piece: 400,000 members with 600 bytes each
# The longest path in the same wheels has 238 bytes, the deepest 15 directories. System calls take 4,096 bytes.
MAX_PATH = 1024  # bytes
MAX_DEPTH = 100
MAX_COMPONENT = 255  # bytes, on all usual file systems
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^/|^[A-Za-z]:|(^|/)\.{0,2}(/|$)")


class Limits(NamedTuple):
    """How much an archive may be: the `size` in bytes that all members inflate to, how many `members` there are,
    directories included, and the `ratio` to which one of them may inflate, beyond its first 16 MiB.

    The largest of 1,127 wheels (torch, TensorFlow, CUDA, Ansible among them) have 1.9 GB, 24,600 members and, beyond
    those 16 MiB, a ratio of 7; shorter members reach 60. `python benchmarks limits` measures it.
    """

    size: int = 32 << 30
    members: int = 400_000
    ratio: int = 250


class Damaged(Exception):
    """What is wrong with an archive, as the end of the sentence "PATH is damaged: ..."."""


class TooLarge(Damaged):
    """An archive beyond its limits: `limit` is the name of the one that it meets, `bound` says what it allows."""

    def __init__(self, limit: str, bound: str) -> None:
        super().__init__(f"it unpacks to more than {bound}")
        self.limit = limit
        self.bound = bound


class Member(NamedTuple):
    """A file in an archive. `offset` is that of its local header, `end` where the next thing begins."""

    name: str
    offset: int
    end: int
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    executable: bool


class Archive:
    """An open zip archive: `members` by name (directories left out), and their contents in chunks."""

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        self.path = path
        self._limits = limits or Limits()
        self._fd = regular(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.file_size = os.fstat(self._fd).st_size
            self.members = self._read_directory()
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str, limit: int) -> bytes:
        """A whole member of at most `limit` bytes."""
        member = self.members[name]
        if member.size > limit:
            raise Damaged(f"{name} has {member.size} bytes, more than the {limit} that make sense")
        return b"".join(self.chunks(member))

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The content of `member`, a megabyte at a time; raises `Damaged` if it is not what the headers say."""
        here = min(member.end - member.offset, _CHUNK)
        block = os.pread(self._fd, here, member.offset)
        start = self._check_local_header(member, block)
        behind = member.end - member.offset - start - member.compressed
        if behind < 0:
            raise Damaged(f"{member.name} reaches into what follows it")
        if behind and not (member.flags & _FLAG_SIZES_FOLLOW and behind in _DESCRIPTORS):
            raise Damaged(f"something stands behind {member.name} that does not belong to it")
        block = block[start : start + member.compressed]
        if member.method == _STORED:
            pieces = self._blocks(member, block, member.offset + start)
        elif len(block) == member.compressed and member.size <= _CHUNK:  # by far the most: one call
            pieces = self._inflate_at_once(member, block)
        else:
            pieces = self._inflate(member, self._blocks(member, block, member.offset + start))
        crc = size = 0
        for piece in pieces:
            size += len(piece)
            if size > member.size:
                break
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != member.size:
            raise Damaged(f"{member.name} does not have the {member.size} bytes that its header says")
        if crc != member.crc:
            raise Damaged(f"{member.name} fails its CRC check")

    def _inflate_at_once(self, member: Member, block: bytes) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            yield inflater.decompress(block, member.size + 1)
        except zlib.error as error:
            raise Damaged(f"{member.name} cannot be inflated ({error})") from error
        self._check_end(member, inflater)

    def _inflate(self, member: Member, blocks: Iterator[bytes]) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for block in blocks:
                while block:
                    yield inflater.decompress(block, _CHUNK)
                    block = inflater.unconsumed_tail
            while not inflater.eof and (piece := inflater.decompress(b"", _CHUNK)):
                yield piece
        except zlib.error as error:
            raise Damaged(f"{member.name} cannot be inflated ({error})") from error
        self._check_end(member, inflater)

    @staticmethod
    def _check_end(member: Member, inflater: zlib._Decompress) -> None:
        if not inflater.eof or inflater.unused_data:
            raise Damaged(f"{member.name} is cut off, longer than its header says, or has something behind it")

    def _blocks(self, member: Member, first: bytes, start: int) -> Iterator[bytes]:
        yield first
        position, stop = start + len(first), start + member.compressed
        while position < stop:
            block = os.pread(self._fd, min(_CHUNK, stop - position), position)
            if not block:
                raise Damaged(f"{member.name} is cut off")
            position += len(block)
            yield block

    def _check_local_header(self, member: Member, block: bytes) -> int:
        """Where the data of `member` begins in `block`, which begins with its local header."""
        if len(block) < _LOCAL.size:
            raise Damaged(f"{member.name} is cut off")
        magic, _, flags, method, _, _, crc, compressed, size, name_size, extra_size = _LOCAL.unpack_from(block)
        name = block[_LOCAL.size : _LOCAL.size + name_size]
        agree = (flags | _FLAG_SIZES_FOLLOW) == (member.flags | _FLAG_SIZES_FOLLOW) and method == member.method
        if magic != b"PK\x03\x04" or name != member.name.encode() or not agree:
            raise Damaged(f"the local header of {member.name} says something else than the central directory")
        extra = block[_LOCAL.size + name_size : _LOCAL.size + name_size + extra_size]
        _check_extra(member.name, name, extra)
        if not flags & _FLAG_SIZES_FOLLOW:
            if 0xFFFFFFFF in (compressed, size):
                size, compressed, _ = _zip64(member.name, extra, size, compressed, 0)
            if (crc, compressed, size) != (member.crc, member.compressed, member.size):
                raise Damaged(f"the local header of {member.name} says something else than the central directory")
        return int(_LOCAL.size + name_size + extra_size)

    def _read_directory(self) -> dict[str, Member]:
        start, size, count = self._find_directory()
        if count > self._limits.members:
            raise TooLarge("members", f"{self._limits.members} members")
        if size > _MAX_DIRECTORY:
            raise Damaged(f"its central directory has {size} bytes, more than the {_MAX_DIRECTORY} that make sense")
        data = os.pread(self._fd, size, start)
        if len(data) != size:
            raise Damaged("its central directory is cut off")
        entries: list[Member] = []
        position = 0
        while position < size and len(entries) <= count:
            entry, position = _central_entry(data, position)
            entries.append(entry)
        if len(entries) > count:
            raise Damaged(f"it has more members than the {count} that its end says")
        if len(entries) != count:
            raise Damaged(f"it has {len(entries)} members where its end says {count}")
        members, directories = _arranged(entries, start, self._limits)
        for each in directories:
            if each.size or any(self.chunks(each)):
                raise Damaged(f"{each.name} is a directory with content")
        return members

    def _find_directory(self) -> tuple[int, int, int]:
        """Offset, size and number of entries of the central directory."""
        tail_size = min(self.file_size, _END.size + 0xFFFF)
        tail = os.pread(self._fd, tail_size, self.file_size - tail_size)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            raise Damaged("it is no zip archive, or its end is cut off")
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
        end = self.file_size - tail_size + at
        if end + _END.size + comment != self.file_size:
            raise Damaged("something stands behind the archive")
        told = (disk, first_disk, here, count, size, start)
        # others look for the locator, and believe what it leads to, whatever the end says
        has_locator = os.pread(self._fd, 4, max(0, end - _END64_LOCATOR.size)) == b"PK\x06\x07"
        if has_locator or 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
            end, (disk, first_disk, here, count, size, start) = self._end64(end, told)
        if disk or first_disk or here != count:
            raise Damaged("it is one part of an archive in several parts")
        if start + size != end:
            raise Damaged("something stands before or inside the archive that does not belong to it")
        return start, size, count

    def _end64(self, end: int, told: tuple[int, ...]) -> tuple[int, tuple[int, int, int, int, int, int]]:
        locator = os.pread(self._fd, _END64_LOCATOR.size, max(0, end - _END64_LOCATOR.size))
        if len(locator) == _END64_LOCATOR.size and locator[:4] == b"PK\x06\x07":
            _, disk, at, disks = _END64_LOCATOR.unpack(locator)
            record = os.pread(self._fd, _END64.size, at)
            if len(record) == _END64.size and record[:4] == b"PK\x06\x06" and disk == 0 and disks <= 1:
                _, length, _, _, disk, first, here, count, size, start = _END64.unpack(record)
                fields = (disk, first, here, count, size, start)
                agree = all(old in (new, most) for old, new, most in zip(told, fields, _NOT_TOLD, strict=True))
                if agree and length == _END64.size - 12 and at + _END64.size == end - _END64_LOCATOR.size:
                    return at, fields
        raise Damaged("its ZIP64 end records make no sense")


def _central_entry(data: bytes, position: int) -> tuple[Member, int]:
    if len(data) - position < _CENTRAL.size:
        raise Damaged("its central directory is cut off")
    fields = _CENTRAL.unpack_from(data, position)
    magic, _, _, flags, method, _, _, crc, compressed, size = fields[:10]
    name_size, extra_size, comment_size, disk, _, attributes, offset = fields[10:]
    if magic != b"PK\x01\x02" or disk not in (0, 0xFFFF):
        raise Damaged("its central directory makes no sense")
    at = position + _CENTRAL.size
    raw = data[at : at + name_size]
    try:
        name = raw.decode("utf-8" if flags & _FLAG_UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise Damaged(f"the member name {raw[:100]!r} is not UTF-8, or does not say so") from error
    _check_name(name)  # first of all, for every other message has it in it
    extra = data[at + name_size : at + name_size + extra_size]
    _check_extra(name, raw, extra)
    if 0xFFFFFFFF in (compressed, size, offset):
        size, compressed, offset = _zip64(name, extra, size, compressed, offset)
    if flags & _FLAG_ENCRYPTED:
        raise Damaged(f"{name} is encrypted")
    if method not in (_STORED, _DEFLATED):
        raise Damaged(f"{name} is compressed by method {method}; wheels are stored or deflated")
    if method == _STORED and size != compressed:
        raise Damaged(f"{name} is stored, but has two sizes")
    mode = attributes >> 16
    kind = stat.S_IFMT(mode)
    # ZIP writers on other systems leave the Unix mode 0; a directory is told by its name then.
    if kind and kind != (stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        raise Damaged(f"{name!r} is a link, a device or something else that is neither file nor directory")
    executable = bool(kind and mode & 0o111)
    member = Member(name, offset, 0, flags, method, crc, compressed, size, executable)
    return member, at + name_size + extra_size + comment_size


def _zip64(name: str, extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """Take the values that do not fit 32 bits from the ZIP64 extra field (4.5.3)."""
    for kind, field in _fields(extra):
        if kind == 1:
            wanted = [value == 0xFFFFFFFF for value in (size, compressed, offset)]
            if len(field) < 8 * sum(wanted):
                break
            values = iter(struct.unpack_from(f"<{sum(wanted)}Q", field))
            old = (size, compressed, offset)
            size, compressed, offset = (next(values) if want else was for want, was in zip(wanted, old, strict=True))
            return size, compressed, offset
    raise Damaged(f"the ZIP64 sizes of {name} make no sense")


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each extra field (4.5.1)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        yield kind, extra[position + 4 : position + 4 + length]
        position += 4 + length


def _check_extra(name: str, raw: bytes, extra: bytes) -> None:
    """Refuse another name, which some readers take for the name (4.6.9: behind a version and a CRC)."""
    if b"up" in extra and any(kind == _UNICODE_PATH and field[5:] != raw for kind, field in _fields(extra)):
        raise Damaged(f"{name} has another name beside this one")


def is_too_long(name: str) -> bool:
    """Whether a relative path is longer or deeper than anything that is meant to be unpacked."""
    if len(name) < 60:
        return False
    raw = name.encode("utf-8", "surrogateescape")
    return len(raw) > MAX_PATH or name.count("/") >= MAX_DEPTH or max(map(len, raw.split(b"/"))) > MAX_COMPONENT


def _check_name(name: str) -> None:
    if is_too_long(name):
        raise Damaged(f"the member name {name[:40]!r}... is longer or deeper than a file system takes")
    if _UNSAFE_NAME.search(name.removesuffix("/")):
        raise Damaged(f"the member name {name!r} is no plain path inside the archive")


def _arranged(entries: list[Member], directory: int, limits: Limits) -> tuple[dict[str, Member], list[Member]]:
    """Files by name, and directories, in the order of the file, each with its `end`; nothing twice or overlapping."""
    entries.sort(key=lambda each: each.offset)
    if entries and entries[0].offset != 0:
        raise Damaged("something stands before the archive")
    members: dict[str, Member] = {}
    directories: set[str] = set()
    told: list[Member] = []
    total = 0
    for index, each in enumerate(entries):
        end = entries[index + 1].offset if index + 1 < len(entries) else directory
        if each.offset + _LOCAL.size + each.compressed > end:
            raise Damaged(f"{each.name} reaches into what follows it")
        name = each.name.removesuffix("/")
        if each.size > _RATIO_FREE and each.size > each.compressed * limits.ratio:
            raise TooLarge("ratio", f"{limits.ratio} times its size in {name}")
        if each.name.endswith("/"):
            directories.add(name)
            told.append(each._replace(end=end))
        elif name in members:
            raise Damaged(f"it has {name} twice")
        else:
            members[name] = each._replace(end=end)
            total += each.size
        while "/" in name:
            name = name.rpartition("/")[0]
            if name in directories:
                break
            directories.add(name)
        if len(members) + len(directories) > limits.members:
            raise TooLarge("members", f"{limits.members} members")
    clash = directories.intersection(members)
    if clash:
        raise Damaged(f"{min(clash)} is both a file and a directory")
    if total > limits.size:
        raise TooLarge("size", f"{limits.size} bytes")
    return members, told
