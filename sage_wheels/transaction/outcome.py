"""Make the report of a transaction from what its commit returns."""

from __future__ import annotations

from sage_wheels.transaction.report import PathChange, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOutcome
    from sage_wheels.transaction.report import Change


def report_of(prefix: Prefix, outcome: CommitOutcome, changes: list[Change], kept: list[str]) -> Report:
    """The report of a transaction; `kept` are files that were set aside when the stage was emptied."""
    return Report(
        tuple(changes),
        set_aside=tuple(prefix.path(each) for each in [*outcome.plan.set_aside, *kept]),
        steps=tuple(PathChange(step.do, prefix.path(step.path)) for step in outcome.plan.steps),
        lock_seconds=outcome.lock_seconds,
        overwritten=tuple(
            (prefix.path(path), tuple(map(str, owners))) for path, owners in outcome.plan.overwritten.items()
        ),
    )
