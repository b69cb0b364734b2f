"""Undo: take back a transaction, or go back to the state after one, as one transaction."""

from __future__ import annotations

import errno
import os
import time

from sage_wheels.errors import Conflict, FileOperationFailed, NotThere, OldFilesGone
from sage_wheels.installed import unchanged
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import advice
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import commit, history, sweep
from sage_wheels.transaction.commit import Purpose
from sage_wheels.transaction.outcome import report_of
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.report import Change, Report
from sage_wheels.transaction.undo_chain import EntriesToUndo, is_exact
from sage_wheels.transaction.undo_plan import make_undo_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.history import Entry, FindWheels
    from sage_wheels.transaction.plan import Plan


class UndoOptions(NamedTuple):
    """What to undo: the transaction with this `number`, or all after number `to`, or the last one.

    With `force`, files that other tools have put at the same paths meanwhile are set aside.
    """

    number: int | None = None
    to: int | None = None
    force: bool = False


def undo(
    prefix: Prefix,
    options: UndoOptions,
    commit_options: CommitOptions,
    finder: Callable[[], AbstractContextManager[FindWheels]] | None = None,
) -> Report:
    """Undo one transaction or several, all or nothing. If old files are not kept any more, use wheels from `finder`.

    Raises `NotThere` if there is no such transaction, or if neither its old files nor wheels are available; `Conflict`
    if another tool has changed the same files or distributions meanwhile; and the errors of `install`.
    """
    recover_first(prefix, commit_options)
    wanted = [EntriesToUndo([], [], options.force)]

    def destination(distributions: list[Distribution]) -> EntriesToUndo:
        # read again for each attempt: old files may have been given up meanwhile
        wanted[0] = _settled(prefix, options, commit_options)
        return wanted[0]

    def purpose(plan: Plan) -> Purpose:
        touched = _touched(plan)
        changed: list[history.HistoryChange] = [
            history.HistoryChange(*each)
            for each in _changes(wanted[0], plan.removed)
            if each.old_version != each.new_version or canonical_name(each.name) in touched
        ]
        named = {canonical_name(each.name) for each in changed}
        changed += [each for name, each in _metadata_changes(plan).items() if name not in named]
        return Purpose("undo", changed, tuple(entry.number for entry in wanted[0].chain))

    try:
        with sweep.own_stage(prefix, commit_options.say, commit_options.history) as own:
            outcome = commit.run(prefix, own, destination, commit_options, purpose, make=make_undo_plan)
            changes = _changes(wanted[0], outcome.plan.removed) if outcome.plan.steps else []
        kept = [*own.kept, *sweep.sweep_dead(prefix, commit_options.say, commit_options.history)]
    except OldFilesGone as error:
        if finder is None:
            raise
        from sage_wheels.transaction.undo_wheels import undo_from_wheels

        old = [history.HistoryChange(each.name, each.new_version, each.old_version) for each in _changes(wanted[0], [])]
        with finder() as wheels:
            return undo_from_wheels(prefix, wanted[0], old, wheels, commit_options, error)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"undoing in {prefix.root}") from error
    if not commit_options.dry_run:
        unchanged.forget(prefix, {canonical_name(each.name) for each in changes})
    return report_of(prefix, outcome, changes, kept)


def _settled(prefix: Prefix, options: UndoOptions, commit_options: CommitOptions) -> EntriesToUndo:
    """As `choose`, after waiting until the commands that have made these entries have moved the old files to `kept`."""
    end = time.monotonic() + _LONGEST
    while True:
        wanted = choose(prefix, options)
        late = [each.stage for each in wanted.known if each.needs_old_files and not each.kept]
        if not any(os.path.lexists(prefix.path(path)) for path in late) or time.monotonic() > end:
            return wanted
        sweep.sweep_dead(prefix, commit_options.say, commit_options.history)
        time.sleep(0.01)


def choose(prefix: Prefix, options: UndoOptions) -> EntriesToUndo:
    """The entries to undo. Raises `NotThere`, `Conflict`."""
    known: list[Entry] = []
    try:
        with Tree(prefix.root) as tree:
            for entry in history.entries(tree):
                if entry.is_undone:
                    continue
                if options.to is not None and entry.number <= options.to:
                    break
                if entry.problem:
                    is_denied = entry.problem.endswith(os.strerror(errno.EACCES))
                    advice = "run the command as the user who made that change" if is_denied else _OTHERWISE
                    raise NotThere(f"number {entry.number} cannot be undone: {entry.problem}", advice)
                known.append(entry)
                if options.to is None and options.number in (None, entry.number):
                    break
                if options.number is not None and entry.number < options.number:
                    break
    except FileNotFoundError:
        pass
    if options.to is not None:
        if not known:
            raise NotThere(f"nothing was changed in {prefix.root} after number {options.to}", _list(prefix))
        return EntriesToUndo(known, known, options.force)
    if not known or (options.number is not None and known[-1].number != options.number):
        which = "no transaction" if options.number is None else f"no transaction with number {options.number}"
        raise NotThere(f"{which} is in the history of {prefix.root}", _list(prefix))
    chosen = known[-1]
    _check_later(prefix, chosen, known[:-1])
    return EntriesToUndo([chosen], known, options.force)


_LONGEST = 10.0  # seconds to wait for a command that has made its change and still moves old files
_OTHERWISE = "install by hand what you want back"


def _list(prefix: Prefix) -> str:
    return f"'{advice.command(prefix.root, 'history')}' lists its entries"


def _check_later(prefix: Prefix, chosen: Entry, later: list[Entry]) -> None:
    """Raise `Conflict` if a later transaction has changed the same files or distributions, and was not undone."""
    gone: set[int] = set()
    numbers = {entry.number for entry in later}
    first: list[int] = []
    for entry in later:
        if entry.number in gone:
            continue
        if is_exact(entry) and numbers.issuperset(entry.about.undoes):
            gone.update(entry.about.undoes)
        elif chosen.number in entry.about.undoes or entry.names & chosen.names or _paths(entry) & _paths(chosen):
            first.append(entry.number)
    if first:
        told = ", ".join(map(str, first))
        back = advice.command(prefix.root, f"undo --to {chosen.number - 1}")
        raise Conflict(
            f"what number {chosen.number} changed was changed again by number {told}",
            f"undo {'that' if len(first) == 1 else 'those'} first, or go back with '{back}'",
        )


def _paths(entry: Entry) -> set[str]:
    return {step.path for step in entry.journal.steps} if entry.journal else set()


def _touched(plan: Plan) -> set[str]:
    """The normalised names of the distributions whose `.dist-info` directories a plan changes."""
    names = (name for step in plan.steps for name in step.path.split("/") if name.endswith(".dist-info"))
    return {canonical_name(name.partition("-")[0]) for name in names}


def _metadata_changes(plan: Plan) -> dict[str, history.HistoryChange]:
    """The changes of distributions by the steps that change `.dist-info` directories, by normalised name.

    An undo may bring back a distribution that an earlier undo had set aside, and that no entry of the chain names.
    """
    ends: dict[str, list[str]] = {}  # the first and the last step for each `.dist-info`
    for step in plan.steps:
        metadata = step.path.removesuffix("/RECORD")
        if metadata.endswith(".dist-info") and not metadata.startswith(f"{STATE}/"):
            ends.setdefault(metadata, [step.do, ""])[1] = step.do
    found: dict[str, history.HistoryChange] = {}
    for metadata, (first, last) in ends.items():
        name, _, version = metadata.rpartition("/")[2].removesuffix(".dist-info").partition("-")
        before = found.get(canonical_name(name), history.HistoryChange(name, "", ""))
        old = before.old if first == "place" else version
        new = before.new if last == "remove" else version
        found[canonical_name(name)] = before._replace(old=old, new=new)
    return {name: change for name, change in found.items() if change.old or change.new}


def _changes(wanted: EntriesToUndo, foreign: list[Distribution]) -> list[Change]:
    """The change of each distribution; `foreign` are those that other tools have installed, and that are set aside."""
    now: dict[str, str] = {}
    then: dict[str, tuple[str, str]] = {}
    for entry in wanted.chain:  # from the newest to the oldest one, whose old versions come back
        for change in entry.about.changes:
            now.setdefault(canonical_name(change.name), change.new)
            then[canonical_name(change.name)] = (change.name, change.old)
    now.update({each.canonical_name: each.version for each in foreign})
    return [Change(name, now[key], old) for key, (name, old) in then.items() if now[key] or old]
