"""What many builds show: a table on a terminal, lines in a log, and one log on request."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graph.conftest import Workshop
from support.run import tool_environment
from support.terminal import Terminal

pytest.importorskip("rich")
needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux, which knows what a screen shows")

_WITHOUT_RICH = "import sys; sys.modules['rich'] = None; from sage_wheels.cli import main; sys.exit(main())"


class Screen:
    """A terminal of that size, in which `command` runs and what is shown can be read."""

    def __init__(self, root: Path, columns: int, command: list[str]) -> None:
        self._tmux = ["tmux", "-f", "/dev/null", "-S", str(root / "tmux")]
        done = f"{shlex.join(command)}; echo ended with $?; sleep 100"
        size = ["-x", str(columns), "-y", "24"]
        environ = {**tool_environment(), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "MAKELEVEL": ""}
        subprocess.run([*self._tmux, "new-session", "-d", *size, "sh", "-c", done], check=True, env=environ, cwd=root)

    def lines(self) -> list[str]:
        command = [*self._tmux, "capture-pane", "-p"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip().splitlines()

    def until(self, is_there: Callable[[str], bool]) -> list[str]:
        limit = time.monotonic() + 60
        while not is_there("\n".join(lines := self.lines())):
            assert time.monotonic() < limit, lines
            time.sleep(0.05)
        return lines

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)


@pytest.fixture
def screen(workshop: Workshop) -> Iterator[Callable[[int, list[str]], Screen]]:
    made = []

    def make(columns: int, command: list[str]) -> Screen:
        made.append(Screen(workshop.root, columns, command))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _gate(workshop: Workshop) -> tuple[Path, str]:
    """A file, and the hook of a build that waits for it."""
    gate = workshop.root / "gate"
    hook = f"import os\nprint('compiling the last of all', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n"
    return gate, f"{hook}    time.sleep(0.05)"


@needs_tmux
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table(workshop: Workshop, screen: Callable[[int, list[str]], Screen], columns: int) -> None:
    gate, hook = _gate(workshop)
    name = "a-project-with-a-long-name"
    trees = [workshop.project(each, hook=hook) for each in (name.replace("-", "_"), "two")]
    trees.append(workshop.project("last", requires=["two"]))
    shown = screen(columns, workshop.command("-j2", "--last-lines", *trees))
    lines = shown.until(lambda text: text.count("build ") == 2 and "2 running, 1 waiting" in text)
    print("\n".join(lines))
    assert all(len(line) < columns for line in lines)
    rows = [line for line in lines if " build " in line]
    assert sorted(row[:6] for row in rows) == ["a-proj", "two 1."]
    assert all(re.search(r" build +\d+ s", row) for row in rows)
    if columns == 200:
        assert any(f"{name} 1.0 build" in line for line in lines)
        shown.until(lambda text: text.count("compiling the last of all") == 2)
    gate.touch()
    lines = shown.until(lambda text: "ended with" in text)
    text = "\n".join(lines)
    assert "running" not in text
    assert "ended with 0" in text
    for each in (name, "two", "last"):
        assert f"{each} 1.0: built in" in text.replace("\n", "")


@needs_tmux
def test_more_builds_than_lines(workshop: Workshop, screen: Callable[[int, list[str]], Screen]) -> None:
    gate, hook = _gate(workshop)
    trees = [workshop.project(f"p{number}", hook=hook) for number in range(30)]
    shown = screen(100, workshop.command("-j30", *trees))
    lines = shown.until(lambda text: "30 running" in text)
    assert "not shown" in lines[-1]
    assert len(lines) <= 24
    gate.touch()
    assert "running" not in "\n".join(shown.until(lambda text: "ended with 0" in text))


def test_without_rich(workshop: Workshop) -> None:
    """As in the bundle and the overlay: lines, on a terminal, too."""
    command = workshop.command(workshop.project("one"), workshop.project("two"), program=("-c", _WITHOUT_RICH))
    with Terminal(command, {**tool_environment(), "TERM": "xterm"}) as terminal:
        terminal.read_until("2 sources in")
        assert terminal.state() == "0"
    assert "one 1.0: begins" in terminal.shown
    assert "\x1b" not in terminal.shown


def test_in_a_log(workshop: Workshop) -> None:
    """One plain line per event, and rich is not even imported."""
    bad = workshop.root / "bad" / "rich"
    bad.mkdir(parents=True)
    (bad / "__init__.py").write_text("raise SystemExit('imported')")
    path = f"{tool_environment()['PYTHONPATH']}{os.pathsep}{bad.parent}"
    run = workshop.build("-j1", workshop.project("one"), workshop.project("two", requires=["one"]), PYTHONPATH=path)
    assert run.done.returncode == 0, run.done.stderr
    lines = [line.rpartition(" in ")[0] or line for line in run.done.stderr.splitlines()]
    assert lines == ["one 1.0: begins", "one 1.0: built", "two 1.0: begins", "two 1.0: built", "2 sources"]


def test_one_log(workshop: Workshop) -> None:
    """While it is written, and no other."""
    gate, hook = _gate(workshop)
    trees = [workshop.project("one", hook=hook), workshop.project("two", hook="print('of two')")]
    command = workshop.command("-j2", "--follow", "One", *trees)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=tool_environment()) as process:
        assert process.stderr
        before = []
        for line in process.stderr:
            before.append(line.rstrip())
            if before[-1] == "compiling the last of all":
                break
        gate.touch()
        after = process.stderr.read()
    assert process.returncode == 0
    assert "compiling the last of all" in before
    assert "of two" not in "".join([*before, after])
