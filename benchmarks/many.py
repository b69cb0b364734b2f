"""All wheels of SageMath in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import ALL, OURS, mebibytes, milliseconds, processor
from table import Aim, Table

if TYPE_CHECKING:
    from bench import Bench
    from contenders import Contender


def measure(bench: Bench) -> None:
    wheels = bench.wheels.many
    rounds = bench.effort.longest
    table = Table(f"{len(wheels)} wheels", ALL)

    def cold(contender: Contender) -> None:
        contender.clear_cache()
        bench.empty_prefix(contender)

    plain = bench.installs(wheels, cold, rounds, bytecode=False, warm_up=False)
    table.add("no byte-code, caches empty", milliseconds(plain), [Aim(0.25, "pip"), Aim(2.0, "uv")])
    again = bench.installs(wheels, bench.empty_prefix, rounds, ("uv", OURS), bytecode=False)
    table.add("no byte-code, again", milliseconds(again))
    linked = bench.installs(
        *(wheels, bench.empty_prefix, rounds, ("uv", OURS)),
        bytecode=False,
        variables={"SAGE_WHEELS_LINK_MODE": "hardlink"},  # as uv's
    )
    table.add("no byte-code, again, hard links", milliseconds(linked), [Aim(1.5, "uv")])
    table.add("the same, processor time", processor(linked), [Aim(1.5, "uv")])
    compiled = bench.installs(wheels, cold, rounds, bytecode=True, warm_up=False)
    table.add("with byte-code, caches empty", milliseconds(compiled))
    again = bench.installs(wheels, bench.empty_prefix, rounds, ("uv", OURS), bytecode=True)
    table.add("with byte-code, again", milliseconds(again), [Aim(1.0, "uv", strict=True)])
    table.end()

    table = Table("peak memory", ALL, "MiB")
    table.add(f"{len(wheels)} wheels, no byte-code", mebibytes(plain), [Aim(150)])
    table.add(f"{len(wheels)} wheels, with byte-code", mebibytes(compiled), [Aim(150)])
    table.end()
