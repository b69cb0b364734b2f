"""A signal ends a package script while one of the sdh_* functions builds: nothing goes on or is half installed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from support.trees import leftovers, make_prefix

from .conftest import Scripts
from .test_dist_helpers import Spkg, everything, package_of_sources
from .test_make import ENDLESS, still_there, wait_for

INSTALL = "sdh_pip_install src"
EDITABLE = "sdh_pip_editable_install src"
LEGACY = f'export PATH="$STUBS:$PATH" SETUPTOOLS_ENABLE_FEATURES=legacy-editable; {EDITABLE}'


class Busy:
    """A package whose build, of any kind, has begun and never ends."""

    def __init__(self, scripts: Scripts, directory: Path) -> None:
        self.prefix = make_prefix(directory, "venv")
        self.spkg = package_of_sources(scripts, self.prefix)
        self.before = everything(self.prefix)
        self.mark = str(78_000_000 + os.getpid())
        self.begun = directory / "begun"
        endless = f"MARK, BEGUN = {self.mark!r}, {str(self.begun)!r}\n{ENDLESS}\nbuild_editable = build_wheel\n"
        (self.spkg.build / "src/backend.py").write_text(endless)
        pip = directory / "stubs/python3"  # what pip and setuptools start
        pip.parent.mkdir()
        pip.write_text(f"#!/bin/sh\ncd src && '{sys.executable}' -c 'from backend import *; build_wheel()'\n")
        pip.chmod(0o755)
        self.stubs = str(pip.parent)

    def end(self, script: str, *numbers: signal.Signals, to_all: bool = False) -> int:
        """Run a script, send it signals when the build has begun, and wait until nothing runs any more."""
        self.begun.unlink(missing_ok=True)
        process = self.spkg.start(script, self.spkg.build, STUBS=self.stubs)
        wait_for(self.begun.exists)
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if to_all else os.kill)(process.pid, number)
        self.spkg.log += "".join(process.communicate(timeout=60))
        assert still_there(self.mark) == [], self.spkg.log
        assert everything(self.prefix) == self.before
        assert leftovers(self.prefix) == []
        assert not self.spkg.requirements.exists()
        return process.returncode


@pytest.fixture
def busy(scripts: Scripts, tmp_path: Path) -> Busy:
    if sys.platform != "linux":
        pytest.skip("elsewhere, daemons are not found")
    return Busy(scripts, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("script", [INSTALL, EDITABLE, LEGACY], ids=["install", "editable", "legacy"])
@pytest.mark.parametrize("to_all", [False, True], ids=["alone", "all"])
def test_the_script_ends_by_the_signal(busy: Busy, script: str, number: signal.Signals, to_all: bool) -> None:
    """One that is sent to the shell alone, and one that a terminal sends to all processes of the job."""
    status = 128 + number if number == signal.SIGQUIT else -number  # bash itself ignores that one
    assert busy.end(f"{script}; echo went on", number, to_all=to_all) == status
    assert "went on" not in busy.spkg.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_more_than_one_signal(busy: Busy, number: signal.Signals) -> None:
    assert busy.end(INSTALL, number, number, number, to_all=True) == -number


def test_a_trap_of_the_script_runs_afterwards(busy: Busy) -> None:
    """And in a subshell, with `set -e`, and without standard input."""
    script = f"trap 'echo trapped; exit 9' TERM; {INSTALL} || echo status $?"
    assert busy.end(script, signal.SIGTERM) == 9
    assert "trapped" in busy.spkg.log.splitlines()
    assert busy.end(f"set -e; ({INSTALL}) <&-; echo went on", signal.SIGTERM, to_all=True) == -signal.SIGTERM
    assert "went on" not in busy.spkg.log


def test_what_the_script_ignores_is_ignored(busy: Busy) -> None:
    script = f"trap '' HUP; {INSTALL}"
    assert busy.end(script, signal.SIGHUP, signal.SIGTERM, to_all=True) == -signal.SIGTERM


def test_the_traps_and_the_standard_input_of_the_script_stay(scripts: Scripts, tmp_path: Path) -> None:
    spkg = Spkg(scripts, make_prefix(tmp_path, "venv"))
    spkg.prepare()
    script = (
        "trap 'echo mine' INT; trap '' HUP; before=$(trap -p); echo input | _sdh_run cat; _sdh_run sh -c 'exit 3'; "
        'echo $?; [ "$before" = "$(trap -p)" ] && kill -INT $$'
    )
    assert spkg.bash(script, spkg.build) == 0
    assert spkg.log == "input\n3\nmine\n"
