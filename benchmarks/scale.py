"""Does it matter how much is installed already?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import OURS
from commands import run
from contenders import make_prefix
from material import make_full_prefix
from table import Aim, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench import Bench
    from contenders import Contender

COUNT = 1000


def measure(bench: Bench) -> None:
    columns = ("empty prefix", f"{COUNT:,} distributions")
    table = Table("six", columns)
    paths = {columns[0]: bench.work / "scale-empty", columns[1]: bench.work / "scale-full"}
    make_prefix(paths[columns[0]])
    make_full_prefix(paths[columns[1]], COUNT)
    for name in ("pip", "uv", OURS):
        contender = bench.contenders[name]
        times: dict[str, dict[str, list[float]]] = {}
        for number in range(bench.effort.short + 1):
            for column, prefix in sorted(paths.items(), reverse=bool(number % 2)):
                contender.prefix = prefix
                for what, milliseconds in _cycle(bench, contender):
                    if number:  # the first round fills caches
                        times.setdefault(what, {}).setdefault(column, []).append(milliseconds)
                    elif name == OURS and column == columns[1] and what == "install":
                        first = milliseconds
        contender.prefix = contender.home / "prefix"
        for what, samples in times.items():
            table.add(f"{name}: {what}", samples, [Aim(1.2, columns[0])] if name == OURS else [])
    table.add(f"{OURS}: the very first install there", {columns[1]: [first]})
    table.end()


def _cycle(bench: Bench, contender: Contender) -> Iterator[tuple[str, float]]:
    """Install, upgrade, uninstall: the prefix is as it was at the end."""
    old, new = bench.wheels["six==1.16.0"], bench.wheels["six==1.17.0"]
    commands = {"install": contender.install([old]), "upgrade": contender.install([new])}
    for what, command in {**commands, "uninstall": contender.uninstall("six")}.items():
        if command:
            yield what, run(command, contender.environment).seconds * 1000
