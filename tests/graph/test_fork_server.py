"""Promise 9: a task of a worker is a process of its own, which ends by itself, is killed, or ends with the worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.graph import fork_server
from sage_wheels.version import __version__
from support.run import tool_environment

# A worker, which says which processes it has: the fork server, and a task that waits for its first line.
_WORKER = """
import sys
from sage_wheels.graph import fork_server
task = fork_server.start()
print(fork_server.current[0].pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_fork_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    current: list[Any] = []
    monkeypatch.setattr(fork_server, "current", current)
    yield
    for each in current:
        each.close()


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _of_no_use() -> str:
    """A task for a tool that nobody has: it is given back at once."""
    return json.dumps({"wanted": {"tool": "0"}}) + "\n"


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until_gone(*pids: int) -> None:
    limit = time.monotonic() + 60
    while any(map(_is_there, pids)):
        assert time.monotonic() < limit, pids
        time.sleep(0.01)


def test_tasks_are_forks_of_one_process() -> None:
    parents = []
    for _ in range(2):
        with fork_server.start() as process:
            process.stdin.write(_of_no_use().encode())
            assert json.loads(process.stdout.readline()) == ["differs", f"sage-wheels {__version__}"]
            assert process.stdout.read() == b""
            assert process.wait() == 0
        parents.append(fork_server.current[0].pid)
    assert parents[0] == parents[1]


def test_several_at_once_each_with_its_own_end() -> None:
    with fork_server.start() as one, fork_server.start() as other, fork_server.start() as third:
        assert third.wait(0) is None
        other.kill()
        assert other.wait() == -signal.SIGKILL
        assert other.stdout.read() == b""
        one.stdin.write(_of_no_use().encode())
        assert one.wait() == 0
        third.stdin.close()  # no task, and no worker that wants one
        assert third.wait() == 1


def test_a_fork_server_that_is_killed_is_followed_by_another_one() -> None:
    with fork_server.start() as process:
        os.kill(fork_server.current[0].pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    with fork_server.start() as process:
        process.stdin.write(_of_no_use().encode())
        assert process.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_all_of_them_end_with_the_worker() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER], env=tool_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout
        pid = int(worker.stdout.readline())
        limit = time.monotonic() + 60
        while not (tasks := _children(pid)):
            assert time.monotonic() < limit
            time.sleep(0.01)
        worker.kill()
    _until_gone(pid, *tasks)
