"""A stack of sdists in one call, beside pip, and on a Dask cluster of two workers.

    python benchmarks/stack.py SDISTS WHEELS [JOBS]

SDISTS and WHEELS are directories: what is built, and the wheels of what that needs to be built (no index is asked). One
line each for `sage-wheels build -jJOBS` (2) with an empty store, the same on a scheduler and as many workers of one
slot on the loopback interface (if `distributed` is installed), and `pip wheel --no-deps`; then the ratios, and the
greater of the critical path and of work / JOBS beside it. The seconds of processors, of all processes together, are
printed, too, because they depend less on what else the machine does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from contenders import CHECKOUT


class Spent(NamedTuple):
    """Seconds of the clock, and of processors."""

    wall: float
    processor: float


class Bench:
    def __init__(self, work: Path, sdists: list[Path], wheels: Path, jobs: int) -> None:
        self.work = work
        self.sdists = sdists
        self.wheels = wheels
        self.jobs = jobs
        self.environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        for name in ("MAKEFLAGS", "PIP_FIND_LINKS", "SAGE_WHEELS_STORE"):
            self.environ.pop(name, None)

    def ours(self, name: str, *options: str) -> Spent:
        place = self.work / name
        command = [sys.executable, "-m", "sage_wheels", "build", "-k", f"-j{self.jobs}", "-w", str(place / "wheels")]
        command += ["--find-links", str(self.wheels), "--cache-dir", str(place / "cache"), *options]
        command += ["--timings", str(place / "timings.html"), "--report", str(place / "report.json")]
        place.mkdir()
        spent = _measured(lambda: self._run([*command, *map(str, self.sdists)]))
        self._count(place / "wheels", name)
        return spent

    def pip(self) -> Spent:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-cache-dir"]
        command += ["--find-links", str(self.wheels), "-w", str(self.work / "pip"), *map(str, self.sdists)]
        spent = _measured(lambda: self._run(command))
        self._count(self.work / "pip", "pip")
        return spent

    def dask(self) -> Spent:
        """Of the client alone; the workers are there before it begins."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        store = self.work / "store"
        store.mkdir()
        own = {"SAGE_WHEELS_STORE": store.as_uri(), "SAGE_WHEELS_STORE_MODE": "both"}
        module = [sys.executable, "-m"]
        with contextlib.ExitStack() as stack:
            scheduler = ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard", "--no-show"]
            self._start(stack, [*module, *scheduler])
            for number in range(self.jobs):
                worker = ["distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1"]
                cache = {"XDG_CACHE_HOME": str(self.work / f"worker-{number}")}
                self._start(stack, [*module, *worker, "--local-directory", str(self.work / "dask")], **own, **cache)
            _until_there(address, self.jobs)
            return self.ours(
                "on-dask", "--engine", f"dask:{address}", "--store", store.as_uri(), "--store-mode", "both"
            )

    def _start(self, stack: contextlib.ExitStack, command: list[str], **more: str) -> None:
        process = subprocess.Popen(command, env={**self.environ, **more}, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.send_signal, signal.SIGTERM)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, cwd=self.work)
        if done.returncode:
            sys.exit(f"{' '.join(command[:6])} ... failed:\n{done.stderr[-3000:]}")

    def _count(self, wheels: Path, name: str) -> None:
        count = len(list(wheels.glob("*.whl")))
        assert count == len(self.sdists), f"{name} built {count} of {len(self.sdists)}"


def _until_there(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


def _measured(work: Callable[[], object]) -> Spent:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _bound(entries: list[dict[str, Any]], jobs: int) -> tuple[float, float]:
    """The critical path, and the work of all builds divided by `jobs`, in seconds."""
    name = {id(each): f"{each['name']} {each['version']}" for each in entries}
    took = {name[id(each)]: each["ended"] - each["began"] for each in entries}
    after = {name[id(each)]: each["after"] for each in entries}
    longest: dict[str, float] = {}

    def of(project: str) -> float:
        if project not in longest:
            longest[project] = took[project] + max(map(of, after[project]), default=0.0)
        return longest[project]

    return max(map(of, took)), sum(took.values()) / jobs


def main() -> None:
    sdists = sorted(each for each in Path(sys.argv[1]).resolve().iterdir() if each.name.endswith((".tar.gz", ".zip")))
    wheels, jobs = Path(sys.argv[2]).resolve(), int(sys.argv[3]) if len(sys.argv) > 3 else 2
    work = Path(tempfile.mkdtemp(prefix="stack-"))
    try:
        bench = Bench(work, sdists, wheels, jobs)
        found = {"sage-wheels": bench.ours("alone")}
        if importlib.util.find_spec("distributed"):
            found["sage-wheels on Dask"] = bench.dask()
        found["pip wheel"] = bench.pip()
        path, share = _bound(json.loads((work / "alone" / "timings.json").read_text()), jobs)
    finally:
        shutil.rmtree(work)
    print(f"{len(sdists)} sdists at -j{jobs}; load at the end {os.getloadavg()[0]:.1f}")
    ours = found["sage-wheels"]
    for name, spent in found.items():
        seen = f"{name}: {spent.wall:.1f} s"
        seen += (
            f", {spent.processor:.1f} s of processors" if "Dask" not in name else ""
        )  # those of workers are not ours
        ratio = spent.wall / ours.wall if "Dask" in name else ours.wall / spent.wall
        print(seen if spent is ours else f"{seen}; ratio {ratio:.2f}")
    print(f"critical path {path:.1f} s, work / {jobs} {share:.1f} s; ratio {ours.wall / max(path, share):.2f}")


if __name__ == "__main__":
    main()
