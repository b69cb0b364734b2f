"""Make a plan: which paths are new, replaced, removed; and what is in the way.

A directory is taken as a whole, in one rename or exchange, if everything in it belongs to what is being replaced or
removed; any other one is gone through entry by entry.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import NamedTuple

from sage_wheels.errors import Conflict, NotRemovable
from sage_wheels.installed import files, legacy
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.installed.owners import Owners, area
from sage_wheels.installed.record import Row
from sage_wheels.prefix import filesystem, presence
from sage_wheels.prefix.places import Places, ancestors, landmarks
from sage_wheels.transaction import staged_bytecode
from sage_wheels.transaction.journal import Step
from sage_wheels.transaction.plan import Plan, identity
from sage_wheels.transaction.stage import SET_ASIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.plan import Listing
    from sage_wheels.transaction.stage import Stage

# What build backends and installers write into a .dist-info: not foreign there, even if no RECORD says so.
_METADATA = frozenset(
    ("METADATA", "WHEEL", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "entry_points.txt", "top_level.txt")
)


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
    hashes: dict[tuple[str, str, int, int, int], str] | None = None,
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
        planner.owners.areas() if planner.old else {},
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
        hashes: dict[tuple[str, str, int, int, int], str],
    ) -> None:
        self.prefix = prefix
        self.stage = stage
        self.goal = goal
        self.whole_directories = whole_directories
        self.hashes = hashes
        self.places = Places(prefix.root)
        going = set(goal.remove)
        self.owners = Owners(prefix, [each for each in listing if each not in going])
        self.unknown: list[Distribution] = []
        self.record_directories: list[str] = []
        self.old = self._old_rows()
        self.shared = self.owners.claimed(self.old) if self.old else set()
        self.old_directories = {above for place in self.old for above in ancestors(place)}
        self.old_directories.update(self.record_directories)
        # Python makes these, listed or not
        self.old_directories.update(f"{os.path.dirname(each)}/__pycache__" for each in self.old if each.endswith(".py"))
        self.landmarks = landmarks(prefix, self.places)
        self._stages = {os.lstat(stage.path).st_dev: stage.place}
        self.steps: list[Step] = []
        self.identities: dict[str, tuple[int, int, int] | None] = {}
        self.directories: dict[str, int] = {}
        self.covered: set[str] = set()
        self.conflicts: list[tuple[str, str]] = []
        self.set_aside: list[str] = []
        self.strangers: list[str] = []
        self.overwritten: set[str] = set()
        self.overwritable = 0
        self._known_whole: dict[str, dict[str, int] | None] = {}
        self._devices: dict[str, int] = {}
        self._exchange: bool | None = None

    def plan(self) -> list[Step]:
        with open(f"{self.stage.path}/planned", "w"):
            pass  # its change time is that of the plan, by the clock of the file system
        if self.goal.tree:
            self._merge(self.goal.tree, "", "")
        self._raise_conflicts()
        edited = self._edited()
        self._remove_rest()
        for place, content in legacy.easy_install_without(self.prefix, self.goal.remove, self.places):
            self._rewrite(place, content)
        if edited:
            self._set_aside(edited)
        return sorted(self.steps, key=self._rank)

    def names(self) -> set[str]:
        return {each.canonical_name for each in self.goal.remove} | {*self.goal.new.values(), *self.goal.watched}

    def areas(self) -> set[str]:
        everything = [*self.old, *(self.places.locate("", each) or each for each in self.goal.new)]
        return {area(self.landmarks.libraries, place) for place in everything}

    # --- what goes -------------------------------------------------------------------------------------------------

    def _old_rows(self) -> dict[str, list[Row]]:
        """By place, what each distribution that goes says of the file there: nothing of what is foreign in its record.

        A record goes with all that is in it, or it would still name a distribution.
        """
        old: dict[str, list[Row]] = {}
        for distribution in self.goal.remove:
            inside = self._inside(distribution)
            for place, row in self._rows_of(distribution, inside).items():
                old.setdefault(place, []).append(row)
            comes_again = self.places.locate("", f"{distribution.path}/RECORD") in self.goal.new
            if distribution in self.unknown or not comes_again:
                for place in inside:
                    old.setdefault(place, [])
        return old

    def _inside(self, distribution: Distribution) -> list[str]:
        """The files of the record itself; notes the directories."""
        record = self.places.locate("", distribution.path)
        status = record and presence.lstat(self.prefix.path(record))
        if not record or not status:
            return []
        if not stat.S_ISDIR(status.st_mode):
            return [record]
        inside: list[str] = []
        waiting = [record]
        while waiting:
            directory = waiting.pop()
            self.record_directories.append(directory)
            with os.scandir(self.prefix.path(directory)) as scan:
                for entry in scan:
                    below = waiting if entry.is_dir(follow_symlinks=False) else inside
                    below.append(f"{directory}/{entry.name}")
        return inside

    def _rows_of(self, distribution: Distribution, inside: list[str]) -> dict[str, Row]:
        """The files of `distribution`; only those of its record if no others are known, and a wheel takes its place."""
        try:
            return files.owned(self.prefix, distribution, self.places).rows
        except NotRemovable:
            if distribution.canonical_name not in self.goal.new.values():
                raise
        self.unknown.append(distribution)
        is_dist_info = distribution.kind == ".dist-info"
        return {each: Row(each) for each in inside if not is_dist_info or os.path.basename(each) in _METADATA}

    def _goes(self, place: str) -> bool:
        """Whether the file at `place` belongs to what is replaced or removed, and to nobody else.

        Byte-code goes with its source, whoever lists it: Python would take it for that of a new source of the same
        size and second.
        """
        if place in self.old and place not in self.shared:
            return True
        source = source_of_bytecode(place)
        if source in self.overwritten:
            return True
        return place not in self.old and source in self.old and source not in self.shared

    def _whole(self, place: str) -> dict[str, int] | None:
        """The directories at and below `place`, with their times, if all that is in them goes; else None."""
        if not self.whole_directories or place in self.landmarks.skeleton or place not in self.old_directories:
            return None
        if place not in self._known_whole:
            self._known_whole[place] = self._all_goes(place)
        return self._known_whole[place]

    def _all_goes(self, place: str) -> dict[str, int] | None:
        path = self.prefix.path(place)
        status = os.lstat(path)
        if status.st_dev != self._device(os.path.dirname(place)):
            return None  # a mount point cannot be renamed
        directories = {place: status.st_mtime_ns}
        with os.scandir(path) as scan:
            entries = list(scan)
        is_cache = place.endswith("/__pycache__")
        if not entries and not is_cache and place not in self.record_directories:
            return None  # an empty directory is nobody's
        inside = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(f"{place}/{entry.name}")
            elif not self._goes(f"{place}/{entry.name}"):
                return None
        for each in inside:
            below = self._all_goes(each)
            if below is None:
                return None
            directories.update(below)
        if is_cache:
            del directories[place]  # whoever imports the package writes there, and that goes with it
        return directories

    def _remove_rest(self) -> None:
        """Remove what goes and has not been replaced, by the largest directories possible."""
        removed: set[str] = set()
        emptied = set(() if self.whole_directories else self.record_directories)
        for place in [*self.old, *self._unlisted_bytecode(), *self.record_directories]:
            if (place in self.shared and not self._goes(place)) or self._is_covered(place):
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

    def _unlisted_bytecode(self) -> Iterator[str]:
        """Byte-code of sources that go, which no RECORD of theirs lists: other interpreters, other optimisations."""
        sources = [place for place in [*self.old, *self.overwritten] if place.endswith(".py")]
        for directory in sorted({os.path.dirname(place) for place in sources}):
            cache = f"{directory}/__pycache__" if directory else "__pycache__"
            try:
                names = os.listdir(self.prefix.path(cache))
            except (FileNotFoundError, NotADirectoryError):
                continue
            yield from (
                f"{cache}/{name}"
                for name in names
                if f"{cache}/{name}" not in self.old and self._goes(f"{cache}/{name}")
            )

    def _is_covered(self, place: str) -> bool:
        return place in self.covered or any(above in self.covered for above in ancestors(place))

    # --- what comes ------------------------------------------------------------------------------------------------

    def _merge(self, staged: str, logical: str, place: str) -> None:
        """Plan for everything in `staged`, which is `logical` in the new tree and goes to the directory `place`."""
        device = self._device(place)
        if device != os.lstat(staged).st_dev:
            moved = f"{self.prefix.path(self._stage_on(device, place))}/{self._next()}"
            shutil.copytree(staged, moved, symlinks=True)
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
            if self._goes(goal):
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
        if self._goes(goal):
            self._add("replace", goal, entry.path)
        elif source is not None and presence.is_there(staged_source):
            # byte-code of a source that another distribution has, too, and that stays: it fits that file's time
            if self._goes(source) or not _same_content(staged_source, self.prefix.path(source)):
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
            self.overwritten.add(goal)
            self.old_directories.add(f"{os.path.dirname(goal)}/__pycache__")
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
        if self.unknown:
            return f"belongs to no distribution, unless to {self.unknown[0]}, of which no list of files is left"
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

    def _edited(self) -> list[str]:
        """Files that go or are replaced and are not what was installed, or not by anybody who is known."""
        old = [place for place, rows in self.old.items() if place not in self.shared and self._is_edited(place, rows)]
        return [*self.strangers, *old]

    def _is_edited(self, place: str, rows: list[Row]) -> bool:
        """Whether the file at `place` is none of those that were installed there, as far as a hash tells."""
        told = [row for row in rows if files.has_hash(row)] or [row for row in rows if row.digest]
        is_foreign = not rows
        if not told and not is_foreign:
            return False
        status = presence.lstat(self.prefix.path(place))
        if status is None or stat.S_ISDIR(status.st_mode):
            return False
        return is_foreign or all(self._state(place, row, status) in ("changed", "unreadable") for row in told)

    def _state(self, place: str, row: Row, status: os.stat_result) -> str:
        key = (place, row.digest, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self.hashes:
            self.hashes[key] = files.state_of(self.prefix, place, row)
        return self.hashes[key]

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
        library = next((each for each in self.landmarks.libraries if step.path.startswith(f"{each}/")), None)
        if step.path.startswith(SET_ASIDE):
            rank = 0
        elif step.do == "rmdir":
            rank = 8
        elif library and name.endswith((".pth", ".start")):
            rank = 9 if comes else 1
        elif library and step.path[len(library) + 1 :].partition("/")[0].endswith(".dist-info"):
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
