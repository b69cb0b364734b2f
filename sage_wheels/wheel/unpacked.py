"""Unpacked wheels: files of wheels in the store, which later installations use instead of inflating them again.

    ROOT/trees/KE/KEY/tree/NUMBER    a member of the wheel, by its number in the groups of the index
    ROOT/trees/KE/KEY/about          the index of the wheel (`wheel.index`), with the stat of each file
    ROOT/trees/KE/KEY/entries        what a prefix remembers of each file (`installed.unchanged`), if that is a link
    ROOT/trees/KE/KEY/size           how many bytes it has, for the eviction of the store

KEY is the digest of the SHA-256 of the wheel. The files were verified when they were written. There are only those that
are installed as they are in the wheel: no scripts, whose first line depends on the prefix; no files that are made for
each prefix (RECORD, INSTALLER ...); no byte-code. All others are written from the wheel, so an unpacked wheel may be
incomplete. How a file gets into a prefix, and into the store:

    way     when                                         into a prefix      into the store
    link    --link-mode hardlink, on one file system     link(2)            link(2), when a wheel is first installed
    clone   else, if the file system shares blocks       FICLONE            FICLONE, when it is installed once more
    copy    else, if that of the store shares blocks     copy_file_range    not at all
    none    else

Before the blocks of a new file can be shared, it has to be written to the disk. This would double the time of the first
installation, so it is done at the second one. Copying is not much cheaper than inflating, so nothing is stored for it
(benchmarks/blocks.py).

A file that was cloned or copied belongs to the prefix alone. It is used only if the stat of the stored file is as it
was, ctime included, on a file system where every change of a file changes its ctime (see `installed.unchanged`). A link
is the stored file itself: whoever changes it in one prefix changes it in all, and each new link changes the ctime. So
of a link only size, time and mode are compared. An unpacked wheel with a changed file is deleted, and made again the
next time.

Nothing here is an error: a file that the store does not have, or cannot keep, is written as without a store.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time

from sage_wheels.fs import caches, copies
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.fs.files import DIRECTORY
from sage_wheels.installed import unchanged
from sage_wheels.installed.unchanged import TICK_NS, clock_at
from sage_wheels.named import NamedTuple
from sage_wheels.store import trees
from sage_wheels.store.local import touch
from sage_wheels.store.store import Store
from sage_wheels.wheel import index
from sage_wheels.wheel.index import WheelIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from sage_wheels.wheel.groups import Placed
    from sage_wheels.wheel.wheel import Wheel

_SEEN = "installed"
# mode, size, time of the last modification, inode, time of the last change (ns; 0: it is not compared)
_STAT = struct.Struct("<IQqQQ")
_NUMBERED = struct.Struct("<IIQqQQ")  # the same, after the number of the file
_MISSING = bytes(_STAT.size)  # the stat of a file that the store does not have
LINK, CLONE, COPY = "link", "clone", "copy"
# The file systems on which files can share blocks, of those that `clock_at` knows. On others, nothing is stored that
# could be copied, so nothing is tried there.
_SHARING = ("btrfs", "xfs")


class StoredStat(NamedTuple):
    """The stat of a stored file when it was written."""

    mode: int
    size: int
    time: int
    inode: int
    changed: int


class TakenFiles(NamedTuple):
    """Files that came from the store: their positions in what was asked for, and entries for `installed.unchanged`."""

    positions: list[int]
    stats: list[bytes]


class UnpackedWheels:
    """The unpacked wheels of `store`, for one installation that stages its files in the directory `stage`.

    With `linking`, files are linked if possible; otherwise `say` is called with a sentence. Use it as a context
    manager, which deletes what was begun and not finished.
    """

    def __init__(self, store: Store, stage: str, *, linking: bool, say: Callable[[str], object] = lambda text: None):
        self._store = store
        self.way, self.group = _way(store, stage, linking)
        self.remembers = clock_at(stage) is not None  # else nobody uses the entries for `installed.unchanged`
        self._made: list[Unpacked] = []
        if linking and self.way != LINK:
            caches.say_once([f"no file can be linked from {store.root} to {stage}, so they are copied"], say)

    def of(self, wheel: Wheel) -> Unpacked | None:
        """The unpacked `wheel` in the store; or a new one that is to be made; or None, if that is not worth while."""
        if not self.way:
            return None
        identity = wheel.archive.identity()
        if self.way != COPY and not wheel.index and time.time_ns() - identity[-1] > TICK_NS:
            from sage_wheels.store.remembered import remembered_digest

            wheel.note_digest(remembered_digest(self._store, identity, lambda: wheel.digest))
        directory = index.directory_of(self._store.root, wheel.digest)
        known = wheel.index or index.read(directory)
        if known is not None and known.facts.record == wheel.record_digest:
            touch(directory)
            return Unpacked(self, wheel, directory, known=known)
        if self.way == LINK or (self.way == CLONE and self._was_installed(index.key(wheel.digest))):
            with contextlib.suppress(OSError):
                staging = self._store.local.new_path()
                caches.make_directory(staging)
                caches.make_directory(f"{staging}/tree")
                self._made.append(Unpacked(self, wheel, directory, staging=staging))
                return self._made[-1]
        return None

    def __enter__(self) -> UnpackedWheels:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish(done=False)

    def _was_installed(self, key: str) -> bool:
        if self._store.result(_SEEN, key):
            return True
        self._store.keep(_SEEN, key, {})
        return False

    def finish(self, *, done: bool) -> None:
        """Put the new unpacked wheels into the store if all is `done`; otherwise delete them."""
        made, self._made = self._made, []
        if done and made and self.way == CLONE:
            time.sleep(TICK_NS / 1e9)  # a change within the same tick as its last one might not show in the ctime
        for each in made:
            with contextlib.suppress(OSError):
                if done:
                    each.put(self._store)
            with contextlib.suppress(OSError):
                delete_tree(each.staging)
        if done and made:
            self._store.tidy()

    def discard(self, directory: str) -> None:
        trees.discard(self._store.root, directory)


class Unpacked:
    """The unpacked `wheel` in `directory`, with the index that is `known`; or a new one that is made in `staging`.

    Forked workers have a copy of this object, and return what they find out.
    """

    def __init__(
        self,
        wheels: UnpackedWheels,
        wheel: Wheel,
        directory: str,
        *,
        known: WheelIndex | None = None,
        staging: str = "",
    ) -> None:
        self.staging = staging
        self.is_spoiled = False
        self._fd = self._target = -1
        self._wheels = wheels
        self._wheel = wheel
        self._directory = directory
        self._known = known
        self._entries: list[bytes] = []
        self._remembered_of_all: bytes | None = None

    @contextlib.contextmanager
    def opened(self, tree: str) -> Iterator[None]:
        """Keep the directory of the stored files open, and `tree`, where they go: to look up a file by its full path
        takes longer."""
        if not self.has_links:
            yield
            return
        try:
            self._fd = os.open(f"{self._directory}/tree", DIRECTORY)
        except OSError:
            self.is_spoiled = True
            yield
            return
        try:
            self._target = os.open(tree, DIRECTORY)
            try:
                yield
            finally:
                os.close(self._target)
        finally:
            os.close(self._fd)

    def take(
        self, placed: Placed, tree: str, mode: Callable[[int], int], create: Callable[[str, int], int]
    ) -> TakenFiles:
        """Make the files `placed` below `tree` from those in the store, and return which of them.

        `mode` has the permissions of a new file, and `create` makes and opens it; both are told whether it is
        executable. Raises `FileExistsError` with its name. If a stored file was changed or deleted, `is_spoiled` is
        set.
        """
        if self._known is None or self.is_spoiled:
            return TakenFiles([], [])
        stored = list(_STAT.iter_unpack(self._known.stored[placed.group.number]))
        if self._wheels.way != LINK:
            return self._copy_all(placed, stored, tree, create)
        return self._link_all(placed, stored, [stat.S_IFREG | mode(0), stat.S_IFREG | mode(1)])

    def _link_all(self, placed: Placed, stored: list[Any], modes: list[int]) -> TakenFiles:
        """Make links below the open tree. This is done for each file of a wheel, so little is done."""
        source, target, owner = self._fd, self._target, (os.geteuid(), self._wheels.group)
        first, executable, paths = placed.group.first, placed.group.executable, placed.paths
        positions: list[int] = []
        is_same = True
        look, link = os.stat, os.link
        for at, number in enumerate(placed.indexes):
            wanted, size, time_ns, inode, _ = stored[number]
            if not wanted:
                continue
            name = str(first + number)
            try:
                status = look(name, dir_fd=source, follow_symlinks=False)
                if status.st_mode != wanted or status.st_size != size or status.st_mtime_ns != time_ns:
                    self.is_spoiled = True
                    break
                if wanted != modes[executable[number]] or (status.st_uid, status.st_gid) != owner:
                    continue  # another umask, or another group of the directory
                link(name, paths[at], src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            except FileExistsError:
                raise
            except FileNotFoundError:
                self.is_spoiled = True  # the store is being deleted
                break
            except OSError:
                continue  # too many links, or the disk is full: then writing it from the wheel reports the error
            is_same = is_same and status.st_ino == inode
            positions.append(at)
        # the inodes differ in a copy of a store: then the files are hashed when somebody asks whether they were edited
        wanted = self._wheels.remembers and is_same and positions
        return TakenFiles(positions, [self._remembered(placed, positions)] if wanted else [])

    def _copy_all(self, placed: Placed, stored: list[Any], tree: str, create: Callable[[str, int], int]) -> TakenFiles:
        group, taken = placed.group, TakenFiles([], [])
        for at, (number, path) in enumerate(zip(placed.indexes, placed.paths, strict=True)):
            known = StoredStat(*stored[number])
            if not known.mode:
                continue
            source = f"{self._directory}/tree/{group.first + number}"
            try:
                status = self._copy(source, f"{tree}/{path}", known, create, group.executable[number])
            except FileExistsError:
                raise
            except FileNotFoundError:
                self.is_spoiled = True  # the store is being deleted
                break
            except OSError:
                continue  # unreadable, or the disk is full: then writing it from the wheel reports the error
            if self.is_spoiled:
                break
            if status is not None:
                taken.positions.append(at)
                taken.stats.append(unchanged.entry(status, group.row(number).digest))
        return taken

    def _remembered(self, placed: Placed, positions: list[int]) -> bytes:
        """The entries for `installed.unchanged` of files that are links."""
        if self._remembered_of_all is None:
            self._remembered_of_all = index.read_entries(self._directory)
        entries, size, first = self._remembered_of_all, unchanged.ENTRY_SIZE, placed.group.first
        if len(positions) == len(placed.group.names):
            return entries[first * size : (first + len(positions)) * size]
        starts = [(first + placed.indexes[at]) * size for at in positions]
        return b"".join([entries[start : start + size] for start in starts])

    def _copy(
        self, source: str, path: str, known: StoredStat, create: Callable[[str, int], int], executable: int
    ) -> os.stat_result | None:
        """Copy a file, or share its blocks; None if that must not be done. Raises `OSError`."""
        if not known.changed:
            return None  # links were made to it
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if _known_of(os.fstat(fd)) != known:
                self.is_spoiled = True
                return None
            new = create(path, executable)
            try:
                if not (self._wheels.way == CLONE and copies.share_blocks(fd, new)):
                    copies.copy_blocks(fd, new)
                return os.fstat(new)
            except OSError:
                os.unlink(path)
                raise
            finally:
                os.close(new)
        finally:
            os.close(fd)

    def keep(self, number: int, path: str, fd: int) -> bytes:
        """Keep the file `path`, open as `fd` and verified, as the member `number`. Returns its entry, for `add`."""
        if not self.staging:
            return b""
        new = f"{self.staging}/tree/{number}"
        try:
            if self._wheels.way == LINK:
                if os.fstat(fd).st_mode & caches.OTHERS:
                    return b""  # the umask lets a group write
                os.link(path, new, follow_symlinks=False)
                known = _known_of(os.fstat(fd))._replace(changed=0)
            else:
                target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                try:
                    if not copies.share_blocks(fd, target):
                        return b""
                    known = _known_of(os.fstat(target))
                finally:
                    os.close(target)
        except OSError:
            return b""  # the disk is full, or the store is being deleted
        return _NUMBERED.pack(number, *known)

    @property
    def has_links(self) -> bool:
        """Whether stored files are linked."""
        return self._known is not None and self._wheels.way == LINK

    @property
    def are_links(self) -> bool:
        """Whether the kept files are links to the installed ones."""
        return bool(self.staging) and self._wheels.way == LINK

    def add(self, entries: bytes, *, is_spoiled: bool) -> None:
        """Add the results of a worker. If a stored file was changed, the unpacked wheel is deleted."""
        self._entries.append(entries)
        if is_spoiled and not self.staging:
            self._wheels.discard(self._directory)

    def put(self, store: Store) -> None:
        """Move the new unpacked wheel from `staging` into the store. Raises `OSError`."""
        known = {number: StoredStat(*each) for number, *each in _NUMBERED.iter_unpack(b"".join(self._entries))}
        size = sum(each.size for each in known.values())
        index.write(self.staging, *self._index(known))
        trees.put(store.root, self.staging, self._directory, size, lambda: index.read(self._directory) is not None)
        store.local.note_added(size)

    def _index(self, known: dict[int, StoredStat]) -> tuple[WheelIndex, bytes]:
        """The index, and the entries for `installed.unchanged`."""
        stored, remembered = [], []
        for group in self._wheel.groups:
            found = [known.get(group.first + each) for each in range(len(group.names))]
            stored.append(b"".join([_STAT.pack(*each) if each else _MISSING for each in found]))
            entries = [
                unchanged.linked_entry(each.inode, each.size, each.time, group.row(number).digest) if each else b""
                for number, each in enumerate(found)
            ]
            remembered += [each.ljust(unchanged.ENTRY_SIZE, b"\0") for each in entries]
        facts = self._wheel.facts()
        name = os.path.basename(self._wheel.path)
        about = WheelIndex(name, self._wheel.archive.limits, facts, self._wheel.groups, stored)
        return about, b"".join(remembered)


def _known_of(status: os.stat_result) -> StoredStat:
    return StoredStat(status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def may_be_in(root: str, *, linking: bool) -> bool:
    """Whether the store in `root` may have unpacked wheels that can be used."""
    clock = None if linking else clock_at(root)
    return linking or (clock is not None and clock.kind in _SHARING)


def _way(store: Store, stage: str, linking: bool) -> tuple[str, int]:
    """How files get from the store into the directory `stage`, found out by trying, and the group of new files there.

    The way is "" if there is none, or if a change of a stored file would not be noticed.
    """
    group = -1
    with contextlib.suppress(OSError):
        caches.make_directory(store.root)
    if not may_be_in(store.root, linking=linking):
        return "", group
    with contextlib.suppress(OSError):
        there, here = store.local.new_path(), f"{stage}/probe"
        try:
            with open(there, "x+b") as source, open(here, "xb") as target:
                source.write(b"?")
                source.flush()
                group = os.fstat(target.fileno()).st_gid
                shares = not linking and copies.share_blocks(source.fileno(), target.fileno())
            if shares:
                return CLONE, group
            if linking:
                os.unlink(here)
                os.link(there, here)
                return LINK, group
        finally:
            for each in (there, here):
                with contextlib.suppress(OSError):
                    os.unlink(each)
    return COPY if clock_at(store.root) else "", group
