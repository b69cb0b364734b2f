"""For how long the prefix lock is held, as the tool itself reports it (pip takes none, uv one for its whole run)."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING

from commands import run
from table import Aim, Table

if TYPE_CHECKING:
    from bench import Bench


def measure(bench: Bench) -> None:
    ours = bench.ours
    table = Table("lock held", ("longest", "median"), ratios=False)
    for name, old, new in (("six", "1.16.0", "1.17.0"), ("networkx", "3.4.2", "3.5"), ("sympy", "1.13.2", "1.13.3")):
        first, second = bench.wheels[f"{name}=={old}"], bench.wheels[f"{name}=={new}"]
        cycle = {
            "install": ours.install([first]),
            "upgrade": ours.install([second]),
            "uninstall": ours.uninstall(name),
        }
        held: dict[str, list[float]] = {what: [] for what in cycle}
        bench.empty_prefix(ours)
        for _ in range(bench.effort.short if name == "six" else bench.effort.long):
            for what, command in cycle.items():
                report = json.loads(run(command, ours.environment).stdout)
                held[what].append(report["lock_seconds"] * 1000)
        for what, times in held.items():
            table.add(f"{what} {name}", {"longest": [max(times)], "median": [median(times)]}, [Aim(5.0)])
    table.end()
