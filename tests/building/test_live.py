"""What is shown while something is built, and that this process has one thread whenever it starts another one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.cli.progress import Builds
from sage_wheels.wheel import workers
from support.projects import Gate
from support.run import tool_environment
from support.wheels import make_wheel

MakeProject = Callable[..., Path]

# `sage-wheels`, which writes down how many threads it has whenever it starts a process.
WATCHED = """
import json, os, sys, threading
from sage_wheels.cli import main

report = open(sys.argv.pop(1), "a", buffering=1)

def watch(event, arguments):
    if event in ("os.fork", "os.posix_spawn", "subprocess.Popen"):
        threads = os.listdir("/proc/self/task") if os.path.exists("/proc/self/task") else threading.enumerate()
        print(json.dumps([event, len(threads)]), file=report)

sys.addaudithook(watch)
sys.exit(main())
"""

# A log of 20,000 lines is shown; a dot on standard error for each signal of the timer, until standard input ends.
TICKING = """
import os, signal, sys
from sage_wheels.cli.progress import shown_log

signal.signal(signal.SIGALRM, lambda *_: os.write(2, b"."))
with shown_log(sys.argv[1]):
    with open(sys.argv[1], "a") as log:
        log.writelines(f"{number:6} was compiled, with warnings\\n" for number in range(20_000))
    sys.stdin.read()
"""


def read_until(descriptor: int, wanted: str) -> str:
    """What comes from `descriptor` up to `wanted`, which must come while nobody else goes on."""
    seen = b""
    while wanted.encode() not in seen:
        assert select.select([descriptor], [], [], 60)[0], f"no {wanted!r} after {seen!r}"
        seen += os.read(descriptor, 4096)
    return seen.decode()


def test_a_line_and_the_log_are_shown_by_a_process_of_one_thread(
    make_project: MakeProject, wheelhouse: Path, tmp_path: Path
) -> None:
    make_wheel(wheelhouse, "big", "1.0", {f"big_{n}.bin": os.urandom(1 << 20) for n in range(4)})  # worth a fork
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gate = Gate(listening)
        waiting = "; ".join(["print('compiling', flush=True)", *gate.hook.splitlines()])
        tree = make_project(requires=["tiny", "big"], hook=f"if hook == 'build_wheel': {waiting}")
        terminal, stderr = pty.openpty()
        fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 1000, 0, 0))  # or the line would be cut
        command: list[str | Path] = [sys.executable, "-W", "error", "-c", WATCHED, tmp_path / "report", "build", tree]
        command += ["-w", tmp_path / "dist", "--find-links", wheelhouse, "--log", tmp_path / "log", "--show-log"]
        env = tool_environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=env, cwd="/")
        os.close(stderr)
        assert process.stdout
        with process, gate.wait() as connection:
            shown = read_until(process.stdout.fileno(), "compiling\n")
            read_until(terminal, f"\r\x1b[K{tree}: build ")
            connection.close()
            out = shown + process.stdout.read().decode()
        os.close(terminal)
    assert process.returncode == 0
    wheel = f"{tmp_path}/dist/hello-1.0-py3-none-any.whl\n"
    assert wheel in out
    assert out.replace(wheel, "") == (tmp_path / "log").read_text()
    report = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    assert {threads for _, threads in report} == {1}
    if workers.processors() > 1:
        assert "os.fork" in {event for event, _ in report}


def test_a_log_is_shown_once_and_in_its_order_to_a_slow_reader(tmp_path: Path) -> None:
    """numpy's log of 73 MB, most of it warnings, became 2.6 GB: the timer interrupted what it had begun before."""
    command: list[str | Path] = [sys.executable, "-c", TICKING, tmp_path / "log"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=tool_environment(), cwd="/") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        shown = os.read(process.stdout.fileno(), 1)  # from now on it waits, because a pipe holds less than the log
        for _ in range(4):
            os.read(process.stderr.fileno(), 1)
        process.stdin.close()
        shown += process.stdout.read()
    assert process.returncode == 0
    assert shown == (tmp_path / "log").read_bytes()


def test_the_end_of_a_log_that_is_followed_is_shown_however_long_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part is shown at a time; the last one was, and not what came after it."""
    log = tmp_path / "log"
    log.write_text("".join(f"{number:6} was compiled, with warnings\n" for number in range(70_000)))
    with Builds(1, follow="hello") as builds:
        builds.started(0, "hello 1.0")
        builds.logs(0, str(log))
        builds.ended(0)
    assert capsys.readouterr().err == f"hello 1.0: begins\n{log.read_text()}"
