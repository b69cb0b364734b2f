"""Promises 1 and 2 in a crowd: many processes change one prefix, and the result is what some serial order gives.

That is tested by what there is in the end (the same that installing the survivors one after the other gives, file by
file, mode by mode) and by what the processes say that they did: taken together, every version came as often as it went.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.transaction.install import InstallOptions
from support import chance, crowd
from support.puppet import child_environment
from support.run import names
from support.trees import Tree, difference, faded, leftovers, make_prefix, set_aside, snapshot

pytestmark = pytest.mark.once

PROCESSES = 16
KILLS = 40


@pytest.fixture
def seed() -> int:
    return chance.seed("CROWD_SEED")


class Crowd:
    """Processes in one prefix, each of which does `count` commands, by `seed`. Use it as a context manager."""

    def __init__(self, directory: Path, seed: int, count: int) -> None:
        self.prefix, self.wheels = make_prefix(directory), directory / "wheels"
        self.empty = snapshot(self.prefix)
        self.logs: list[Path] = []
        self.processes: list[subprocess.Popen[str]] = []
        self._seed, self._count = seed, count
        crowd.make_wheels(self.wheels)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:  # only after a failure
            process.kill()
            process.communicate()

    def start(self) -> None:
        number = len(self.logs)
        self.logs.append(self.wheels.parent / f"log{number}")
        arguments = [self.prefix, self.wheels, f"{self._seed} {number}", self._count, self.logs[-1]]
        command = [sys.executable, "-B", crowd.__file__, *map(str, arguments)]
        pipe = subprocess.PIPE
        self.processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=child_environment()))

    def kill(self, numbers: random.Random) -> bool:
        """Kill one of the processes; False if it had finished already."""
        victim = numbers.choice(self.processes)
        assert victim.stdout
        victim.stdout.readline()  # it has started
        time.sleep(numbers.random() * 0.04)
        victim.kill()
        _, err = victim.communicate()
        self.processes.remove(victim)
        assert victim.returncode in (0, -signal.SIGKILL), err
        return victim.returncode != 0

    def wait(self) -> None:
        while self.processes:
            _, err = self.processes[-1].communicate()
            assert self.processes.pop().returncode == 0, err

    def check(self) -> None:
        """What there is in the end is what some serial order gives; and it can all be removed again."""
        end = snapshot(self.prefix)
        there = versions(self.prefix)
        assert leftovers(self.prefix) == []
        assert set_aside(self.prefix) == {}
        assert len({there.get(name) for name in crowd.TWINS}) == 1, there
        assert not there.keys() >= set(crowd.RIVALS)
        for name in there:
            assert sage_wheels.verify(name, self.prefix) == []
        self._same(end, self._serially(there))
        self._same(self.empty, self._serially({}))

    def _serially(self, wanted: dict[str, str]) -> Tree:
        """What installing these versions into an empty prefix, one after the other, gives."""
        sage_wheels.uninstall(list(versions(self.prefix)), self.prefix)
        for name, version in wanted.items():
            options = InstallOptions(compile_bytecode=crowd.compiled(name))
            sage_wheels.install([str(crowd.wheel(self.wheels, name, version))], self.prefix, options)
        assert leftovers(self.prefix) == []
        return snapshot(self.prefix)

    def _same(self, one: Tree, other: Tree) -> None:
        differences = difference(faded(one), faded(other))
        assert not differences, "\n".join(differences)


def versions(prefix: Path) -> dict[str, str]:
    """What is installed; fails if something is installed twice."""
    found = [each.split(" ") for each in names(prefix)]
    assert len({name for name, _ in found}) == len(found), found
    return dict(found)


def test_sixteen_processes_at_once(tmp_path: Path, seed: int) -> None:
    """Nobody is killed, so it is known to the last step what was done."""
    with Crowd(tmp_path, seed, count=12) as crew:
        for _ in range(PROCESSES):
            crew.start()
        crew.wait()
        history = crowd.history(crew.logs)
        assert history.done == PROCESSES * 12
        assert not history.unknown
        there = versions(crew.prefix)
        for name in crowd.NAMES:
            for version in ("", *crowd.VERSIONS):
                expected = (there.get(name, "") == version) - (version == "")
                assert history.balance.get((name, version), 0) == expected, f"{name} {version}"
        crew.check()
    print(f"{history.done} commands, {history.refused} refused; in the end {there}")


def test_sixteen_processes_of_which_many_are_killed(tmp_path: Path, seed: int) -> None:
    """Whoever is killed at whatever instant, the others go on, and no transaction is there by half."""
    numbers = random.Random(seed)
    with Crowd(tmp_path, seed, count=10) as crew:
        for _ in range(PROCESSES):
            crew.start()
        killed = 0
        while killed < KILLS:
            killed += crew.kill(numbers)
            crew.start()
        crew.wait()
        sage_wheels.recover(crew.prefix)
        history = crowd.history(log for log in crew.logs if log.exists())
        there = versions(crew.prefix)
        for name in crowd.NAMES:
            # a killed process may have done its last command, or not
            doubtful = sum(name in command for command in history.unknown)
            for version in ("", *crowd.VERSIONS):
                expected = (there.get(name, "") == version) - (version == "")
                assert abs(history.balance.get((name, version), 0) - expected) <= doubtful, f"{name} {version}"
        crew.check()
    print(f"{killed} killed, {len(history.unknown)} of them at work; in the end {there}")
