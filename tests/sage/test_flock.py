"""sage-flock: a lock that is held, and the same one as the tool's. Promise 1."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sage_wheels.prefix import lock
from support.wheels import make_wheel

from .conftest import Scripts

NAP = ("sh", "-c", "echo held; read line")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "not there" / "yet" / "lock"


class Holder:
    """A process that holds a lock until it is told to let go."""

    def __init__(self, scripts: Scripts, *arguments: str | Path) -> None:
        self.done = False
        self.process = scripts.start(
            "sage-flock", *arguments, *NAP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        if not self.done:
            self.done = True
            self.process.communicate("\n", timeout=60)

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()


def test_a_second_one_waits_and_says_so_at_once(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, file) as holder:
        waiting = scripts.start(
            "sage-flock", "-x", file, "echo", "mine now", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert waiting.stderr
        line = waiting.stderr.readline()
        assert f"waiting for {file}" in line
        assert f"held by process {holder.process.pid}" in line
        assert "echo 'mine now'" in line
        assert waiting.poll() is None
        holder.let_go()
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out, err) == (0, "mine now\n", "")


def test_the_lock_lasts_as_long_as_the_command(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, file):
        assert scripts.run("sage-flock", "--timeout", "0", file, "true").returncode == 3
    assert scripts.run("sage-flock", "--timeout", "0", file, "true").returncode == 0


def test_it_dies_with_a_command_that_is_killed(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, file) as holder:
        holder.process.send_signal(signal.SIGKILL)
        holder.let_go()
    assert scripts.run("sage-flock", "--timeout", "60", file, "true").returncode == 0


def test_shared_locks_are_shared(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, "-s", file):
        assert scripts.run("sage-flock", "-s", "--timeout", "0", file, "echo", "too").stdout == "too\n"
        assert scripts.run("sage-flock", "-x", "--timeout=0", file, "true").returncode == 3


def wait_until_queued(process: subprocess.Popen[str]) -> None:
    """It says that it waits before it goes into the queue; where the kernel does not tell of that, it gets a while."""
    locks = Path("/proc/locks")
    if not locks.exists():
        time.sleep(0.5)
        return
    limit = time.monotonic() + 60
    while not re.search(rf"-> FLOCK .* {process.pid} ", locks.read_text()) and time.monotonic() < limit:
        time.sleep(0.01)


def test_who_comes_first_is_served_first(scripts: Scripts, file: Path) -> None:
    """One that asks exclusively is not starved by those that share."""
    log = file.parent.parent.parent / "log"
    with Holder(scripts, file) as holder:
        waiting = []
        for number in range(5):
            command = f"echo {number} >>'{log}'"
            process = scripts.start("sage-flock", file, "sh", "-c", command, stderr=subprocess.PIPE)
            assert process.stderr
            assert "waiting" in process.stderr.readline()
            wait_until_queued(process)
            waiting.append(process)
        holder.let_go()
        for process in waiting:
            process.communicate(timeout=60)
    assert log.read_text().split() == ["0", "1", "2", "3", "4"]


def test_the_exit_status_is_the_commands_or_the_shells(scripts: Scripts, file: Path, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    for extra in ((), ("--close",)):
        assert scripts.run("sage-flock", *extra, file, "sh", "-c", "exit 42").returncode == 42
        for status, command in ((127, "no-such-command"), (127, ""), (126, str(tmp_path / "data"))):
            done = scripts.run("sage-flock", *extra, file, command)
            assert (done.returncode, done.stdout) == (status, "")
            assert done.stderr.startswith(f"sage-flock: {command or repr(command)}: ")
            assert done.stderr.count("\n") == 1
    assert scripts.run("sage-flock", "--close", file, "sh", "-c", "kill -KILL $$").returncode == 128 + 9


def test_the_command_gets_the_environment_and_signals_as_they_were(scripts: Scripts, file: Path) -> None:
    env = {"PYTHONPATH": "/p", "PYTHONHOME": "/h", "LD_LIBRARY_PATH": "/l"}
    done = scripts.run("sage-flock", file, "env", env=env)
    assert set(done.stdout.splitlines()) >= {"PYTHONPATH=/p", "PYTHONHOME=/h", "LD_LIBRARY_PATH=/l"}
    # a command that is not killed by a closed pipe would say so
    assert scripts.run("sage-flock", file, "sh", "-c", "yes | head -n 1").stderr == ""


def test_a_process_left_behind_keeps_the_lock_unless_told_to_close(
    scripts: Scripts, file: Path, tmp_path: Path
) -> None:
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(go)
    leave = f"(read line <'{go}') </dev/null >/dev/null 2>&1 & : >'{ready}'"
    assert scripts.run("sage-flock", "--close", file, "sh", "-c", leave).returncode == 0
    assert scripts.run("sage-flock", "--timeout", "0", file, "true").returncode == 0
    go.write_text("\n")
    assert scripts.run("sage-flock", file, "sh", "-c", leave).returncode == 0
    assert scripts.run("sage-flock", "--timeout", "0", file, "true").returncode == 3
    go.write_text("\n")
    assert scripts.run("sage-flock", "--timeout", "60", file, "true").returncode == 0


def test_a_descriptor_of_the_caller(scripts: Scripts, tmp_path: Path) -> None:
    file = tmp_path / "lock"
    program = """
        exec 9>"$2"
        "$1" -x 9 || exit 10
        "$1" --timeout 0 "$2" true 2>/dev/null; [ $? = 3 ] || exit 11
        "$1" -u 9 || exit 12
        "$1" --timeout 0 "$2" true || exit 13
        "$1" 9 true 2>/dev/null; [ $? = 2 ] || exit 14
    """
    command = ["sh", "-c", program, "sh", scripts.path("sage-flock"), str(file)]
    assert subprocess.run(command, timeout=60).returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_descriptor_does_not_become_the_lock(scripts: Scripts, file: Path, closed: str) -> None:
    inside = 'echo text; echo text >&2; exec </dev/null >/dev/null 2>&1; "$1" --timeout 0 "$2" true'
    program = f'"$1" "$2" sh -c \'{inside}\' sh "$1" "$2" {closed}'
    done = subprocess.run(["sh", "-c", program, "sh", scripts.path("sage-flock"), file], timeout=60)
    assert done.returncode == 3
    assert json.loads(file.read_text())["command"][0] == "sage-flock"


def test_without_standard_error_nothing_is_said_elsewhere(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, file):
        command = ["sh", "-c", '"$1" --timeout 0 "$2" true 2>&-', "sh", scripts.path("sage-flock"), str(file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (3, b"")


@pytest.mark.parametrize("number", ["99", "9" * 20])
def test_a_descriptor_that_is_not_open_is_said_to_be(scripts: Scripts, number: str) -> None:
    done = scripts.run("sage-flock", number)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"descriptor {number} is not open" in done.stderr


def test_the_longest_time_is_no_failure(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, file) as holder:
        waiting = scripts.start("sage-flock", "--timeout", "1e30", file, "true", stderr=subprocess.PIPE)
        assert waiting.stderr
        assert "waiting" in waiting.stderr.readline()
        holder.let_go()
        assert waiting.communicate(timeout=60)[1] == ""
    assert waiting.returncode == 0


def test_a_lock_file_that_was_deleted_meanwhile_locks_nobody_out_of_the_new_one(scripts: Scripts, file: Path) -> None:
    with Holder(scripts, file) as holder:
        waiting = scripts.start(
            "sage-flock", file, *NAP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert waiting.stderr
        waiting.stderr.readline()
        file.unlink()
        holder.let_go()
        assert waiting.stdout
        assert waiting.stdout.readline() == "held\n"
        assert scripts.run("sage-flock", "--timeout", "0", file, "true").returncode == 3
        waiting.communicate("\n", timeout=60)


def test_it_says_who_holds_the_lock_but_not_in_somebodys_data(scripts: Scripts, file: Path, tmp_path: Path) -> None:
    done = scripts.run("sage-flock", file, "cat", file)
    about = json.loads(done.stdout)
    assert about["command"] == ["sage-flock", str(file), "cat", str(file)]
    data = tmp_path / "data"
    data.write_text("precious\n")
    assert scripts.run("sage-flock", data, "true").returncode == 0
    assert data.read_text() == "precious\n"


def test_it_excludes_the_tool_and_the_tool_excludes_it(scripts: Scripts, prefix: Path, tmp_path: Path) -> None:
    file = prefix / "var/lib/sage-wheels/lock"
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""})
    with Holder(scripts, file) as holder:
        done = scripts.run("sage-wheels", "install", "--lock-timeout", "0", wheel)
        assert done.returncode == 3
        assert f"process {holder.process.pid}" in done.stderr
        done = scripts.run("sage-pip-uninstall", "--lock-timeout", "0", "pkg")
        assert done.returncode == 0  # not installed: there is nothing to change
    with lock.hold(str(file)):
        done = scripts.run("sage-flock", "--timeout", "0", file, "true")
        assert done.returncode == 3
        assert f"process {os.getpid()}" in done.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("-s", "-x", "l", "true"), ("--timeout", "soon", "l", "true"), ("--nonsense", "l"), ("l",)]
)
def test_wrong_usage_is_one_sentence(scripts: Scripts, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = scripts.run("sage-flock", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("sage-flock: ")


def test_help_goes_to_standard_output(scripts: Scripts) -> None:
    done = scripts.run("sage-flock", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sage-rebase" in done.stdout


def test_a_directory_that_cannot_be_made(scripts: Scripts, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = scripts.run("sage-flock", tmp_path / "file" / "lock", "true")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_where_no_file_can_be_made_the_reason_is_said(scripts: Scripts) -> None:
    if not os.path.isdir("/sys/kernel"):
        pytest.skip("there is no directory in which nobody can make a file")
    done = scripts.run("sage-flock", "/sys/kernel/lock", "true")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "(Permission denied)" in done.stderr or "(Read-only file system)" in done.stderr
