"""Collect the steps of a plan, and the identity of the file at each path when the step was planned."""

from __future__ import annotations

import os
import stat
import time

from sage_wheels.fs import copies, exchange, presence
from sage_wheels.fs.paths import full
from sage_wheels.installed.unchanged import TICK_NS, is_recent
from sage_wheels.prefix.paths import NOWHERE, ancestors, below, parent, plain
from sage_wheels.transaction import groups
from sage_wheels.transaction.journal import Step
from sage_wheels.transaction.plan import identity, identity_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.fs.mounts import Volume
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.groups import Given
    from sage_wheels.transaction.plan import Identity
    from sage_wheels.transaction.removal_set import RemovalSet
    from sage_wheels.transaction.stage import Stage


class Steps:
    """The steps of one plan, not sorted.

    `tree` is the directory of the new files, or None; with `installing`, a new file may be a hard link to one in the
    store. `identities` and `directories` are as in `Plan`. Arguments called `path` are relative to the prefix, those
    called `staged` full paths in the stage.
    """

    def __init__(
        self, prefix: Prefix, stage: Stage, removals: RemovalSet, tree: FullPath | None, *, installing: bool = True
    ) -> None:
        self.steps: list[Step] = []
        self.identities: dict[PrefixPath, Identity | None] = {}
        self.directories: dict[PrefixPath, int] = {}
        self._prefix = prefix
        self._stage = stage
        self._removals = removals
        self._installing = installing
        self._given = groups.given_in(tree) if tree else None
        self._covered: set[PrefixPath] = set()
        self._volumes: dict[PrefixPath, Volume] = {}
        self._givens: dict[PrefixPath, Given] = {}
        self._stages = {self.volume(stage.location): stage.location}
        self._can_exchange: bool | None = None

    def place(self, path: PrefixPath, staged: FullPath) -> None:
        """Add a step: move `staged` to `path`, where nothing is."""
        self._add("place", path, staged)

    def replace(self, path: PrefixPath, staged: FullPath) -> None:
        """Add a step: the file `staged` replaces the file at `path`."""
        self._add("replace", path, staged, backup=True)

    def replace_by_directory(self, path: PrefixPath, staged: FullPath) -> None:
        """Add a step: the directory `staged` replaces the file at `path`."""
        self._add("swap", path, staged, backup=True)

    def replace_directory(self, path: PrefixPath, staged: FullPath, directories: dict[PrefixPath, int]) -> None:
        """Add a step: `staged` replaces the directory at `path`. `directories` are the times from
        `RemovalSet.whole`."""
        self.directories.update(directories)
        if self._can_exchange is None:
            self._can_exchange = exchange.can_exchange(self._stage.path)
        if self._can_exchange:
            self._add("exchange", path, staged)
        else:
            self._add("swap", path, staged, backup=True)

    def remove(self, path: PrefixPath, status: os.stat_result | None = None) -> None:
        """Add a step: remove the file or directory at `path`. `status` may be given if it is known."""
        self.steps.append(Step("remove", path, NOWHERE, self._backup(path), 0, 0, *self.note(path, status)))

    def rmdir(self, path: PrefixPath, status: os.stat_result) -> None:
        """Add a step: remove the directory at `path`, which will be empty after the other steps."""
        self.steps.append(Step("rmdir", path, mode=stat.S_IMODE(status.st_mode)))

    def rewrite(self, path: PrefixPath, content: bytes) -> None:
        """Add a step: give the file at `path` new content and keep all else; remove it if `content` is empty."""
        if not content:
            self.remove(path)
            return
        staged = full(f"{self._stage.path}/rewritten-{self._next()}")
        with open(staged, "wb") as f:
            f.write(content)
        copies.take_over(self._prefix.path(path), staged)
        self._add("replace", path, staged, backup=True, rewritten=True)

    def leave(self, path: PrefixPath) -> None:
        """Note that the new file exists already at `path`: no step is needed, but the plan requires that it stays."""
        self.note(path)
        self._covered.add(path)

    def is_met(self, path: PrefixPath) -> bool:
        """Whether a new file has `path` as its destination, and so the old one is replaced or stays."""
        return path in self._covered

    def is_covered(self, path: PrefixPath) -> bool:
        """Whether `is_met` is true for `path` or for a directory above it."""
        return path in self._covered or any(above in self._covered for above in ancestors(path))

    def something_comes_to(self, directory: PrefixPath) -> bool:
        return any(step.do == "place" and step.path.startswith(f"{directory}/") for step in self.steps)

    def note(self, path: PrefixPath, status: os.stat_result | None = None) -> tuple[int, int, int]:
        """Record the identity of the file at `path`: the plan requires that it does not change.

        Only the first call for a path counts, so that later changes are noticed. Returns the inode and times, by which
        recovery recognises the file.
        """
        full = self._prefix.path(path)
        status = status or presence.lstat(full)
        if path not in self.identities:
            self.identities[path] = identify(full, status) if status else None
        if status is None:
            return 0, 0, 0
        directories = self._removals.whole(path) if stat.S_ISDIR(status.st_mode) else None
        return status.st_ino, status.st_mtime_ns, sum((directories or {}).values())

    def on_volume_of(self, path: PrefixPath) -> FullPath:
        """A new path in a stage that is on the same volume as the directory `path`."""
        return self._prefix.path(below(self._stage_on(path), str(self._next())))

    def volume(self, path: PrefixPath) -> Volume:
        """The volume (see `mounts`) of the directory `path`."""
        if path not in self._volumes:
            self._volumes[path] = self._stage.tree.volume(path, os.stat(self._prefix.path(path)))
        return self._volumes[path]

    def is_elsewhere(self, staged: FullPath, path: PrefixPath) -> bool:
        """Whether the directory `staged` is not on the volume of the directory `path`."""
        return self._stage.tree.volume(self._relative(staged), os.lstat(staged)) != self.volume(path)

    def _relative(self, staged: FullPath) -> PrefixPath:
        return plain(staged[len(self._prefix.root) + 1 :])

    def _add(
        self, do: str, path: PrefixPath, staged: FullPath, *, backup: bool = False, rewritten: bool = False
    ) -> None:
        old = self.note(path)
        self._covered.add(path)
        kept = self._backup(path) if backup else NOWHERE
        if self._given and not rewritten:
            groups.inherit(staged, self._given, self._given_by(parent(path)))
        new = os.lstat(staged)  # on an overlay file system, DirEntry.inode() is a different number
        if self._installing and stat.S_ISREG(new.st_mode) and new.st_nlink > 1:
            # a file that is moved by itself is recognised by its inode; the old one may be a link to the same inode
            copies.make_own(staged)
            new = os.lstat(staged)
        self.steps.append(Step(do, path, self._relative(staged), kept, new.st_ino, new.st_mtime_ns, *old))

    def _backup(self, path: PrefixPath) -> PrefixPath:
        """A new path in the stage for keeping the file at `path`, on the same volume."""
        return below(below(self._stage_on(parent(path)), "old"), str(self._next()))

    def _next(self) -> int:
        self._stage.count += 1  # not from 1 for each plan, because files of earlier plans may be in the stage
        return self._stage.count

    def _given_by(self, path: PrefixPath) -> Given:
        if path not in self._givens:
            self._givens[path] = groups.given_by(self._prefix.path(path))
        return self._givens[path]

    def _stage_on(self, path: PrefixPath) -> PrefixPath:
        """The stage on the volume of the directory `path`; if there is none yet, it is made in that directory."""
        volume = self.volume(path)
        if volume not in self._stages:
            self._stages[volume] = self._stage.beside(path)
        return self._stages[volume]


def identify(path: FullPath, status: os.stat_result) -> Identity | None:
    """The identity of the file at `path`; None if it was deleted meanwhile.

    A file that was changed just now might be changed again within the same tick of the clock, with the same identity.
    So for such a file this waits for the next tick, and reads the status again.
    """
    if is_recent(status) and not stat.S_ISDIR(status.st_mode):
        time.sleep(TICK_NS / 1e9)
        return identity(presence.lstat(path))
    return identity_of(status)
