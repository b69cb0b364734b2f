"""Power loss with `--durable`: whatever a file system may legally have kept, recovery makes the old or the new state.

Without `--durable` nothing of the kind is promised; the last test sees that the simulation can tell the difference.

Promise 2.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import SageWheelsError
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions
from support.power import Trace, View, materialise, record, states
from support.puppet import Command, Puppet
from support.scenarios import Stand, set_up
from support.trees import STATE, leftovers, snapshot

SEED = int(os.environ.get("POWER_LOSS_SEED", "1"))
SAMPLES = int(os.environ.get("POWER_LOSS_SAMPLES", "6"))  # states that are tried after each operation


def _run(command: Command, *, durable: bool) -> None:
    commit_options = CommitOptions(durable=durable)
    if command.do == "install":
        sage_wheels.install(command.items, command.prefix, InstallOptions(compile_bytecode=False), commit_options)
    else:
        sage_wheels.uninstall(command.items, command.prefix, commit_options)


def _record(stand: Stand, *, durable: bool) -> Trace:
    exchange = stand.command.file_system.exchange
    trace = record(stand.prefix, lambda: _run(stand.command, durable=durable), exchange=exchange)
    stand.restore()
    return trace


def _recovered(view: View, trace: Trace, stand: Stand) -> str:
    """The state after recovery: "old", "new", or what is wrong with it."""
    materialise(view, trace.root, stand.prefix)
    try:
        sage_wheels.recover(stand.prefix)
    except SageWheelsError as error:
        return f"{type(error).__name__}: {error}"
    tree = snapshot(stand.prefix)
    if leftovers(stand.prefix):
        return f"left over: {leftovers(stand.prefix)}"
    return "old" if tree == stand.old else "new" if tree == stand.new else "neither old nor new"


@pytest.mark.parametrize(
    "name", ["small install", "small upgrade", "small upgrade without exchange", "small uninstall"]
)
def test_whatever_is_left_recovers(puppet: Puppet, fast_path: Path, name: str) -> None:
    stand = set_up(puppet, name, fast_path)
    trace = _record(stand, durable=True)
    print(f"{len(trace.events)} events, seed {SEED}, {SAMPLES} samples")
    found: dict[int, set[str]] = {}
    count = 0
    for number, view in states(trace, SAMPLES, random.Random(SEED)):
        found.setdefault(number, set()).add(_recovered(view, trace, stand))
        count += 1
    print(f"{count} states")
    assert set().union(*found.values()) == {"old", "new"}
    assert found[0] == {"old"}
    assert found[len(trace.events)] == {"new"}, "what was said to be done is done"
    certain = [number for number, each in found.items() if each == {"new"}]
    assert all(found[number] == {"new"} for number in range(certain[0], len(trace.events) + 1))


@pytest.mark.parametrize("name", ["small upgrade", "small uninstall"])
def test_losing_power_again_while_recovering(puppet: Puppet, fast_path: Path, name: str) -> None:
    stand = set_up(puppet, name, fast_path)
    trace = _record(stand, durable=True)
    numbers = random.Random(SEED)
    pending = [view for _, view in states(trace, 4, numbers) if _has_journal(view)]
    assert pending
    for view in numbers.sample(pending, min(len(pending), 12)):
        materialise(view, trace.root, stand.prefix)
        second = record(stand.prefix, lambda: sage_wheels.recover(stand.prefix))
        for _, again in states(second, 4, numbers):
            assert _recovered(again, second, stand) in ("old", "new")


def _has_journal(view: View) -> bool:
    return any(name == "journal" and (inode in view.nodes) for (_, name), inode in view.entries.items())


def test_a_failure_that_was_undone_and_then_losing_power(puppet: Puppet, fast_path: Path) -> None:
    """A step fails, the others are undone, the stage is emptied: the undoing is on the disk before the journal goes."""
    stand = set_up(puppet, "small upgrade", fast_path)

    def fail() -> None:
        from sage_wheels.prefix.tree import Tree
        from sage_wheels.transaction import journal

        apply = journal.apply

        def failing(tree: Tree, step: journal.Step) -> None:
            if step.path.endswith("small.pth") and step.do != "remove":
                raise OSError(5, "Input/output error", tree.path(step.path))
            apply(tree, step)

        journal.apply = failing
        with pytest.raises(SageWheelsError):
            _run(stand.command, durable=True)

    trace = record(stand.prefix, fail)
    for number, view in states(trace, SAMPLES, random.Random(SEED)):
        assert _recovered(view, trace, stand) == "old", f"after event {number} of {len(trace.events)}, seed {SEED}"


def test_without_durable_the_simulation_finds_what_is_lost(puppet: Puppet, fast_path: Path) -> None:
    stand = set_up(puppet, "small upgrade", fast_path)
    trace = _record(stand, durable=False)
    assert not any(event.sync is not None for event in trace.events)
    found = {_recovered(view, trace, stand) for _, view in states(trace, 4, random.Random(SEED))}
    assert found - {"old", "new"}
    assert not (stand.prefix / STATE / "nothing").exists()
