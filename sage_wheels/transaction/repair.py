"""Repair: restore the files that are missing or changed, if their contents can be found; in one transaction.

A content comes from the old files that the history keeps, or from a wheel of that name and version. The wheel is
unpacked as for an installation, so scripts and byte-code are made again. Only contents with the hash in RECORD are
used. Copies of edited files are set aside. A missing RECORD is not restored.
"""

from __future__ import annotations

import os
import stat

from sage_wheels.errors import Conflict, FileOperationFailed
from sage_wheels.fs.paths import full
from sage_wheels.installed import files, unchanged
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.locator import landmarks
from sage_wheels.prefix.paths import NOWHERE, PrefixPath, below, plain
from sage_wheels.transaction import commit, history, sweep
from sage_wheels.transaction.commit import Purpose
from sage_wheels.transaction.destination import Destination, Verdict
from sage_wheels.transaction.journal import Step
from sage_wheels.transaction.order import in_order
from sage_wheels.transaction.outcome import report_of
from sage_wheels.transaction.plan import identity_of
from sage_wheels.transaction.planner import make_plan
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.repair_contents import put_together
from sage_wheels.transaction.repair_faults import Fault, find_faults, left_behind
from sage_wheels.transaction.report import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.history import FindWheels
    from sage_wheels.transaction.plan import Listing, Plan
    from sage_wheels.transaction.repair_faults import FileToRestore
    from sage_wheels.transaction.stage import Stage


class Repaired(NamedTuple):
    """The report of the transaction, and each fault with what was done about it."""

    report: Report
    faults: tuple[Fault, ...]


def repair(
    prefix: Prefix,
    names: frozenset[str] | None,
    wheels: FindWheels,
    commit_options: CommitOptions,
    limits: WheelLimits | None = None,
    *,
    clear: bool = False,
) -> Repaired:
    """Repair the distributions with these normalised names, or all; with `clear`, remove what a killed pip has left.

    `wheels` returns the paths of wheels of a distribution; it gets what the history says of those that were installed.
    Raises the errors of `install`.
    """
    recover_first(prefix, commit_options)
    try:
        wanted, faults = find_faults(prefix, names, commit_options.say)
        left = left_behind(prefix, names)
        with sweep.own_stage(prefix, commit_options.say, commit_options.history) as own:
            sources = put_together(prefix, own, wanted, wheels, limits)
            report = _commit(prefix, own, wanted, sources, left if clear else [], commit_options)
        kept = [*own.kept, *sweep.sweep_dead(prefix, commit_options.say, commit_options.history)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"repairing {prefix.root}") from error
    report = report._replace(set_aside=(*report.set_aside, *map(prefix.path, map(plain, kept))))
    for path, each in wanted.items():
        source = sources.get(path, "")
        why = "" if source else "no content with the hash of RECORD was found"
        faults.append(Fault(str(each.distribution), each.state, prefix.path(path), source, why))
    for path in left:
        is_record = path.endswith(".dist-info")
        what = "it has no RECORD, so which files belong to it is not known" if is_record else "a killed pip left it"
        faults.append(Fault("", "left", prefix.path(path), "cleared" if clear else "", "" if clear else what))
    return Repaired(report, tuple(sorted(faults)))


class _Policy:
    """The policy of a repair: existing files are replaced; a copy is kept, unless it is byte-code."""

    advice = "move what is in the way"

    def meet(self, staged: FullPath, logical: PrefixPath, path: PrefixPath) -> Verdict:
        return Verdict.OVERWRITTEN if files.source_of_bytecode(path) else Verdict.SET_ASIDE

    def newcomer(self, path: PrefixPath) -> str:
        return "what was installed there"


def _commit(
    prefix: Prefix,
    own: Stage,
    wanted: dict[PrefixPath, FileToRestore],
    sources: dict[PrefixPath, str],
    left: list[PrefixPath],
    commit_options: CommitOptions,
) -> Report:
    if not sources and not left:
        return Report()
    _drop_empty(f"{own.path}/new")
    repaired = {wanted[path].distribution for path in sources if path in wanted}
    new = dict.fromkeys(sources, "what was installed")

    def destination(distributions: list[Distribution]) -> Destination:
        if gone := repaired - set(distributions):
            raise Conflict(f"{min(map(str, gone))} was changed meanwhile", "run the command again")
        watched = frozenset(each.canonical_name for each in repaired)
        return Destination(full(f"{own.path}/new"), new, [], True, _Policy(), watched=watched)

    def make(prefix: Prefix, stage: Stage, wanted: Destination, listing: Listing, **how: object) -> Plan:
        plan = make_plan(prefix, stage, wanted, listing, **how)  # type: ignore[arg-type]
        steps = [step for path in left for step in _removal(prefix, stage, plan, path)]
        return plan._replace(steps=in_order([*plan.steps, *steps], landmarks(prefix))) if steps else plan

    def purpose(plan: Plan) -> Purpose:
        changes = [history.HistoryChange(each.name, each.version, each.version) for each in sorted(repaired)]
        gone = [each for each in plan.listing.distributions if each.path in left]
        return Purpose("repair", [*changes, *(history.HistoryChange(each.name, each.version, "") for each in gone)])

    outcome = commit.run(prefix, own, destination, commit_options, purpose, make=make)
    if not commit_options.dry_run:
        unchanged.forget(prefix, {each.canonical_name for each in repaired})
    return report_of(prefix, outcome, [], [])


def _drop_empty(top: str) -> None:
    """Remove empty directories below `top`."""
    for directory, _, _ in os.walk(top, topdown=False):
        if directory != top and not os.listdir(directory):
            os.rmdir(directory)


def _removal(prefix: Prefix, stage: Stage, plan: Plan, top: PrefixPath) -> list[Step]:
    """The steps that remove everything at `top`."""
    known = stage.tree.lstat(top)
    if known is None:
        return []
    inside = [(plain(path), status) for path, status in stage.tree.files_below(top)]
    directories = [(top, known), *stage.tree.directories_below(top)] if stat.S_ISDIR(known.st_mode) else []
    steps = []
    own = stage.tree.volume(stage.location, os.lstat(stage.path))
    for path, status in inside if directories else [(top, known)]:
        on = stage.location
        if stage.tree.volume(path, status) != own:
            on = stage.beside(plain(os.path.dirname(path)))
        stage.count += 1
        backup = below(below(on, "old"), str(stage.count))
        plan.identities[path] = identity_of(status)
        steps.append(Step("remove", path, NOWHERE, backup, 0, 0, status.st_ino, status.st_mtime_ns))
    return [*steps, *(Step("rmdir", plain(path), mode=stat.S_IMODE(each.st_mode)) for path, each in directories)]
