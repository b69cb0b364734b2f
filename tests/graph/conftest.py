"""Source trees that write into a file when their builds begin and end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.projects import make_tree
from support.run import tool_environment

Done = subprocess.CompletedProcess[str]


class Run(NamedTuple):
    """A run of `build`: the process that ended, and what it says of each source."""

    done: Done
    outcomes: dict[str, dict[str, Any]]

    def statuses(self) -> dict[str, str]:
        return {name: str(outcome["status"]) for name, outcome in self.outcomes.items()}


class Workshop:
    """A place with source trees, a wheelhouse, a cache, and the story of what was built when."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.story = root / "story"
        self.said = root / "said"  # on standard error by the command that runs
        self.wheels = root / "wheels"
        (root / "src").mkdir()

    def project(self, name: str, *, version: str = "1.0", seconds: float = 0.0, hook: str = "", **told: Any) -> Path:
        """A project whose build imports what it `imports`, and then takes some `seconds`."""
        imports = "".join(f"import {each}\n" for each in told.pop("imports", ()))
        lines = (
            "import time\n"
            f"def say(what):\n    open({str(self.story)!r}, 'a').write(what + ' {name}-{version}\\n')\n"
            f"say('begin')\n{imports}time.sleep({seconds})\n{hook}\nsay('end')\n"
        )
        return make_tree(self.root / "src" / f"{name}-{version}", name, version, hook=lines, **told)

    def command(self, *arguments: object, program: Sequence[str] = ("-m", "sage_wheels")) -> list[str]:
        options = ["--cache-dir", self.root / "cache", "-w", self.wheels]
        return [sys.executable, *program, "build", *map(str, [*options, *arguments])]

    def build(self, *arguments: object, program: Sequence[str] = ("-m", "sage_wheels"), **more: str) -> Run:
        report = self.root / "report.json"
        report.unlink(missing_ok=True)
        command = self.command("--report", report, *arguments, program=program)
        with self.said.open("w") as said:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=said, text=True, env=tool_environment(**more), cwd=self.root
            )
        done.stderr = self.said.read_text()
        told = json.loads(report.read_text()) if report.exists() else []
        return Run(done, {f"{each['name']}": each for each in told})

    def until_begun(self, count: int) -> str:
        """The hook of a build that goes on half a second after so many builds have begun."""
        return (
            "import time\nlimit = time.monotonic() + 60\n"
            f"while open({str(self.story)!r}).read().count('begin') < {count} and time.monotonic() < limit:\n"
            "    time.sleep(0.02)\ntime.sleep(0.5)"
        )

    def until_said(self, text: str) -> str:
        """The hook of a build that goes on when the command has said that."""
        return (
            "import time\nlimit = time.monotonic() + 60\n"
            f"while {text!r} not in open({str(self.said)!r}).read() and time.monotonic() < limit:\n    time.sleep(0.02)"
        )

    def events(self) -> list[str]:
        return self.story.read_text().splitlines() if self.story.exists() else []

    def most_at_once(self) -> int:
        """How many builds were under way at the same time, at most."""
        now = most = 0
        for event in self.events():
            now += 1 if event.startswith("begin") else -1
            most = max(most, now)
        return most

    def wait_for(self, event: str) -> None:
        limit = time.monotonic() + 60
        while event not in self.events():
            assert time.monotonic() < limit, self.events()
            time.sleep(0.02)


def wait_until_there(child: Path) -> None:
    """Until that file has the number of a process, or for a minute."""
    limit = time.monotonic() + 60
    while not (child.exists() and child.read_text()) and time.monotonic() < limit:
        time.sleep(0.02)


def wait_until_gone(child: Path) -> None:
    """Until the process whose number stands in that file has ended; on a busy machine, what is killed takes a while."""
    limit = time.monotonic() + 60
    while _is_running(int(child.read_text())):
        assert time.monotonic() < limit
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)
