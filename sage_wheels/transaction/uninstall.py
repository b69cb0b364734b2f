"""Uninstall distributions, exactly: what their RECORDs list and nobody else claims, and nothing else.

What is refused and what is kept: a distribution whose files are not known is refused; a file that another distribution
claims, too, stays; a file that was edited is set aside, and so is what somebody put into the record itself, or that
would stay and name the distribution; a row that leads out of the prefix, or to what is no package's, is ignored and
named.
"""

from __future__ import annotations

import contextlib

from sage_wheels.errors import FileOperationFailed, NotRemovable
from sage_wheels.installed import files
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.transaction import commit, stage
from sage_wheels.transaction.plan import look
from sage_wheels.transaction.planner import Goal
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.report import Change, Report, report_of
from sage_wheels.transaction.stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Settings


def uninstall(prefix: Prefix, names: list[str], settings: Settings) -> Report:
    """Remove the distributions of those names, all or none; names that are not installed are in `unchanged`.

    Raises `NotRemovable`, `LockTimeout`, `LockUnusable`, `JournalDamaged`, `FileOperationFailed`.
    """
    wanted = {canonical_name(name): name for name in names}
    recover_first(prefix, settings)
    listing = look(prefix)
    there = [each for each in listing.distributions if each.canonical_name in wanted]
    absent = tuple(wanted[name] for name in wanted if name not in {each.canonical_name for each in there})
    if not there:
        return Report(unchanged=absent)
    removed: list[Distribution] = []

    def goal(listing: list[Distribution]) -> Goal:
        removed[:] = [each for each in listing if each.canonical_name in wanted]
        return Goal("", {}, removed, False)

    try:
        with Stage(prefix, settings.say) as own:
            ignored = _ignored(prefix, there)
            outcome = commit.run(prefix, own, goal, settings, listing)
        kept = [*own.kept, *stage.sweep_dead(prefix, settings.say)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"uninstalling from {prefix.root}") from error
    changes = [Change(each.name, each.version, "") for each in removed]
    return report_of(prefix, outcome, changes, kept)._replace(unchanged=absent, ignored=tuple(ignored))


def _ignored(prefix: Prefix, distributions: list[Distribution]) -> list[str]:
    """Rows of RECORD that are not followed, as they stand there."""
    found: list[str] = []
    for each in distributions:
        with contextlib.suppress(NotRemovable):  # said again, and in full, by the plan
            found += [f"{each}: {row}" for row in files.owned(prefix, each).ignored]
    return found
