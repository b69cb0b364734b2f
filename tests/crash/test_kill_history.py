"""Promise 10: after SIGKILL while old files are let go, or entries forgotten, all that can be undone says so, and can.

That a change which lets go what was kept before is all or nothing, is in `test_kill`.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import history, kept
from support.puppet import Command, Puppet
from support.trees import STATE, difference, leftovers, make_prefix, snapshot
from support.trees import Tree as Snapshot
from support.wheels import Content, make_wheel

COMMANDS = {
    "install that lets go two": lambda prefix, wheels: Command("install", prefix, [wheels[0]], history=1),
    "forget one": lambda prefix, wheels: Command("forget", prefix, ["3"]),
    "forget all": lambda prefix, wheels: Command("forget", prefix),
}


class Stand(NamedTuple):
    """A prefix in which four versions were installed, one after the other: `before` each of them, what it was."""

    prefix: Path
    wheels: list[str]
    before: dict[int, Snapshot]

    def restore(self) -> None:
        shutil.rmtree(self.prefix)
        shutil.copytree(self.prefix.with_name("copy"), self.prefix, symlinks=True)


@pytest.fixture
def stand(puppet: Puppet, fast_path: Path) -> Stand:
    def files(version: int) -> dict[str, Content]:
        return {"demo/__init__.py": f"v = {version}\n", f"demo/m{version}.py": "", "single.py": ""}

    wheels = [str(make_wheel(fast_path / "w", "demo", f"{n}", files(n))) for n in range(4)]
    prefix = make_prefix(fast_path)
    before: dict[int, Snapshot] = {}
    for number, wheel in enumerate(wheels, 1):
        before[number] = snapshot(prefix)
        assert puppet.run(Command("install", str(prefix), [wheel])).status == 0
    before[5] = snapshot(prefix)
    shutil.copytree(prefix, fast_path / "copy", symlinks=True)
    return Stand(prefix, wheels, before)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_before_every_operation(puppet: Puppet, stand: Stand, name: str) -> None:
    prefix, before = stand.prefix, stand.before
    command = COMMANDS[name](str(prefix), stand.wheels)
    seen = set()
    for at in itertools.count(1):
        outcome = puppet.run(command.killed(at))
        assert outcome.killed or outcome.status == 0, outcome
        assert puppet.run(Command("recover", str(prefix), history=command.history)).status == 0
        assert leftovers(prefix) == []
        entries = _entries(prefix)
        seen.add((tuple(entries), frozenset(each[0] for each in os.listdir(prefix / STATE / "kept"))))
        if command.do == "forget":
            assert difference(before[5], snapshot(prefix)) == []
        for number, can_be_undone in entries.items():
            if number == max(entries) and can_be_undone:
                assert puppet.run(Command("undo", str(prefix))).status == 0, f"killed at {at}"
                assert difference(before[number], snapshot(prefix)) == [], f"killed at {at}"
        stand.restore()
        if outcome.status == 0:
            break
    print(f"{at} points, {len(seen)} states")
    assert at > 5
    assert len(seen) > 1


def test_a_full_disk_makes_no_commit_fail(puppet: Puppet, stand: Stand) -> None:
    """What cannot be kept is deleted, and the entry says so; what was kept before stays."""
    command = Command("install", str(stand.prefix), [stand.wheels[0]])
    states: list[bool | None] = []
    for at in itertools.count(1):
        outcome = puppet.run(command.failing(at, errno.ENOSPC, "space"))
        assert outcome.status == 0 or outcome.ours, outcome
        entries = _entries(stand.prefix)
        assert puppet.run(Command("recover", str(stand.prefix))).status == 0
        assert leftovers(stand.prefix) == []
        states.append(entries.get(5))
        assert (outcome.status == 0) == bool(difference(stand.before[5], snapshot(stand.prefix))), outcome
        assert outcome.status == 0 or 5 not in entries
        assert {number: entries[number] for number in (1, 2, 3, 4)} == dict.fromkeys((1, 2, 3, 4), True)
        stand.restore()
        if at > len(outcome.operations):
            break
    assert set(states) == {None, False, True}


def _entries(prefix: Path) -> dict[int, bool]:
    """The numbers of the entries, and whether each can be undone; what is kept is whole, and that of an entry."""
    found = {}
    with Tree(str(prefix)) as tree:
        for entry in history.entries(tree):
            if not entry.is_undone:
                assert not entry.problem
                found[entry.number] = bool(entry.kept) or not entry.needs_old_files
                assert not entry.kept or kept.is_whole(tree, entry.kept, [])
    return found
