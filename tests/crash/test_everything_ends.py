"""A command that is told to end ends everything that it has started, whatever that has done to get away.

The backend of the build starts one process of each kind; all of them hold its connection to the test, so the test reads
the end of that when the last of them is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.twins")

from support.projects import Gate, make_tree  # noqa: E402
from support.run import names  # noqa: E402
from support.trees import leftovers, snapshot  # noqa: E402
from support.twins import PROGRAM, end, environment, make_prefix_with_pip, start  # noqa: E402

KINDS = ("child", "session", "daemon", "stubborn", "stopped", "parent")
HOOK = """
import os, signal, socket, time

def run(kind):
    if kind in ("session", "daemon"):
        os.setsid()
    if kind == "daemon" and os.fork():
        os._exit(0)
    if kind == "parent" and os.fork():
        os.setsid()
    if kind == "stubborn":
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    s.send(b".")
    if kind == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(1000)

s = socket.create_connection(("127.0.0.1", PORT))
for kind in KINDS:
    pid = os.fork()
    if not pid:
        try:
            run(kind)
        finally:
            os._exit(0)
    if kind == "daemon":
        os.waitpid(pid, 0)
s.recv(1)
"""
LINES = {
    "build": "build --prefix {prefix} --wheel-dir {destination} --cache-dir {cache} {tree}",
    "install": "install --prefix {prefix} --cache-dir {cache} {tree}",
    "pip install": "pip --prefix {prefix} install --no-index {tree}",
    "pip wheel": "pip --prefix {prefix} wheel --no-index -w {destination} {tree}",
    "pip download": "pip --prefix {prefix} download --no-index -d {destination} {tree}",
}
ENDING = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prefix_with_pip(tmp_path_factory.mktemp("template"))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


class Work:
    """A command whose build is under way."""

    def __init__(self, directory: Path, prefix: Path, listening: socket.socket, how: str) -> None:
        port = listening.getsockname()[1]
        hook = HOOK.replace("PORT", str(port)).replace("KINDS", repr(KINDS))
        tree = make_tree(directory / "tree", "busy", "1.0", hook=hook)
        if how == "pip download":  # which asks for the metadata only
            backend = tree / "backend/tiny.py"
            text = backend.read_text()
            head = "def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):\n"
            assert head in text
            backend.write_text(text.replace(head, f"{head}    _hook('build_metadata', config_settings)\n"))
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        paths = {
            "prefix": prefix,
            "tree": tree,
            "destination": directory / "destination",
            "cache": directory / "cache",
        }
        line = LINES[how].format(**paths).split()
        env = environment(directory / "home", TMPDIR=str(self.temporary))
        self.process = start([sys.executable, "-I", "-c", PROGRAM, *line], env, start_new_session=True)
        self.connection, _ = listening.accept()
        self.connection.settimeout(60)
        for _ in range(len(KINDS) + 1):  # the parent and its child speak both
            assert self.connection.recv(1) == b"."

    def assert_all_has_ended(self) -> None:
        try:
            assert self.connection.recv(1) == b""
        except ConnectionResetError:
            pass
        finally:
            self.connection.close()


def check(work: Work, number: signal.Signals, prefix: Path, before: object) -> None:
    done = end(work.process)
    work.assert_all_has_ended()
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sage-wheels: interrupted")
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    assert [each for each in work.temporary.iterdir() if not each.name.startswith("pip-ephem")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="a double fork gets away elsewhere")
@pytest.mark.parametrize("number", ENDING, ids=lambda each: each.name)
@pytest.mark.parametrize("how", ["build", "pip install"])
def test_each_signal(
    tmp_path: Path, template: Path, listening: socket.socket, how: str, number: signal.Signals
) -> None:
    before = snapshot(template)
    work = Work(tmp_path, template, listening, how)
    work.process.send_signal(number)
    check(work, number, template, before)
    assert [each for each in (tmp_path / "cache").glob("build/*") if each.suffix != ".lock"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="a double fork gets away elsewhere")
@pytest.mark.parametrize("how", ["install", "pip wheel", "pip download"])
def test_each_command(tmp_path: Path, template: Path, listening: socket.socket, how: str) -> None:
    before = snapshot(template)
    work = Work(tmp_path, template, listening, how)
    work.process.send_signal(signal.SIGTERM)
    check(work, signal.SIGTERM, template, before)


@pytest.mark.skipif(sys.platform != "linux", reason="a double fork gets away elsewhere")
@pytest.mark.parametrize("how", ["build", "pip install", "pip wheel"])
def test_a_terminal_that_is_closed(tmp_path: Path, template: Path, listening: socket.socket, how: str) -> None:
    """The whole group hears of it, twice, and nobody reads what is said."""
    before = snapshot(template)
    work = Work(tmp_path, template, listening, how)
    for pipe in (work.process.stdout, work.process.stderr):
        assert pipe
        pipe.close()
    for _ in range(2):
        os.killpg(work.process.pid, signal.SIGHUP)
    assert work.process.wait(60) == 128 + signal.SIGHUP
    work.assert_all_has_ended()
    assert snapshot(template) == before


def test_what_ran_before_us_is_left_alone(tmp_path: Path, template: Path, listening: socket.socket) -> None:
    """A shell that becomes us leaves us its background jobs."""
    reader, writer = os.pipe()
    job = f"import os, signal\nif os.fork() == 0:\n    signal.pause()\nos.close({writer})\n"
    gate = Gate(listening)
    tree = make_tree(tmp_path / "tree", "busy", "1.0", hook=gate.hook)
    line = LINES["build"].format(
        prefix=template, destination=tmp_path / "destination", cache=tmp_path / "cache", tree=tree
    )
    command = [sys.executable, "-I", "-c", job + PROGRAM, *line.split()]
    quiet = subprocess.DEVNULL  # which the job holds, too
    env = environment(tmp_path / "home")
    process = start(command, env, pass_fds=(writer,), start_new_session=True, stdout=quiet, stderr=quiet)
    os.close(writer)
    try:
        with gate.wait() as connection:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
            assert connection.recv(1) == b""
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)  # the job holds the other end
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        os.close(reader)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT], ids=lambda each: each.name)
@pytest.mark.parametrize("how", ["build", "pip install"])
def test_what_the_caller_ignores_stays_ignored(
    tmp_path: Path, template: Path, listening: socket.socket, how: str, number: signal.Signals
) -> None:
    """As with nohup, and in the background jobs of a shell script."""
    gate = Gate(listening)
    prefix = make_prefix_with_pip(tmp_path)
    tree = make_tree(tmp_path / "tree", "busy", "1.0", hook=gate.hook)
    paths = {"prefix": prefix, "tree": tree, "destination": tmp_path / "destination", "cache": tmp_path / "cache"}
    command = [sys.executable, "-I", "-c", PROGRAM, *LINES[how].format(**paths).split()]
    process = start(command, environment(tmp_path / "home"), preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    with gate.wait() as connection:
        process.send_signal(number)
        connection.send(b".")
    done = end(process)
    assert done.returncode == 0, done.stderr
    assert "interrupted" not in done.stderr
    assert how == "build" or "busy 1.0" in names(prefix)
