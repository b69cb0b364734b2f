"""The stage: the temporary directory of a transaction, in the state directory of the prefix; and stages of dead
processes.

    <prefix>/var/lib/sage-wheels/
        lock                    see prefix.lock; never deleted
        journal                 there only while a transaction is being applied
        stage/<id>/             one for each running process, which holds a flock(2) on the directory itself
            new/                new files, with the same structure as the prefix
            old/                backups of files that were replaced or removed
            aside/              copies of edited files
            contents            files that a frontend has written so far, and the wheel of them (`prefix_destination`)
            planned             an empty file, whose ctime is the time of the plan
            journal             the journal before it becomes active
            copy                a copy of the journal, which stays in the stage
            committed, undone   the journal after the transaction was committed or undone
            beside              paths of further directories of this stage, on other file systems
        set-aside/              edited and foreign files of packages that were removed; see also `salvage`
        cache/                  may be deleted

A stage is "begun" if its directory has the set-user-ID bit, which means nothing to the system, or if it has a `copy`
(the bit is not kept by every file system, nor in every copy of a prefix). It gets them when its journal is written,
just before that becomes active. The bit is there for the case that people delete files in the stage: whatever they
delete, the old files that are left are not deleted in silence.

If the lock of a stage is free, its process is dead. The state of such a stage, and what is done, depends on the active
journal (the file `journal` in the state directory) and on the files in the stage:

    active journal               begun  journal, committed, undone   state, and what is done
    of this stage, or unreadable                                     pending: kept until it is undone (`recovery`)
    none, or of another stage    no                                  not begun, or being emptied: emptied
                                 yes    journal                      not begun: emptied
                                 yes    undone                       undone: emptied
                                 yes    committed                    committed: files that no plan mentions are set
                                                                     aside, then it is emptied
                                 yes    none of them                 unfinished: the journal, or what it became, was
                                                                     deleted; kept and reported until `recover
                                                                     --set-aside` (`salvage`)

The active journal is examined first, because another process may undo it and rename it to `undone` meanwhile. Emptying
begins by taking the bit away, and with a rename of `copy` over the file `journal`, `committed` or `undone`. So in
whatever order the other files are deleted, or the deletions reach the disk, the stage never looks unfinished. Stages
are emptied by any later command, without the prefix lock (`sweep`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from sage_wheels.errors import LockUnusable, path_of, reason_of
from sage_wheels.fs import files, holder, locking, syncing, trust
from sage_wheels.fs.files import LinkInTheWay
from sage_wheels.prefix import lock
from sage_wheels.prefix.model import BESIDE, STATE
from sage_wheels.prefix.paths import NOWHERE, below, is_plain, parent, plain
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import history, journal
from sage_wheels.transaction.journal import Journal
from sage_wheels.transaction.pending import JOURNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.lock import Held
    from sage_wheels.prefix.paths import PrefixPath

LOCK = below(STATE, "lock")
STAGES = below(STATE, "stage")
SET_ASIDE = below(STATE, "set-aside")
_BESIDE = "beside"
_COPY = "copy"
NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENXIO)  # the errors of `Tree.read` if it is no regular file
_MARKS = ("journal", "committed", "undone")
_BEGUN = stat.S_ISUID


class Stage:
    """The stage of this process; `sweep.own_stage` makes it, and empties it at the end.

    `tree` is the prefix, held open; `location` the directory of the stage relative to it, `path` the same in full.
    `kept` lists files that are in no plan, and were set aside when the stage was emptied; `count` numbers what is
    kept in it; `entry` is the name of its entry in the history once it is committed.
    """

    def __init__(self, prefix: Prefix, say: Callable[[str], None]) -> None:
        self.kept: list[str] = []
        check_trust(prefix, say)
        self.count = 0
        self.entry = ""
        self.tree = Tree(prefix.root)
        try:
            self._fd = self._make()
        except BaseException:
            self.tree.close()
            raise
        self.path = prefix.path(self.location)

    def _make(self) -> int:
        """Make the directory and lock it; returns its descriptor."""
        self.tree.make_directories(STAGES)
        while True:
            self.location = below(STAGES, f"{os.getpid()}-{time.time_ns():x}")
            self.tree.mkdir(self.location)
            try:
                fd = _lock_directory(self.tree, self.location)
            except LockUnusable:
                self.tree.rmdir(self.location)  # it cannot be locked, so it could never be emptied
                raise
            if fd is not None:
                break
            # before it was locked, another process has emptied it as that of a dead process
        try:
            for name in ("old", "aside"):
                self.tree.mkdir(below(self.location, name))
            with contextlib.suppress(OSError):  # without it, there will be no entry
                self.tree.make_directories(history.HISTORY)
        except BaseException:
            os.close(fd)  # without the lock, the next command empties the stage
            raise
        return fd

    def beside(self, path: PrefixPath) -> PrefixPath:
        """A further directory of the stage, in the directory `path`, for files on the file system of that
        directory."""
        name = _name_beside(self.location)
        path = self._highest(path)
        beside = below(path, name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # its path is written before it is made, so that it is deleted with this stage
        with open(self.tree.open(below(self.location, _BESIDE), flags), "wb") as f:
            f.write(os.fsencode(f"{beside}\n"))
        self.tree.make_directories(below(beside, "old"))
        return beside

    def _highest(self, path: PrefixPath) -> PrefixPath:
        """The highest directory above `path` that is on the same volume and can be written to. It is outside the
        directories of packages, so that old files can be kept there for long."""
        volume = self.tree.volume(path, os.stat(self.tree.path(path)))
        while path:
            above = parent(path)
            full = self.tree.path(above)
            if self.tree.volume(above, os.stat(full)) != volume or not os.access(full, os.W_OK | os.X_OK):
                break
            path = above
        return path

    def write_journal(self, entry: Journal) -> None:
        """Write the journal `entry`, which is not active yet, and its copy; they replace earlier ones."""
        begin_emptying(self.tree, self.location)
        fd = self.tree.open(below(self.location, "journal"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "wb") as f:
            data = entry._replace(inode=os.fstat(fd).st_ino).to_bytes()
            f.write(data)
            if entry.durable:
                f.flush()
                os.fsync(fd)
        if entry.durable:
            sync(self.tree, self.location)  # before its copy and the bit: these alone would mean that it had begun
        with open(self.tree.open(below(self.location, _COPY), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(data)
        set_bit(self.tree, self.location, begun=True)

    def close(self) -> None:
        os.close(self._fd)
        self.tree.close()


def check_trust(prefix: Prefix, say: Callable[[str], None]) -> None:
    """Raise `UnsafePath` if another user may have made the prefix; warn if everybody may write in it."""
    trust.check(prefix.root, "name a prefix of your own")
    trust.name_open(prefix.root, (STATE, prefix.scheme.purelib, prefix.scheme.platlib, prefix.scheme.scripts), say)


@contextlib.contextmanager
def hold_lock(tree: Tree, timeout: float | None, say: Callable[[str], None]) -> Iterator[Held]:
    """Hold the prefix lock; see `prefix.lock.hold`."""
    with lock.hold(tree.path(LOCK), timeout=timeout, on_wait=say, directory=tree.make_state()) as held:
        yield held


def last_number(tree: Tree) -> int:
    """The number of the last change: from the lock file, or else by counting the history. Called without the lock."""
    number = None
    with contextlib.suppress(OSError):
        fd = tree.open(LOCK, os.O_RDONLY | os.O_NONBLOCK)
        try:
            number = holder.number(fd)
        finally:
            os.close(fd)
    if number is None:
        with contextlib.suppress(OSError):
            return history.counted(tree)
    return number or 0


def unfinished(tree: Tree, path: PrefixPath) -> str:
    """The message about the unfinished stage at `path`."""
    return (
        f"the journal of an interrupted installation was deleted, so it cannot be undone; the files that it "
        f"had removed are in {tree.path(path)}"
    )


def sync(tree: Tree, path: PrefixPath) -> None:
    """Flush the file systems of the stage at `path`; its destinations are on the same file systems."""
    syncing.sync_file_system(tree.path(STATE))
    for each in stages_beside(tree, path):
        with contextlib.suppress(FileNotFoundError):
            syncing.sync_file_system(tree.path(each))


@contextlib.contextmanager
def locked(tree: Tree, path: PrefixPath, say: Callable[[str], None]) -> Iterator[bool]:
    """Within this context, hold the lock of the stage at `path`; yields False if a living process has it."""
    fd = None
    try:
        fd = _lock_directory(tree, path)
    except OSError as error:
        say(not_emptied(tree, path, error))
    except LockUnusable as error:
        say(f"{tree.path(path)} could not be emptied, because {error.what}; the next command tries again")
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def not_emptied(tree: Tree, path: PrefixPath, error: OSError) -> str:
    where = path_of(error) or tree.path(path)
    return f"{tree.path(path)} could not be emptied ({reason_of(error)} at {where}); the next command tries again"


def state_of(tree: Tree, path: PrefixPath) -> str:
    """The state of the stage at `path` by the table above: "pending", "unfinished", or "" if it may be emptied."""
    if _may_be_pending(tree, path):
        return "pending"
    return "unfinished" if is_begun(tree, path) and not has_mark(tree, path) else ""


def has_mark(tree: Tree, path: PrefixPath) -> bool:
    """Whether one of the files `journal`, `committed` and `undone` is in the stage at `path`. Raises `OSError`."""
    return any(tree.is_there(below(path, mark)) for mark in _MARKS) or bool(history.entry_of(tree, path))


def is_begun(tree: Tree, path: PrefixPath) -> bool:
    """Whether the stage at `path` is begun (see above), and not being emptied. Raises `OSError`."""
    status = tree.lstat(path)
    return status is not None and (bool(status.st_mode & _BEGUN) or tree.is_there(below(path, _COPY)))


def set_bit(tree: Tree, path: PrefixPath, *, begun: bool) -> bool:
    """Give the stage at `path` the bit that says that it is begun, or take it away; returns False if nothing is to do.

    If that fails, `copy` alone says so: only the owner of the stage may do it, and not on every file system, nor in
    every sandbox.
    """
    status = tree.lstat(path)
    if status is None or bool(status.st_mode & _BEGUN) == begun:
        return False
    with contextlib.suppress(OSError):
        tree.chmod_directory(path, stat.S_IMODE(status.st_mode) ^ _BEGUN)
    return True


def _may_be_pending(tree: Tree, path: PrefixPath) -> bool:
    """Whether the active journal is that of the stage at `path`; True, too, if it cannot be read."""
    try:
        return journal.from_bytes(tree.read(JOURNAL)).stage == path
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def copy_of_journal(tree: Tree, path: PrefixPath) -> Journal | None:
    """The copy of the journal in the stage at `path`; None if it does not exist or is damaged. Raises `OSError`."""
    try:
        return journal.from_bytes(tree.read(below(path, _COPY)))
    except ValueError:
        return None
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, *NO_FILE):
            raise
        return None


def end_undone(tree: Tree, path: PrefixPath, entry: PrefixPath = NOWHERE) -> None:
    """Rename the active journal away after everything was undone; `path` is its stage. It becomes the `entry` of the
    history if one is given, and if that is possible. Raises `OSError`."""
    with contextlib.suppress(OSError):
        if entry and tree.is_there(path):
            tree.rename(JOURNAL, entry)
            return
    try:
        tree.rename(JOURNAL, below(path, "undone"))
    except (FileNotFoundError, NotADirectoryError, LinkInTheWay):  # the stage or the journal was deleted
        with contextlib.suppress(FileNotFoundError):
            tree.unlink(JOURNAL)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, LinkInTheWay):
            tree.rename(below(path, _COPY), below(path, "undone"))


def _lock_directory(tree: Tree, path: PrefixPath) -> int | None:
    """Lock the stage at `path`, so that no other process empties it; None if it is locked, or was deleted meanwhile.

    Raises `LockUnusable`, `OSError`.
    """
    try:
        fd = tree.open(path, files.DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        status = tree.lstat(path) if locking.exclude(fd, tree.path(path), blocking=False) else None
        if status is not None and os.path.samestat(os.fstat(fd), status):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def begin_emptying(tree: Tree, path: PrefixPath) -> None:
    """Begin to empty the stage at `path`: afterwards its state is "not begun", so that it only has to be deleted."""
    marks = [below(path, mark) for mark in _MARKS if tree.is_there(below(path, mark))]
    if set_bit(tree, path, begun=False) and marks:
        copy = copy_of_journal(tree, path)
        if copy and copy.durable:  # on the disk, too, the bit goes before the mark
            syncing.sync_path(tree.path(path))
    for mark in marks:
        with contextlib.suppress(FileNotFoundError):
            tree.rename(below(path, _COPY), mark)
        tree.unlink(mark)
    with contextlib.suppress(FileNotFoundError):  # the mark may be an entry of the history, which stays there
        tree.unlink(below(path, _COPY))


def _name_beside(path: str) -> str:
    return f"{BESIDE}{os.path.basename(path)}"


def stages_beside(tree: Tree, path: PrefixPath, id: str = "") -> list[PrefixPath]:
    """The directories of the stage at `path` on other file systems. A stage that is kept by the history has another
    name now; `id` is its old one. Raises `OSError`."""
    try:
        lines = os.fsdecode(tree.read(below(path, _BESIDE))).splitlines()
    except (FileNotFoundError, NotADirectoryError, LinkInTheWay):
        return []
    name = _name_beside(id or path)
    return [plain(line) for line in lines if os.path.basename(line) == name and is_plain(line)]
