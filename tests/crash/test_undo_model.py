"""Promise 10: random histories against a model that keeps whole snapshots: undo leads back to each of them.

Installs, upgrades, removals and undos, some of them killed at a random operation; people who edit, add and delete
files; pip, which leaves no entry. After `undo --to N` the tree is what it was before number N + 1, but where somebody
else has changed it since; and whatever these have written is in the tree or was set aside. Each sequence has its seed
in the name of the test.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.puppet import Command, Outcome, Puppet
from support.trees import STATE, Tree, difference, leftovers, make_prefix, site_packages, snapshot
from support.wheels import changing, make_wheel

NAMES = ("alpha", "beta", "gamma")
VERSIONS = ("1", "2", "3")
STEPS = 22
LAST_OPERATION = 120
# Directories that whoever installs makes if they are not there, and nobody need remove.
ABOVE = ("share", "bin", "site-packages", "__pycache__")

happened: Counter[str] = Counter()


def wheel_of(directory: Path, name: str, version: str) -> str:
    files, data = changing(name, version)
    return str(make_wheel(directory, name, version, files, data=data, entry_points={f"{name}-run": f"{name}:run"}))


class Model:
    """A prefix and what is known of it: by number of entry, the tree before it and the number of the step."""

    def __init__(self, puppet: Puppet, directory: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.puppet = puppet
        self.wheels = {(n, v): wheel_of(directory / "wheels", n, v) for n in NAMES for v in VERSIONS}
        self.prefix = make_prefix(directory)
        self.before: dict[int, Tree] = {}
        self.step_of: dict[int, int] = {}
        self.touched: list[tuple[int, str]] = []
        self.foreign: list[tuple[int, str]] = []
        self.step = 0
        self.serial = 0

    def numbers(self) -> list[int]:
        directory = self.prefix / STATE / "history"
        names = os.listdir(directory) if directory.is_dir() else []
        return sorted(int(name.partition("-")[0]) for name in names if not name.endswith(".undone"))

    # --- commands ---

    def run(self, command: Command) -> tuple[Outcome, Tree]:
        """Run a command, kill it perhaps, and recover; all or nothing of it was done. Also the tree before."""
        before, known = snapshot(self.prefix), self.numbers()
        at = self.random.randint(1, LAST_OPERATION) if self.random.random() < 0.35 else 0
        outcome = self.puppet.run(command._replace(history=1000).killed(at))
        if outcome.killed:
            happened["killed"] += 1
            recovered = self.puppet.run(Command("recover", str(self.prefix), history=1000))
            assert recovered.status == 0, recovered
        assert leftovers(self.prefix) == []
        new = [each for each in self.numbers() if each not in known]
        assert len(new) <= 1
        for number in new:
            self.before[number], self.step_of[number] = before, self.step
            happened["killed, and new"] += outcome.killed
        if not new:
            assert difference(before, snapshot(self.prefix)) == []
            happened["killed, and old"] += outcome.killed
        return outcome, before

    def install(self) -> None:
        names = self.random.sample(NAMES, self.random.choice((1, 1, 2)))
        items = [self.wheels[name, self.random.choice(VERSIONS)] for name in names]
        self.run(Command("install", str(self.prefix), items, reinstall=self.random.random() < 0.3, overwrite=True))

    def uninstall(self) -> None:
        self.run(Command("uninstall", str(self.prefix), [self.random.choice(NAMES)]))

    def undo_to(self) -> None:
        numbers = self.numbers()
        if not numbers:
            return
        target = self.random.choice([0, *numbers[-8:-1]] if len(numbers) < 8 else numbers[-8:-1])
        later = next(each for each in numbers if each > target)
        self.undo(Command("undo", str(self.prefix), to=target), later)

    def undo_last(self) -> None:
        numbers = self.numbers()
        if numbers:
            self.undo(Command("undo", str(self.prefix)), numbers[-1])

    def undo_one(self) -> None:
        """A transaction in the middle: undone or refused, and back again."""
        numbers = self.numbers()
        if not numbers:
            return
        outcome, before = self.run(Command("undo", str(self.prefix), [str(self.random.choice(numbers[-6:]))]))
        if outcome.status == 0 and self.numbers() != numbers:
            happened["undone in the middle"] += 1
            between, known = snapshot(self.prefix), self.numbers()
            again = self.puppet.run(Command("undo", str(self.prefix), history=1000, force=True))
            assert again.status == 0, again
            for number in set(self.numbers()) - set(known):
                self.before[number], self.step_of[number] = between, self.step
            self.compare(before, self.step)

    def undo(self, command: Command, later: int) -> None:
        force = self.random.random() < 0.5
        written = self.written()
        outcome, before = self.run(command._replace(force=force))
        since = self.step_of[later]
        if outcome.killed and difference(before, snapshot(self.prefix)) == []:
            return
        if outcome.status == 1:
            assert outcome.error == "Conflict", f"{outcome.error}: {outcome.text}"
            if "in one transaction" in outcome.text:
                happened["not in one transaction"] += 1
                return
            assert any(step >= since for step, _ in self.touched + self.foreign), outcome.text
            happened["refused"] += 1
            return
        happened["undone"] += 1
        self.compare(self.before[later], since)
        found = {path.read_bytes() for path in self.prefix.rglob("*") if path.is_file() and not path.is_symlink()}
        lost = [path for path, content in written.items() if content not in found]
        assert lost == [], f"lost: {lost}"

    def written(self) -> dict[str, bytes]:
        """What people have written that is there now."""
        paths = {path for _, path in self.touched if (self.prefix / path).is_file()}
        contents = {path: (self.prefix / path).read_bytes() for path in paths}
        return {path: content for path, content in contents.items() if content.startswith(b"people")}

    def compare(self, expected: Tree, since: int) -> None:
        """The tree is as expected, but where others have changed something since that step."""
        touched = {path for step, path in self.touched if step >= since}
        touched |= {above for path in touched for above in ancestors(path)}
        of_pip = tuple({name for step, name in self.foreign if step >= since})
        happened["undone behind pip"] += bool(of_pip)
        now = snapshot(self.prefix)
        # pip takes away what others share; that a RECORD has it is then all that is known of it
        touched |= {path for path in {*expected, *now} if self.foreign and is_shared(path)}
        one = {path: each for path, each in expected.items() if not hidden(path, touched, of_pip)}
        other = {path: each for path, each in now.items() if not hidden(path, touched, of_pip)}
        if different := difference(one, other):
            raise AssertionError("the tree is not what it was:\n" + "\n".join(different))

    # --- people, and pip ---

    def people(self) -> None:
        site = site_packages(self.prefix).relative_to(self.prefix).as_posix()
        name = self.random.choice(NAMES)
        candidates = [f"{site}/{name}/notes.txt", f"{site}/{name}/__init__.py", f"{site}/space/notes.txt"]
        candidates += [
            f"share/{name}.txt",
            f"bin/{name}-run",
            f"{site}/{name}_single.py",
            f"{site}/{name}/deep/er/est.txt",
        ]
        path = self.random.choice(candidates)
        full = self.prefix / path
        if full.parent.is_dir() and not full.is_dir():
            self.serial += 1
            if full.exists() and self.random.random() < 0.2:
                full.unlink()
            else:
                full.write_bytes(b"people %d" % self.serial)
            self.touched.append((self.step, path))
            happened["people"] += 1

    def pip(self) -> None:
        name, version = self.random.choice(NAMES), self.random.choice(VERSIONS)
        command = ["install", "--no-index", "--no-deps", "--force-reinstall", self.wheels[name, version]]
        if self.random.random() < 0.5:
            command = ["uninstall", "--yes", name]
        pip = [sys.executable, "-I", "-m", "pip", "--isolated", "--python", str(self.prefix / "bin/python")]
        subprocess.run([*pip, "--quiet", "--quiet", "--disable-pip-version-check", *command], check=True)
        self.foreign.append((self.step, name))
        happened[f"pip {command[0]}"] += 1

    def copied(self) -> None:
        """A copy stands in the place of the prefix: contents and times of changes are the same, nothing else is."""
        copy = self.prefix.with_name("copy")
        subprocess.run(["cp", "-a", str(self.prefix), str(copy)], check=True)
        shutil.rmtree(self.prefix)
        copy.rename(self.prefix)
        happened["copied"] += 1

    def go(self) -> None:
        doing = [self.install] * 6 + [self.uninstall] * 3 + [self.people] * 4 + [self.undo_to] * 3
        doing += [self.undo_last] * 2 + [self.undo_one]
        for self.step in range(STEPS):
            if self.random.random() < 0.02:
                self.pip()
            if self.random.random() < 0.05:
                self.copied()
            self.random.choice(doing)()


def hidden(path: str, touched: set[str], names: tuple[str, ...]) -> bool:
    """Whether somebody may have touched what is at `path`, or it is one of the distributions with these names."""
    return path in touched or (bool(names) and any(each.startswith(names) for each in path.split("/")))


def is_shared(path: str) -> bool:
    parts = path.split("/")
    return not {"space", "all"}.isdisjoint(parts) or parts[-1] in ABOVE


def ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_random_histories(puppet: Puppet, fast_path: Path, block: int) -> None:
    for seed in range(block * 1000, block * 1000 + 25):
        directory = fast_path / str(seed)
        directory.mkdir()
        try:
            Model(puppet, directory, seed).go()
        except BaseException:
            print(f"seed {seed}")
            raise
        shutil.rmtree(directory)
    print(dict(happened))
    assert happened["not in one transaction"] < 0.1 * happened["undone"]
    wanted = {"killed, and old", "killed, and new", "undone", "people", "undone in the middle", "copied"}
    wanted |= {"pip install", "pip uninstall", "undone behind pip"}
    assert {each for each in wanted if not happened[each]} == set()
