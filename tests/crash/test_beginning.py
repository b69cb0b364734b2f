"""Ctrl-C in the first milliseconds, and memory that runs out: one sentence, no traceback, the old state."""

from __future__ import annotations

import itertools
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sage_wheels
from support.run import tool_environment
from support.trees import leftovers, make_prefix, snapshot
from support.wheels import make_wheel

CHECKOUT = Path(__file__).parent.parent.parent
LIBRARY = Path(sage_wheels.__file__).parent.parent
# Interrupts this process at an import, and says so.
INTERRUPT = """
import os, sys
def interrupt(event, args, seen=[]):
    if event == "import":
        seen.append(args[0])
        if len(seen) == {at}:
            os.write(1, b"interrupted\\n")
            os.kill(os.getpid(), {number})
sys.addaudithook(interrupt)
"""


# What Python itself prints if it has not even the memory to ignore an exception.
OF_PYTHON = re.compile(r"(?:Exception ignored on building sys\.unraisablehook arguments|MemoryError):?\s*")


def program_of_the_launcher() -> str:
    text = (CHECKOUT / "build/bin/sage-wheels").read_text()
    return text.partition(" -c '")[2].rpartition('\' "$tool"')[0]


def test_interrupted_at_every_import() -> None:
    program = program_of_the_launcher()
    for at in itertools.count(1, 2):
        code = INTERRUPT.format(at=at, number=int(signal.SIGINT)) + program
        command = [sys.executable, "-I", "-S", "-c", code, str(LIBRARY), "--version"]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        if not done.stdout.startswith("interrupted"):
            break
        assert (done.returncode, done.stderr) == (130, "sage-wheels: interrupted; nothing was changed\n"), at
    assert at > 10


@pytest.mark.skipif(sys.platform != "linux", reason="address space is not limited elsewhere")
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_memory_that_runs_out(tmp_path: Path, command: str) -> None:
    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "own", "1", {f"own/m{number}.py": f"x = {number}\n" for number in range(300)})
    line = {"install": ["install", str(wheel)], "uninstall": ["uninstall", "own"]}
    if command == "uninstall":
        assert run(["install", str(wheel), "--prefix", str(prefix)]).returncode == 0
    before = snapshot(prefix)
    refused = 0
    first = next(size for size in range(8, 200) if run(["--version"], size).returncode == 0)
    for size in (*range(first, first + 16, 2), *range(first + 20, first + 200, 20)):
        done = run([*line[command], "--prefix", str(prefix)], size)
        assert "Traceback" not in done.stderr, (size, done.stderr)
        if done.returncode == 0:
            break
        refused += 1
        assert done.returncode == 1, (size, done.stderr)
        *others, last = OF_PYTHON.sub("", done.stderr).splitlines()
        assert "memory" in last, (size, done.stderr)
        assert all("could not be emptied" in line for line in others), (size, done.stderr)
        if others:  # the stage waits for the next command
            assert run(["recover", "--prefix", str(prefix)]).returncode == 0
        assert snapshot(prefix) == before
        assert leftovers(prefix) == []
    assert done.returncode == 0
    assert refused


def run(line: list[str], size: int | None = None) -> subprocess.CompletedProcess[str]:
    """The tool with `size` MiB of address space."""

    def limit() -> None:
        if size:
            resource.setrlimit(resource.RLIMIT_AS, (size << 20, size << 20))

    command = [sys.executable, "-m", "sage_wheels", *line]
    return subprocess.run(command, capture_output=True, text=True, env=tool_environment(), cwd="/", preexec_fn=limit)
