"""What a build costs beside its backend: many trivial projects in one call.

    python benchmarks/trivial.py [COUNT] [JOBS]

COUNT (300) projects with a backend of their own that writes a small wheel, in one call at -jJOBS (1). The backend's own
time is measured in the same run, in two ways: a Python that starts, imports the backend and calls its two hooks; and a
Python for each hook, as PEP 517 asks of every frontend. The seconds of processors, of all processes together, are
printed, too, because they depend less on what else the machine does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "tests"))
from support.projects import make_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMPORT = """
import sys
sys.path.insert(0, "backend")
import tiny
"""
_HOOKS = ("tiny.get_requires_for_build_wheel()", "tiny.build_wheel(sys.argv[1])")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    jobs = sys.argv[2] if len(sys.argv) > 2 else "1"
    with tempfile.TemporaryDirectory(prefix="trivial-") as directory:
        work = Path(directory)
        trees = [make_tree(work / "src" / f"p{number}", f"p{number}", "1.0") for number in range(count)]
        environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        tool = [sys.executable, "-m", "sage_wheels", "build", "-j", jobs, "-w", f"{work}/ours"]
        tool += ["--cache-dir", f"{work}/c", *map(str, trees)]
        ours = _measured(lambda: subprocess.run(tool, env=environ, capture_output=True, check=True))
        together = _measured(lambda: _by_themselves(trees, f"{work}/together", ["\n".join(_HOOKS)]))
        apart = _measured(lambda: _by_themselves(trees, f"{work}/apart", _HOOKS))
        assert all(len(os.listdir(work / name)) == count for name in ("ours", "together", "apart"))
    print(f"sage-wheels: {ours[0]:.1f} s, {ours[1]:.1f} s of processors")
    baselines = {"both hooks in one process": together, "a process for each hook": apart}
    for name, alone in baselines.items():
        each = [1000 * (one - other) / count for one, other in zip(ours, alone, strict=True)]
        print(f"the backends alone, {name}: {alone[0]:.1f} s, {alone[1]:.1f} s of processors")
        print(f"  {count} projects at -j{jobs}: {each[0]:.0f} ms each over that, {each[1]:.0f} ms of processors")


def _by_themselves(trees: list[Path], wheels: str, programs: Sequence[str]) -> None:
    os.mkdir(wheels)
    for tree in trees:
        for program in programs:
            subprocess.run([sys.executable, "-c", _IMPORT + program, wheels], cwd=tree, check=True)


def _measured(work: object) -> tuple[float, float]:
    assert callable(work)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, spent


if __name__ == "__main__":
    main()
