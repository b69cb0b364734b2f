"""Every file operation fails once: the state is old or new, the message names the path, nothing leaks.

With which error follows from the seed that is printed. FAULT_SEED repeats that, and FAULT_ERRORS=8 lets everything fail
with all errors.

Promise 2.
"""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest

from support.chance import ALL_FAULTS, faults
from support.puppet import Command, Outcome, Puppet
from support.scenarios import SCENARIOS, Stand, set_up
from support.trees import STATE

ERRORS = ("ENOSPC", "EIO", "EACCES", "EXDEV", "EROFS", "EDQUOT", "EMFILE", "EINTR")


def _check(stand: Stand, at: int, error: str, outcome: Outcome, *, more_aside: bool = False) -> str:
    """What promise 2 says after an error at operation `at`, and what the person who reads the message needs."""
    where = f"{error} at operation {at}, {stand.operations[at - 1 : at]}: {outcome._replace(operations=[])}"
    if outcome.status:
        assert outcome.status == 1, where
        assert outcome.ours, where
        assert outcome.exit_status == 1, where
        assert str(stand.prefix.parent) in outcome.text, where
        assert "\n" not in outcome.text, where
    assert not outcome.recovered, where
    assert not (stand.prefix / STATE / "journal").exists(), where
    assert outcome.descriptors == 0, where
    try:
        state = stand.state(more_aside=more_aside)
    except AssertionError as problem:
        raise AssertionError(where) from problem
    if outcome.status == 0:
        assert state == "new", where
    return state


def _fail_everywhere(stand: Stand, *errors: str, lasting: str = "", reads: bool = False, looks: str = "") -> list[str]:
    """Let each operation fail once, with one of `errors`, recover in the same process, and check; the states that this
    led to."""
    chance = faults()
    states: list[str] = []
    at = 0
    while True:
        at += 1
        for error in errors if ALL_FAULTS else [chance.choice(errors)]:
            command = stand.command.failing(at, getattr(errno, error), lasting)._replace(then_recover=True)
            outcome = stand.puppet.run(command.counted(reads=reads, looks=looks, sites=bool(looks)))
            # what cannot be read is kept
            states.append(_check(stand, at, error, outcome, more_aside=reads or bool(looks)))
            if states[-1] == "new":
                stand.restore()
            else:
                stand.forget()
        if outcome.status == 0 and len(outcome.operations) < at:
            return states


@pytest.mark.parametrize(
    "name",
    ["install", "upgrade", "uninstall", "overwrite", "small upgrade", "small uninstall", "upgrade on an overlay"],
)
def test_every_operation_fails_once(puppet: Puppet, fast_path: Path, name: str) -> None:
    stand = set_up(puppet, name, fast_path)
    states = _fail_everywhere(stand, *ERRORS)
    assert len(states) > 20
    print(f"{len(states) - 1} points")


@pytest.mark.parametrize("name", ["small upgrade", "small uninstall"])
def test_reading_fails_once(puppet: Puppet, fast_path: Path, name: str) -> None:
    """The same for what is only read: wheels, RECORDs, directories."""
    _fail_everywhere(set_up(puppet, name, fast_path), "EIO", "EMFILE", "EACCES", reads=True)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "repair"])  # it names what it cannot read
def test_looking_fails_once(puppet: Puppet, fast_path: Path, name: str) -> None:
    """What cannot be looked at is not taken for what is not there."""
    _fail_everywhere(set_up(puppet, name, fast_path), "EIO", "EACCES", looks="only")


@pytest.mark.parametrize("name", ["uninstall", "upgrade"])
def test_reading_what_a_neighbour_owns_fails_once(puppet: Puppet, fast_path: Path, name: str) -> None:
    """Whose RECORD cannot be read may own what is to go: nothing is removed then, and nothing wrong is remembered."""
    stand = set_up(puppet, name, fast_path)
    outcome = stand.puppet.run(stand.command.counted(reads=True))
    stand.restore()
    ends = "neighbour-1.0.dist-info/RECORD"
    points = [n for n, each in enumerate(outcome.operations, 1) if each.startswith("open") and each.endswith(ends)]
    assert points
    for at in points:
        outcome = stand.puppet.run(stand.command.failing(at, errno.EIO).counted(reads=True))
        assert outcome.ours
        assert ends in outcome.text
        assert stand.state() == "old"
        assert stand.puppet.run(stand.command).status == 0
        assert stand.state() == "new"
        stand.restore()


@pytest.mark.parametrize("name", ["upgrade", "small upgrade on an overlay", "small uninstall on an overlay"])
def test_a_disk_that_stays_full(puppet: Puppet, fast_path: Path, name: str) -> None:
    """From the k-th operation on nothing that needs space works: what was done can be undone all the same."""
    _fail_everywhere(set_up(puppet, name, fast_path), "ENOSPC", lasting="space")


@pytest.mark.parametrize("name", ["small upgrade", "small upgrade on an overlay", "small uninstall"])
def test_a_disk_that_dies(puppet: Puppet, fast_path: Path, name: str) -> None:
    """From the k-th operation on nothing works, not even undoing; the next command, on a mended disk, finds its way."""
    _fail_everywhere(set_up(puppet, name, fast_path), "EIO", lasting="all")


@pytest.mark.parametrize("looks", ["", "only"])
def test_recovery_fails_once(puppet: Puppet, fast_path: Path, looks: str) -> None:
    chance = faults()
    stand = set_up(puppet, "small upgrade on an overlay", fast_path)
    journal = f" {stand.prefix}/{STATE}/journal"
    first = next(n for n, each in enumerate(stand.operations, 1) if each.endswith(journal)) + 1
    step = 1 if ALL_FAULTS else 9 if looks else 3  # there are more operations that look than others
    for at in range(first + chance.randrange(step), len(stand.operations), step):
        for recovery_at in itertools.count(1):
            assert puppet.run(stand.command.killed(at)).killed
            error = getattr(errno, chance.choice(["EIO", "ENOSPC", "EACCES"]))
            command = Command("recover", str(stand.prefix)).failing(recovery_at, error).counted(looks=looks)
            outcome = puppet.run(command)
            if outcome.status:
                assert outcome.ours, outcome
                assert outcome.exit_status == 1
                assert str(stand.prefix) in outcome.text
            assert stand.recover().status == 0
            if stand.state() == "new":
                stand.restore()
            else:
                stand.forget()
            if outcome.status == 0 and len(outcome.operations) < recovery_at:
                break
