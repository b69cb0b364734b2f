"""What is seen on a terminal: a real one (tmux), at three widths, and none under make or in a log."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.projects import Gate, make_tree
from support.run import tool, tool_environment
from support.terminal import Terminal
from support.trees import make_prefix
from support.wheels import make_wheel

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")


class Tmux:
    """A terminal of a given width, in which a shell waits for commands."""

    def __init__(self, directory: Path, width: int) -> None:
        self._socket = str(directory / "tmux")
        env = {**tool_environment(PS1="$ ", LC_ALL="C.UTF-8"), "SHELL": "/bin/sh"}
        size = ["-x", str(width), "-y", "60"]
        self._run("-f", os.devnull, "new-session", "-d", *size, "/bin/sh", env=env)

    def _run(self, *words: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-S", self._socket, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=60).stdout

    def type(self, line: str) -> None:
        self._run("send-keys", "-l", f"{line}\n")

    def screen(self) -> list[str]:
        return [line for line in self._run("capture-pane", "-p").splitlines() if line.strip()]

    def until(self, text: str) -> list[str]:
        """Wait until `text` is on the screen; the screen."""
        for _ in range(1200):
            if any(text in line for line in self.screen()):
                return self.screen()
            time.sleep(0.05)
        raise AssertionError(f"{text!r} is not on the screen: {self.screen()}")

    def close(self) -> None:
        self._run("kill-server")


@pytest.fixture(params=[40, 80, 200])
def tmux(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Tmux, int]]:
    made = Tmux(tmp_path, request.param)
    yield made, request.param
    made.close()


@needs_tmux
def test_a_line_is_cut_to_the_terminal(tmux: tuple[Tmux, int], tmp_path: Path) -> None:
    terminal, width = tmux
    deep = tmp_path / ("deep-" * 20)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gate = Gate(listening)
        tree = make_tree(deep / "tree", "tree", "1", hook=gate.hook)
        words = f"--cache-dir {tmp_path}/cache -w {tmp_path}/out {tree}"
        (tmp_path / "run").write_text(f"clear; {sys.executable} -m sage_wheels build {words}; echo END\n")
        terminal.type(f". {tmp_path}/run")
        connection = gate.wait()
        screen = terminal.until(" s")
        time.sleep(1.2)  # several pictures of the line, at least two of which have another number of seconds
        screen = terminal.screen()
        assert len(screen) == 1, screen
        assert len(screen[0]) < width
        assert ("..." in screen[0]) == (len(f"{tree}: build 1 s") >= width)
        assert screen[0].endswith(" s")
        connection.close()
    screen = terminal.until("END")
    assert "".join(screen).startswith(f"{tmp_path}/out/tree-1-py3-none-any.whl"), screen


@needs_tmux
def test_help_is_not_broken_by_the_terminal(tmux: tuple[Tmux, int], tmp_path: Path) -> None:
    terminal, width = tmux
    terminal.type(f"clear; {sys.executable} -m sage_wheels --help; echo EN''D")
    screen = terminal.until("END")
    commands = [line for line in screen if line.startswith("  ") and line[2] != " "]
    assert [line.split()[0] for line in commands][:3] == ["build", "install", "uninstall"]
    assert all(len(line) <= width for line in screen)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def shown(prefix: Path, *words: str, **variables: str) -> str:
    """What a command shows on a terminal."""
    command = [sys.executable, "-m", "sage_wheels", *words, "--prefix", str(prefix)]
    with Terminal(command, tool_environment(**{"TERM": "xterm", **variables})) as terminal:
        status = terminal.state()
        terminal.read_until("\n")
    return f"{status} {terminal.shown}"


def test_colours(prefix: Path, tmp_path: Path) -> None:
    red = "\x1b[1;31merror:\x1b[0m"
    assert red in shown(prefix, "show", "absent")
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in shown(prefix, "show", "absent", **variables)
    assert "\x1b" not in shown(prefix, "show", "absent", "--color", "never")
    assert red in shown(prefix, "show", "absent", "--color", "always", NO_COLOR="1")
    assert "\x1b" not in tool("show", "absent", "--prefix", prefix).stderr
    assert red in tool("--color", "always", "show", "absent", "--prefix", prefix).stderr
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    assert "\x1b[32mone 1 installed into " in shown(prefix, "install", str(wheel))


def test_nothing_but_whole_lines_under_make(prefix: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "tree", "1", hook="import time; time.sleep(0.6)\n")
    words = ["install", "--cache-dir", str(tmp_path / "cache"), f"{tree}/"]
    said = shown(prefix, *words, MAKELEVEL="1", NO_COLOR="1")
    assert said == f"0 sage-wheels: tree 1 installed into {prefix}\r\n"
