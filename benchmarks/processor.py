"""Processor time of upgrades and removals of many files, above that of a Python that does nothing.

Whoever hashes every file that goes, to see whether it was edited, pays for it here.
"""

from __future__ import annotations

import shutil
import sys
from statistics import median
from typing import TYPE_CHECKING

from bench import OURS
from commands import run
from material import make_wheel_of_many
from table import Aim, Table

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench

PEERS = ("pip", "uv")
_EMPTY = [sys.executable, "-I", "-S", "-c", "pass"]


def measure(bench: Bench) -> None:
    table = Table("processor time, no byte-code", (*PEERS, OURS))
    for files, rounds in ((1500, bench.effort.short), (60_000, bench.effort.longest)):
        times = _cycles(bench, f"files{files}", (*PEERS, OURS), rounds, files=files)
        table.add(f"upgrade {files:,} files", times["upgrade"], [Aim(1.0, "pip")])
        table.add(f"uninstall {files:,} files", times["uninstall"], [Aim(2.0, "uv")])
    # pip takes half a minute for these
    times = _cycles(bench, "scripts", ("uv", OURS), bench.effort.longest, scripts=20_000)
    table.add("uninstall 20,000 entry points", times["uninstall"], [Aim(4.0, "uv")])
    table.end()


def _cycles(
    bench: Bench, name: str, contenders: tuple[str, ...], rounds: int, *, files: int = 0, scripts: int = 0
) -> dict[str, dict[str, list[float]]]:
    """Install, upgrade and uninstall a wheel of that many files, one contender after the other; milliseconds."""
    wheels = [make_wheel_of_many(bench.work, name, version, files=files, scripts=scripts) for version in ("1", "2")]
    environment = bench.ours.environment
    empty = median(run(_EMPTY, environment).processor for _ in range(bench.effort.short))
    times: dict[str, dict[str, list[float]]] = {"upgrade": {}, "uninstall": {}}
    for number in range(rounds):
        for each in contenders if number % 2 == 0 else contenders[::-1]:
            for what, seconds in _cycle(bench, each, wheels, name).items():
                above = seconds if each == "uv" else seconds - empty  # uv starts no Python
                times[what].setdefault(each, []).append(above * 1000)
    for path in wheels:
        path.unlink()
    return times


def _cycle(bench: Bench, name: str, wheels: list[Path], distribution: str) -> dict[str, float]:
    contender = bench.contenders[name]
    bench.empty_prefix(contender)
    old, new = (contender.install([each], bytecode=False) for each in wheels)
    run(old, contender.environment)
    result = {"upgrade": run(new, contender.environment).processor}
    result["uninstall"] = run(contender.uninstall(distribution) or [], contender.environment).processor
    shutil.rmtree(contender.prefix)
    return result
