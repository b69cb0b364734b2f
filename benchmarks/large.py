"""One large package, sympy; an upgrade of one of middling size, networkx; wheels with large members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import ALL, OURS, milliseconds
from table import Aim, Table

if TYPE_CHECKING:
    from bench import Bench
    from contenders import Contender


def measure(bench: Bench) -> None:
    sympy = bench.wheels["sympy==1.13.3"]
    rounds = bench.effort.long
    table = Table("sympy, networkx", ALL)

    def cold(contender: Contender) -> None:
        contender.clear_cache()
        bench.empty_prefix(contender)

    for bytecode in (False, True):
        runs = bench.installs([sympy], cold, rounds, bytecode=bytecode, warm_up=False)
        table.add(f"install sympy, {'with' if bytecode else 'no'} byte-code, caches empty", milliseconds(runs))
    for bytecode in (False, True):
        runs = bench.installs([sympy], bench.empty_prefix, rounds, ("uv", OURS), bytecode=bytecode)
        aims = [Aim(1.0, "uv", strict=True)] if bytecode else []
        table.add(f"install sympy, {'with' if bytecode else 'no'} byte-code, again", milliseconds(runs), aims)
    runs = bench.uninstalls("sympy", bench.prefix_with(sympy), rounds)
    table.add("uninstall sympy", milliseconds(runs))

    old, new = bench.wheels["networkx==3.4.2"], bench.wheels["networkx==3.5"]
    upgrading = ("pip", "uv", OURS)  # installer does not remove the old version
    for bytecode in (False, True):
        runs = bench.installs([new], bench.prefix_with(old), rounds, upgrading, bytecode=bytecode)
        table.add(f"upgrade networkx, {'with' if bytecode else 'no'} byte-code, again", milliseconds(runs))
    for wheel in bench.wheels.binary:
        runs = bench.installs([wheel], cold, rounds, bytecode=False, warm_up=False)
        what = f"install {wheel.name.split('-')[0]}, no byte-code, caches empty"
        table.add(what, milliseconds(runs), [Aim(0.8 if bench.ours.has_fast_inflater() else 1.2, "uv")])
    table.end()
