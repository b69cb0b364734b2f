"""Promise 2 once more, at the system calls themselves: nothing that Python does not tell of changes a file, either.

A command is traced once, and then killed, or failed, at one of its system calls by strace. The processes are real ones:
`python -I -S` with the command line. Which calls are chosen follows from the seed that is printed; FAULT_SEED repeats
that.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from support.chance import faults
from support.puppet import Puppet, import_path
from support.scenarios import Stand, set_up
from support.trees import STATE

POINTS = 40  # of a scenario; but every one at which the journal counts

CHANGING = ["rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir"]
CHANGING += [
    "mkdirat",
    "rmdir",
    "open",
    "openat",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "copy_file_range",
    "sendfile",
]
CHANGING += ["truncate", "ftruncate", "chmod", "fchmod", "fchmodat", "utimensat"]
OPENING = ("open", "openat")

MAIN = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
from sage_wheels.cli import main
sys.exit(main())
"""


class Call(NamedTuple):
    """The `ordinal`-th system call called `name`, and how strace shows it."""

    name: str
    ordinal: int
    text: str


@pytest.fixture(scope="module", autouse=True)
def _strace_works() -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-o", os.devnull, sys.executable, "-I", "-S", "-c", ""], capture_output=True)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.decode().strip()}")


@pytest.fixture
def chance() -> random.Random:
    return faults()


def strace(stand: Stand, log: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `stand` under strace."""
    command = stand.command
    arguments = [command.do, "--prefix", command.prefix, *(["--durable"] if command.durable else []), *command.items]
    if command.do == "install":
        arguments.insert(1, "--no-compile")
    path = os.pathsep.join([import_path(), *sys.path])
    python = [sys.executable, "-I", "-S", "-B", "-c", MAIN, path, *arguments]
    done = subprocess.run(
        ["strace", "-f", "-qq", "-y", "-o", str(log), *options, *python], capture_output=True, text=True, cwd="/"
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def calls(stand: Stand, log: Path, names: list[str]) -> list[Call]:
    """The system calls of those names that the command makes when nothing disturbs it."""
    done = strace(stand, log, "-e", "trace=" + ",".join(f"?{name}" for name in names))
    assert done.returncode == 0, done.stderr
    assert stand.state() == "new"
    stand.restore()
    counts: dict[str, int] = {}
    found = []
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if match:
            name = match[1]
            counts[name] = counts.get(name, 0) + 1
            found.append(Call(name, counts[name], line))
    return found


def inject(stand: Stand, log: Path, call: Call, what: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an injection at `call`."""
    return strace(stand, log, "-e", f"trace={call.name}", "-e", f"inject={call.name}:{what}:when={call.ordinal}")


def reset(stand: Stand, state: str) -> None:
    if state == "new":
        stand.restore()
    else:
        stand.forget()


def while_the_journal_counts(stand: Stand, found: list[Call]) -> list[Call]:
    journal = f'<{stand.prefix}/{STATE}>, "journal"'
    first, last = (n for n, call in enumerate(found) if call.name.startswith("rename") and journal in call.text)
    return found[first : last + 1]


@pytest.mark.parametrize("name", ["install", "upgrade", "uninstall"])
def test_killed_at_system_calls(
    puppet: Puppet, fast_path: Path, tmp_path: Path, chance: random.Random, name: str
) -> None:
    stand, log = set_up(puppet, name, fast_path), tmp_path / "trace"
    found = [
        call
        for call in calls(stand, log, CHANGING)
        if call.name not in OPENING or "O_CREAT" in call.text or "O_TRUNC" in call.text
    ]
    chosen = [*while_the_journal_counts(stand, found), found[-1]]  # the last one comes after the commit
    others = [call for call in found if call not in chosen]
    chosen = chosen + chance.sample(others, min(len(others), max(10, POINTS - len(chosen))))
    states = []
    for call in sorted(chosen, key=found.index):
        done = inject(stand, log, call, "signal=KILL")
        assert done.returncode == -signal.SIGKILL, (call, done)
        recovered = stand.recover()
        assert recovered.status == 0, (call, recovered)
        try:
            states.append(stand.state())
        except AssertionError as error:
            raise AssertionError(f"killed at {call}") from error
        reset(stand, states[-1])
    assert 0 < states.index("new") == states.count("old")
    print(f"{len(chosen)} of {len(found)} points, {states.count('old')} of them before the commit")


def check_failed(stand: Stand, call: Call, done: subprocess.CompletedProcess[str]) -> str:
    """Nothing has to be recovered after an error, and the last line says what went wrong and where."""
    assert done.returncode in (0, 1), (call, done)
    if done.returncode:
        sentence = done.stderr.splitlines()[-1]
        assert sentence.startswith("sage-wheels: error: "), (call, done)
        assert str(stand.prefix.parent) in sentence, (call, done)
    try:
        state = stand.state()
    except AssertionError as error:
        raise AssertionError(f"failed at {call}: {done.stderr}") from error
    assert done.returncode or state == "new", call
    reset(stand, state)
    return state


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("name", ["upgrade", "small uninstall"])
def test_writing_fails(
    puppet: Puppet, fast_path: Path, tmp_path: Path, chance: random.Random, name: str, error: str
) -> None:
    stand, log = set_up(puppet, name, fast_path), tmp_path / "trace"
    found = [call for call in calls(stand, log, ["write", "pwrite64"]) if not re.search(r"write\([12]<", call.text)]
    assert found
    for call in chance.sample(found, min(len(found), 12)):
        done = inject(stand, log, call, f"error={error}")
        # who holds the lock, which areas of the prefix a RECORD speaks of, and how much is kept for the history, is
        # written if that is possible; so are the store, and the file that tells what it can give
        optional = call.name == "pwrite64" or f"/{STATE}/cache/" in call.text or "/size>" in call.text
        optional |= "/probe>" in call.text or f"<{stand.prefix}/" not in call.text
        assert check_failed(stand, call, done) == ("new" if optional else "old"), call


def test_writing_to_the_disk_fails(puppet: Puppet, fast_path: Path, tmp_path: Path) -> None:
    """With `--durable`: what cannot be made durable is not committed."""
    stand, log = set_up(puppet, "upgrade, durable", fast_path), tmp_path / "trace"
    names = ["rename", "renameat", "renameat2", "fsync", "fdatasync", "syncfs", "sync"]
    found = calls(stand, log, names)
    commit = found.index(while_the_journal_counts(stand, found)[-1])
    syncing = [call for call in found if "sync" in call.name and call.name != "sync"]
    assert len(syncing) > 3
    for call in syncing:
        done = inject(stand, log, call, "error=EIO")
        state = check_failed(stand, call, done)
        assert state == ("old" if found.index(call) < commit else "new"), (call, done)


@pytest.mark.parametrize("name", ["install", "upgrade", "small uninstall"])
def test_a_file_system_that_cannot_lock(puppet: Puppet, fast_path: Path, tmp_path: Path, name: str) -> None:
    stand, log = set_up(puppet, name, fast_path), tmp_path / "trace"
    found = calls(stand, log, ["flock"])
    for error in ("ENOLCK", "EOPNOTSUPP"):
        done = strace(stand, log, "-e", "trace=flock", "-e", f"inject=flock:error={error}")
        assert done.returncode == 1
        assert re.search(rf"the file system of {stand.prefix}/{STATE}/\S+ cannot lock", done.stderr), done
        assert stand.state() == "old"
        stand.forget()
    for call in found:
        done = inject(stand, log, call, "error=ENOLCK")
        assert done.returncode in (0, 1), (call, done)
        if done.returncode:
            assert re.search(rf"the file system of {stand.prefix}/{STATE}/\S+ cannot lock", done.stderr), (call, done)
        assert stand.recover().status == 0  # a stage that could not be locked could not be emptied, either
        state = stand.state()
        assert done.returncode or state == "new"
        reset(stand, state)


# Those that change names and modes: contents are written into the stage, before the journal counts.
OF_NAMES = ["rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir"]
OF_NAMES += ["mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "utimensat", "truncate"]


@pytest.mark.parametrize("name", ["install", "upgrade", "small upgrade", "small uninstall"])
def test_the_puppet_counts_every_system_call(puppet: Puppet, fast_path: Path, tmp_path: Path, name: str) -> None:
    """From the journal on, each call that changes something below the prefix is an operation at which it can kill."""
    stand, log = set_up(puppet, name, fast_path), tmp_path / "trace"
    found = calls(stand, log, OF_NAMES)
    first = found.index(while_the_journal_counts(stand, found)[0])
    journal = f"{stand.prefix}/{STATE}/journal"
    begin = next(n for n, each in enumerate(stand.operations) if each.endswith(f" {journal}"))
    below = [call for call in found[first:] if str(stand.prefix) in call.text]
    # how much is kept for the history is written after the commit
    operations = [each for each in stand.operations[begin:] if not re.match(r"(sage_wheels\.)?open .*/size$", each)]
    assert len(below) == len(operations)
    print(f"{len(below)} calls")
