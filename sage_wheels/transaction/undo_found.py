"""Find what other programs and people have changed since the transactions that are undone.

These are edited files, files of other owners, and distributions that another tool has installed or removed; other tools
write no entry into the history.
"""

from __future__ import annotations

import os
import stat

from sage_wheels.errors import Conflict, NotRemovable
from sage_wheels.installed import files
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.unchanged import changed_at
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import advice
from sage_wheels.prefix.locator import landmarks
from sage_wheels.prefix.paths import NOWHERE, ancestors, below, parent, plain
from sage_wheels.transaction.journal import Step, who
from sage_wheels.transaction.undo_chain import journal_of, repaired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.history import Entry
    from sage_wheels.transaction.plan import Listing
    from sage_wheels.transaction.stage import Stage
    from sage_wheels.transaction.undo_chain import EntriesToUndo
    from sage_wheels.transaction.undo_draft import Draft

_FORCE = "give --force, which sets its files aside"


class Arrival(NamedTuple):
    """When a transaction has put a directory into the prefix (ns): the time of its plan (`planned`), and of its commit
    (`committed`). What is in the directory and is older has come with it. Both are 0 if this is not known."""

    planned: int
    committed: int

    def is_untouched(self, status: os.stat_result) -> bool:
        """Whether the file with that `status` has come with the directory, and was not changed since."""
        at = changed_at(status)
        return at <= self.committed or at < self.planned


NOT_KNOWN = Arrival(0, 0)


class Found:
    """What is found at the paths of a draft.

    `edited` are files that are removed and of which a copy is kept. `foreign` are the distributions that other tools
    have installed; all their files are set aside, and `aside` are these files.
    """

    def __init__(self, prefix: Prefix, own: Stage, wanted: EntriesToUndo, listing: Listing, draft: Draft) -> None:
        self.owners = Owners(prefix, listing.distributions)
        self.landmarks = landmarks(prefix, self.owners.locator)
        self.edited: list[PrefixPath] = []
        self.foreign: list[Distribution] = []
        self.aside: list[PrefixPath] = []
        self.names_undone = {name for entry in wanted.chain for name in entry.names}
        self._prefix = prefix
        self._own = own
        self._tree = own.tree
        self._wanted = wanted
        self._distributions = listing.distributions
        self._draft = draft
        self._later = draft.later

    # --- files -----------------------------------------------------------------------------------------------------

    def may_go(
        self, path: PrefixPath, status: os.stat_result, step: Step | None, *, comes: bool, certain: bool
    ) -> bool:
        """Whether the file at `path`, which is there now, is removed.

        It is if the transaction has installed it, or if it is an edited file of one of its distributions; then it is
        added to `edited`. A file of others stays, unless an old file `comes` back to its path: that is a conflict, or
        with --force the file is added to `edited`. If `certain`, it is known that the transaction has installed the
        file; otherwise `step`, which has put something there, may tell. Raises `Conflict`.
        """
        brought = certain or (step is not None and who(step, status) == "new")
        verdict = self._verdict(path, status, brought=brought, comes=comes)
        if verdict == "edited":
            self.edited.append(path)
        elif verdict == "foreign":
            if not comes:
                return False  # it stays, with whoever put it there
            if not self._wanted.force:
                owners = self.owners.of_file(path)
                whose = f"belongs to {' and '.join(map(str, owners))}" if owners else "was put there by somebody else"
                raise Conflict(f"{self._prefix.path(path)} {whose}", _FORCE)
            self.edited.append(path)
        return True

    def goes_whole(self, path: PrefixPath, status: os.stat_result, came: Arrival) -> bool:
        """Whether everything in the directory `path`, which is there now, is removed; adds to `edited`."""
        directories: dict[PrefixPath, int] = {}
        edited: list[PrefixPath] = []
        above = parent(path)
        volume = self._tree.volume(above, os.stat(self._prefix.path(above)))
        if self._tree.volume(path, status) != volume:
            return False
        if not self._all_goes(path, status, came, directories, edited):
            return False
        self._draft.directories.update(directories)
        self.edited += edited
        return True

    def _all_goes(
        self,
        path: PrefixPath,
        status: os.stat_result,
        came: Arrival,
        directories: dict[PrefixPath, int],
        edited: list[PrefixPath],
    ) -> bool:
        if not path.endswith("/__pycache__"):
            directories[path] = status.st_mtime_ns
        moved = set(self._later.names(path))
        volume = self._tree.volume(path, status)
        for name, found in self._tree.statuses(path):
            inside = below(path, name)
            if name in moved and self._later.now(inside) != inside:
                continue  # an earlier step of the draft removes it, or replaces it by an old file
            if stat.S_ISDIR(found.st_mode):
                if self._tree.volume(inside, found) != volume:
                    return False
                deeper = came if came.is_untouched(found) else NOT_KNOWN
                if not self._all_goes(inside, found, deeper, directories, edited):
                    return False
            elif changed_at(found) >= came.planned:
                verdict = self._verdict(inside, found, brought=came.is_untouched(found))
                if verdict == "foreign" and self.landmarks.is_in_metadata(inside):
                    verdict = "edited"  # a `.dist-info` is removed with everything in it
                if verdict == "foreign":
                    return False
                if verdict == "edited":
                    edited.append(inside)
        return True

    def _verdict(self, path: PrefixPath, status: os.stat_result, *, brought: bool, comes: bool = False) -> str:
        """ "ours", "edited" or "foreign". A file that others own, too, is ours if an old file `comes` back to it."""
        owners = self.owners.of_file(path)
        mine = [each for each in owners if each.canonical_name in self.names_undone]
        others = [each for each in owners if each not in mine and self._later.now(plain(each.path)) == each.path]
        if others and not (comes and (mine or brought)):
            return "foreign"  # its owners stay installed
        for owner in mine:
            row = self.owners.claims(owner).rows.get(path)
            if row is None or not row.digest or files.state_of(self._prefix, path, row) == "same":
                return "ours"  # byte-code, for example
        if mine:
            return "edited"
        if brought:
            return "ours"
        source = files.source_of_bytecode(path)
        if source is not None:
            there = self._tree.lstat(source)
            return "ours" if there is None else self._verdict(source, there, brought=brought)
        return "foreign"

    # --- distributions ---------------------------------------------------------------------------------------------

    def check_distributions(self, chain: list[Entry]) -> None:
        """Find the distributions that another tool has installed or removed since. Raises `Conflict`."""
        newest: dict[str, Entry] = {}
        for entry in chain:
            for name in entry.names - repaired(entry):
                newest.setdefault(name, entry)
        there: dict[str, list[Distribution]] = {name: [] for name in newest}
        for each in self._distributions:
            if each.canonical_name in newest:
                there[each.canonical_name].append(each)
        steps = {entry.number: _by_path(entry) for entry in newest.values()}
        expectations = {
            (entry.number, canonical_name(change.name)): change
            for entry in {each.number: each for each in newest.values()}.values()
            for change in entry.about.changes
            if change.new
        }
        for name, entry in newest.items():
            foreign = [each for each in there[name] if not self._was_brought(steps[entry.number], each)]
            self.foreign += foreign
            expected = expectations.get((entry.number, name))
            if self._wanted.force:
                continue
            if foreign:
                raise installed_by_others(foreign[0], entry)
            if expected and not there[name]:
                raise removed_by_others(f"{expected.name} {expected.new}", entry)

    def check_between(self, step: Step, entry: Entry) -> None:
        """Raise `Conflict` if another tool has changed a `.dist-info` between two of these transactions.

        Then the later one has replaced or removed something else than what `step` of the earlier one, `entry`, has put
        there.
        """
        here = self._later.now(step.path)
        if here is None or here == step.path or not self.landmarks.is_in_metadata(step.path):
            return
        status = self._draft.status(here)
        if status is not None and (step.do == "remove" or who(step, status) != "new"):
            name = os.path.basename(self.landmarks.inside_library(step.path).partition("/")[0])
            raise Conflict(
                f"{name.removesuffix('.dist-info')} was changed by a tool that writes no history, "
                f"after number {entry.number} and before later ones",
                f"go back with '{advice.command(self._prefix.root, f'undo --to {entry.number}')}' first",
            )

    def _was_brought(self, steps: dict[PrefixPath, list[Step]], distribution: Distribution) -> bool:
        """Whether the `.dist-info` of `distribution` is the one that one of these steps has put there."""
        path = self.owners.locator.locate(NOWHERE, distribution.path) or distribution.path
        at = [below(plain(path), "RECORD"), plain(path), *ancestors(plain(path))]
        return any(who(step, self._tree.lstat(step.path)) == "new" for each in at for step in steps.get(each, ()))

    def set_foreign_aside(self) -> None:
        """Plan to set aside all files of the distributions that other tools have installed. Raises `NotRemovable`."""
        draft = self._draft
        for each in self.foreign:
            claims = self.owners.claims(each)
            if not claims.rows:
                raise NotRemovable(
                    f"what belongs to {each} is not known", "uninstall it with the tool that has installed it"
                )
            inside = self._tree.files_below(self.owners.locator.locate(NOWHERE, each.path) or plain(each.path))
            for claimed in dict.fromkeys([*claims.rows, *(path for path, _ in inside)]):
                status = self._tree.lstat(claimed)
                if status is None or stat.S_ISDIR(status.st_mode) or self._later.now(claimed) != claimed:
                    continue
                if any(one not in self.foreign for one in self.owners.owners(claimed)):
                    continue
                aside = plain(f"{self._own.location}/aside/{claimed}")
                self._tree.make_directories(parent(aside))
                draft.remove(claimed, aside)
                self.aside.append(claimed)
        emptied = {above for claimed in self.aside for above in ancestors(claimed)} - self.landmarks.skeleton
        for directory in sorted(emptied, key=len, reverse=True):
            draft.remove_if_empty(directory)


def _by_path(entry: Entry) -> dict[PrefixPath, list[Step]]:
    """The steps that have put something into the prefix, by path."""
    found: dict[PrefixPath, list[Step]] = {}
    for step in journal_of(entry).steps:
        if step.do not in ("rmdir", "mkdir", "remove"):
            found.setdefault(step.path, []).append(step)
    return found


def installed_by_others(what: object, entry: Entry) -> Conflict:
    """The error that another tool has installed `what` after `entry`."""
    return Conflict(f"{what} was installed by a tool that writes no history, after number {entry.number}", _FORCE)


def removed_by_others(what: object, entry: Entry) -> Conflict:
    """The error that another tool has removed `what` after `entry`."""
    return Conflict(
        f"{what} was removed by a tool that writes no history, after number {entry.number}",
        "give --force, which brings back what was there before",
    )
