"""A prefix that is moved while a command runs: nothing appears at the old place, and at the new one it is whole."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest

import sage_wheels
from support.puppet import Puppet
from support.scenarios import set_up
from support.trees import leftovers, snapshot

NAMES = ["small install", "small upgrade", "small uninstall", "first install", "install, compiled", "overwrite"]
NAMES += ["uninstall of edited files", "small upgrade on an overlay"]


@pytest.mark.parametrize("name", NAMES)
def test_moved_before_each_operation(puppet: Puppet, fast_path: Path, name: str) -> None:
    stand = set_up(puppet, name, fast_path)
    moved = fast_path / "moved"
    states = []
    for at in itertools.count(1):
        outcome = puppet.run(stand.command.moved(at, str(moved)))
        if not moved.exists():
            break
        where = f"moved at {at} of {name}, {stand.operations[at - 1 : at]}: {outcome._replace(operations=[])}"
        assert not os.path.lexists(stand.prefix), where
        assert outcome.status == 0 or outcome.ours, where
        assert outcome.descriptors == 0, where
        sage_wheels.recover(moved)
        assert leftovers(moved) == [], where
        tree = snapshot(moved)
        states.append("old" if tree == stand.old else "new" if tree == stand.new else "neither")
        assert states[-1] != "neither", where
        assert states[-1] == "old" or outcome.status == 0, where
        shutil.rmtree(moved)
        shutil.copytree(stand.copy, stand.prefix, symlinks=True)
    print(f"{states.count('old')} old, {states.count('new')} new")
    assert {"old", "new"} <= set(states)
