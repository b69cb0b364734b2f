"""Ctrl-C and SIGTERM at any instant: the old state or the new one, one line that says which, and nothing that stays.

At every audit event of the command in the puppet; at random instants, from a seed, in processes of their own.

Promise 2.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage_wheels.fs.deletion import delete_tree
from support.projects import make_tree
from support.puppet import Command, Puppet, child_environment
from support.scenarios import Stand, set_up
from support.trees import leftovers, make_prefix, snapshot
from support.wheels import make_wheel

NOT_CHANGED = "sage-wheels: interrupted; nothing was changed"
CHANGED = "sage-wheels: interrupted; the change was made already, and the next command deletes what is left of it"
SEED = 20240229


def as_command_line(command: Command) -> list[str]:
    """What a person types for `command`."""
    options = ["--prefix", command.prefix, *([] if command.compile or command.do == "uninstall" else ["--no-compile"])]
    return [command.do, *options, *command.items]


def check(stand: Stand, status: int, said: list[str], number: signal.Signals, where: str) -> str:
    """The state in which a command that got the signal `number` has left the prefix, after the next command."""
    interrupted = 128 + number
    assert status in (0, interrupted), f"{where}: {status}, {said}"
    told = [line for line in said if line.startswith("sage-wheels: interrupted")]
    # the last line; only one that came after the change can have others before it
    assert said, where
    assert not told or told == said[-1:], f"{where}: {said}"
    assert len(said) == 1 or told in ([], [CHANGED]), f"{where}: {said}"
    recovered = stand.recover()
    assert recovered.status == 0, f"{where}: {recovered}"
    state = stand.state()
    assert (status == interrupted) == bool(told), f"{where}: {said}"
    assert state == ("old" if told == [NOT_CHANGED] else "new"), f"{where}: {said}"
    return state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", ["small install", "small upgrade", "small uninstall"])
def test_interrupted_at_every_event(puppet: Puppet, fast_path: Path, name: str, number: signal.Signals) -> None:
    stand = set_up(puppet, name, fast_path)
    states = []
    line = as_command_line(stand.command)
    for at in itertools.count(1):
        command = Command("main", stand.command.prefix, line).counted(everything=True).killed(at, by=number)
        outcome = puppet.run(command)
        where = f"event {at}, {outcome.operations[at - 1 : at]}"
        states.append(check(stand, outcome.status, outcome.said, number, where))
        if states[-1] == "new":
            stand.restore()
        else:
            stand.forget()
        if len(outcome.operations) < at:
            break
        assert outcome.status == 128 + number or at > len(outcome.operations) - 5, where
    assert states == sorted(states, reverse=True), "from some instant on it is the new state"
    assert min(states.count("old"), states.count("new")) > 20
    print(f"{states.count('old')} old, {states.count('new')} new")


READY = """
import os, sys
def tell(event, args):
    if event == "import" and args[0].startswith("sage_wheels.cli."):
        os.write(1, b"ready\\n"[: 6 * (not told)])
        told.append(event)
told = []
sys.argv[:] = ["sage-wheels", *sys.argv[1:]]
from sage_wheels.cli import main
sys.addaudithook(tell)
sys.exit(main())
"""


def start(line: list[str]) -> subprocess.Popen[str]:
    """The command line in a process that says "ready" when it listens to signals."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", READY, *line]
    environment = child_environment(SOURCE_DATE_EPOCH="1600000000")  # as the puppet has it: it stands in byte-code
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd="/")
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_an_interruption_of_which_rmtree_makes_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the close of a directory and the note of it: shutil closes it again, and that error hides all else."""
    (tmp_path / "tree/inside").mkdir(parents=True)
    close = os.close

    def interrupted(fd: int) -> None:
        monkeypatch.undo()
        close(fd)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        delete_tree(str(tmp_path / "tree"))


@pytest.mark.parametrize("name", ["small upgrade", "upgrade, compiled"])
def test_interrupted_at_random_instants(puppet: Puppet, fast_path: Path, name: str) -> None:
    stand = set_up(puppet, name, fast_path)
    chance = random.Random(SEED)
    line = as_command_line(stand.command)
    begin = time.perf_counter()
    start(line).communicate()
    usual = time.perf_counter() - begin
    stand.restore()
    statuses = []
    for number in [signal.SIGINT, signal.SIGTERM] * 15:
        process = start(line)
        time.sleep(chance.uniform(0, usual))
        process.send_signal(number)
        _, said = process.communicate()
        check(stand, process.returncode, ours(said), number, f"{number!r} (seed {SEED})")
        statuses.append(process.returncode)
        usual *= 1.25 if process.returncode else 0.8  # so that half of them come in time, however busy this machine is
        stand.restore()
    interrupted = [status for status in statuses if status]
    print(f"{len(interrupted)} of {len(statuses)} interrupted")
    assert interrupted


def ours(said: str) -> list[str]:
    """The lines of `said` but for those in which CPython tells that it lost the interrupt.

    An exception in the callback of a weak reference (the import system has one for its locks) is printed and dropped
    by the interpreter; the command then goes on, and that is one of the two states.
    """
    lost = re.compile(r"Exception ignored in: .*\n(?:Traceback .*\n(?:  .*\n)*KeyboardInterrupt: ?\n)")
    return lost.sub("", said).splitlines()


SLOW = r"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
with open(os.environ["TOLD"], "w") as f:
    f.write(f"{os.getpid()} {child.pid}\n")
os.rename(os.environ["TOLD"], os.environ["TOLD"] + ".done")
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["INT", "TERM", "KILL"])
@pytest.mark.parametrize("command", ["build", "install"])
def test_an_interrupted_build_leaves_no_process(tmp_path: Path, command: str, number: signal.Signals) -> None:
    """Neither the backend nor what it has started; and the prefix is as it was."""
    tree = make_tree(tmp_path / "tree", "x", "1", hook=SLOW)
    prefix, told = make_prefix(tmp_path), tmp_path / "told"
    before = snapshot(prefix)
    where = ["--wheel-dir", str(tmp_path / "dist")] if command == "build" else []
    line = [command, "--prefix", str(prefix), *where, "--cache-dir", str(tmp_path / "cache"), str(tree)]
    environment = child_environment(TOLD=str(told))
    process = subprocess.Popen(
        [sys.executable, "-m", "sage_wheels", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd="/",
    )
    done = Path(f"{told}.done")
    while not done.exists() and process.poll() is None:
        time.sleep(0.01)
    processes = [int(each) for each in done.read_text().split()]
    process.send_signal(number)
    out, said = process.communicate()  # returns when nobody has the pipes any more
    assert out == ""
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + number
        assert said == f"{NOT_CHANGED}\n"
    for pid in processes:
        wait_for_the_end_of(pid)
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


def wait_for_the_end_of(pid: int) -> None:
    """Return once the process is gone, or is a zombie, which does nothing any more; else the test hangs."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        while True:
            os.kill(pid, 0)
            state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
            if state.stdout.strip()[:1] in ("", "Z"):
                return
            time.sleep(0.01)


def test_an_interruption_while_waiting_for_the_lock(tmp_path: Path) -> None:
    import fcntl

    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "x", "1", {"x.py": ""})
    state = prefix / "var/lib/sage-wheels"
    state.mkdir(parents=True)
    before = snapshot(prefix)
    for number in (signal.SIGINT, signal.SIGTERM):
        for more in ([], ["--lock-timeout", "1000"]):
            with open(state / "lock", "w") as f:
                fcntl.flock(f, fcntl.LOCK_EX)
                process = start(["install", "--prefix", str(prefix), *more, str(wheel)])
                assert process.stderr
                assert process.stderr.readline().startswith("sage-wheels: waiting for ")
                process.send_signal(number)
                _, said = process.communicate()
            assert (process.returncode, said) == (128 + number, f"{NOT_CHANGED}\n")
            assert snapshot(prefix) == before
            assert leftovers(prefix) == []
