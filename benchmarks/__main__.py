"""Measure sage-wheels side by side with pip, installer and uv: `python benchmarks [--quick] [GROUP...]`.

The tables are markdown on standard output. What is compared is what the interpreter that runs this has installed (pip,
installer, uv), and the checkout around this file. Times are medians of whole processes, ratios are medians of the
ratios of single rounds, and nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import FULL, QUICK, Bench
from commands import Failed, run
from material import CACHE, Wheels

GROUPS = (
    "small",
    "large",
    "many",
    "locks",
    "scale",
    "history",
    "processor",
    "memory",
    "crash",
    "readers",
    "building",
    "pip",
    "destdir",
    "hostile",
    "limits",
)
_MODULES = {"pip": "pip_front_end"}  # where a group cannot be called like its module


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: some minutes in all")
    parser.add_argument("--dir", default=CACHE, help="where to make prefixes (default: .cache/benchmarks)")
    parser.add_argument("--seed", type=int, help="for the instants of kills")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)} (default: all)")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # such that the directory is removed
    wheels = Wheels()
    work = Path(tempfile.mkdtemp(prefix="work-", dir=options.dir))
    try:
        bench = Bench(work, wheels, QUICK if options.quick else FULL, seed)
        bench.empty_prefix(bench.ours)
        run(bench.ours.recover(), bench.ours.environment)  # the launcher prepares itself the first time
        print_header(bench)
        for group in options.groups or GROUPS:
            begin = time.monotonic()
            importlib.import_module(_MODULES.get(group, group)).measure(bench)
            print(f"benchmarks: {group} took {time.monotonic() - begin:.0f} s", file=sys.stderr)
    except Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def print_header(bench: Bench) -> None:
    versions = ", ".join(f"{each.name} {each.version}" for each in bench.contenders.values() if each.version)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{platform.system()} {platform.release()}, {cores} cores, {file_system(bench.work)}, {python};")
    print(f"{versions}; load at the start {os.getloadavg()[0]:.1f}.\n", flush=True)


def file_system(path: Path) -> str:
    """The type of the file system that `path` is on, where /proc tells."""
    try:
        mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown file system"
    points = {before.split()[4]: after.split()[0] for before, after in mounts}
    return next(points[str(each)] for each in (path, *path.parents) if str(each) in points)


if __name__ == "__main__":
    sys.exit(main())
