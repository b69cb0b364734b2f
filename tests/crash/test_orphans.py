"""Promise 2 where several processes write one stage: the installation is killed, and its workers live on.

The workers hold the lock of the stage with their parent. So nobody sweeps under them what they are still writing, and
when they are gone, too, everything is swept.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.wheel import workers
from support.run import install, tool, tool_environment, uninstall
from support.trees import STATE, leftovers, make_prefix, snapshot
from support.wheels import Content, make_wheel

FILES = 24
TRIES = 20


def big_wheel(directory: Path, version: str) -> Path:
    """A wheel of many pieces of work, each of which takes some milliseconds to unpack."""
    files: dict[str, Content] = {f"big/part{n}.bin": bytes([n]) * (4 << 20) for n in range(FILES)}
    return make_wheel(directory, "big", version, {"big/__init__.py": "", **files})


class Orphans:
    """The workers of an installation that was killed while they were writing; they are stopped, and hold `stage`."""

    def __init__(self, group: int, stage: Path) -> None:
        self.stage = stage
        self._group = group
        self._fd = os.open(stage, os.O_RDONLY)

    def end(self) -> None:
        """Let them go on, and wait until the last of them is gone."""
        try:
            os.killpg(self._group, signal.SIGCONT)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        finally:
            os.close(self._fd)


def files_below(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


def orphans(prefix: Path, wheel: Path, restore: Callable[[], object]) -> Orphans:
    """Install `wheel`, and kill the installing process, but not its workers, in the middle of writing the image.

    `restore` brings back the state before, if the process was met too late.
    """
    for _ in range(TRIES):
        command = [sys.executable, "-m", "sage_wheels", "install", "--no-compile", "--prefix", str(prefix), str(wheel)]
        # its own session: its workers can be stopped without anybody's knowing their process ids
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(
            command, env=tool_environment(), start_new_session=True, stdout=nowhere, stderr=nowhere
        )
        while process.poll() is None and not list((prefix / STATE).glob("stage/*/new/**/part*.bin")):
            pass
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGSTOP)
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        written = list((prefix / STATE).glob("stage/*/new/**/part*.bin"))
        # at most half of them: those at work may finish one each, and there have to be others that nobody begins
        if written and len(written) <= FILES // 2 and _is_locked(stage := next((prefix / STATE).glob("stage/*"))):
            return Orphans(process.pid, stage)
        if process.returncode < 0:  # too late, or too early: there was no worker, or none is left
            _continue(process.pid)
        sage_wheels.recover(prefix)
        restore()
    raise AssertionError(f"in {TRIES} tries no worker was met at its work")


def _is_locked(stage: Path) -> bool:
    fd = os.open(stage, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _continue(group: int) -> None:
    try:
        os.killpg(group, signal.SIGCONT)
    except ProcessLookupError:
        return


@pytest.mark.skipif(workers.processors() < 2, reason="with one processor there are no workers")
@pytest.mark.parametrize("upgrade", [False, True], ids=["install", "upgrade"])
def test_killed_while_workers_write_the_image(tmp_path: Path, upgrade: bool) -> None:
    prefix = make_prefix(tmp_path)
    other = make_wheel(tmp_path, "other", "1.0", {"other/__init__.py": ""})
    old = make_wheel(tmp_path, "big", "1.0", {"big/__init__.py": "", "big/part1.bin": "old"})

    def prepare() -> object:
        return install(prefix, old, compile_bytecode=False) if upgrade else uninstall(prefix, "big")

    prepare()
    before = snapshot(prefix)
    left = orphans(prefix, big_wheel(tmp_path / "wheels", "2.0"), prepare)
    try:
        written = files_below(left.stage)
        changes: list[Callable[[], object]] = [
            lambda: sage_wheels.recover(prefix),
            lambda: install(prefix, other),
            lambda: uninstall(prefix, "other"),
            lambda: tool("recover", "--prefix", prefix, check=True),
        ]
        for change in changes:  # nobody has to wait for them, and nobody sweeps what they are writing
            change()
            assert files_below(left.stage) >= written  # a system call under way may end after the stop
        assert snapshot(prefix) == before
    finally:
        left.end()
    assert len(list(left.stage.glob("new/**/part*.bin"))) < FILES  # they have noticed that nobody waits for them
    sage_wheels.recover(prefix)
    assert leftovers(prefix) == []
    assert snapshot(prefix) == before
