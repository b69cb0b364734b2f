"""pip keeps the terminal: it asks there, hears Ctrl-C there, and Ctrl-Z stops it, and all that it has started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.projects import Gate, make_tree
from support.run import names
from support.terminal import Terminal
from support.trees import leftovers, snapshot
from support.twins import PROGRAM, environment, our_command

PROMPT = "What to do?"


def asking(prefix: Path, repository: Path, directory: Path) -> list[str]:
    """A command that asks: where it is to check something out, something else stands."""
    subprocess.run(
        ["git", "clone", "-q", repository.parent / "repository", directory / "src/hello"],
        check=True,
        env=environment(directory / "home"),
    )
    subprocess.run(["git", "remote", "set-url", "origin", "file:///no/where"], cwd=directory / "src/hello", check=True)
    source = f"git+{repository.as_uri()}@v1#egg=hello"
    return our_command(prefix, "install", "--no-index", "--src", str(directory / "src"), "-e", source)


def test_a_prompt_is_answered(prefix: Path, repository: Path, tmp_path: Path) -> None:
    command = asking(prefix, repository, tmp_path)
    with Terminal(command, environment(tmp_path / "home")) as terminal:
        terminal.read_until(PROMPT)
        terminal.type("w\n")
        terminal.read_until("Successfully installed hello-1.0")
        assert terminal.state() == "0", terminal.shown
    assert "hello 1.0" in names(prefix)


def test_ctrl_z_at_a_prompt(prefix: Path, repository: Path, tmp_path: Path) -> None:
    command = asking(prefix, repository, tmp_path)
    with Terminal(command, environment(tmp_path / "home")) as terminal:
        for _ in range(2):
            terminal.read_until(PROMPT)
            terminal.shown = ""
            terminal.type("\x1a")
            assert terminal.state() == "stopped"
            terminal.go_on()
            terminal.type("what\n")
        terminal.read_until(PROMPT)
        terminal.type("i\n")
        terminal.read_until("Successfully installed hello-2.0")
        assert terminal.state() == "0", terminal.shown


def test_ctrl_c_at_a_prompt(prefix: Path, repository: Path, tmp_path: Path) -> None:
    command = asking(prefix, repository, tmp_path)
    before = snapshot(prefix)
    with Terminal(command, environment(tmp_path / "home")) as terminal:
        terminal.read_until(PROMPT)
        terminal.type("\x03")
        terminal.read_until("sage-wheels: interrupted; nothing was changed")
        assert terminal.state() == str(128 + signal.SIGINT)
        assert "Traceback" not in terminal.shown
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


def test_a_terminal_that_hangs_up_at_a_prompt(prefix: Path, repository: Path, tmp_path: Path) -> None:
    command = asking(prefix, repository, tmp_path)
    before = snapshot(prefix)
    with Terminal(command, environment(tmp_path / "home")) as terminal:
        terminal.read_until(PROMPT)
        terminal.hang_up()
        assert terminal.state() in (str(128 + signal.SIGHUP), "1")  # pip may see its end first
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


# The backend of `build` has a session of its own, so Ctrl-Z does not reach it by itself. It counts for as long as the
# other end listens, and the test sees from /proc that it has stopped.
COUNTING = "import os\ns.send(b'%d\\n' % os.getpid())\ns.recv(1)\n"
LINES = {
    "build": "build --prefix {prefix} --wheel-dir {destination} --cache-dir {cache} {tree}",
    "pip install": "pip --prefix {prefix} install --no-index {tree}",
}


def wait_until_stopped(pid: int) -> None:
    """The signal reaches all processes of the terminal, each as soon as a processor is free."""
    limit = time.monotonic() + 60
    while (state := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "T":
        assert time.monotonic() < limit, f"process {pid} is in state {state}"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc here")
@pytest.mark.parametrize("how", LINES)
def test_ctrl_z_stops_a_build(prefix: Path, tmp_path: Path, gate: Gate, how: str) -> None:
    hook = gate.hook.rpartition("s.recv")[0] + COUNTING
    tree = make_tree(tmp_path / "tree", "busy", "1.0", hook=hook)
    paths = {"prefix": prefix, "tree": tree, "destination": tmp_path / "destination", "cache": tmp_path / "cache"}
    command = [sys.executable, "-I", "-c", PROGRAM, *LINES[how].format(**paths).split()]
    with Terminal(command, environment(tmp_path / "home")) as terminal, gate.wait() as connection:
        pid = int(connection.recv(100))
        terminal.type("\x1a")
        assert terminal.state() == "stopped"
        wait_until_stopped(pid)
        terminal.go_on()
        connection.send(b".")
        assert terminal.state() == "0", terminal.shown
