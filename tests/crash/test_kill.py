"""Promise 2: after SIGKILL at any instant the next command leaves exactly the old or exactly the new state."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from support.puppet import Command, Puppet
from support.scenarios import SCENARIOS, SMALL_SCENARIOS, Stand, set_up
from support.trees import STATE, Tree, difference


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_before_every_operation(puppet: Puppet, fast_path: Path, name: str) -> None:
    stand = set_up(puppet, name, fast_path)
    states = []
    for at in itertools.count(1):
        outcome = puppet.run(stand.command.killed(at))
        if outcome.status == 0:
            break
        assert outcome.killed, outcome
        recovered = stand.recover()
        assert recovered.status == 0, f"killed at {at}: {recovered}"
        states.append(stand.state())
        if states[-1] == "new":
            stand.restore()
        else:
            stand.forget()
    assert len(states) == len(stand.operations)
    # there is one instant at which the old state becomes the new one, and there are points on either side of it
    assert 10 < states.index("new") == states.count("old") < len(states)
    print(f"{len(states)} points, {states.count('old')} of them before the commit")


@pytest.mark.parametrize("name", ["upgrade", "uninstall", "upgrade without exchange"])
def test_the_same_command_again_converges(puppet: Puppet, fast_path: Path, name: str) -> None:
    """No `recover` in between: the next command that takes the lock does that first."""
    stand = set_up(puppet, name, fast_path)
    for at in range(1, len(stand.operations) + 1):
        assert puppet.run(stand.command.killed(at)).killed
        again = puppet.run(stand.command)
        assert again.status == 0, f"killed at {at}: {again}"
        puppet.run(Command("recover", str(stand.prefix)))  # empties the stages where nothing was left to do
        assert stand.state() == "new"
        stand.restore()


@pytest.mark.parametrize("name", SMALL_SCENARIOS)
def test_recovery_killed_before_every_operation_of_its_own(puppet: Puppet, fast_path: Path, name: str) -> None:
    """From the first step of the commit to its last, recovery is killed at each of its operations, and done again."""
    stand = set_up(puppet, name, fast_path)
    points = 0
    commit = _while_the_journal_counts(stand)
    for at in commit:
        for recovery_at in itertools.count(1):
            assert puppet.run(stand.command.killed(at)).killed
            outcome = puppet.run(Command("recover", str(stand.prefix)).killed(recovery_at))
            undone = not (stand.prefix / STATE / "journal").exists()
            again = stand.recover()
            assert again.status == 0, f"killed at {at}, recovery killed at {recovery_at}: {again}"
            assert stand.state() == "old", f"killed at {at}, recovery killed at {recovery_at}"
            stand.forget()
            if outcome.status == 0 or (undone and at != commit[-1]):
                break  # emptying the stage is the same every time: it is gone through once
            assert outcome.killed
            points += 1
    print(f"{points} points")
    assert points > 3 * len(commit)


@pytest.mark.parametrize("name", ["small upgrade", "small uninstall"])
def test_emptying_the_stage_killed_before_every_operation(puppet: Puppet, fast_path: Path, name: str) -> None:
    """After the commit, the new state stays whatever happens to those who clean up."""
    stand = set_up(puppet, name, fast_path)
    committed = _while_the_journal_counts(stand)[-1] + 1
    for at in range(committed, len(stand.operations) + 1):
        for recovery_at in itertools.count(1):
            assert puppet.run(stand.command.killed(at)).killed
            outcome = puppet.run(Command("recover", str(stand.prefix)).killed(recovery_at))
            assert stand.recover().status == 0
            assert stand.state() == "new", f"killed at {at}, recovery killed at {recovery_at}"
            stand.restore()
            if outcome.status == 0 or at not in (committed, committed + 3):
                break


def _while_the_journal_counts(stand: Stand) -> range:
    """The operations between the journal's coming to count and the commit, which is the last of them."""
    journal = f"{stand.prefix}/{STATE}/journal"
    begin = [n for n, each in enumerate(stand.operations, 1) if each.endswith(f" {journal}")]
    commit = [n for n, each in enumerate(stand.operations, 1) if each.startswith(f"os.rename {journal} ")]
    assert begin
    assert commit
    return range(begin[0] + 1, commit[-1] + 1)


@pytest.mark.parametrize("variant", ["upgrade on an overlay", "upgrade without exchange"])
def test_the_fallbacks_lead_to_the_same_state(puppet: Puppet, fast_path: Path, variant: str) -> None:
    """A file system that refuses a step in the middle of the commit: undone, planned anew, and nothing is missing."""
    usual = set_up(puppet, "upgrade", fast_path / "usual")
    other = set_up(puppet, variant, fast_path / "other")
    texts = {"RECORD", "demo", "demo-2", "demo-script", "direct_url.json"}  # these name the prefix

    def comparable(tree: Tree) -> Tree:
        return {path: each for path, each in tree.items() if path.rpartition("/")[2] not in texts}

    assert difference(comparable(usual.new), comparable(other.new)) == []
