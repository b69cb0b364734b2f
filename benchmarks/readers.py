"""Fresh imports while one upgrade follows the other without pause: how many fail?"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from bench import OURS
from commands import Failed, complaint, run
from table import Aim, Table

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from contenders import Contender


def measure(bench: Bench) -> None:
    old, new = bench.wheels["networkx==3.4.2"], bench.wheels["networkx==3.5"]
    columns = ("pip", "uv", OURS)
    table = Table("fresh imports of networkx that fail", columns, "%", ratios=False)
    for what, wheels in (("upgrades and downgrades, 3.4.2 and 3.5", [old, new]), ("reinstalls of 3.5", [new])):
        shares: dict[str, list[float]] = {}
        counts = []
        for name in columns:
            failed, imports, changes = _read(bench, bench.contenders[name], wheels)
            shares[name] = [100 * failed / imports]
            counts.append(f"{name} {failed} of {imports} during {changes}")
        table.add(f"{what} without pause ({', '.join(counts)})", shares, [Aim(0)])
    table.end()


def _read(bench: Bench, contender: Contender, wheels: list[Path]) -> tuple[int, int, int]:
    """Failed imports, all imports, installations meanwhile."""
    bench.prefix_with(wheels[0])(contender)
    stop = threading.Event()
    changes = 0
    errors: list[Failed] = []

    def change() -> None:
        nonlocal changes
        for wheel in itertools.cycle(reversed(wheels)):
            if stop.is_set():
                return
            try:
                run(contender.install([wheel], again=True), contender.environment)
            except Failed as error:
                errors.append(error)
                return
            changes += 1

    writer = threading.Thread(target=change)
    writer.start()
    said: Counter[str] = Counter()
    end = time.monotonic() + bench.effort.reading
    command = [contender.python, "-I", "-B", "-c", "import networkx"]
    while time.monotonic() < end and writer.is_alive():
        said[complaint(command, contender.environment)] += 1
    stop.set()
    writer.join()
    if errors:
        raise errors[0]
    for what, count in said.items():
        if what and contender is bench.ours:
            print(f"benchmarks: {count} imports failed: {what}", file=sys.stderr)
    return said.total() - said[""], said.total(), changes
