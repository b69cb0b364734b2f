"""`sage-wheels pip install` against the very pip that it runs, from a directory of wheels; and for how long it locks.

Nothing is downloaded, so that only what both do is compared: the less pip has to do, the more our part weighs.
"""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from bench import milliseconds
from commands import Trial, paired, run
from contenders import CHECKOUT, copy_package, make_prefix, site_packages
from table import Aim, Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench import Bench

COLUMNS = ("pip", "sage-wheels pip")
MANY = 10

# Only the report tells for how long the lock was held, and the command line keeps that to itself.
LOCKED = """
import json, sys
from sage_wheels.prefix import find_prefix
from sage_wheels.pip.process import install
from sage_wheels.pip.decision import PipOptions
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.archive.strict_zip import WheelLimits
seconds = []
pip_options = PipOptions(CommitOptions(), WheelLimits(), lambda report: seconds.append(report.lock_seconds))
status = install(find_prefix(sys.argv[1]), sys.argv[2:], pip_options)
print(json.dumps(seconds))
sys.exit(status)
"""


def measure(bench: Bench) -> None:
    template = bench.work / "with pip"
    make_prefix(template)
    copy_package("pip", site_packages(template))
    table = Table("the same command line", COLUMNS)
    lines = {
        "install six": _line(bench, "six", [bench.wheels["six==1.16.0"]]),
        f"install {MANY} wheels": _line(bench, "many", bench.wheels.many[:MANY]),
    }
    theirs, ours = bench.work / "pip's", bench.work / "ours"
    commands = (
        (theirs, [str(theirs / "bin/python"), "-m", "pip"]),
        (ours, [str(CHECKOUT / "build/bin/sage-wheels"), "pip", "--prefix", str(ours)]),
    )
    for what, line in lines.items():
        trials = [
            Trial(name, partial(_copy, template, prefix), [*command, *line], bench.ours.environment)
            for name, (prefix, command) in zip(COLUMNS, commands, strict=True)
        ]
        runs = paired(trials, bench.effort.short if what == "install six" else bench.effort.long, warm_up=True)
        table.add(what, milliseconds(runs), [Aim(1.3, "pip")])
    table.end()
    held = Table("lock held", ("longest", "median"), ratios=False)
    prefix = bench.work / "locked prefix"
    for what, line in lines.items():
        times = []
        for _ in range(bench.effort.long):
            _copy(template, prefix)
            command = [sys.executable, "-I", "-c", LOCKED, str(prefix), *line]
            times += [each * 1000 for each in json.loads(run(command, bench.ours.environment).stdout)]
        held.add(what, {"longest": [max(times)], "median": [median(times)]}, [Aim(10.0)])
    held.end()


def _line(bench: Bench, name: str, wheels: Sequence[Path]) -> list[str]:
    """The command line that installs `wheels` by their names."""
    house = bench.work / f"{name} house"
    house.mkdir()
    for each in wheels:
        shutil.copy(each, house)
    options = ["-q", "--disable-pip-version-check", "--no-index", "--no-deps", "--find-links", str(house)]
    return ["install", *options, *(each.name.partition("-")[0] for each in wheels)]


def _copy(template: Path, destination: Path) -> None:
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(template, destination, symlinks=True)
