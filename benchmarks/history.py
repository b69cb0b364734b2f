"""What a history costs, how long an undo takes, and how long the commands that read a prefix of many distributions."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

from bench import OURS, milliseconds
from commands import Run, Trial, paired, run
from material import make_full_prefix
from table import Aim, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench import Bench

COUNT = 1000


def measure(bench: Bench) -> None:
    _cost(bench)
    _undo(bench)
    _reading(bench)


def _cost(bench: Bench) -> None:
    """Whole processes with the history on against off."""
    columns = ("history off", "history on")
    table = Table(OURS, columns)
    for name, old, new in (("six", "1.16.0", "1.17.0"), ("sympy", "1.13.2", "1.13.3")):
        wheels = bench.wheels[f"{name}=={old}"], bench.wheels[f"{name}=={new}"]
        for what, wheel, before in (
            ("install", wheels[0], bench.empty_prefix),
            ("upgrade", wheels[1], bench.prefix_with(wheels[0])),
        ):
            ours = bench.ours
            trials = [
                Trial(
                    column,
                    partial(before, ours),
                    [*ours.install([wheel]), *(["--history", "0"] if column == columns[0] else [])],
                    ours.environment,
                )
                for column in columns
            ]
            rounds = bench.effort.short if name == "six" else bench.effort.long
            table.add(f"{what} {name}", milliseconds(paired(trials, rounds)), [Aim(1.03, columns[0])])
    table.end()


def _undo(bench: Bench) -> None:
    """The undo of an upgrade of sympy; with each, an interpreter that does nothing."""
    ours = bench.ours
    old, new = bench.wheels["sympy==1.13.2"], bench.wheels["sympy==1.13.3"]
    bench.prefix_with(old)(ours)
    run(ours.install([new]), ours.environment)
    upgraded = ours.home / "upgraded"
    ours.prefix.rename(upgraded)

    def prepare() -> None:
        shutil.rmtree(ours.prefix, ignore_errors=True)
        shutil.copytree(upgraded, ours.prefix, symlinks=True)

    # one undo, and then undos of undos: in a copied prefix no file has the inode that the history knows
    prepare()
    run(ours.undo(), ours.environment)
    empty = [sys.executable, "-I", "-S", "-c", ""]
    trials = [
        Trial(name, lambda: None, command, ours.environment)
        for name, command in (("empty Python", empty), (OURS, ours.undo()))
    ]
    runs = paired(trials, bench.effort.short)
    times = milliseconds(runs)
    over = [own - other for own, other in zip(times[OURS], times["empty Python"], strict=True)]
    table = Table("undo of an upgrade of sympy", (OURS,), ratios=False)
    table.add("whole process, over an empty Python", {OURS: over}, [Aim(60)])
    table.add("the lock", {OURS: _locked(runs[OURS])}, [Aim(5)])
    table.end()


def _locked(runs: Sequence[Run]) -> list[float]:
    return [1000 * json.loads(each.stdout)["lock_seconds"] for each in runs]


def _reading(bench: Bench) -> None:
    """What is there: a thousand distributions."""
    prefix = bench.work / "history-full"
    make_full_prefix(prefix, COUNT)
    ours, pip = bench.ours, bench.pip
    for each in (ours, pip):
        each.prefix = prefix
    six = bench.wheels["six==1.16.0"]
    run(ours.install([six]), ours.environment)
    trials = [
        Trial(name, lambda: None, command, each.environment)
        for name, each, command in (
            ("pip list", pip, pip.ask("list")),
            ("pip check", pip, pip.ask("check")),
            *((f"{OURS} {name}", ours, ours.ask(*name.split())) for name in ("history", "why six", "check")),
        )
    ]
    times = milliseconds(paired(trials, bench.effort.short))
    for each in (ours, pip):
        each.prefix = each.home / "prefix"
    table = Table(f"{COUNT:,} distributions", ("pip list", "pip check", OURS))
    for name in ("history", "why six", "check"):
        samples = {OURS: times[f"{OURS} {name}"], **{peer: times[peer] for peer in ("pip list", "pip check")}}
        table.add(name, samples, [Aim(150), Aim(0.3, "pip list"), Aim(0.3, "pip check")])
    table.end()
