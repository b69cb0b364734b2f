"""Plan an undo: the steps of earlier transactions are undone, from the newest one, by one chained journal.

The files that a transaction has installed are removed, and its old files are moved back from where its steps have put
them. The first steps move the directories of old files (`kept`) into the stage of the undo. So in the end, all files
that the undo removes are in that stage, and the undo can be undone in the same way. Files that are in the prefix now
may have been changed by others. A file is removed if the transaction has installed it, or if it belongs to one of the
transaction's distributions; of an edited file, a copy is kept. Files of others stay where they are (`undo_found`). The
steps are made by `undo_draft`.
"""

from __future__ import annotations

import os
import stat
import time

from sage_wheels.errors import Conflict
from sage_wheels.fs import copies
from sage_wheels.installed.unchanged import TICK_NS, changed_at, is_recent
from sage_wheels.prefix import advice
from sage_wheels.prefix.model import BESIDE
from sage_wheels.prefix.paths import NOWHERE, below, parent, plain
from sage_wheels.transaction import stage
from sage_wheels.transaction.history import HISTORY, KEPT
from sage_wheels.transaction.journal import Step, who
from sage_wheels.transaction.kept import is_whole
from sage_wheels.transaction.later import MADE
from sage_wheels.transaction.order import in_order
from sage_wheels.transaction.plan import Plan
from sage_wheels.transaction.stage import SET_ASIDE
from sage_wheels.transaction.undo_chain import gone, holders, is_exact, journal_of, meet, reduced, without_undone
from sage_wheels.transaction.undo_draft import Draft
from sage_wheels.transaction.undo_found import NOT_KNOWN, Arrival, Found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.history import Entry
    from sage_wheels.transaction.plan import Listing
    from sage_wheels.transaction.removal_set import Hashes
    from sage_wheels.transaction.stage import Stage
    from sage_wheels.transaction.undo_chain import EntriesToUndo


def make_undo_plan(
    prefix: Prefix,
    own: Stage,
    wanted: EntriesToUndo,
    listing: Listing,
    *,
    whole_directories: bool = True,
    hashes: Hashes | None = None,
) -> Plan:
    """Plan to undo `wanted`; a planner for `commit.run`. Raises `Conflict`, `OldFilesGone`, `OSError`."""
    return _Undoing(prefix, own, wanted, listing, whole_directories).plan()


class _Undoing:
    def __init__(
        self, prefix: Prefix, own: Stage, wanted: EntriesToUndo, listing: Listing, whole_directories: bool
    ) -> None:
        self._prefix = prefix
        self._own = own
        self._tree = own.tree
        self._wanted = wanted
        self._listing = listing
        self._whole_directories = whole_directories
        undo = next((entry for entry in wanted.chain if is_exact(entry)), wanted.chain[0])
        too_much = f"go back with '{advice.command(prefix.root, f'undo --to {undo.number - 1}')}' first"
        self._draft = Draft(prefix, own, too_much, whole_directories=whole_directories)
        self._later = self._draft.later
        self._found = Found(prefix, own, wanted, listing, self._draft)
        self._landmarks = self._found.landmarks
        self._moved: dict[PrefixPath, PrefixPath] = {}  # by the stage of an earlier transaction, where it will be
        self._fetched: set[PrefixPath] = set()  # the stages of entries whose old files a later undo had fetched
        self._missing: set[PrefixPath] = set()  # destinations of files that somebody else has removed already
        self._left: list[PrefixPath] = []  # files that had been set aside, and were changed there
        self._entry = wanted.chain[0]  # the entry that is undone just now
        self._came = NOT_KNOWN  # when it was planned and committed

    def plan(self) -> Plan:
        chain = without_undone(self._wanted.chain)
        recent = [self._tree.lstat(step.path) for entry in chain[:1] for step in journal_of(entry).steps]
        if any(each and is_recent(each) for each in recent):
            time.sleep(TICK_NS / 1e9)
        with open(f"{self._own.path}/planned", "wb") as f:
            began = os.fstat(f.fileno()).st_ctime_ns
        self._tree.delete(below(self._own.location, "aside"))
        self._tree.mkdir(below(self._own.location, "aside"))
        self._found.check_distributions(chain)
        self._fetch(chain)
        draft = self._draft
        begin = len(draft.steps)
        self._found.set_foreign_aside()
        draft.steps[begin:] = in_order(draft.steps[begin:], self._landmarks)
        for entry in chain:
            self._entry = entry
            self._came = self._when(entry)
            begin = len(draft.steps)
            for step in reversed(journal_of(entry).steps):
                self._undo_step(step)
            draft.steps[begin:] = self._sorted(draft.steps[begin:], apart=not journal_of(entry).chained)
        steps = reduced(draft.steps)
        used = [path for step in steps for path in {step.staged, step.backup} - {""}]
        if len(used) != len(set(used)):  # recovery could not tell how far an interrupted undo has come
            raise draft.too_much()
        set_aside = self._set_aside(steps)
        names = self._found.names_undone | {each.canonical_name for each in self._found.foreign}
        return Plan(
            steps,
            draft.identities,
            draft.directories,
            self._listing,
            set,
            {},
            frozenset(names),
            self._found.foreign,
            {},
            set_aside,
            [],
            began,
            chained=True,
        )

    def _when(self, entry: Entry) -> Arrival:
        """When the entry was planned and committed.

        The commit renames the journal, so it is the ctime of that file; in a copied prefix, it is not known.
        """
        status = self._tree.lstat(below(HISTORY, entry.name))
        is_own = status is not None and status.st_ino == journal_of(entry).inode
        return Arrival(entry.about.planned, status.st_ctime_ns if status and is_own else 0)

    def _sorted(self, steps: list[Step], *, apart: bool) -> list[Step]:
        """`steps` in the usual order, but none before an earlier one with the same path; with `apart`, all differ."""
        if apart:
            return in_order(steps, self._landmarks)
        groups: list[list[Step]] = [[]]
        for step in steps:
            if any(meet(step, each) for each in groups[-1]):
                groups.append([])
            groups[-1].append(step)
        return [step for group in groups for step in in_order(group, self._landmarks)]

    # --- where the old files are -----------------------------------------------------------------------------------

    def _fetch(self, chain: list[Entry]) -> None:
        """Move the old files of all these entries into the stage; they may be inside those of a later undo."""
        held = holders(self._wanted.known)
        by_name = {entry.name: entry for entry in self._wanted.known}
        for entry in chain:
            within, name = "", entry.name
            while not by_name[name].kept and name in held:
                holder, inside = held[name]
                within, name = f"/{inside}{within}", holder
            kept = by_name[name].kept
            if not kept:
                if entry.needs_old_files:
                    raise gone(entry)
                continue
            top = below(self._own.location, name)
            if self._later.now(top) == top:
                elsewhere = stage.stages_beside(self._tree, kept, by_name[name].id)
                status = self._tree.lstat(kept)
                if status is None or not is_whole(self._tree, kept, elsewhere):
                    raise gone(entry)
                self._draft.bring(kept, top, status)
                for each in elsewhere:
                    self._bring_beside(each, name)
            self._moved[entry.stage] = plain(f"{top}{within}")
            if within:
                self._fetched.add(entry.stage)

    def _bring_beside(self, beside: PrefixPath, name: str) -> None:
        """Move old files on another file system into the directory that the stage has there."""
        if status := self._tree.lstat(beside):
            top = below(self._own.beside(parent(beside)), name)
            self._draft.bring(beside, top, status)
            self._moved[beside] = top

    def _there(self, path: PrefixPath) -> PrefixPath | None:
        """Where the old file will be that an entry calls `path`; None if it was in a stage that is gone."""
        for old, new in self._moved.items():
            if path.startswith(f"{old}/"):
                return plain(new + path[len(old) :])
        return None

    # --- undoing steps ---------------------------------------------------------------------------------------------

    def _undo_step(self, step: Step) -> None:
        """Plan the steps that undo `step`."""
        if step.staged.startswith(f"{KEPT}/") or os.path.basename(step.staged).startswith(BESIDE):
            return  # it has fetched old files of an earlier transaction, which stay with those of this one
        self._found.check_between(step, self._entry)
        if step.path.startswith(f"{SET_ASIDE}/"):
            self._undo_set_aside(step)
        elif step.do == "rmdir":
            if not self._draft.is_there(step.path):
                self._draft.make(step.path, step.mode)
        elif step.do == "mkdir":
            self._draft.remove_if_empty(step.path)
        elif step.do == "place":
            self._restore(step.path, self._there(step.staged), False, step)
        else:
            old = self._there(step.staged if step.do == "exchange" else step.backup)
            if old is None:
                raise gone(self._entry)
            comes = old not in self._missing or self._draft.is_there(old)
            if comes:
                self._check_kept(step, old)
            self._restore(step.path, old, comes, step)

    def _restore(
        self, path: PrefixPath, other: PrefixPath | None, comes: bool, step: Step | None, certain: bool = False
    ) -> None:
        """Move the old file or directory at `other` to `path`, if it `comes`; otherwise leave nothing at `path`.

        What is at `path` now is moved to `other`. If it is `certain` that the directory above has come with the
        transaction, everything in it has that was not changed since.
        """
        draft = self._draft
        here = self._later.now(path)
        status = draft.status(here)
        if here == MADE and not (comes and other and stat.S_ISDIR(draft.status_of(other).st_mode)):
            self._merge(path, None, certain=False)  # recovery cannot recognise a directory that is not made yet
            status = draft.status(self._later.now(path))
        if status is None:
            if other:
                self._missing.add(other)
                if comes:
                    draft.place(path, other)
            return
        is_now = here == path  # then others may have changed it
        if stat.S_ISDIR(status.st_mode):
            if here == MADE or (is_now and not self._goes_whole(path, status, step)):
                self._restore_in_parts(path, other, comes, status, self._is_certain(status, step, certain))
                return
        elif is_now and not self._may_go(path, status, step, comes=comes, certain=certain):
            return
        if comes:
            assert other
            vacant = self._there(step.staged) if step and step.do == "swap" else None
            draft.exchange(path, other, vacant)
        else:
            draft.remove(path, other)

    def _restore_in_parts(
        self, path: PrefixPath, other: PrefixPath | None, comes: bool, status: os.stat_result, certain: bool
    ) -> None:
        """As `_restore`, for a directory `path` that is not moved as a whole, because others have files in it."""
        draft = self._draft
        if comes and other and stat.S_ISDIR(draft.status_of(other).st_mode):
            self._merge(path, other, certain)
        elif comes:
            raise Conflict(f"{self._prefix.path(path)} is a directory with other files", "move these out of the way")
        elif other and draft.can_take(other, path):
            draft.make(other, stat.S_IMODE(status.st_mode))
            self._merge(path, other, certain)
        else:
            self._merge(path, None, certain)

    def _is_certain(self, status: os.stat_result, step: Step | None, certain: bool) -> bool:
        """Whether the directory with that status has come with the transaction."""
        if step is not None:
            return who(step, status) == "new"
        return certain and self._came.is_untouched(status)

    def _merge(self, path: PrefixPath, other: PrefixPath | None, certain: bool) -> None:
        """As `_restore`, for each entry of the directory `path` by itself; what is removed is moved to `other`."""
        names = set(self._draft.names(path))
        old = set(self._draft.names(other)) if other else set()
        for name in sorted(names | old):
            self._restore(below(path, name), below(other, name) if other else None, name in old, None, certain)
        if not old and not self._draft.names(path):
            self._draft.remove_if_empty(path)

    def _may_go(
        self, path: PrefixPath, status: os.stat_result, step: Step | None, *, comes: bool, certain: bool
    ) -> bool:
        """Whether the file at `path`, which is there now, is removed; of an edited one a copy is kept."""
        is_new = step is not None and (status.st_ino, status.st_mtime_ns) == (step.inode, step.time)
        if comes and is_new and changed_at(status) <= self._came.committed:
            return True  # it was not changed since, and the old file comes back
        certain = certain and self._came.is_untouched(status)
        return self._found.may_go(path, status, step, comes=comes, certain=certain)

    def _goes_whole(self, path: PrefixPath, status: os.stat_result, step: Step | None) -> bool:
        if not self._whole_directories:
            return False
        certain = step is not None and who(step, status) == "new"
        return self._found.goes_whole(path, status, self._came if certain else NOT_KNOWN)

    def _check_kept(self, step: Step, old: PrefixPath) -> None:
        """Raise `OldFilesGone` if the file that is kept at `old` is not the one that `step` had removed."""
        here = self._later.now(old)
        status = self._draft.status(here)
        if here is None or status is None:
            raise gone(self._entry)
        if stat.S_ISDIR(status.st_mode) or who(step, status) == "old" or self._entry.stage in self._fetched:
            return  # if a later undo had restored it, it may have been edited before the next one removed it again
        # in a copied prefix, two files with the same time look the same; but nobody else changes files in a stage
        if status.st_mtime_ns != step.old_time:
            raise gone(self._entry)

    # --- what is set aside -----------------------------------------------------------------------------------------

    def _undo_set_aside(self, step: Step) -> None:
        """Remove the copies that `step` had set aside, if they are the same as the files that come back.

        If somebody has changed one of them, all stay.
        """
        here = self._later.now(step.path)
        if here is None or self._draft.status(here) is None:
            return
        moved = {each.backup: each for each in journal_of(self._entry).steps if each.do == "remove"}
        changed = []
        for path, status in self._tree.files_below(here) if here == step.path else ():
            inside = path[len(step.path) :]
            if (one := moved.get(plain(step.staged + inside))) is not None:
                is_same = who(one, status) == "old"
            else:
                original = self._later.now(plain(inside[1:]))
                is_same = original is not None and self._is_copy(path, status, original)
            if not is_same:
                changed.append(path)
        self._left += changed
        if not changed:
            self._draft.remove(step.path, self._there(step.staged))

    def _is_copy(self, path: PrefixPath, status: os.stat_result, original: PrefixPath) -> bool:
        found = self._draft.status(original)
        if found is None or (found.st_size, found.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            return False
        return _same_content(self._tree, path, original)

    def _set_aside(self, steps: list[Step]) -> list[PrefixPath]:
        """Copy edited files, and add a last step that moves all that is set aside to its final directory."""
        edited = [*dict.fromkeys(self._found.edited)]
        paths = [*self._found.aside, *edited]
        if not paths:
            return self._left
        aside = below(self._own.location, "aside")
        for path in edited:
            self._tree.make_directories(parent(plain(f"{aside}/{path}")))
            copies.copy(self._prefix.path(path), self._prefix.path(plain(f"{aside}/{path}")))
        self._tree.make_directories(SET_ASIDE)
        destination = below(SET_ASIDE, os.path.basename(self._own.location))
        status = self._tree.lstat(aside)
        assert status
        self._draft.identities[destination] = None
        steps.append(Step("place", destination, aside, NOWHERE, status.st_ino, status.st_mtime_ns))
        return [*(plain(f"{destination}/{path}") for path in paths), *self._left]


def _same_content(tree: Tree, one: PrefixPath, other: PrefixPath) -> bool:
    def content(path: PrefixPath) -> Iterator[bytes]:
        with open(tree.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as f:
            while block := f.read(1 << 20):
                yield block

    status = tree.lstat(one)
    if status and stat.S_ISLNK(status.st_mode):
        return tree.readlink(one) == tree.readlink(other)
    return all(a == b for a, b in zip(content(one), content(other), strict=True))
