"""Unpacked wheels: files of wheels in the store, which later installations use instead of inflating them again.

    ROOT/trees/KE/KEY/tree/NUMBER    a member of the wheel, by its number in the archive
    ROOT/trees/KE/KEY/about          the stat of each file when it was written, and the digest of RECORD; a checksum
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
from sage_wheels.fs.digest import sha256
from sage_wheels.installed.unchanged import TICK_NS, clock_at
from sage_wheels.named import NamedTuple
from sage_wheels.store import trees
from sage_wheels.store.local import touch
from sage_wheels.store.results import key_of
from sage_wheels.store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.wheel.wheel import Wheel

_KIND = "unpacked"
_SEEN = "installed"
_FORMAT = 1
# number, mode, size, time of the last modification, inode, time of the last change (ns; 0: it is not compared)
_ENTRY = struct.Struct("<IIQqQQ")
_DIGEST = 32  # bytes
_LARGE = 1 << 20  # bytes; the digest of a smaller wheel is computed as fast as it is looked up
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


class TakenFile(NamedTuple):
    """A file that came from the store: its stat in the prefix, and whether it is a link to the stored file."""

    status: os.stat_result
    is_link: bool


class UnpackedWheels:
    """The unpacked wheels of `store`, for one installation that stages its files in the directory `stage`.

    With `linking`, files are linked if possible; otherwise `say` is called with a sentence. Use it as a context
    manager, which deletes what was begun and not finished.
    """

    def __init__(self, store: Store, stage: str, *, linking: bool, say: Callable[[str], object] = lambda text: None):
        self._store = store
        self.way, self.group = _way(store, stage, linking)
        self._made: list[Unpacked] = []
        if linking and self.way != LINK:
            caches.say_once([f"no file can be linked from {store.root} to {stage}, so they are copied"], say)

    def of(self, wheel: Wheel) -> Unpacked | None:
        """The unpacked `wheel` in the store; or a new one that is to be made; or None, if that is not worth while."""
        if not self.way:
            return None
        if self.way != COPY and wheel.archive.file_size > _LARGE:
            from sage_wheels.store.remembered import remembered_digest

            wheel.note_digest(remembered_digest(self._store, wheel.archive.identity(), lambda: wheel.digest))
        key = key_of(_KIND, [_FORMAT, wheel.digest])
        directory = trees.path_of(self._store.root, key)
        record = sha256(wheel.record).digest()
        files = _read(f"{directory}/about", record)
        if files is not None:
            touch(directory)
            return Unpacked(self, directory, record, known=files)
        if self.way == LINK or (self.way == CLONE and self._was_installed(key)):
            with contextlib.suppress(OSError):
                staging = self._store.local.new_path()
                caches.make_directory(staging)
                caches.make_directory(f"{staging}/tree")
                self._made.append(Unpacked(self, directory, record, staging=staging))
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
    """An unpacked wheel in `directory`, with the stats that are `known`; or a new one that is made in `staging`.

    `record` is the digest of its RECORD. Forked workers have a copy of this object, and return what they find out.
    """

    def __init__(
        self,
        wheels: UnpackedWheels,
        directory: str,
        record: bytes,
        *,
        known: dict[int, StoredStat] | None = None,
        staging: str = "",
    ) -> None:
        self.staging = staging
        self.is_spoiled = False
        self._wheels = wheels
        self._directory = directory
        self._record = record
        self._known = known or {}
        self._entries: list[bytes] = []

    def take(self, number: int, path: str, mode: int, create: Callable[[], int]) -> TakenFile | None:
        """Make the new file `path` from the member `number` in the store. None, without a file, if that is impossible.

        `mode` has the permissions of the new file; `create` makes and opens it. Raises `FileExistsError`. If the stored
        file was changed or deleted, `is_spoiled` is set.
        """
        known = self._known.get(number)
        if known is None or self.is_spoiled:
            return None
        source = f"{self._directory}/tree/{number}"
        try:
            if self._wheels.way == LINK:
                return self._link(source, path, known, mode)
            return self._copy(source, path, known, create)
        except FileExistsError:
            raise
        except FileNotFoundError:
            self.is_spoiled = True  # the store is being deleted
        except OSError:
            pass  # too many links, unreadable, or the disk is full: then writing it from the wheel reports the error
        return None

    def _link(self, source: str, path: str, known: StoredStat, mode: int) -> TakenFile | None:
        status = os.lstat(source)
        if (status.st_mode, status.st_size, status.st_mtime_ns) != (known.mode, known.size, known.time):
            self.is_spoiled = True
            return None
        if known.mode != stat.S_IFREG | mode or (status.st_uid, status.st_gid) != (os.geteuid(), self._wheels.group):
            return None  # another umask, or another group of the directory
        os.link(source, path, follow_symlinks=False)
        return TakenFile(status, is_link=True)

    def _copy(self, source: str, path: str, known: StoredStat, create: Callable[[], int]) -> TakenFile | None:
        if not known.changed:
            return None  # links were made to it
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if _known_of(os.fstat(fd)) != known:
                self.is_spoiled = True
                return None
            new = create()
            try:
                if not (self._wheels.way == CLONE and copies.share_blocks(fd, new)):
                    copies.copy_blocks(fd, new)
                return TakenFile(os.fstat(new), is_link=False)
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
        return _ENTRY.pack(number, *known)

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
        body = self._record + b"".join(self._entries)
        size = sum(StoredStat(*each[1:]).size for each in _ENTRY.iter_unpack(body[_DIGEST:]))
        caches.write(f"{self.staging}/about", sha256(body).digest() + body)
        trees.put(
            store.root,
            self.staging,
            self._directory,
            size,
            lambda: _read(f"{self._directory}/about", self._record) is not None,
        )
        store.local.note_added(size)


def _read(path: str, record: bytes) -> dict[int, StoredStat] | None:
    """The stats in the file `about` at `path`, by number; None if it is missing, damaged, or of another RECORD."""
    try:
        with open(path, "rb", opener=caches.own) as f:
            data = f.read()
    except OSError:
        return None
    head, body = data[:_DIGEST], data[_DIGEST:]
    if head != sha256(body).digest() or body[:_DIGEST] != record or (len(body) - _DIGEST) % _ENTRY.size:
        return None
    return {number: StoredStat(*known) for number, *known in _ENTRY.iter_unpack(body[_DIGEST:])}


def _known_of(status: os.stat_result) -> StoredStat:
    return StoredStat(status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def _way(store: Store, stage: str, linking: bool) -> tuple[str, int]:
    """How files get from the store into the directory `stage`, found out by trying, and the group of new files there.

    The way is "" if there is none, or if a change of a stored file would not be noticed.
    """
    group = -1
    with contextlib.suppress(OSError):
        caches.make_directory(store.root)
    clock = clock_at(store.root)
    if not linking and (clock is None or clock.kind not in _SHARING):
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
    return COPY if clock else "", group
