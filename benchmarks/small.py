"""The whole process for one small wheel: what a package script pays that calls the tool once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import ALL, milliseconds
from table import Aim, Table

if TYPE_CHECKING:
    from bench import Bench
    from contenders import Contender


def measure(bench: Bench) -> None:
    six = bench.wheels["six==1.16.0"]
    table = Table("six", ALL)

    def prepare(contender: Contender) -> None:
        bench.empty_prefix(contender)
        if contender is bench.ours:
            contender.clear_cache()  # uv keeps its own, and with it what it has found out about the interpreter

    for bytecode in (False, True):
        runs = bench.installs([six], prepare, bench.effort.short, bytecode=bytecode)
        what = f"install six, {'with' if bytecode else 'no'} byte-code"
        table.add(what, milliseconds(runs), [Aim(1.0, "installer"), Aim(0.25, "pip")])
    runs = bench.uninstalls("six", bench.prefix_with(six), bench.effort.short)
    table.add("uninstall six", milliseconds(runs), [Aim(0.25, "pip")])
    table.end()
