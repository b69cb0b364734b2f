"""What a transaction did, in a form that prints and converts."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Outcome


class Change(NamedTuple):
    """One distribution before and after; versions are empty where it was or is not installed, or was an .egg-link."""

    name: str
    old_version: str
    new_version: str


class Report(NamedTuple):
    """What a transaction did, or would do after a dry run.

    `unchanged` were installed (or, uninstalling, absent) already; `set_aside` are full paths of copies of edited
    files; `not_compiled` counts sources without byte-code by distribution; `ignored` are rows of RECORD that were not
    followed; `runs_at_start` are full paths of new files that every start of Python runs; `unmet` tells of requirements
    that are not there; `steps` are the changes to the prefix; `lock_seconds`
    is how long the prefix lock was held.
    """

    changes: tuple[Change, ...] = ()
    unchanged: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()
    not_compiled: tuple[tuple[str, int], ...] = ()
    ignored: tuple[str, ...] = ()
    runs_at_start: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    lock_seconds: float = 0.0


def report_of(prefix: Prefix, outcome: Outcome, changes: list[Change], kept: list[str]) -> Report:
    """The report of a transaction; `kept` are places of files that turned up when the stage was emptied."""
    return Report(
        tuple(changes),
        set_aside=tuple(prefix.path(each) for each in [*outcome.plan.set_aside, *kept]),
        steps=tuple(f"{step.do} {prefix.path(step.path)}" for step in outcome.plan.steps),
        lock_seconds=outcome.lock_seconds,
    )
