"""`sage_wheels.prefix.lock`, between real processes. Promise 1."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

import sage_wheels
from sage_wheels.errors import FileOperationFailed, LockTimeout
from sage_wheels.prefix import lock

HOLD = """
import sys
from sage_wheels.prefix import lock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    environment = {**os.environ, "PYTHONPATH": str(Path(sage_wheels.__file__).parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_directory_is_made_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "var" / "lib" / "lock"
    with lock.hold(str(path)):
        assert path.is_file()
    with lock.hold(str(path)):
        pass
    assert path.is_file()


def test_the_file_says_who_holds_it(tmp_path: Path) -> None:
    with lock.hold(str(tmp_path / "lock")):
        about = json.loads((tmp_path / "lock").read_text())
    assert about["pid"] == os.getpid()


def test_a_held_lock_times_out_and_names_the_holder(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        holder(tmp_path / "lock") as other,
        pytest.raises(LockTimeout) as caught,
        lock.hold(str(tmp_path / "lock"), timeout=0, on_wait=said.append),
    ):
        pytest.fail("the lock was held twice")
    assert caught.value.exit_status == 3
    assert re.search(rf"held by process {other.pid} on \S+ since \d\d:\d\d:\d\d", str(caught.value))
    assert "--lock-timeout" in caught.value.advice
    assert len(said) == 1
    assert f"process {other.pid}" in said[0]


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other:
        other.send_signal(signal.SIGKILL)
        with lock.hold(str(tmp_path / "lock"), timeout=30):
            assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_waiter_gets_the_lock_when_it_is_let_go(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other:

        def let_go(sentence: str) -> None:
            assert other.stdin
            other.stdin.close()

        with lock.hold(str(tmp_path / "lock"), on_wait=let_go):
            assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_it_excludes_filelock_and_plain_flock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.hold(str(path)):
        with pytest.raises(Timeout):
            FileLock(path, timeout=0, fallback_to_soft=False).acquire()
        with open(path) as f, pytest.raises(BlockingIOError):
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_lock_file_that_was_deleted_meanwhile_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as other:

        def delete_and_let_go(sentence: str) -> None:
            path.unlink()
            assert other.stdin
            other.stdin.close()

        with lock.hold(str(path), on_wait=delete_and_let_go):
            assert path.is_file()
            with open(path) as f, pytest.raises(BlockingIOError):
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with lock.hold(str(tmp_path / "lock")):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with lock.hold(str(tmp_path / "lock"), timeout=0):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("garbage", ["", "{", "[]", "{}", '{"pid": 1, "since": "x", "host": "", "command": 3}'])
def test_what_the_file_says_is_not_needed(tmp_path: Path, garbage: str) -> None:
    path = tmp_path / "lock"
    path.write_text(garbage)
    with open(path) as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        with (
            pytest.raises(LockTimeout, match="held by an unknown process"),
            lock.hold(str(path), timeout=0),
        ):
            pytest.fail("the lock was held twice")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(FileOperationFailed, match="lock"), lock.hold(str(tmp_path / "lock")):
        pytest.fail("a link was followed")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FileOperationFailed, match=r"opening the lock file failed at .*file"),
        lock.hold(str(tmp_path / "file" / "lock")),
    ):
        pytest.fail("there is no lock")
