"""The main loop: start every build that is ready, the one with the longest remaining path first, until all are done.

When a build ends, the builds that waited for it can start at once.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import shutil
import tempfile
import time

from packaging.version import Version

from sage_wheels import environment
from sage_wheels.graph.graph import Graph
from sage_wheels.graph.slots import Pool
from sage_wheels.graph.tasks import Result, Task
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal, TypeAlias

    from sage_wheels.building.options import BuildOptions
    from sage_wheels.graph.engine import Engine, Event
    from sage_wheels.graph.projects import Project
    from sage_wheels.graph.slots import Private

    # what the next build waits for: the end of another build, one token, or more than one
    Waits: TypeAlias = Literal["end", "token", "tokens"]

_POLL = 0.5  # seconds: several tokens can only be waited for by trying again

_LINES = 64 << 10  # bytes of logs that all builds of a run may send in a second

ALL = 0  # a number of slots that stands for all of them: nothing else runs at the same time


class Outcome(NamedTuple):
    """The outcome for a project.

    status: "built", "stored" (taken from the store), "failed", or "not tried", because of what `what` says; then
    `because_of` is the number of the project that failed, if one did.
    began, ended: seconds since the run began, of the last attempt; `ready` is when it could have begun.
    """

    project: Project
    status: Literal["built", "stored", "failed", "not tried"]
    result: Result | None = None
    what: str = ""
    advice: str = ""
    because_of: int | None = None
    ready: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    phases: tuple[tuple[str, float], ...] = ()  # each with the second in which it began
    after: frozenset[int] = frozenset()  # the projects that had to be built before
    worker: str = ""  # the one that built it, if there are several machines

    @property
    def is_good(self) -> bool:
        return self.status in ("built", "stored")


class RunOptions(NamedTuple):
    """How to run many builds.

    jobs: how many run at the same time at most. keep_going: build what does not depend on what has failed.
    slots: how many slots a project takes, by name; a project that is not in it takes one; `ALL` stands for all.
    cost: estimates the seconds that the build of a project takes.
    on_start, on_event, on_outcome: called when a build begins, with each event of an engine, and with the outcome of
        each project, when it is known. on_tick: called after at most `refresh` seconds, again and again.
    reads_logs: whether new lines in the logs of builds on other machines are sent here.
    """

    jobs: int
    keep_going: bool = False
    slots: Mapping[str, int] = {}
    cost: Callable[[Project], float] = lambda project: 1.0 + project.size / 1e6
    on_start: Callable[[Project], object] = lambda project: None
    on_event: Callable[[Project, Event], object] = lambda project, event: None
    on_outcome: Callable[[Outcome], object] = lambda outcome: None
    on_tick: Callable[[], object] = lambda: None
    refresh: float | None = None
    reads_logs: bool = False


def run(graph: Graph, engine: Engine, wheel_dir: str, building: BuildOptions, options: RunOptions) -> list[Outcome]:
    """Build the projects of `graph`. Returns an outcome for each, in the same order.

    Wheels are written into `wheel_dir`. Later builds use them, and prefer them to all others. An exception, such as
    that of Ctrl-C, ends all builds; wheels that are finished stay.
    """
    with (
        tempfile.TemporaryDirectory(prefix="sage-wheels-") as own,
        Pool(
            options.jobs,
            _without_make() if engine.is_elsewhere else environment.for_processes(),
            building.tools_directory(),
        ) as pool,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(engine.cancel)
        current = _Run(graph, engine, pool, wheel_dir, own, building, options)
        outcomes = current.until_the_end()
        for event in engine.finish():
            current.hear(event)
        return outcomes


def _without_make() -> dict[str, str]:
    """The environment variables without make's jobserver: builds on other machines take no slot of this one."""
    return {name: value for name, value in environment.for_processes().items() if name != "MAKEFLAGS"}


class _Run:
    """The state of one run: which builds run now, and the outcomes so far."""

    def __init__(
        self,
        graph: Graph,
        engine: Engine,
        pool: Pool,
        wheel_dir: str,
        own: str,
        building: BuildOptions,
        options: RunOptions,
    ) -> None:
        self.graph = graph
        self.engine = engine
        self.pool = pool
        self.wheel_dir = wheel_dir
        self.own = own
        self.building = building._replace(preferred=own)
        self.log = building.log
        self.options = options
        self.start_time = time.monotonic()
        self.outcomes: dict[int, Outcome] = {}
        self.tokens: dict[int, list[bytes]] = {}  # of each build that runs
        self.private: dict[int, Private] = {}
        self.began: dict[int, float] = {}
        self.became_ready: dict[int, float] = {}
        self.phases: dict[int, list[tuple[str, float]]] = {}
        self.workers: dict[int, str] = {}
        self.tried_alone: set[int] = set()
        self.alone: list[int] = []  # builds that were killed, perhaps for memory: tried again when nothing else runs
        self.is_stopping = False
        self.why_stopping = ("an earlier build failed", "give -k to go on after a failure")
        self.seen_changes = self.ranked_changes = -1
        self.ranks: dict[int, float] = {}
        self.names = [project.name for project in graph.projects]

    def until_the_end(self) -> list[Outcome]:
        self.give_up_hopeless()
        while self.graph.unfinished:
            waits = self.start_what_can()
            if not self.tokens:
                if self.is_stopping:
                    break
                assert self.graph.unfinished <= self.outcomes.keys()
                break
            also = self.pool.waits_on if waits == "token" else None
            for event in self.engine.wait(_POLL if waits == "tokens" else self.options.refresh, also):
                self.hear(event)
            self.options.on_tick()
        for number in sorted(self.graph.unfinished):
            self.end(number, "not tried", None, *self.why_stopping)
        return [self.outcomes[project.number] for project in self.graph.projects]

    def now(self) -> float:
        return time.monotonic() - self.start_time

    def start_what_can(self) -> Waits:
        """Start builds that are ready, if there are free slots; returns what the next one waits for."""
        if self.is_stopping:
            return "end"
        if not self.tokens:
            self.pool.fill()
        ready = [number for number in self.graph.ready() if number not in self.tokens and number not in self.alone]
        for number in ready:
            self.became_ready.setdefault(number, self.now())
        if not ready and not self.tokens and self.alone:
            ready = [self.alone.pop(0)]
        if not ready:
            return "end"
        remaining = self.remaining()
        queue = [(-remaining[number], number) for number in ready]
        heapq.heapify(queue)
        while queue:
            _, number = heapq.heappop(queue)
            if len(self.tokens) >= self.options.jobs:
                return "end"
            if waits := self.start(number):
                return waits
        return "end"

    def start(self, number: int) -> Waits | None:
        """Start a build, or say what it waits for."""
        project = self.graph.projects[number]
        wanted = self.options.slots.get(project.name, 1)
        count = min(wanted or self.options.jobs, self.options.jobs)
        if wanted == ALL and self.tokens:
            return "end"
        tokens = self.pool.take(count)
        if tokens is None:
            if self.tokens:
                return "token" if count == 1 else "tokens"
            tokens = self.pool.take(1) or []  # too few are free, and no build of ours runs that would free one
        task = self.task_of(project, count)
        try:
            variables = self.pool.variables
            if count > 1:
                self.private[number] = self.pool.private(count)
                variables = self.private[number].variables
            self.engine.start(task, variables)
        except OSError:  # too many processes, or open files
            self.pool.give_back(tokens)
            if number in self.private:
                self.private.pop(number).close()
            if not self.tokens:
                raise
            return "end"
        self.tokens[number] = tokens
        self.began[number] = self.now()
        self.phases[number] = []
        self.options.on_start(project)
        return None

    def task_of(self, project: Project, slots: int) -> Task:
        number = project.number
        is_alone = self.names.count(project.name) == 1
        pending = sorted({self.graph.projects[each].name for each in self.graph.unfinished if each != number})
        return Task(
            number,
            project.name,
            project.source,
            self.wheel_dir,
            self.building._replace(
                build_name=None if is_alone else f"{project.name}-{project.version or number}",
                log=f"{self.own}/{number}.log" if self.log else None,
            ),
            tuple(pending),
            tuple(self.graph.known_requirements(number)),
            slots,
            _LINES // self.options.jobs if self.options.reads_logs else 0,
        )

    def hear(self, event: Event) -> None:
        number = event.number
        if event.kind == "phase":
            self.phases[number].append((event.text, self.now()))
        self.options.on_event(self.graph.projects[number], event)
        if event.result is None:
            return
        self.workers[number] = event.text
        self.pool.give_back(self.tokens.pop(number))
        self.keep_log(number)
        if number in self.private:
            self.private.pop(number).close()
        result = event.result
        if result.status == "needs":
            self.graph.learn(number, result.requires)
        elif result.status == "built":
            self.succeed(number, result)
        elif result.lacks_memory and number not in self.tried_alone:
            self.tried_alone.add(number)
            self.alone.append(number)
        else:
            self.fail(number, _explained(self.graph.projects[number], result))
        self.give_up_hopeless()

    def keep_log(self, number: int) -> None:
        """Append the log of a finished build to the log file that the user has named."""
        if self.log:
            path = f"{self.own}/{number}.log"
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as log, open(self.log, "ab") as whole:
                shutil.copyfileobj(log, whole)
                os.unlink(path)

    def succeed(self, number: int, result: Result) -> None:
        name = os.path.basename(result.wheel)
        with contextlib.suppress(FileExistsError):
            os.symlink(os.path.abspath(result.wheel), os.path.join(self.own, name))
        self.graph.built(number, Version(result.version), result.requires)
        self.end(number, "stored" if result.stored else "built", result)

    def fail(self, number: int, result: Result) -> None:
        self.graph.given_up(number)
        self.end(number, "failed", result, result.what, result.advice)
        if result.ends_run:
            self.why_stopping = (result.what, result.advice)
        self.is_stopping = self.is_stopping or result.ends_run or not self.options.keep_going

    def give_up_hopeless(self) -> None:
        """Give up projects whose requirements are not available, projects in a cycle, and those that wait for them."""
        for number in sorted(self.graph.unfinished - self.tokens.keys()):
            if missing := self.graph.needs(number).missing:
                self.refuse(number, f"{missing[0]}, which is not available", "add its source, or a wheel of it")
        for group in self.cycles():
            names = [str(self.graph.projects[number]) for number in [*group, group[0]]]
            advice = f"a wheel of {' or '.join(sorted(names[:-1]))} in --find-links breaks the cycle"
            for number in group:
                self.refuse(number, f"it needs itself to be built: {' needs '.join(names)}", advice)
        while True:
            vain = [(number, self.graph.in_vain(number)) for number in sorted(self.graph.unfinished)]
            hopeless = [(number, other) for number, other in vain if other is not None and number not in self.tokens]
            if not hopeless:
                return
            for number, other in hopeless:
                assert other is not None
                cause = self.outcomes[other].because_of
                root = other if cause is None else cause
                self.graph.given_up(number)
                self.end(number, "not tried", what=f"{self.graph.projects[root]} failed", because_of=root)

    def refuse(self, number: int, what: str, advice: str) -> None:
        self.fail(number, Result(number, "failed", what=what, advice=advice))

    def cycles(self) -> list[list[int]]:
        """The cycles of the graph; none if it has not changed since the last call."""
        if self.seen_changes == self.graph.changes:
            return []
        self.seen_changes = self.graph.changes
        return self.graph.cycles()

    def remaining(self) -> dict[int, float]:
        """The seconds of the longest chain that begins with each project; finished builds do not change it."""
        if self.ranked_changes != self.graph.changes:
            self.ranked_changes = self.graph.changes
            self.ranks = self.graph.remaining(lambda number: self.options.cost(self.graph.projects[number]))
        return self.ranks

    def end(
        self,
        number: int,
        status: Literal["built", "stored", "failed", "not tried"],
        result: Result | None = None,
        what: str = "",
        advice: str = "",
        because_of: int | None = None,
    ) -> None:
        outcome = Outcome(
            self.graph.projects[number],
            status,
            result,
            what,
            advice,
            because_of,
            self.became_ready.get(number, self.now()),
            self.began.get(number, self.now()),
            self.now(),
            tuple(self.phases.get(number, ())),
            self.graph.came_after(number),
            self.workers.get(number, ""),
        )
        self.outcomes[number] = outcome
        self.options.on_outcome(outcome)


def _explained(project: Project, result: Result) -> Result:
    """`result` with a sentence for a process that ended without one."""
    if result.status == "killed":
        what = f"building {project.name}: its process was killed by {result.what}"
        advice = "if nobody did that on purpose, give it more memory" if result.lacks_memory else "try it again"
        return result._replace(status="failed", what=what, advice=advice)
    if result.status == "cancelled":
        return result._replace(status="failed", what=f"building {project.name}: it was told to end", advice="")
    return result
