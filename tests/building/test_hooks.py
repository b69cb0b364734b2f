from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building.backend.hooks import HookRunner
from sage_wheels.building.backend.variables import BACKEND_PATH, BUILD_BACKEND, for_build
from sage_wheels.building.log import Log

# What `pyproject_hooks` runs for each hook, reduced to what a test wants to see.
SCRIPT = """
import json, os, sys
import {module} as backend
hook, control = sys.argv[1:]
with open(control + "/output.json", "w") as f:
    json.dump(getattr(backend, hook)(), f)
"""
BACKEND = """
import os, subprocess, sys, time
imported_by = os.getpid()
state = []

def touch(): state.append(1); os.environ["TOUCHED"] = "yes"; os.chdir("/"); return len(state)
def program(): return sys.orig_argv[1:]
def who(): return [os.getpid(), imported_by, len(state), os.environ.get("TOUCHED"), os.getcwd(), sys.argv[1:]]
def talk(): print("on stdout"); print("on stderr", file=sys.stderr); os.system("echo from a child")
def fail(): sys.exit(3)
def divide(): exec("1/0")
def die(): os.kill(os.getpid(), 9)
def read(): return sys.stdin.read()
def mask(): value = os.umask(0); return value
def descriptors(): return sorted(int(fd) for fd in os.listdir("/dev/fd"))
def wait():
    child = subprocess.Popen(["sleep", "1000"])
    with open("pids", "w") as f: f.write(f"{os.getpid()} {child.pid}")
    os.rename("pids", "pids.ready")
    child.wait()
"""


class Caller:
    """Calls hooks of the backend above through a runner."""

    def __init__(self, runner: HookRunner, directory: Path, module: str, **more: str) -> None:
        self.runner = runner
        self.more = more
        self.directory = directory
        self.module = module
        (directory / f"{module}.py").write_text(BACKEND)
        (directory / "script.py").write_text(SCRIPT.format(module=module))

    def __call__(self, hook: str) -> Any:
        environ = {BUILD_BACKEND: f"{self.module}:x", "PYTHONPATH": str(self.directory), **self.more}
        command = [sys.executable, str(self.directory / "script.py"), hook, str(self.directory)]
        self.runner(command, str(self.directory), environ)
        return json.loads((self.directory / "output.json").read_text())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log(str(tmp_path / "log")) as log:
        yield log


@pytest.fixture
def call(tmp_path: Path, log: Log) -> Iterator[Caller]:
    with HookRunner(for_build(os.environ), log) as runner:
        yield Caller(runner, tmp_path, "some_backend")


def test_each_hook_has_a_process_of_its_own(call: Caller) -> None:
    """PEP 517: a backend may change the state of its process."""
    assert call("touch") == 1
    pid, _, state, environ, cwd, arguments = call("who")
    assert pid != call("who")[0]
    assert (state, environ) == (0, None)
    assert cwd == os.path.realpath(call.directory)
    assert arguments == ["who", str(call.directory)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every hook has an interpreter of its own")
def test_the_backend_is_imported_once(call: Caller) -> None:
    one, other = call("who"), call("who")
    assert one[1] == other[1]
    call.runner.restart()
    assert call("who")[1] != one[1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every hook has an interpreter of its own")
def test_each_hook_imports_a_backend_of_the_source_tree_itself(tmp_path: Path, log: Log) -> None:
    """It is found in another way; so the process that forks must not have it, but the start of a Python is saved."""
    with HookRunner(for_build(os.environ), log) as runner:
        call = Caller(runner, tmp_path, "some_backend", **{BACKEND_PATH: "."})
        assert call("touch") == 1
        pid, imported_by, state, environ, *_ = call("who")
        assert (imported_by, state, environ) == (pid, 0, None)
        assert call("program")[0] == "-c"  # not SCRIPT: no Python has started for this hook


@pytest.mark.parametrize(
    "start",
    [
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
        # A Python that ends before such a thread has run can crash (seen with 3.10), so this waits for it.
        "runs = _thread.allocate_lock(); runs.acquire(); "
        "_thread.start_new_thread(lambda: (runs.release(), time.sleep(1000)), ()); runs.acquire()",
    ],
    ids=["threading", "_thread"],
)
def test_a_backend_that_starts_threads_is_not_forked(tmp_path: Path, log: Log, start: str) -> None:
    with HookRunner(for_build(os.environ), log) as runner:
        call = Caller(runner, tmp_path, "threaded")
        with open(tmp_path / "threaded.py", "a") as f:
            f.write(f"import threading, _thread; {start}\n")
        pid, imported_by, *_ = call("who")
        assert pid == imported_by
    assert "fork()" not in log.since(0)  # what newer Pythons say of one with threads


def test_everything_that_is_said_is_in_the_log(call: Caller, log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    call("talk")
    assert {"on stdout", "on stderr", "from a child"} <= set(log.since(0).splitlines())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("more", [{}, {BACKEND_PATH: "."}])
def test_a_traceback_is_that_of_the_script(tmp_path: Path, log: Log, more: dict[str, str]) -> None:
    """A message shows the last lines of the log: frames of ours, or lines of our text, would leave others out."""
    with HookRunner(for_build(os.environ), log) as runner:
        call = Caller(runner, tmp_path, "some_backend", **more)
        with pytest.raises(subprocess.CalledProcessError):
            call("divide")
    command = [sys.executable, str(tmp_path / "script.py"), "divide", str(tmp_path)]
    direct = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ZeroDivisionError" in direct.stderr
    assert log.since(0).partition("\n")[2] == direct.stderr


@pytest.mark.parametrize(("hook", "status"), [("fail", 3), ("die", -signal.SIGKILL)])
def test_a_failure_is_what_subprocess_would_raise(call: Caller, hook: str, status: int) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        call(hook)
    assert raised.value.returncode == status
    assert call("touch") == 1, "and the next hook can be called"


def test_an_interpreter_that_does_not_start(tmp_path: Path, log: Log) -> None:
    with HookRunner(for_build(os.environ), log) as runner, pytest.raises(FileNotFoundError):
        runner(["/nowhere/python", "script", "hook", "control"], str(tmp_path), {})
    with HookRunner(for_build(os.environ), log) as runner, pytest.raises(subprocess.CalledProcessError):
        runner(["/bin/false", "script", "hook", "control"], str(tmp_path), {})


def test_standard_input_is_empty_and_the_umask_settled(call: Caller) -> None:
    before = os.umask(0o077)
    try:
        assert call("read") == ""
        assert call("mask") == 0o022
    finally:
        os.umask(before)


def test_no_descriptor_of_ours_reaches_a_hook(call: Caller, tmp_path: Path) -> None:
    with open(tmp_path / "secret", "w") as f:
        os.set_inheritable(f.fileno(), True)
        # 0, 1, 2, the answer of the hook, and the directory that is read
        assert len(call("descriptors")) == 5


def test_a_jobserver_reaches_a_hook(tmp_path: Path, log: Log) -> None:
    reader, writer = os.pipe()
    try:
        variables = for_build({**os.environ, "MAKEFLAGS": f"-j2 --jobserver-auth={reader},{writer}"})
        with HookRunner(variables, log) as runner:
            assert {reader, writer} <= set(Caller(runner, tmp_path, "some_backend")("descriptors"))
    finally:
        os.close(reader)
        os.close(writer)


def wait_for(path: Path) -> str:
    while not path.exists():
        time.sleep(0.01)
    return path.read_text()


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody reaps here has."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if os.path.exists("/proc") else ""
    except (ProcessLookupError, FileNotFoundError):
        return True
    return state == "Z"


def wait_until_gone(pids: list[int]) -> None:
    while not all(gone(pid) for pid in pids):
        time.sleep(0.01)


def test_an_interrupt_ends_the_hook_and_what_it_started(call: Caller) -> None:
    def interrupt() -> None:
        wait_for(call.directory / "pids.ready")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call("wait")
    thread.join()
    wait_until_gone([int(pid) for pid in (call.directory / "pids.ready").read_text().split()])


def test_an_interrupt_ends_a_backend_that_is_still_being_imported(tmp_path: Path, log: Log) -> None:
    is_started = threading.Event()

    def interrupt() -> None:
        is_started.wait()
        wait_for(tmp_path / "importing")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with HookRunner(for_build(os.environ), log) as runner:
        call = Caller(runner, tmp_path, "slow")
        runner.meanwhile = is_started.set  # else the signal may come while the process is still being started
        with open(tmp_path / "slow.py", "a") as f:
            f.write("open('importing', 'w').close(); time.sleep(1000)\n")
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call("who")
        thread.join()


def test_when_the_builder_is_killed_the_hook_and_what_it_started_end_too(tmp_path: Path) -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_hooks import Caller, HookRunner, Log, for_build
directory = Path({str(tmp_path)!r})
Caller(HookRunner(for_build(os.environ), Log(str(directory / "log"))), directory, "some_backend")("wait")
"""
    builder = subprocess.Popen([sys.executable, "-c", program])
    pids = [int(pid) for pid in wait_for(tmp_path / "pids.ready").split()]
    builder.kill()
    builder.wait()
    wait_until_gone(pids)
