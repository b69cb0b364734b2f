"""Planning of large graphs, and simulated runs: how close the order of builds comes to the lower bound.

    python benchmarks/graph.py [SEED]

One graph is real: 75 sdists of build backends and of packages that Sage has, each with the seconds that its build took
in one run of `build -j2 --from-source` (`graph.json`). Others are random, in the shape of source distributions: a few
build backends that nearly everything needs, layers above them, durations spread over three orders of magnitude. No
build is run: an engine of this file lets the time pass.
"""

from __future__ import annotations

import heapq
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version

from sage_wheels.building.options import BuildOptions
from sage_wheels.graph import scheduler
from sage_wheels.graph.engine import Event
from sage_wheels.graph.graph import Graph, Wheels
from sage_wheels.graph.projects import Project
from sage_wheels.graph.tasks import Result, Task
from sage_wheels.requirements.sources import SdistFile

WORKERS = (1, 2, 4, 8, 16, 32, 64, 100, 200)


class SimulatedEngine:
    """Runs tasks in no time: each ends when its seconds have passed on a clock of its own."""

    is_elsewhere = True

    def __init__(self, seconds: Mapping[int, float]) -> None:
        self.now = 0.0
        self._seconds = seconds
        self._ends: list[tuple[float, int]] = []

    def start(self, task: Task, variables: Mapping[str, str]) -> None:
        heapq.heappush(self._ends, (self.now + self._seconds[task.number], task.number))

    def wait(self, seconds: float | None, also: int | None = None) -> list[Event]:
        self.now, number = heapq.heappop(self._ends)
        return [Event(number, "result", result=Result(number, "built", wheel=f"/w/{number}", version="1"))]

    def finish(self) -> list[Event]:
        return []

    def cancel(self) -> None:
        self._ends.clear()


def stack(count: int, chance: random.Random) -> list[Project]:
    """A source distribution of `count` projects; each requires backends, and others that come before it."""
    projects = []
    for number in range(count):
        backends = min(number, 8)
        required = set(chance.sample(range(backends), min(backends, chance.randint(1, 3))))
        required.update(chance.sample(range(number), min(number, chance.choice((0, 0, 1, 2, 4)))))
        lines = tuple(f"p{each}" for each in sorted(required))
        projects.append(Project(number, SdistFile(f"/p{number}-1.tar.gz"), f"p{number}", Version("1"), lines, ()))
    return projects


def critical_path(projects: list[Project], seconds: Mapping[int, float]) -> float:
    ends: dict[str, float] = {}
    for project in projects:
        begin = max((ends[line] for line in project.build_requires or ()), default=0.0)
        ends[project.name] = begin + seconds[project.number]
    return max(ends.values())


def simulate(projects: list[Project], seconds: Mapping[int, float], workers: int) -> float:
    engine = SimulatedEngine(seconds)
    graph = Graph(projects, {}, Wheels(lambda name, specifier: None, complete=True))
    with tempfile.TemporaryDirectory() as directory:
        options = scheduler.RunOptions(jobs=workers, cost=lambda project: seconds[project.number])
        outcomes = scheduler.run(graph, engine, directory, BuildOptions(), options)
    assert all(outcome.is_good for outcome in outcomes)
    return engine.now


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    large = stack(2000, chance)
    start = time.process_time()
    graph = Graph(large, {}, Wheels(lambda name, specifier: None, complete=True))
    graph.cycles()
    graph.remaining(lambda number: 1.0)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"2,000 projects: planned in {time.process_time() - start:.2f} s of processor time, {memory:.0f} MiB in all")
    show("75 real sdists", *real())
    show("without Cython and lxml, which are as long as all others", *real(leave_out=("cython", "lxml")))
    projects = stack(400, chance)
    show("400 projects", projects, {project.number: chance.lognormvariate(2, 1.5) for project in projects})


def real(leave_out: tuple[str, ...] = ()) -> tuple[list[Project], dict[int, float]]:
    """The projects of `graph.json`, those that others need before these, and their seconds."""
    told = json.loads(Path(__file__).with_name("graph.json").read_text())
    told = {name: about for name, about in told.items() if name.split()[0] not in leave_out}
    names: list[str] = []
    while len(names) < len(told):
        names += [name for name in told if name not in names and set(told[name]["after"]) <= set(names)]
    projects = []
    for number, each in enumerate(names):
        name, version = each.split()
        lines = tuple(after.split()[0] for after in told[each]["after"])
        projects.append(Project(number, SdistFile(f"/{name}-{version}.tar.gz"), name, Version(version), lines, ()))
    return projects, {number: told[name]["seconds"] for number, name in enumerate(names)}


def show(what: str, projects: list[Project], seconds: Mapping[int, float]) -> None:
    work, path = sum(seconds.values()), critical_path(projects, seconds)
    print(f"{what}, {work:.0f} s of work, critical path {path:.0f} s")
    print("| workers | makespan | lower bound | ratio |\n|---|---|---|---|")
    for workers in WORKERS:
        took, bound = simulate(projects, seconds, workers), max(path, work / workers)
        print(f"| {workers} | {took:.0f} s | {bound:.0f} s | {took / bound:.2f}x |")


if __name__ == "__main__":
    main()
