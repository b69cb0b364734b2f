"""The entries that are undone together, and how they and their steps depend on one another."""

from __future__ import annotations

import os

from sage_wheels.errors import OldFilesGone
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.transaction.history import KEPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.history import Entry
    from sage_wheels.transaction.journal import Journal, Step


class EntriesToUndo(NamedTuple):
    """The entries to undo (`chain`), the newest first; `known` are these and all later ones, the newest first. With
    `force`, files that other tools have put at the same paths meanwhile are set aside."""

    chain: list[Entry]
    known: list[Entry]
    force: bool


def gone(entry: Entry) -> OldFilesGone:
    """The error that old files of `entry` are missing."""
    before = ", ".join(f"{change.name} {change.old}" for change in entry.about.changes if change.old)
    advice = f"install {before} again" if before else "install again what it removed"
    return OldFilesGone(
        f"number {entry.number} cannot be undone any more: its old files are not kept, or not all of them", advice
    )


def journal_of(entry: Entry) -> Journal:
    """The journal of `entry`; only entries with a journal are undone."""
    assert entry.journal is not None
    return entry.journal


def is_exact(entry: Entry) -> bool:
    """Whether the entry is an undo by the steps of earlier entries, and not one that installed wheels instead."""
    return bool(entry.about.undoes) and journal_of(entry).chained


def without_undone(chain: list[Entry]) -> list[Entry]:
    """`chain` without each undo whose undone entries are all in the chain, and without these entries."""
    numbers = {entry.number for entry in chain}
    undone: set[int] = set()
    left = []
    for entry in chain:
        if entry.number in undone:
            continue
        if is_exact(entry) and numbers.issuperset(entry.about.undoes):
            undone.update(entry.about.undoes)
        else:
            left.append(entry)
    return left


def holders(known: list[Entry]) -> dict[str, tuple[str, str]]:
    """The entries whose old files a later undo has fetched: by name, that undo and the path in its stage."""
    found: dict[str, tuple[str, str]] = {}
    for entry in known:
        for step in entry.journal.steps if entry.journal else ():
            if step.staged.startswith(f"{KEPT}/"):
                found[os.path.basename(step.staged)] = (entry.name, step.path[len(entry.stage) + 1 :])
    return found


def repaired(entry: Entry) -> set[str]:
    """The distributions of which `entry` has restored files, without changing their `.dist-info`."""
    paths = [step.path.removesuffix("/RECORD").rpartition("/")[2] for step in journal_of(entry).steps]
    touched = {canonical_name(name.partition("-")[0]) for name in paths if name.endswith(".dist-info")}
    same = {canonical_name(each.name) for each in entry.about.changes if each.old == each.new}
    return same - touched


def reduced(steps: list[Step]) -> list[Step]:
    """`steps` without pairs of which the second undoes the first."""
    result: list[Step | None] = []
    last: dict[PrefixPath, list[int]] = {}  # where in `result` the steps about each path are
    for step in steps:
        before = last.setdefault(step.path, [])
        earlier = result[before[-1]] if before else None
        if (
            earlier
            and _takes_back(step, earlier)
            and not any(each and meet(each, step) for each in result[before[-1] + 1 :])
        ):
            result[before.pop()] = None
        else:
            before.append(len(result))
            result.append(step)
    return [each for each in result if each]


def _takes_back(one: Step, other: Step) -> bool:
    if {one.do, other.do} == {"place", "remove"}:
        return (one.staged or one.backup) == (other.staged or other.backup)
    if {one.do, other.do} == {"swap"}:
        return (one.staged, one.backup) == (other.backup, other.staged)
    return one.do == other.do == "exchange" and one.staged == other.staged


def meet(one: Step, other: Step) -> bool:
    """Whether a path of one step is the same as one of the other step, or inside it."""
    mine = [each for each in (one.path, one.staged, one.backup) if each]
    others = [each for each in (other.path, other.staged, other.backup) if each]
    return any(f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/") for a in mine for b in others)
