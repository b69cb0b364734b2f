"""What the groups of measurements share: the contenders, their prefixes, and how they are set against each other."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from commands import Run, Trial, paired, run
from contenders import Contender, Installer, Pip, SageWheels, Uv, make_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from material import Wheels

PEERS = ("pip", "installer", "uv")
OURS = "sage-wheels"
ALL = (*PEERS, OURS)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: rounds of what takes milliseconds, seconds, and more; kills; seconds of reading."""

    short: int
    long: int
    longest: int
    kills: int
    reading: float


QUICK = Effort(short=5, long=2, longest=1, kills=8, reading=6)
FULL = Effort(short=15, long=4, longest=3, kills=100, reading=40)


class Bench:
    """The contenders by name, below `work`, which is empty at first; `seed` is for whatever is random."""

    def __init__(self, work: Path, wheels: Wheels, effort: Effort, seed: int) -> None:
        self.work = work
        self.wheels = wheels
        self.effort = effort
        self.seed = seed
        self.ours = SageWheels(work)
        self.pip = Pip(work)
        self.contenders: dict[str, Contender] = {
            each.name: each for each in (self.pip, Installer(work), Uv(work), self.ours)
        }
        self._empty = work / "empty"
        make_prefix(self._empty)

    def installs(
        self,
        wheels: Sequence[Path],
        prepare: Callable[[Contender], object],
        rounds: int,
        names: Sequence[str] = ALL,
        *,
        bytecode: bool | None = None,
        warm_up: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> dict[str, list[Run]]:
        """Measure how each contender installs `wheels`, each time after `prepare`; `variables` are more for all."""
        commands = {name: self.contenders[name].install(wheels, bytecode=bytecode) for name in names}
        return self._measure(commands, prepare, rounds, warm_up, variables)

    def uninstalls(
        self, distribution: str, prepare: Callable[[Contender], object], rounds: int
    ) -> dict[str, list[Run]]:
        """Measure how each contender that can uninstalls a distribution, each time after `prepare`."""
        commands = {name: each.uninstall(distribution) for name, each in self.contenders.items()}
        return self._measure(commands, prepare, rounds, warm_up=True)

    def _measure(
        self,
        commands: Mapping[str, list[str] | None],
        prepare: Callable[[Contender], object],
        rounds: int,
        warm_up: bool,
        variables: Mapping[str, str] | None = None,
    ) -> dict[str, list[Run]]:
        trials = []
        for name, command in commands.items():
            each = self.contenders[name]
            if command is not None:
                environment = {**each.environment, **(variables or {})}
                trials.append(Trial(name, partial(prepare, each), command, environment))
        return paired(trials, rounds, warm_up=warm_up)

    def empty_prefix(self, contender: Contender) -> None:
        """Give a contender a new prefix, at the path that it always has."""
        self._copy(self._empty, contender)

    def prefix_with(self, wheel: Path) -> Callable[[Contender], None]:
        """Something that gives a contender a prefix into which it has installed `wheel`, byte-code by its habit."""

        def prepare(contender: Contender) -> None:
            template = contender.home / wheel.name
            if not template.exists():
                self.empty_prefix(contender)
                run(contender.install([wheel]), contender.environment)
                contender.prefix.rename(template)
            self._copy(template, contender)

        return prepare

    @staticmethod
    def _copy(template: Path, contender: Contender) -> None:
        shutil.rmtree(contender.prefix, ignore_errors=True)
        shutil.copytree(template, contender.prefix, symlinks=True)


def milliseconds(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    return {name: [each.seconds * 1000 for each in several] for name, several in runs.items()}


def processor(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    return {name: [each.processor * 1000 for each in several] for name, several in runs.items()}


def mebibytes(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    return {name: [each.peak / (1 << 20) for each in several] for name, several in runs.items()}
