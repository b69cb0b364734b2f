"""Uninstall distributions: remove the files in their RECORDs that no other distribution owns, and no other files.

- If the files of a distribution are not known, it is not removed (`NotRemovable`).
- A file that another distribution owns, too, stays.
- An edited file is set aside. So is a foreign file in the metadata directory, because that directory must not stay.
- A row of RECORD that leads out of the prefix, or to a file of the prefix itself, is ignored and reported.
"""

from __future__ import annotations

from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed import unchanged
from sage_wheels.installed.distributions import described
from sage_wheels.metadata import canonical_name
from sage_wheels.transaction import commit, history, sweep
from sage_wheels.transaction.commit import Purpose
from sage_wheels.transaction.destination import Destination
from sage_wheels.transaction.outcome import report_of
from sage_wheels.transaction.plan import look
from sage_wheels.transaction.recover import look_again
from sage_wheels.transaction.report import Change, Report, Unchanged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.plan import Listing, Plan


def uninstall(
    prefix: Prefix,
    names: list[str],
    commit_options: CommitOptions,
    undoes: tuple[int, ...] = (),
    check: Callable[[list[Distribution]], None] = lambda distributions: None,
) -> Report:
    """Remove the distributions `names` in one transaction; those that are not installed are in `unchanged`.

    `undoes` are the numbers of entries in the history that this undoes. `check` is called with the installed
    distributions if one of `names` is among them, and may raise `NotThere`, `Conflict` or `Outdated` to prevent the
    removal. Raises `NotRemovable`, `LockTimeout`, `LockUnusable`, `JournalDamaged`, `FileOperationFailed`.
    """
    wanted = {canonical_name(name): name for name in names}

    def chosen(listing: Listing) -> list[Distribution]:
        return [each for each in listing.distributions if each.canonical_name in wanted]

    listing = look_again(
        prefix, commit_options, lambda: look(prefix), lambda seen: commit_options.dry_run or bool(chosen(seen))
    )
    there = chosen(listing)
    if not there:
        return Report(unchanged=tuple(map(Unchanged, wanted.values())))
    spelt = {each.path: described(prefix, each).name for each in there}  # read the metadata before they are removed

    def destination(listing: list[Distribution]) -> Destination:
        check(listing)
        going = [each for each in listing if each.canonical_name in wanted]
        return Destination(None, {}, going, False, watched=frozenset(wanted))

    def purpose(plan: Plan) -> Purpose:
        changes = [history.HistoryChange(each.name, each.version, "") for each in plan.removed]
        return Purpose("undo" if undoes else "uninstall", changes, undoes)

    try:
        with sweep.own_stage(prefix, commit_options.say, commit_options.history) as own:
            outcome = commit.run(prefix, own, destination, commit_options, purpose, listing)
        kept = [*own.kept, *sweep.sweep_dead(prefix, commit_options.say, commit_options.history)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"uninstalling from {prefix.root}") from error
    removed = outcome.plan.removed
    if not commit_options.dry_run:
        unchanged.forget(prefix, {each.canonical_name for each in removed})
    changes = [Change(spelt.get(each.path, each.name), each.version, "") for each in removed]
    absent = tuple(Unchanged(wanted[name]) for name in wanted if name not in {each.canonical_name for each in removed})
    return report_of(prefix, outcome, changes, kept)._replace(unchanged=absent, ignored=tuple(outcome.plan.ignored))
