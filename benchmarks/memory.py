"""Peak memory for a wheel with one very large member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import ALL, mebibytes
from material import make_large_wheel
from table import Aim, Table

if TYPE_CHECKING:
    from bench import Bench

SIZE = 300_000_000


def measure(bench: Bench) -> None:
    table = Table("peak memory", ALL, "MiB")
    for compress in (False, True):
        wheel = make_large_wheel(bench.work, compress=compress, size=SIZE)
        runs = bench.installs([wheel], bench.empty_prefix, 1, warm_up=False)
        table.add(f"one member of 300 MB, {'deflated' if compress else 'stored'}", mebibytes(runs), [Aim(150)])
        wheel.unlink()
        for each in bench.contenders.values():
            each.clear_cache()
            bench.empty_prefix(each)
    table.end()
