"""The stage: one directory of a transaction's own in the prefix's state directory, and what is left of dead ones.

    <prefix>/var/lib/sage-wheels/
        lock                    see prefix.lock; never deleted
        journal                 there only while a transaction is being applied
        stage/<id>/             one for each running process, which holds a flock on the directory itself
            new/                what is to come, laid out as in the prefix
            old/                what has gone
            aside/              copies of edited files
            planned             an empty file: its time is when the plan was made
            journal, committed  the journal before and after it counts
            beside              where else this stage is: in directories that are on another file system
        set-aside/              files that people edited or added, kept when their package went
        cache/                  may be deleted

A stage whose lock can be had belongs to a dead process. Its journal, if it counts, is undone first (`recovery`); then
the stage is emptied, by whoever comes by, without the prefix lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time

from sage_wheels.errors import FileOperationFailed, LockUnusable
from sage_wheels.prefix import filesystem, lock, presence, trust
from sage_wheels.prefix.layout import STATE
from sage_wheels.transaction import journal
from sage_wheels.transaction.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.prefix import Prefix

LOCK = f"{STATE}/lock"
JOURNAL = f"{STATE}/journal"
STAGES = f"{STATE}/stage"
SET_ASIDE = f"{STATE}/set-aside"
_BESIDE = "beside"
_UNFINISHED = ".unfinished-copy"


class Stage:
    """The stage of this process; use as a context manager, which empties it at the end.

    `place` is its directory relative to the prefix, `path` the same in full. `kept` lists files that nobody planned
    for, which were set aside when the stage was emptied; `count` numbers what is kept in it; `say` gets sentences for
    people.
    """

    def __init__(self, prefix: Prefix, say: Callable[[str], None]) -> None:
        self.prefix = prefix
        self._say = say
        self.kept: list[str] = []
        trust.check(prefix.root, "name a prefix of your own")
        self.count = 0
        while True:
            self.place = f"{STAGES}/{os.getpid()}-{time.time_ns():x}"
            self.path = prefix.path(self.place)
            os.makedirs(self.path, exist_ok=False)
            try:
                fd = _lock_directory(self.path)
            except LockUnusable:
                os.rmdir(self.path)  # nobody could ever lock it to sweep it
                raise
            if fd is not None:
                break
            # somebody took it for a dead one, and swept it away, before it was locked
        self._fd = fd
        try:
            for name in ("old", "aside"):
                os.mkdir(f"{self.path}/{name}")
        except BaseException:
            os.close(fd)  # without its lock the stage is a dead one's, which the next command sweeps
            raise

    def beside(self, place: str) -> str:
        """A second stage, in the directory `place`, for what has to be on the file system of that directory."""
        beside = f"{place}/.sage-wheels-{os.path.basename(self.place)}"
        with open(f"{self.path}/{_BESIDE}", "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write(f"{beside}\n")  # before it is made: whoever sweeps this stage sweeps that one, too
        os.makedirs(f"{self.prefix.path(beside)}/old", exist_ok=True)
        return beside

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kept += _sweep_locked(self.prefix, self.place, self._say)
        finally:
            os.close(self._fd)


def pending(prefix: Prefix) -> bool:
    """Whether an interrupted transaction waits for recovery (or one is being applied right now).

    Raises `FileOperationFailed` if that cannot be told.
    """
    try:
        return presence.is_there(prefix.path(JOURNAL))
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"looking for an interrupted change of {prefix.root}") from error


def sync(prefix: Prefix, place: str) -> None:
    """Write out all that waits for the disks of the stage at `place`, which are those of its goals, too."""
    filesystem.sync_file_system(prefix.state)
    for each in _stages_beside(prefix, place):
        with contextlib.suppress(FileNotFoundError):
            filesystem.sync_file_system(prefix.path(each))


def sweep_dead(prefix: Prefix, say: Callable[[str], None]) -> list[str]:
    """Empty the stages of dead processes; the files in them that nobody planned for, by their new place."""
    kept: list[str] = []
    try:
        names = os.listdir(prefix.path(STAGES))
    except OSError:
        return kept  # there never was one, or whoever can read it sweeps it
    for name in names:
        kept += _sweep_if_dead(prefix, f"{STAGES}/{name}", say)
    _sweep_caches(prefix)
    return kept


def _sweep_caches(prefix: Prefix) -> None:
    """Delete caches that were never finished: whoever is just writing one does without it, and writes it again."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"{prefix.state}/cache"):
            if name.rpartition(".")[2].isdigit():  # NAME.json.PID
                os.unlink(f"{prefix.state}/cache/{name}")


def _sweep_if_dead(prefix: Prefix, place: str, say: Callable[[str], None]) -> list[str]:
    """As `_sweep_locked`, if nobody alive uses the stage at `place`."""
    try:
        fd = _lock_directory(prefix.path(place))
    except OSError as error:
        say(_not_emptied(prefix, place, error))
        return []
    except LockUnusable as error:
        say(f"{prefix.path(place)} could not be emptied, because {error.what}; the next command tries again")
        return []
    if fd is None:
        return []
    try:
        return _sweep_locked(prefix, place, say)
    finally:
        os.close(fd)


def _sweep_locked(prefix: Prefix, place: str, say: Callable[[str], None]) -> list[str]:
    """Empty a stage that is locked, unless its journal counts.

    A failure is told and left to the next command: the prefix itself is as it should be.
    """
    try:
        return [] if _is_pending(prefix, place) else _sweep(prefix, place)
    except OSError as error:
        say(_not_emptied(prefix, place, error))
        return []


def _not_emptied(prefix: Prefix, place: str, error: OSError) -> str:
    where = os.fsdecode(error.filename or prefix.path(place))
    why = error.strerror or str(error)  # shutil's own have none
    return f"{prefix.path(place)} could not be emptied ({why} at {where}); the next command tries again"


def _is_pending(prefix: Prefix, place: str) -> bool:
    """Whether the journal that counts is that of the stage at `place`; if it cannot be read, it may be."""
    try:
        with open(prefix.path(JOURNAL), "rb", opener=filesystem.regular) as f:
            return journal.from_bytes(f.read()).stage == place
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _lock_directory(path: str) -> int | None:
    """Lock a directory against those who sweep; None if it is locked, or was swept away meanwhile.

    Raises `LockUnusable`, `OSError`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        if lock.exclude(fd, path, blocking=False) and os.path.samestat(os.fstat(fd), os.lstat(path)):
            return fd
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _sweep(prefix: Prefix, place: str) -> list[str]:
    """Delete the stage at `place`, which is locked, but keep what came into it unplanned."""
    kept = []
    committed = f"{prefix.path(place)}/committed"
    with contextlib.suppress(FileNotFoundError):
        with open(committed, "rb", opener=filesystem.regular) as f, contextlib.suppress(ValueError):
            kept = _keep_unplanned(prefix, place, journal.from_bytes(f.read()))
        os.unlink(committed)  # first of all: killed from here on, there is nothing left to look at but only to delete
    for each in [*_stages_beside(prefix, place), place]:
        filesystem.delete_tree(prefix.path(each))
    return kept


def _stages_beside(prefix: Prefix, place: str) -> list[str]:
    try:
        path = f"{prefix.path(place)}/{_BESIDE}"
        with open(path, encoding="utf-8", errors="surrogateescape", opener=filesystem.regular) as f:
            lines = f.read().splitlines()
    except FileNotFoundError:
        return []
    name = f".sage-wheels-{os.path.basename(place)}"
    return [line for line in lines if os.path.basename(line) == name and ".." not in line.split("/")]


def _keep_unplanned(prefix: Prefix, place: str, committed: Journal) -> list[str]:
    """Set aside what changed in a directory after the plan was made and before the directory was taken away.

    Whatever was written since then has a later change time; single files were compared under the lock. Byte-code is
    what a Python that was importing the package may well have written.
    """
    planned = os.lstat(f"{prefix.path(place)}/planned").st_ctime_ns
    kept = []
    for step in committed.steps:
        gone = step.staged if step.do == "exchange" else step.backup if step.do in ("swap", "remove") else ""
        if not gone:
            continue
        for path in list(_files_below(prefix.path(gone))):
            if os.lstat(path).st_ctime_ns > planned:
                inside = path[len(prefix.path(gone)) :]
                goal = f"{SET_ASIDE}/{os.path.basename(place)}/{step.path}{inside}"
                os.makedirs(os.path.dirname(prefix.path(goal)), exist_ok=True)
                _move(path, prefix.path(goal), f"{prefix.path(SET_ASIDE)}/{os.path.basename(place)}/{_UNFINISHED}")
                kept.append(goal)
    return kept


def _move(path: str, goal: str, unfinished: str) -> None:
    """Rename a file; to another file system by way of a copy at `unfinished`, which may be left of an earlier try."""
    try:
        os.rename(path, goal)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
        shutil.copy2(path, unfinished, follow_symlinks=False)
        os.rename(unfinished, goal)
        os.unlink(path)


def _files_below(directory: str) -> Iterator[str]:
    if os.path.islink(directory):
        return  # it went as one, and what it leads to is not ours
    for above, _, names in os.walk(directory):
        if os.path.basename(above) != "__pycache__":
            yield from (f"{above}/{name}" for name in names)
