"""Read and write git's index, versions 2 and 3 (gitformat-index(5)): what git remembers of each tracked file.

Only what the copy of a source tree needs: the names, and of each entry the status of its file and two flags. Whatever
else an entry has is kept as it is.
"""

from __future__ import annotations

import hashlib
import struct

from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_HEADER = struct.Struct(">4sII")
_STATUS = struct.Struct(">10I")  # ctime and mtime (seconds, nanoseconds), device, inode, mode, user, group, size
_ASSUME_VALID = 0x8000
_EXTENDED = 0x4000  # the entry has a second word of flags, which there is from version 3 on
_SKIP_WORKTREE = 0x4000  # in the second word
_SUBMODULE = 0o160000
_LOW = 0xFFFFFFFF  # the index keeps the lowest 32 bits of each number
_DIGESTS = {20: hashlib.sha1, 32: hashlib.sha256}


class Entry(NamedTuple):
    """One tracked path; `rest` is what stands between the flags and the status, the object's name."""

    name: bytes
    status: tuple[int, ...]
    rest: bytes
    flags: int
    more_flags: int

    @property
    def is_submodule(self) -> bool:
        return self.status[6] & 0o170000 == _SUBMODULE

    def seen_as(self, file: os.stat_result) -> Entry:
        """The entry as git would write it now that the file with this status is unchanged."""
        numbers = (
            *divmod(file.st_ctime_ns, 10**9),
            *divmod(file.st_mtime_ns, 10**9),
            *(file.st_dev, file.st_ino, self.status[6], file.st_uid, file.st_gid, file.st_size),
        )
        return self._replace(status=tuple(number & _LOW for number in numbers))

    def not_looked_at(self) -> Entry:
        """The entry marked so that git never compares it with a file.

        "Skip worktree" says that. In a sparse checkout git takes it back from what it finds on the disk, so the file is
        also assumed to be unchanged.
        """
        return self._replace(flags=self.flags | _ASSUME_VALID | _EXTENDED, more_flags=self.more_flags | _SKIP_WORKTREE)


class Index(NamedTuple):
    """A whole index; `extensions` are those that stay true whatever the entries' status."""

    entries: list[Entry]
    extensions: bytes
    hash_size: int
    is_hashed: bool


def parse(data: bytes, hash_size: int) -> Index:
    """Take an index apart; names of objects have `hash_size` bytes. Raises `ValueError` for what is not understood."""
    try:
        signature, version, count = _HEADER.unpack_from(data)
        if signature != b"DIRC" or version not in (2, 3):
            raise ValueError(f"an index of version {version}")
        entries = []
        offset = _HEADER.size
        for _ in range(count):
            flags_at = offset + _STATUS.size + hash_size
            (flags,) = struct.unpack_from(">H", data, flags_at)
            name_at = flags_at + 2
            more_flags = 0
            if flags & _EXTENDED:
                (more_flags,) = struct.unpack_from(">H", data, name_at)
                name_at += 2
            end = data.index(b"\0", name_at)
            rest = data[offset + _STATUS.size : flags_at]
            entries.append(Entry(data[name_at:end], _STATUS.unpack_from(data, offset), rest, flags, more_flags))
            offset += _padded(end - offset)
        checksum = data[-hash_size:]
        extensions = b"".join(_kept_extensions(data[offset:-hash_size]))
        return Index(entries, extensions, hash_size, any(checksum))
    except struct.error as error:
        raise ValueError("an index that ends early") from error


def _padded(size: int) -> int:
    """The size of an entry that needs `size` bytes: at least one NUL follows, up to a multiple of eight."""
    return (size + 8) & ~7


def _kept_extensions(data: bytes) -> Iterator[bytes]:
    """The tree cache, and the extensions that readers must not ignore: their names begin with a lower-case letter."""
    offset = 0
    while offset < len(data):
        name, size = struct.unpack_from(">4sI", data, offset)
        if name == b"link":
            raise ValueError("a split index")
        if name == b"TREE" or name[:1].islower():
            yield data[offset : offset + 8 + size]
        offset += 8 + size


def assemble(index: Index) -> bytes:
    """The bytes of an index; the other way round from `parse`."""
    is_extended = any(entry.flags & _EXTENDED for entry in index.entries)
    parts = [_HEADER.pack(b"DIRC", 3 if is_extended else 2, len(index.entries))]
    for entry in index.entries:
        words = (entry.flags, entry.more_flags) if entry.flags & _EXTENDED else (entry.flags,)
        fields = _STATUS.pack(*entry.status) + entry.rest + struct.pack(f">{len(words)}H", *words) + entry.name
        parts.append(fields.ljust(_padded(len(fields)), b"\0"))
    parts.append(index.extensions)
    body = b"".join(parts)
    digest = _DIGESTS[index.hash_size](body, usedforsecurity=False).digest()
    return body + (digest if index.is_hashed else bytes(index.hash_size))  # as index.skipHash has it
