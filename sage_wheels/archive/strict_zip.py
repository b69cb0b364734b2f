"""A strict reader of zip archives, which needs one pass over each member.

`zipfile` of the standard library accepts archives that another reader would understand differently. This one accepts
only an archive with a single meaning (APPNOTE 6.3.10, PEP 427):

- Nothing stands before, behind or between its parts. Local and central headers agree.
- No two members have the same name, or overlap. Names are relative paths in UTF-8.
- Members are regular files or directories, stored or deflated, and have the sizes and CRCs in their headers.
- Directories have no content.

For everything else `Damaged` is raised. Numbers in comments are sections of APPNOTE.

`installer` is not used for reading: it uses `zipfile`, and reads each member twice, once to verify and once to write.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import struct
import zlib

from sage_wheels.archive import inflating
from sage_wheels.fs.digest import sha256
from sage_wheels.fs.files import regular
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NewType

    MemberName = NewType("MemberName", str)  # a plain path inside an archive, from `member_name`
else:
    MemberName = str

_END = struct.Struct("<4s4H2LH")  # 4.3.16, end of central directory record
_END64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_NOT_TOLD = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # the values are in the ZIP64 record (4.4.1.4)
_STORED, _DEFLATED = 0, 8
_FLAG_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_FLAG_SIZES_FOLLOW = 0x0008
_FLAG_UTF8 = 0x0800
_DESCRIPTORS = (0, 12, 16, 20, 24)  # bytes that may follow then: CRC and sizes of 4 or 8 bytes, a signature (4.3.9)
_UNICODE_PATH = 0x7075
_CHUNK = 512 << 10  # bytes that are read or inflated at once: they stay in the cache of a processor
_RATIO_FREE = 16 << 20  # bytes; smaller members may have any ratio, because real wheels have tables of zeros
MAX_DIRECTORY = 256 << 20  # bytes, read in one piece: 400,000 members with 600 bytes each
# Of the wheels that `WheelLimits` names, the longest path has 238 bytes, the deepest 15 directories. PATH_MAX is 4,096.
MAX_PATH = 1024  # bytes
MAX_DEPTH = 100
MAX_COMPONENT = 255  # bytes, on all usual file systems
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^/|^[A-Za-z]:|(^|/)\.{0,2}(/|$)")


class WheelLimits(NamedTuple):
    """Limits of an archive, against decompression bombs.

    `size` is the number of bytes to which all members together inflate, `members` the number of members, directories
    included, and `ratio` that of inflated to compressed size, for members that inflate to more than 16 MiB.

    The largest of 1,127 wheels (torch, TensorFlow, CUDA, Ansible among them) have 1.9 GB, 24,600 members, and a ratio
    of 7 (of 60 in members below 16 MiB). `python benchmarks limits` measures this.
    """

    size: int = 32 << 30
    members: int = 400_000
    ratio: int = 250


class Damaged(Exception):
    """An archive is not accepted. The message is the end of a sentence that begins with "PATH is damaged: "."""


class TooLarge(Damaged):
    """An archive exceeds a limit: `limit` is the field of `WheelLimits`, `bound` its value in words ("5 members")."""

    def __init__(self, limit: str, bound: str) -> None:
        super().__init__(f"it unpacks to more than {bound}")
        self.limit = limit
        self.bound = bound


class Member(NamedTuple):
    """A file in an archive. `offset` is that of its local header, `end` that of the next header (bytes)."""

    name: MemberName
    offset: int
    end: int
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    executable: bool


class Checksum:
    """The CRC of the pieces of `member` so far."""

    def __init__(self, member: Member, crc32: Callable[[bytes, int], int]) -> None:
        self._member = member
        self._crc32 = crc32
        self._value = 0

    def update(self, piece: bytes) -> None:
        self._value = self._crc32(piece, self._value)

    def check(self) -> None:
        """Raise `Damaged` if it is not that in the headers."""
        if self._value != self._member.crc:
            raise Damaged(f"{self._member.name} fails its CRC check")


class Archive:
    """An open zip archive. `members` has each file by its name; directories are left out.

    With `sdist`, two members may have the same name, if they have the same size and CRC, and members may be symbolic
    links; the caller has to compare their contents, and to check where they lead. `inflater` is the module that
    inflates, such as `zlib`; by default, it depends on the size (`inflating`). With `lazily`, `members` is read when it
    is needed. Raises `Damaged`, `TooLarge` and `OSError`.
    """

    def __init__(
        self,
        path: str,
        limits: WheelLimits | None = None,
        *,
        sdist: bool = False,
        inflater: Any = None,
        lazily: bool = False,
    ) -> None:
        self.path = path
        self.limits = limits or WheelLimits()
        self._sdist = sdist
        self._inflater = inflater
        self._fd = regular(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.file_size = os.fstat(self._fd).st_size
            if not lazily:
                self.members  # noqa: B018  read and checked here
        except BaseException:
            os.close(self._fd)
            raise

    @functools.cached_property
    def _library(self) -> Any:
        return self._inflater or inflating.inflater(self.file_size)

    @functools.cached_property
    def members(self) -> dict[MemberName, Member]:
        return self._read_directory()

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def identity(self) -> list[int]:
        """What changes when the archive does: device, inode, size, times of the last modification and change."""
        status = os.fstat(self._fd)
        return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]

    def digest(self) -> str:
        """The SHA-256 of the archive itself, in hexadecimal digits. Raises `OSError`."""
        digest, position = sha256(size=self.file_size), 0
        while block := os.pread(self._fd, _CHUNK, position):
            digest.update(block)
            position += len(block)
        return digest.hexdigest()

    def read(self, name: str, limit: int) -> bytes:
        """The content of the member `name`. Raises `Damaged`, also if it has more than `limit` bytes."""
        member = self.members[member_name(name)]
        if member.size > limit:
            raise Damaged(f"{name} has {member.size} bytes, more than the {limit} that are allowed")
        return b"".join(self.chunks(member))

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The content of `member`, at most 512 KiB at a time. Raises `Damaged` if it does not match the headers."""
        checksum = self.checksum(member)
        for piece in self.unchecked(member):
            checksum.update(piece)
            yield piece
        checksum.check()

    def checksum(self, member: Member) -> Checksum:
        """The CRC of `member`, for whoever reads its `unchecked` content."""
        return Checksum(member, self._library.crc32)

    def unchecked(self, member: Member) -> Iterator[bytes]:
        """As `chunks`, but whether the content has the CRC in the headers is left to the caller."""
        here = min(member.end - member.offset, _CHUNK)
        block = os.pread(self._fd, here, member.offset)
        start = self._check_local_header(member, block)
        behind = member.end - member.offset - start - member.compressed
        if behind < 0:
            raise Damaged(f"{member.name} reaches into what follows it")
        if behind and not (member.flags & _FLAG_SIZES_FOLLOW and behind in _DESCRIPTORS):
            raise Damaged(f"data that does not belong to it follows {member.name}")
        block = block[start : start + member.compressed]
        if member.method == _STORED:
            pieces = self._blocks(member, block, member.offset + start)
        else:
            pieces = self._inflate(member, self._blocks(member, block, member.offset + start))
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > member.size:
                break
            yield piece
        if size != member.size:
            raise Damaged(f"{member.name} does not have the {member.size} bytes that its header says")

    def _inflate(self, member: Member, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The inflated content of `blocks`; in one piece if it is not larger than a chunk, as nearly always."""
        stream = self._library.decompressobj(-zlib.MAX_WBITS)
        most = min(member.size + 1, _CHUNK)
        try:
            for block in blocks:
                rest = block
                while rest and not stream.eof:  # after the end of the stream, `unconsumed_tail` keeps its old value
                    yield stream.decompress(rest, most)
                    rest = stream.unconsumed_tail
                if stream.eof:
                    break
            while not stream.eof and (piece := stream.decompress(b"", most)):
                yield piece
        except self._library.error as error:
            raise Damaged(f"{member.name} cannot be inflated ({error})") from error
        if not stream.eof or stream.unused_data or any(blocks):
            raise Damaged(f"{member.name} is cut off, is longer than its header says, or is followed by other data")

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
        """The offset of the data of `member` in `block`, which begins with the local header. Raises `Damaged`."""
        if len(block) < _LOCAL.size:
            raise Damaged(f"{member.name} is cut off")
        magic, _, flags, method, _, _, crc, compressed, size, name_size, extra_size = _LOCAL.unpack_from(block)
        name = block[_LOCAL.size : _LOCAL.size + name_size]
        agree = (flags | _FLAG_SIZES_FOLLOW) == (member.flags | _FLAG_SIZES_FOLLOW) and method == member.method
        if magic != b"PK\x03\x04" or name != member.name.encode() or not agree:
            raise Damaged(f"the local header of {member.name} does not agree with the central directory")
        extra = block[_LOCAL.size + name_size : _LOCAL.size + name_size + extra_size]
        _check_extra(member.name, name, extra)
        if not flags & _FLAG_SIZES_FOLLOW:
            if 0xFFFFFFFF in (compressed, size):
                size, compressed, _ = _zip64(member.name, extra, size, compressed, 0)
            if (crc, compressed, size) != (member.crc, member.compressed, member.size):
                raise Damaged(f"the local header of {member.name} does not agree with the central directory")
        return int(_LOCAL.size + name_size + extra_size)

    def _read_directory(self) -> dict[MemberName, Member]:
        start, size, count = self._find_directory()
        if count > self.limits.members:
            raise TooLarge("members", f"{self.limits.members} members")
        if size > MAX_DIRECTORY:
            raise Damaged(f"its central directory has {size} bytes, more than the {MAX_DIRECTORY} that are allowed")
        data = os.pread(self._fd, size, start)
        if len(data) != size:
            raise Damaged("its central directory is cut off")
        entries: list[Member] = []
        position = 0
        while position < size and len(entries) <= count:
            entry, position = central_entry(data, position, links=self._sdist)
            entries.append(entry)
        if len(entries) > count:
            raise Damaged(f"it has more members than the {count} that its end record says")
        if len(entries) != count:
            raise Damaged(f"it has {len(entries)} members, but its end record says {count}")
        members, directories = _arranged(entries, start, self.limits, repeats=self._sdist)
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
            raise Damaged("other data follows the archive")
        told = (disk, first_disk, here, count, size, start)
        # other readers use a ZIP64 locator whenever there is one, even if the end record does not refer to it
        has_locator = os.pread(self._fd, 4, max(0, end - _END64_LOCATOR.size)) == b"PK\x06\x07"
        if has_locator or 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
            end, (disk, first_disk, here, count, size, start) = self._end64(end, told)
        if disk or first_disk or here != count:
            raise Damaged("it is one part of an archive in several parts")
        if start + size != end:
            raise Damaged("data that does not belong to the archive stands before or inside it")
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
        raise Damaged("its ZIP64 end records are invalid")


def _is_same(one: Member, other: Member) -> bool:
    return (one.size, one.crc) == (other.size, other.crc)


def central_entry(data: bytes, position: int, *, links: bool = False) -> tuple[Member, int]:
    if len(data) - position < _CENTRAL.size:
        raise Damaged("its central directory is cut off")
    fields = _CENTRAL.unpack_from(data, position)
    magic, _, _, flags, method, _, _, crc, compressed, size = fields[:10]
    name_size, extra_size, comment_size, disk, _, attributes, offset = fields[10:]
    if magic != b"PK\x01\x02" or disk not in (0, 0xFFFF):
        raise Damaged("its central directory is invalid")
    at = position + _CENTRAL.size
    raw = data[at : at + name_size]
    try:
        name = raw.decode("utf-8" if flags & _FLAG_UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise Damaged(f"the member name {raw[:100]!r} is not UTF-8, or not marked as UTF-8") from error
    checked = member_name(name)  # first, because all other messages contain the name
    extra = data[at + name_size : at + name_size + extra_size]
    _check_extra(name, raw, extra)
    if 0xFFFFFFFF in (compressed, size, offset):
        size, compressed, offset = _zip64(name, extra, size, compressed, offset)
    if flags & _FLAG_ENCRYPTED:
        raise Damaged(f"{name} is encrypted")
    if method not in (_STORED, _DEFLATED):
        raise Damaged(f"{name} is compressed by method {method}; wheels are stored or deflated")
    if method == _STORED and size != compressed:
        raise Damaged(f"{name} is stored, but its two sizes differ")
    mode = attributes >> 16
    kind = stat.S_IFMT(mode)
    # Zip writers on other systems leave the Unix mode 0; then a directory is known by the slash at the end of its name.
    is_link = links and kind == stat.S_IFLNK and not name.endswith("/")
    if kind and not is_link and kind != (stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        raise Damaged(f"{name!r} is a link, a device or something else that is neither file nor directory")
    executable = bool(kind and mode & 0o111)
    member = Member(checked, offset, 0, flags, method, crc, compressed, size, executable)
    return member, at + name_size + extra_size + comment_size


def _zip64(name: str, extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """`size`, `compressed` and `offset`, with values that do not fit 32 bits from the ZIP64 extra field (4.5.3)."""
    for kind, field in _fields(extra):
        if kind == 1:
            wanted = [value == 0xFFFFFFFF for value in (size, compressed, offset)]
            if len(field) < 8 * sum(wanted):
                break
            values = iter(struct.unpack_from(f"<{sum(wanted)}Q", field))
            old = (size, compressed, offset)
            size, compressed, offset = (next(values) if want else was for want, was in zip(wanted, old, strict=True))
            return size, compressed, offset
    raise Damaged(f"the ZIP64 sizes of {name} are invalid")


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The header ID and the data of each extra field (4.5.1)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        yield kind, extra[position + 4 : position + 4 + length]
        position += 4 + length


def _check_extra(name: str, raw: bytes, extra: bytes) -> None:
    """Raise `Damaged` for a different name in a Unicode Path extra field (4.6.9), which some readers prefer.

    In that field, the name stands behind a version number and a CRC.
    """
    if b"up" in extra and any(kind == _UNICODE_PATH and field[5:] != raw for kind, field in _fields(extra)):
        raise Damaged(f"{name} has a second, different name")


def is_too_long(name: str) -> bool:
    """Whether a relative path is longer, or has more components, than any path in a real package."""
    if len(name) < 60:
        return False
    raw = name.encode("utf-8", "surrogateescape")
    return len(raw) > MAX_PATH or name.count("/") >= MAX_DEPTH or max(map(len, raw.split(b"/"))) > MAX_COMPONENT


def member_name(name: str) -> MemberName:
    """`name` as a `MemberName`: relative, without `.` and `..`; a directory's ends in a slash. Raises `Damaged`.

    >>> member_name("../six.py")
    Traceback (most recent call last):
    ...
    sage_wheels.archive.strict_zip.Damaged: the member name '../six.py' is no plain path inside the archive
    """
    if is_too_long(name):
        raise Damaged(f"the member name {name[:40]!r}... is longer or deeper than a file system takes")
    if _UNSAFE_NAME.search(name.removesuffix("/")):
        raise Damaged(f"the member name {name!r} is no plain path inside the archive")
    return MemberName(name)


def member_in(head: str, name: str) -> MemberName:
    """The member `name` in the directory `head`, both of which are parts of the name of a member."""
    return MemberName(f"{head}/{name}" if head else name)


def _arranged(
    entries: list[Member], directory: int, limits: WheelLimits, *, repeats: bool
) -> tuple[dict[MemberName, Member], list[Member]]:
    """The files by name, and the directories, in the order of their offsets, with `end` set.

    `directory` is the offset of the central directory. Raises `Damaged` for names that appear twice and for members
    that overlap, and `TooLarge`.
    """
    entries.sort(key=lambda each: each.offset)
    if entries and entries[0].offset != 0:
        raise Damaged("other data stands before the archive")
    members: dict[MemberName, Member] = {}
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
        elif each.name in members and not (repeats and _is_same(members[each.name], each)):
            raise Damaged(f"it has {name} twice")
        else:
            members[each.name] = each._replace(end=end)
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
