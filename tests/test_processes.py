"""What runs below a process, with and without /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sage_wheels import processes

# Two processes below it, of which the second one has left its session; each is told of before it waits.
PROGRAM = """
import os, signal
for leave in (False, True):
    if os.fork() == 0:
        if leave:
            os.setsid()
        print(os.getpid(), flush=True)
        signal.pause()
print(os.getpid(), flush=True)
signal.pause()
"""
TABLES = [processes.by_ps, *([processes.by_proc] if sys.platform == "linux" else [])]


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process, and the numbers of those below it."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pids = [int(process.stdout.readline()) for _ in range(3)]
    yield process, [pid for pid in pids if pid != process.pid]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("table", TABLES)
def test_what_runs_below_is_ended_and_nothing_else(
    family: tuple[subprocess.Popen[str], list[int]], table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a library: this process is no program of ours."""
    monkeypatch.setattr(processes, "running", table)
    process, below = family
    assert sorted(each.pid for each in processes.freeze(process.pid)) == sorted(below)
    processes.end(process.pid)
    assert not {each.pid for each in processes.running()} & set(below)
    assert process.poll() is None


@pytest.mark.parametrize("table", TABLES)
def test_what_was_stopped_is_ended_even_if_its_parent_is_gone(
    family: tuple[subprocess.Popen[str], list[int]], table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "running", table)
    process, below = family
    stopped = processes.freeze(process.pid)
    process.kill()
    process.wait()
    processes.end(process.pid, stopped)
    assert not {each.pid for each in processes.running()} & set(below)


@pytest.mark.skipif(sys.platform != "linux", reason="there is only one way here")
def test_both_tables_say_the_same(family: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, below = family
    both = []
    for table in (processes.by_ps(), processes.by_proc()):
        both.append({each.pid: parent for each, parent in table.items() if each.pid in (process.pid, *below)})
    assert both[0] == both[1]
    assert set(both[0].values()) == {os.getpid(), process.pid}


# A stand-in for init (36: PR_SET_CHILD_SUBREAPER), which gets the zombies that a program of ours leaves.
INIT = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    from sage_wheels import processes
    processes.take_charge()
    processes.prepare()
    command = "import os, time; os.fork() or os.fork(); print('.', flush=True); time.sleep(1000)"
    process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE)
    for _ in range(3):
        process.stdout.readline()
    processes.end_all()
    os._exit(0)
os.wait()
try:
    print("left:", os.wait())
except ChildProcessError:
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what has lost its parent is not ours elsewhere")
def test_no_zombie_is_left_to_init() -> None:
    done = subprocess.run([sys.executable, "-c", INIT], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="ctypes is not used elsewhere")
def test_a_python_without_ctypes() -> None:
    """One that was built without libffi."""
    program = """
import sys
sys.modules["ctypes"] = None
from sage_wheels import processes
processes.take_charge()
processes.prepare()
processes.end_all()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
