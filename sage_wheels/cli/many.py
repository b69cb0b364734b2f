"""`build` and `install` of many sources: a line for each event, and the table at the end."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from sage_wheels import environment
from sage_wheels.cli import common, done
from sage_wheels.errors import BuildFailed, FileOperationFailed, UsageError
from sage_wheels.fs.files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from sage_wheels.building import BuildOptions, BuiltWheel, Source
    from sage_wheels.cli.build_options import ManyOptions
    from sage_wheels.cli.progress import Builds
    from sage_wheels.graph.dask import DaskEngine
    from sage_wheels.graph.engine import Event
    from sage_wheels.graph.projects import Project
    from sage_wheels.graph.scheduler import Outcome

_NAMED = 10  # how many sources a sentence names


def build(
    sources: Sequence[Source], wheel_dir: str, building: BuildOptions, many: ManyOptions, *, keeps: bool = True
) -> list[Outcome]:
    """Build `sources`; returns the outcome for each. Messages for people go to standard error, line by line.

    `keeps` is whether the wheels stay in `wheel_dir` if the command is interrupted.
    """
    from sage_wheels.cli.progress import Builds
    from sage_wheels.graph import report, scheduler
    from sage_wheels.graph.many import build_all
    from sage_wheels.wheel.workers import processors

    builds = Builds(len(sources), follow=many.follow, last_lines=many.last_lines)
    kept = f"{wheel_dir} and the store" if building.store else wheel_dir
    teller = _Teller(builds, len(sources), kept if keeps else "")
    options = scheduler.RunOptions(
        jobs=many.jobs or processors(),
        keep_going=many.keep_going,
        slots=many.slots,
        on_start=teller.started,
        on_event=teller.heard,
        on_outcome=teller.ended,
        on_tick=builds.tick,
        refresh=builds.refresh,
        reads_logs=builds.reads_logs,
    )
    start = time.monotonic()
    with _engine(many, building) as engine, builds:
        if engine and not many.jobs:
            options = options._replace(jobs=engine.slots())
        outcomes = build_all(sources, wheel_dir, building, options, from_source=many.from_source, engine=engine)
    seconds = time.monotonic() - start
    sys.stdout.flush()
    print(report.table(outcomes, seconds), file=sys.stderr, flush=True)
    if many.report:
        write(many.report, json.dumps(report.as_json(outcomes), indent=2) + "\n")
    _collect(outcomes, seconds)
    if many.timings:
        from sage_wheels.graph import timings

        page = os.path.splitext(many.timings)[0]
        entries = timings.entries_of(outcomes)
        write(f"{page}.json", json.dumps(entries, indent=1) + "\n")
        write(many.timings, timings.page(entries, options.jobs))
    return outcomes


@contextlib.contextmanager
def _engine(many: ManyOptions, building: BuildOptions) -> Iterator[DaskEngine | None]:
    """The engine that the options name; None for processes of this machine. Raises `UsageError`."""
    if not many.engine:
        yield None
        return
    kind, _, address = many.engine.partition(":")
    if kind != "dask":
        raise UsageError(f"there is no engine {many.engine}", "write 'local', or dask:tls://HOST:PORT")
    from sage_wheels.graph import dask
    from sage_wheels.graph.parcel import exchange_of
    from sage_wheels.graph.sender import Sender

    dask.check_address(address, is_insecure=many.is_insecure)
    with dask.DaskEngine(address, Sender(exchange_of(building), building)) as engine:
        yield engine


def _collect(outcomes: Sequence[Outcome], seconds: float) -> None:
    collecting = environment.get(environment.SAGE_WHEELS_TIMINGS)
    if collecting:
        from sage_wheels.graph import timings

        collect(collecting, timings.shifted(timings.entries_of(outcomes), time.time() - seconds))


def collect(path: str, entries: Sequence[dict[str, Any]]) -> None:
    """Append the start and end times of builds to the file `path` ($SAGE_WHEELS_TIMINGS); if it fails, only warn."""
    from sage_wheels.graph import timings

    try:
        timings.collect(path, entries)
    except OSError as error:
        common.warn(f"the timings cannot be written to {path} ({error.strerror})")


def failure(outcomes: Sequence[Outcome]) -> BuildFailed | None:
    """The error that names the sources that were not built; None if all were built."""
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    if not bad:
        return None
    failed = [str(outcome.project) for outcome in bad if outcome.status == "failed"]
    more = f" and {len(failed) - _NAMED} others" if len(failed) > _NAMED else ""
    names = ", ".join(failed[:_NAMED]) + more
    return BuildFailed(
        f"{len(bad)} of {len(outcomes)} sources were not built ({names} failed)",
        "the lines above say why; what was built is kept",
    )


def build_to_install(
    sources: Sequence[Source], wheel_dir: str, building: BuildOptions, many: ManyOptions
) -> list[BuiltWheel]:
    """The wheels of the sources of an installation. Raises `BuildFailed` if one of them was not built."""
    from sage_wheels.building import BuiltWheel

    outcomes = build(sources, wheel_dir, building, many, keeps=False)
    if error := failure(outcomes):
        raise error
    results = [outcome.result for outcome in outcomes if outcome.result]
    return [
        BuiltWheel(
            *(each.wheel, outcome.project.name, each.direct_url, each.phases, each.log or None, each.notes),
            *(each.stored, each.stored_seconds, each.sandboxed),
        )
        for outcome, each in zip(outcomes, results, strict=True)
    ]


class _Teller:
    """Passes the events of the scheduler on to `builds`, which shows them.

    count: the number of sources.
    kept: where finished wheels stay if the command is interrupted; "" if they do not.
    """

    def __init__(self, builds: Builds, count: int, kept: str) -> None:
        self._builds = builds
        self._count = count
        self._kept = kept
        self._finished = 0
        self._said: set[str] = set()

    def started(self, project: Project) -> None:
        self._builds.started(project.number, str(project))

    def heard(self, project: Project, event: Event) -> None:
        if event.kind == "phase":
            self._builds.phase(project.number, event.text)
        elif event.kind == "log":
            self._builds.logs(project.number, event.text)
        elif event.kind == "lines":
            self._builds.heard(project.number, event.text)
        elif event.kind == "note" and event.text not in self._said:
            self._said.add(event.text)
            self._builds.warn(event.text)
        if event.result:
            self._builds.ended(project.number)
            if event.result.status == "needs":
                lines = ", ".join(event.result.requires)
                self._builds.say(f"{project}: waits for what its backend requires: {lines}")
            elif event.result.lacks_memory:
                self._builds.say(f"{project}: was killed, perhaps because memory ran out; it is tried once more, alone")

    def ended(self, outcome: Outcome) -> None:
        self._finished += outcome.is_good
        if self._kept and self._finished:
            done.note_so_far(f"{self._finished} of {self._count} wheels are finished, and stay in {self._kept}")
        counted = self._builds.counted()
        words = {"built": "built in", "stored": "taken from the store in", "failed": "failed after"}
        if outcome.status in words:
            seconds = outcome.ended - outcome.began
            self._builds.say(f"{outcome.project}: {words[outcome.status]} {seconds:.1f} s ({counted})")


def write(path: str, text: str) -> None:
    """Write a file that the user named, atomically. Raises `FileOperationFailed`."""
    try:
        write_whole(path, text.encode(errors="surrogateescape"))
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"writing {path}", denied="name another file") from error
