"""Make a plan: which paths are new, replaced, removed; and what is in the way.

A directory is taken as a whole, in one rename or exchange, if everything in it belongs to what is being replaced or
removed; any other one is gone through entry by entry.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import NamedTuple

from sage_wheels.errors import Conflict
from sage_wheels.installed import files, legacy
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.installed.owners import Owners, area
from sage_wheels.prefix import filesystem, presence
from sage_wheels.prefix.places import Places, ancestors, landmarks
from sage_wheels.transaction import staged_bytecode
from sage_wheels.transaction.going import Going
from sage_wheels.transaction.journal import Step
from sage_wheels.transaction.plan import Plan, identity
from sage_wheels.transaction.stage import SET_ASIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.going import Hashes
    from sage_wheels.transaction.plan import Listing
    from sage_wheels.transaction.stage import Stage


class Goal(NamedTuple):
    """What a transaction is for.

    `tree` holds the new files, laid out as in the prefix ("" if there are none), and `new` lists them with the name of
    their distribution; `remove` are the distributions that go; with `overwrite`, what another distribution or nobody
    owns may be replaced, and with `adopt` what nobody owns. `planner` makes the steps, if not `Planner` does. `watched`
    are names of distributions that may not come or go meanwhile, beside those that the plan is about.
    """

    tree: str
    new: dict[str, str]
    remove: list[Distribution]
    overwrite: bool
    planner: Callable[..., Planner] | None = None
    adopt: bool = False
    watched: frozenset[str] = frozenset()


def make_plan(
    prefix: Prefix,
    stage: Stage,
    goal: Goal,
    listing: Listing,
    *,
    whole_directories: bool = True,
    hashes: Hashes | None = None,
) -> Plan:
    """Plan `goal`. Raises `Conflict`, `NotRemovable`, `OSError`.

    `listing` comes from `look`. `whole_directories=False` plans without moving any directory that
    exists (overlay file systems refuse that). `hashes` remembers file states from one try to the next.
    """
    make = goal.planner or Planner
    planner = make(prefix, stage, goal, listing.distributions, whole_directories, {} if hashes is None else hashes)
    steps = planner.plan()
    return Plan(
        steps,
        planner.identities,
        planner.directories,
        listing,
        frozenset(planner.areas()),
        planner.owners.areas() if planner.going.rows else {},
        frozenset(planner.names()),
        planner.set_aside,
    )


class Planner:
    """Makes the steps of one goal; `move` has one that meets other files in another way."""

    advice = "uninstall the one or the other, or move what is in the way"

    def __init__(
        self,
        prefix: Prefix,
        stage: Stage,
        goal: Goal,
        listing: list[Distribution],
        whole_directories: bool,
        hashes: Hashes,
    ) -> None:
        self.prefix = prefix
        self.stage = stage
        self.goal = goal
        self.whole_directories = whole_directories
        self.hashes = hashes
        self.places = Places(prefix.root)
        going = set(goal.remove)
        self.owners = Owners(prefix, [each for each in listing if each not in going])
        self.going = Going(prefix, goal.remove, goal.new, self.owners, self.places)
        self.landmarks = landmarks(prefix, self.places)
        self._stages = {os.lstat(stage.path).st_dev: stage.place}
        self.steps: list[Step] = []
        self.identities: dict[str, tuple[int, int, int] | None] = {}
        self.directories: dict[str, int] = {}
        self.covered: set[str] = set()
        self.conflicts: list[tuple[str, str]] = []
        self.set_aside: list[str] = []
        self.strangers: list[str] = []
        self.overwritable = 0
        self._devices: dict[str, int] = {}
        self._exchange: bool | None = None

    def plan(self) -> list[Step]:
        with open(f"{self.stage.path}/planned", "w"):
            pass  # its change time is that of the plan, by the clock of the file system
        if self.goal.tree:
            self._merge(self.goal.tree, "", "")
        self._raise_conflicts()
        edited = list(filter(self._can_be_kept, [*self.strangers, *self.going.edited(self.hashes)]))
        self._remove_rest()
        for place, content in legacy.easy_install_without(self.prefix, self.goal.remove, self.places):
            self._rewrite(place, content)
        if edited:
            self._set_aside(edited)
        return sorted(self.steps, key=self._rank)

    def names(self) -> set[str]:
        return {each.canonical_name for each in self.goal.remove} | {*self.goal.new.values(), *self.goal.watched}

    def areas(self) -> set[str]:
        everything = [*self.going.rows, *(self.places.locate("", each) or each for each in self.goal.new)]
        return {area(self.landmarks.libraries, place) for place in everything}

    # --- what goes -------------------------------------------------------------------------------------------------

    def _whole(self, place: str) -> dict[str, int] | None:
        """The directories at and below `place`, with their times, if it can be taken as a whole."""
        return self.going.whole(place) if self.whole_directories else None

    def _remove_rest(self) -> None:
        """Remove what goes and has not been replaced, by the largest directories possible."""
        going = self.going
        removed: set[str] = set()
        emptied = set(() if self.whole_directories else going.records)
        for place in [*going.rows, *going.unlisted_bytecode(), *going.records]:
            if (place in going.shared and not going.goes(place)) or self._is_covered(place):
                continue
            status = presence.lstat(self.prefix.path(place))
            if status is None:
                continue
            is_directory = stat.S_ISDIR(status.st_mode)
            if is_directory and self._whole(place) is None:
                continue
            top = self._removable_ancestor(f"{place}/" if is_directory else place, removed)
            if top not in removed:
                removed.add(top)
                self._remove(top)
            if not self.whole_directories:
                emptied.update(ancestors(place))
        for directory in sorted(emptied, key=len, reverse=True):
            self._remove_if_emptied(directory, removed)

    def _removable_ancestor(self, place: str, removed: set[str]) -> str:
        """The topmost directory above `place` that goes as a whole, or `place` itself."""
        for above in reversed(list(ancestors(place))):
            if above in removed:
                return above
            directories = self._whole(above)
            if directories is not None:
                self.directories.update(directories)
                return above
        return place

    def _remove_if_emptied(self, directory: str, removed: set[str]) -> None:
        path = self.prefix.path(directory)
        status = presence.lstat(path)
        if directory in self.landmarks.skeleton or status is None or not stat.S_ISDIR(status.st_mode):
            return
        if any(step.path.startswith(f"{directory}/") and step.do == "place" for step in self.steps):
            return
        if all(f"{directory}/{name}" in removed for name in os.listdir(path)):
            removed.add(directory)
            self.steps.append(Step("rmdir", directory, mode=stat.S_IMODE(status.st_mode)))

    def _is_covered(self, place: str) -> bool:
        return place in self.covered or any(above in self.covered for above in ancestors(place))

    # --- what comes ------------------------------------------------------------------------------------------------

    def _merge(self, staged: str, logical: str, place: str) -> None:
        """Plan for everything in `staged`, which is `logical` in the new tree and goes to the directory `place`."""
        device = self._device(place)
        if device != os.lstat(staged).st_dev:
            moved = f"{self.prefix.path(self._stage_on(device, place))}/{self._next()}"
            filesystem.copy_tree(staged, moved)
            staged = moved
        with os.scandir(staged) as scan:
            # byte-code after its sources: what becomes of it depends on what becomes of them
            entries = sorted(scan, key=lambda each: (each.name == "__pycache__", each.name))
        for entry in entries:
            below = f"{logical}/{entry.name}" if logical else entry.name
            goal = f"{place}/{entry.name}" if place else entry.name
            status = presence.lstat(self.prefix.path(goal))
            if status is None:
                self._add("place", goal, entry.path)
            elif entry.is_dir(follow_symlinks=False):
                self._merge_directory(entry, below, goal, status)
            elif stat.S_ISDIR(status.st_mode):
                self._replace_directory(entry, goal)
            else:
                self._replace_file(entry, below, goal)

    def _merge_directory(self, entry: os.DirEntry[str], logical: str, goal: str, status: os.stat_result) -> None:
        if stat.S_ISLNK(status.st_mode):
            real = self.places.directory(goal)
            if real is None or not presence.is_directory(self.prefix.path(real)):
                self._conflict(goal, "is a symbolic link that leads out of the prefix or nowhere")
            else:
                self._merge(entry.path, logical, real)
        elif not stat.S_ISDIR(status.st_mode):
            if self.going.goes(goal):
                self._add("swap", goal, entry.path)
            else:
                self._conflict(goal, self._belongs(goal))
        elif not self._replace_whole(entry, goal):
            self._merge(entry.path, logical, goal)

    def _replace_directory(self, entry: os.DirEntry[str], goal: str) -> None:
        if not self._replace_whole(entry, goal):
            is_empty = not os.listdir(self.prefix.path(goal))
            self._conflict(goal, "is an empty directory" if is_empty else "is a directory in which other files are")

    def _replace_whole(self, entry: os.DirEntry[str], goal: str) -> bool:
        directories = self._whole(goal)
        if directories is None:
            return False
        self.directories.update(directories)
        if self._exchange is None:
            self._exchange = filesystem.can_exchange(self.stage.path)
        self._add("exchange" if self._exchange else "swap", goal, entry.path)
        return True

    def _replace_file(self, entry: os.DirEntry[str], logical: str, goal: str) -> None:
        source, staged_source = source_of_bytecode(goal), f"{self.goal.tree}/{source_of_bytecode(logical)}"
        if self.going.goes(goal):
            self._add("replace", goal, entry.path)
        elif source is not None and presence.is_there(staged_source):
            # byte-code of a source that another distribution has, too, and that stays: it fits that file's time
            if self.going.goes(source) or not _same_content(staged_source, self.prefix.path(source)):
                self._add("replace", goal, entry.path)
            else:
                self._leave(goal)
        elif _same_content(entry.path, self.prefix.path(goal)):
            self._leave(goal)
            if goal.endswith(".py"):
                staged_bytecode.fit(entry.path, self.prefix.path(goal))
        elif self.goal.overwrite or (self.goal.adopt and not self._owners(goal)):
            if not self._as_installed(goal):
                self.strangers.append(goal)
            self._add("replace", goal, entry.path)
            self.going.overwrite(goal)
        else:
            self._conflict(goal, self._belongs(goal), self.goal.new.get(logical, ""))
            self.overwritable += 1

    def _as_installed(self, place: str) -> bool:
        """Whether the file at `place` is what one of its owners that stay installed there."""
        for owner in self.owners.owners(place):
            row = files.owned(self.prefix, owner, self.places).rows.get(place)
            if row and files.state_of(self.prefix, place, row) == "same":
                return True
        return False

    def _owners(self, place: str) -> list[Distribution]:
        """Whose file is at `place`; byte-code that Python wrote belongs to whoever owns the source."""
        source = source_of_bytecode(place)
        return self.owners.owners(place) or (self.owners.owners(source) if source else [])

    def _belongs(self, place: str) -> str:
        owners = self._owners(place)
        if owners:
            return f"belongs to {' and '.join(map(str, owners))}"
        if self.going.unknown:
            return f"belongs to no distribution, unless to {self.going.unknown[0]}, of which no list of files is left"
        return "belongs to no distribution"

    # --- steps -----------------------------------------------------------------------------------------------------

    def _add(self, do: str, place: str, staged: str) -> None:
        path = self.prefix.path(place)
        self.identities[place] = identity(path)
        self.covered.add(place)
        backup = self._backup(place) if do in ("replace", "swap") else ""
        status = os.lstat(staged)  # not DirEntry.inode(), which is another number on an overlay
        self.steps.append(Step(do, place, self._relative(staged), backup, status.st_ino, status.st_mtime_ns))

    def _leave(self, place: str) -> None:
        """What is to come is there already; the plan rests on its staying."""
        self.identities[place] = identity(self.prefix.path(place))
        self.covered.add(place)

    def _remove(self, place: str) -> None:
        self.identities[place] = identity(self.prefix.path(place))
        self.steps.append(Step("remove", place, backup=self._backup(place)))

    def _backup(self, place: str) -> str:
        """Where to keep what stands at `place`, on the same file system."""
        above = os.path.dirname(place)
        return f"{self._stage_on(self._device(above), above)}/old/{self._next()}"

    def _next(self) -> int:
        self.stage.count += 1  # not from 1 for each plan: what an earlier one left in the stage is still there
        return self.stage.count

    def _device(self, place: str) -> int:
        if place not in self._devices:
            self._devices[place] = os.stat(self.prefix.path(place)).st_dev
        return self._devices[place]

    def _stage_on(self, device: int, place: str) -> str:
        """The stage on the file system `device`, made beside `place` if there is none yet."""
        if device not in self._stages:
            self._stages[device] = self.stage.beside(place)
        return self._stages[device]

    def _relative(self, path: str) -> str:
        return path[len(self.prefix.root) + 1 :]

    def _rewrite(self, place: str, content: bytes) -> None:
        """Give a file new content, with the mode it has; one that becomes empty goes."""
        if not content:
            self._remove(place)
            return
        staged = f"{self.stage.path}/rewritten-{self._next()}"
        with open(staged, "wb") as f:
            f.write(content)
        os.chmod(staged, stat.S_IMODE(os.lstat(self.prefix.path(place)).st_mode))
        self._add("replace", place, staged)

    def _can_be_kept(self, place: str) -> bool:
        """Whether there is something to keep: not of a pipe, a socket or a device."""
        mode = os.lstat(self.prefix.path(place)).st_mode
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)

    def _set_aside(self, edited: list[str]) -> None:
        """Copy edited files, and plan for the copies to arrive where people find them."""
        shutil.rmtree(f"{self.stage.path}/aside")
        for place in edited:
            copy = f"{self.stage.path}/aside/{place}"
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy2(self.prefix.path(place), copy, follow_symlinks=False)
        os.makedirs(self.prefix.path(SET_ASIDE), exist_ok=True)
        goal = f"{SET_ASIDE}/{os.path.basename(self.stage.place)}"
        self._add("place", goal, f"{self.stage.path}/aside")
        self.set_aside = [f"{goal}/{place}" for place in edited]

    def _rank(self, step: Step) -> tuple[int, bool, int, str]:
        """Code before the metadata that describes it, what starts at every start of Python last in and first out."""
        comes = step.do not in ("remove", "rmdir")
        directory, _, name = step.path.rpartition("/")
        if step.path.startswith(SET_ASIDE):
            rank = 0
        elif step.do == "rmdir":
            rank = 8
        elif name.endswith((".pth", ".start")) and self.landmarks.inside_library(step.path):
            rank = 9 if comes else 1
        elif self.landmarks.is_in_record(step.path):
            rank = 6 if comes else 7
        elif directory in self.landmarks.scripts:
            rank = 4 if comes else 2
        else:
            rank = 3 if comes else 5
        depth = step.path.count("/") if step.do == "rmdir" else 0
        return rank, name == "RECORD", -depth, step.path

    # --- conflicts -------------------------------------------------------------------------------------------------

    def _conflict(self, place: str, why: str, newcomer: str = "") -> None:
        self.conflicts.append(
            (place, f"{newcomer or self._newcomer(place)} would replace {self.prefix.path(place)}, which {why}")
        )

    def _newcomer(self, place: str) -> str:
        found = {name for path, name in self.goal.new.items() if path == place or path.startswith(f"{place}/")}
        return " and ".join(sorted(found)) or "the installation"

    def _raise_conflicts(self) -> None:
        if self.conflicts:
            more = len(self.conflicts) - 1
            can_overwrite = self.overwritable == len(self.conflicts)
            raise Conflict(
                self.conflicts[0][1] + (f" ({more} more below)" if more else ""),
                "uninstall the one or the other, or give --on-conflict overwrite" if can_overwrite else self.advice,
                details="\n".join(sentence for _, sentence in self.conflicts[1:]),
            )


def _same_content(one: str, other: str) -> bool:
    if os.path.islink(other) or not os.path.isfile(other) or not os.path.isfile(one):
        return False
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    with open(one, "rb") as first, open(other, "rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
    return True
