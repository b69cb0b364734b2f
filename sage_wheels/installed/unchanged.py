"""Find out whether files were changed since they were installed by their stat, as git's index does, without hashing.

While a wheel is staged, every file is hashed as it is written, and its stat is taken from the same open file. When the
transaction is committed, these stats are stored in the cache of the prefix. A file that still has the stored stat was
not changed; every other file is hashed. This is safe for these reasons:

- The stat contains the ctime (time of the last change), which no program can set. So an edit is noticed even if the
  modification time and the size are restored, or if it was made through another hard link. A file that was renamed,
  linked, copied or restored from a backup has a new ctime, and is hashed. A file that is installed as part of a
  directory that is renamed keeps its ctime; a file that is renamed itself does not, and is hashed.
- A change within the same tick of the clock may leave the ctime as it was. So a stat is used only if its ctime is
  earlier than the time at which planning began, by the clock of the same file system: other programs could reach the
  file only after that. (git calls other files "racily clean".)
- Stats of files that were in the prefix already are never stored, even together with a new hash: another program might
  have mapped the file (mmap), and write to it later without changing the ctime.
- Stats are used only on file systems that are known to change the ctime with every change; see `_KEEPING`.

A file that is a hard link to the store (`--link-mode hardlink`) gets a new ctime with each further link. So of such a
file only size and modification time are compared. This is the price of that mode; the documentation says so.

There is one cache file for each distribution. If it is missing or damaged, all files are hashed.
"""

from __future__ import annotations

import os
import stat
import struct
import time

from sage_wheels.fs.mounts import type_of_mount
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import memo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sage_wheels.prefix import Prefix

# File systems on which every change of a file, even through a mapping (mmap), changes its ctime. Not tmpfs:
# writing to a mapped page that was read before changes no time there. Not overlays: their inodes change with their
# layers. Not network file systems and FUSE: the clock is another host's, and attributes are cached.
_KEEPING = frozenset(("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"))

# inode, size, time of the last modification, time of the last change (both in ns), the SHA-256 in the form of RECORD
_ENTRY = struct.Struct("<QQqQ43s")
ENTRY_SIZE = _ENTRY.size
_DIGEST_LENGTH = 43  # characters
_LINKED = 0  # instead of the time of the last change, which is not compared
_FORMAT = b"stats 1\n"
_MOMENT = struct.Struct("<Q")

# Two changes within one tick of the clock (10 ms on old kernels) may have the same time.
TICK_NS = 15_000_000

# Stats are stored only for a distribution of at least so many files, or so many times 64 KiB: smaller ones are hashed
# faster than the cache is read.
_WORTH = 32


def entry(status: os.stat_result, digest: str, *, linked: bool = False) -> bytes:
    """The cache entry for a file: its stat, and its `digest` ("sha256=..."). b"" if it must not be stored.

    A file with several hard links is not stored, because another program may have it open by another name. The
    exception is a file that was `linked` to the store on purpose.
    """
    if not linked and (status.st_nlink != 1 or not has_fraction(status)):
        return b""
    return _entry(status.st_ino, status.st_size, status.st_mtime_ns, _LINKED if linked else status.st_ctime_ns, digest)


def linked_entry(inode: int, size: int, time: int, digest: str) -> bytes:
    """`entry` for a file that is linked to one in the store with that inode, size and time of the last modification."""
    return _entry(inode, size, time, _LINKED, digest)


def _entry(inode: int, size: int, time: int, changed: int, digest: str) -> bytes:
    algorithm, _, text = digest.partition("=")
    text = text.rstrip("=")
    if algorithm != "sha256" or len(text) != _DIGEST_LENGTH or not text.isascii():
        return b""
    return _ENTRY.pack(inode, size, time, changed, text.encode())


def store(prefix: Prefix, entries: Mapping[str, bytes], began: int) -> None:
    """Store the `entries` of each distribution, by its normalised name; they replace any earlier ones.

    `began` is when planning began (ns, by the clock of the file system of the prefix). Nothing is stored for small
    distributions, and errors are ignored.
    """
    has_clock = clock_of(prefix) is not None
    kept = {name for name, each in entries.items() if has_clock and _is_worth_while(each)}
    forget(prefix, entries.keys() - kept)
    for name in kept:
        memo.write(prefix, _memo(name), _FORMAT + _MOMENT.pack(began) + entries[name])


def _is_worth_while(entries: bytes) -> bool:
    if len(entries) >= _WORTH * _ENTRY.size:
        return True
    pieces: int = sum(1 + (each[1] >> 16) for each in _ENTRY.iter_unpack(entries))
    return pieces >= _WORTH


def forget(prefix: Prefix, names: Iterable[str]) -> None:
    """Delete the stored entries of the distributions with the normalised `names`."""
    if found := [_memo(name) for name in names]:
        memo.forget(prefix, found)


class UnchangedFiles:
    """Tells, by stored stats, whether files of the distributions with the normalised `names` are unchanged."""

    def __init__(self, prefix: Prefix, names: Iterable[str]) -> None:
        self.known: list[tuple[int, set[bytes]]] = []
        loaded = list(filter(None, (_load(prefix, name) for name in names)))
        self._clock = clock_of(prefix) if loaded else None
        if self._clock:
            for began, entries in loaded:
                pieces = {entries[at : at + _ENTRY.size] for at in range(0, len(entries), _ENTRY.size)}
                self.known.append((began, pieces))

    def holds(self, status: os.stat_result, digest: str) -> bool:
        """Whether a file with that stat certainly has that digest ("sha256=..."). If False, it has to be hashed."""
        if not self._clock or digest[:7] != "sha256=":
            return False
        text = digest[7:].rstrip("=")
        if len(text) != _DIGEST_LENGTH or not text.isascii() or status.st_ctime_ns < 0:
            return False
        for changed in (status.st_ctime_ns, _LINKED):
            wanted = _ENTRY.pack(status.st_ino, status.st_size, status.st_mtime_ns, changed, text.encode())
            if any(changed < began and wanted in entries for began, entries in self.known):
                return status.st_dev == self._clock.device
        return False


def _load(prefix: Prefix, name: str) -> tuple[int, bytes] | None:
    """The stored time (ns) at which planning began, and the entries, of `name`; None if there are none."""
    body = memo.read(prefix, _memo(name)) or b""
    begin = len(_FORMAT) + _MOMENT.size
    if not body.startswith(_FORMAT) or len(body) < begin or (len(body) - begin) % _ENTRY.size:
        return None
    return _MOMENT.unpack_from(body, len(_FORMAT))[0], body[begin:]


def _memo(name: str) -> str:
    # an invalid name of a distribution gets no file of its own
    plain = name.isascii() and name == name.lower() and name.replace("-", "0").isalnum()
    return f"{name if plain else '-'}.stats"


def changed_at(status: os.stat_result) -> int:
    """When the file was changed last (ns), as far as its stat tells: its ctime. If it has several hard links, its
    mtime, because each further link, in the store or in another prefix, changes the ctime."""
    is_linked = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
    return status.st_mtime_ns if is_linked else status.st_ctime_ns


def is_recent(status: os.stat_result) -> bool:
    """Whether the file was changed so recently that another change now might leave the same ctime."""
    return abs(time.time_ns() - status.st_ctime_ns) < TICK_NS


class Clock(NamedTuple):
    """The file system with the number `device`, of the type `kind`, which changes a file's ctime with every change of
    the file."""

    device: int
    kind: str

    def tells(self, status: os.stat_result, now: int) -> bool:
        """Whether any later change of a file, whose stat was read after the time `now` (ns), will change that stat."""
        return status.st_dev == self.device and status.st_ctime_ns < now - TICK_NS and has_fraction(status)


def has_fraction(status: os.stat_result) -> bool:
    """Whether the ctime has a fraction. If not, the file system may count in whole seconds."""
    return status.st_ctime_ns % 1_000_000_000 != 0


def clock_of(prefix: Prefix) -> Clock | None:
    """`clock_at` the prefix's state directory."""
    return clock_at(prefix.state)


def clock_at(directory: str) -> Clock | None:
    """The file system of `directory`, if every change of a file is known to change its ctime there.

    Read from /proc/self/mountinfo (proc(5)); None if that does not exist.
    """
    try:
        device = os.stat(directory).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            mounts = f.readlines()
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = (line.partition(" - ")[2].partition(" ")[0] for line in mounts if line.split(" ", 3)[2] == number)
    kind = next(kinds, None)
    if kind is None and type_of_mount(os.path.realpath(directory), mounts) == "btrfs":
        kind = "btrfs"  # its subvolumes have device numbers that mountinfo does not contain
    return Clock(device, kind) if kind in _KEEPING else None
