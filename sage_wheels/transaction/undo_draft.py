"""The draft of an undo: the steps that are planned so far, what they require, and what will be where after them.

All steps of an undo are made here. A later step of an undo may move a file that an earlier one has moved. So this
module tells what will be at a path after the steps so far, by looking at the path where that is now (see `later`).
"""

from __future__ import annotations

import os
import stat

from sage_wheels.errors import Conflict
from sage_wheels.fs import exchange
from sage_wheels.prefix.paths import NOWHERE, ancestors, below, parent
from sage_wheels.transaction.journal import ANY_TIMES, Step
from sage_wheels.transaction.later import MADE, Later
from sage_wheels.transaction.plan import identity_of
from sage_wheels.transaction.steps import identify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.fs.mounts import Volume
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.plan import Identity
    from sage_wheels.transaction.stage import Stage


class Draft:
    """Steps, in the order in which they will be taken.

    `identities` and `directories` are as in `Plan`. `too_much` is the advice of the error for a step that would move a
    directory which an earlier step makes: recovery could not recognise it.
    """

    def __init__(self, prefix: Prefix, own: Stage, too_much: str, *, whole_directories: bool) -> None:
        self.steps: list[Step] = []
        self.later = Later()
        self.identities: dict[PrefixPath, Identity | None] = {}
        self.directories: dict[PrefixPath, int] = {}
        self._prefix = prefix
        self._own = own
        self._tree = own.tree
        self._too_much = too_much
        self._touched: set[PrefixPath] = (
            set()
        )  # directories, by where they are now, in or below which something comes or goes
        self._stages: dict[Volume, PrefixPath] = {}
        self._exchanges = exchange.can_exchange(own.path) and whole_directories

    # --- what will be there ----------------------------------------------------------------------------------------

    def status(self, here: PrefixPath | None) -> os.stat_result | None:
        """The status of what is now at `here`."""
        if here is None:
            return None
        return os.lstat(self._prefix.root) if here in ("", MADE) else self._tree.lstat(here)

    def status_of(self, path: PrefixPath) -> os.stat_result:
        """The status of what will be at `path`; something will be there."""
        status = self.status(self.later.now(path))
        assert status
        return status

    def is_there(self, path: PrefixPath) -> bool:
        return self.status(self.later.now(path)) is not None

    def names(self, path: PrefixPath) -> list[str]:
        """The names that will be in the directory `path`."""
        here = self.later.now(path)
        if here is None:
            return []
        moved = self.later.names(path)
        names = dict.fromkeys([*(self._tree.names(here) if here != MADE else ()), *moved])
        gone = {name for name in moved if self.later.now(below(path, name)) is None}
        return [name for name in names if name not in gone]

    def can_take(self, other: PrefixPath, path: PrefixPath) -> bool:
        """Whether nothing will be at `other`, and its directory will be on the same volume as that of `path`."""
        above = self._volume(self.later.now(parent(other)))
        free = self.later.now(other) is None or not self.is_there(other)
        return above is not None and above == self._volume(self.later.now(parent(path))) and free

    def _volume(self, here: PrefixPath | None) -> Volume | None:
        """The volume of the directory that is now at `here`; None if nothing is there."""
        status = self.status(here)
        return status and self._tree.volume(NOWHERE if here in (None, MADE) else here, status)

    def fresh(self, path: PrefixPath) -> PrefixPath:
        """An unused path in the stage, on the volume of `path`."""
        above = parent(path)
        while (volume := self._volume(self.later.now(above))) is None:
            above = parent(above)
        if not self._stages:
            self._stages[self._tree.volume(self._own.location, os.lstat(self._own.path))] = self._own.location
        if volume not in self._stages:
            self._stages[volume] = self._own.beside(above)
        self._own.count += 1
        return below(below(self._stages[volume], "old"), str(self._own.count))

    # --- steps -----------------------------------------------------------------------------------------------------

    def bring(self, kept: PrefixPath, top: PrefixPath, status: os.stat_result) -> None:
        """Move the directory of old files `kept`, which has that status, to `top` in the stage."""
        self.identities[kept] = identity_of(status)
        self.steps.append(Step("place", top, kept, NOWHERE, status.st_ino, status.st_mtime_ns))
        self.later.move(kept, top)

    def place(self, path: PrefixPath, other: PrefixPath) -> None:
        """Move what is at `other` to `path`, where nothing is."""
        if not self.is_there(parent(path)):
            self._make_above(parent(path))
        self.note(path)
        self.steps.append(Step("place", path, other, NOWHERE, *self._new(other)))
        self._touch(path, other)
        self.later.move(other, path)

    def exchange(self, path: PrefixPath, other: PrefixPath, vacant: PrefixPath | None) -> None:
        """Move what is at `other` to `path`, and what is at `path` to `other`, or to `vacant` if that is given.

        `vacant` is the path in the stage from which the file at `path` had come: there, a later undo looks for it.
        """
        old = self.note(path)
        if vacant and not self.can_take(vacant, path):
            vacant = None
        if self._exchanges and not vacant:
            self.steps.append(Step("exchange", path, other, NOWHERE, *self._new(other), *old))
            self._touch(path, other)
            self.later.exchange(path, other)
        else:
            backup = vacant or self.fresh(path)
            self.steps.append(Step("swap", path, other, backup, *self._new(other), *old))
            self._touch(path, other, backup)
            self.later.move(path, backup)
            self.later.move(other, path)

    def remove(self, path: PrefixPath, other: PrefixPath | None) -> None:
        """Move what is at `path` to `other`, or elsewhere into the stage if that is None or not possible."""
        old = self.note(path)
        if other is None or not self.can_take(other, path):
            other = self.fresh(path)
        self.steps.append(Step("remove", path, NOWHERE, other, 0, 0, *old))
        self._touch(path, other)
        self.later.move(path, other)

    def make(self, path: PrefixPath, mode: int) -> None:
        """Make the directory `path` with that mode."""
        self._touch(path)
        self.steps.append(Step("mkdir", path, mode=mode))
        self.later.make(path)

    def remove_if_empty(self, path: PrefixPath) -> None:
        """Remove the directory at `path`, if one will be there and nothing will be in it."""
        status = self.status(self.later.now(path))
        if status is not None and stat.S_ISDIR(status.st_mode) and not self.names(path):
            self._touch(path)
            self.steps.append(Step("rmdir", path, mode=stat.S_IMODE(status.st_mode)))
            self.later.remove(path)

    def _make_above(self, directory: PrefixPath) -> None:
        """Make `directory` and those above it that do not exist, because somebody has removed them."""
        above = parent(directory)
        if above and not self.is_there(above):
            self._make_above(above)
        self.make(directory, 0o755)

    # --- what they rest on -----------------------------------------------------------------------------------------

    def note(self, path: PrefixPath) -> tuple[int, int, int]:
        """Inode and times of what will be at `path` before the next step.

        If it is at `path` now, its identity is recorded: the plan requires that it does not change.
        """
        here = self.later.now(path)
        if here == MADE:
            raise self.too_much()
        status = self.status(here)
        if here == path and path not in self.identities:
            self.identities[path] = identify(self._prefix.path(path), status) if status else None
        if status is None or here is None:
            return 0, 0, 0
        if not stat.S_ISDIR(status.st_mode):
            return status.st_ino, status.st_mtime_ns, 0
        if here in self._touched:
            return status.st_ino, status.st_mtime_ns, ANY_TIMES
        return status.st_ino, status.st_mtime_ns, self._times(here, status, path)

    def too_much(self) -> Conflict:
        return Conflict(
            "earlier undos, and the changes that they undid, cannot be undone in one transaction", self._too_much
        )

    def _times(self, here: PrefixPath, status: os.stat_result, final: PrefixPath) -> int:
        """The sum of the times of the directory `here` and those below it, except `__pycache__`.

        `final` is the path in the prefix to which it belongs.
        """
        if here == final and final in self.directories:  # the times are known
            inside = f"{final}/"
            return sum(time for each, time in self.directories.items() if each == final or each.startswith(inside))
        directories = [(final, status), *self._tree.directories_below(here)]
        return sum(each.st_mtime_ns for path, each in directories if not path.endswith("/__pycache__"))

    def _new(self, path: PrefixPath) -> tuple[int, int]:
        if self.later.now(path) == MADE:
            raise self.too_much()  # its inode is not known yet
        status = self.status_of(path)
        return status.st_ino, status.st_mtime_ns

    def _touch(self, *paths: PrefixPath) -> None:
        for path in paths:
            above = self.later.now(parent(path))
            if above and above != MADE:
                self._touched.update((above, *ancestors(above)))
