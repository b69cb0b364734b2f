"""Promise 9: the same builds on every engine, and what each engine owes to the run."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import support
from graph.conftest import Workshop, wait_until_gone
from support.run import tool_environment

_HAS_DASK = importlib.util.find_spec("distributed") is not None
needs_dask = pytest.mark.skipif(not _HAS_DASK, reason="distributed (the extra 'cluster') is not installed")
_OF_WORKERS = ("SAGE_WHEELS_STORE", "SAGE_WHEELS_STORE_MODE", "XDG_CACHE_HOME")
_SUPPORT = Path(str(support.__path__[0]))


class Site:
    """Where engines run: their processes, each with a cache of its own, and what they share."""

    def __init__(self, workshop: Workshop, stack: contextlib.ExitStack) -> None:
        self.workshop = workshop
        self.root = workshop.root
        self.store = self.root / "store"
        self.store.mkdir()
        self._stack = stack
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def environment(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join([tool_environment()["PYTHONPATH"], str(_SUPPORT.parent)])
        task = shlex.join([sys.executable, "-m", "sage_wheels", "graph-task"])
        own = {"SAGE_WHEELS_STORE": self.store.as_uri(), "SAGE_WHEELS_STORE_MODE": "both"}
        own["XDG_CACHE_HOME"] = str(self.root / "theirs")
        return tool_environment(**{**own, "PYTHONPATH": path, "SAGE_WHEELS_TEST_TASK": task, **more})

    def process(self, *command: object, **more: str) -> subprocess.Popen[bytes]:
        number = len(self.workers)
        with (self.root / f"process-{number}-{time.monotonic()}.log").open("wb") as log:
            process = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, env=self.environment(**more), cwd=self.root
            )
        self.ends_with_it(process)
        return process

    def ends_with_it(self, process: subprocess.Popen[bytes]) -> None:
        self._stack.callback(_end, process)

    def start_scheduler(self, *options: str, protocol: str = "tcp") -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"{protocol}://127.0.0.1:{free.getsockname()[1]}"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
        self.scheduler = self.process(*command, "--no-show", *options)
        return address

    def start_worker(self, address: str, *options: str, **more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
        usual = ["--nthreads", "1", "--local-directory", str(self.root / "dask"), "--death-timeout", "60"]
        worker = self.process(*command, *usual, *options, **more)
        self.workers.append(worker)
        return worker

    def build(self, address: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        """The command itself."""
        command = self.workshop.command("--engine", f"dask:{address}", *arguments)
        return subprocess.run(command, capture_output=True, text=True, env=self.environment(**more), cwd=self.root)

    def command(self, engine: str, *sources: Path, jobs: int = 2) -> list[str]:
        program = _SUPPORT / "engine_run.py"
        paths = [self.root / "ours", self.workshop.wheels, jobs]
        return [sys.executable, *map(str, [program, engine, *paths, *sources])]

    def run(self, engine: str, *sources: Path, jobs: int = 2) -> dict[str, dict[str, Any]]:
        done = subprocess.run(
            self.command(engine, *sources, jobs=jobs), capture_output=True, text=True, env=self.environment()
        )
        print(done.stderr)
        assert done.returncode == 0, done.stderr
        return {each["name"]: each for each in json.loads(done.stdout)}

    def until_workers(self, address: str, count: int) -> None:
        from distributed import Client

        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def site(workshop: Workshop) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(workshop, stack)


@pytest.fixture(params=["local", pytest.param("dask", marks=needs_dask), "shell", "ssh"])
def engine(request: pytest.FixtureRequest, site: Site) -> str:
    if request.param == "dask":
        address = site.start_scheduler()
        for _ in range(2):
            site.start_worker(address)
        site.until_workers(address, 2)
        return address
    if request.param == "shell":
        return json.dumps([["sh", "-c"], ["sh", "-c"]])
    return json.dumps([_ssh(site)] * 2) if request.param == "ssh" else "local"


def _ssh(site: Site) -> list[str]:
    """The command that reaches an ssh server of our own, which runs as we do."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not server or not shutil.which("ssh"):
        pytest.skip("there is no ssh server here; the shells without it are tested")
    keys = site.root / "ssh"
    keys.mkdir(mode=0o700)
    for name in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = site.environment()
    told = [f"{name}={environ[name]}" for name in (*_OF_WORKERS, "PYTHONPATH", "PATH")]
    command = f"env {shlex.join(told)} {environ['SAGE_WHEELS_TEST_TASK']}"
    public = (keys / "own.pub").read_text()
    (keys / "authorized").write_text(f'command="exec {command}" {public}')
    options = ["-o", f"HostKey={keys}/host", "-o", f"AuthorizedKeysFile={keys}/authorized", "-o", "StrictModes=no"]
    options += ["-o", "UsePAM=no", "-o", "PidFile=none", "-o", "ListenAddress=127.0.0.1"]
    os.makedirs("/run/sshd", exist_ok=True)
    site.process(server, "-D", "-e", "-f", "/dev/null", "-p", port, *options)
    client = ["ssh", "-F", "/dev/null", "-p", str(port), "-i", str(keys / "own"), "-o", "BatchMode=yes"]
    client += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    client.append(f"{getpass.getuser()}@127.0.0.1")
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return client
        time.sleep(0.05)
    pytest.fail("the ssh server does not answer")


def test_a_diamond(site: Site, engine: str) -> None:
    """What is built on one side is there for builds on the other; the sides are built beside each other."""
    workshop = site.workshop
    both = workshop.until_begun(3)
    trees = [
        workshop.project("top", requires=["left", "right"], imports=["left", "right", "bottom"]),
        workshop.project("left", requires=["bottom"], needs=["bottom"], imports=["bottom"], hook=both),
        workshop.project("right", asks=["bottom>=1"], imports=["bottom"], hook=both),
        workshop.project("bottom"),
    ]
    found = site.run(engine, *trees)
    assert {name: each["status"] for name, each in found.items()} == dict.fromkeys(found, "built"), found
    events = workshop.events()
    assert events[:2] == ["begin bottom-1.0", "end bottom-1.0"]
    assert set(events[2:4]) == {"begin left-1.0", "begin right-1.0"}
    assert events[-2:] == ["begin top-1.0", "end top-1.0"]
    assert all(Path(each["path"]).parent == workshop.wheels for each in found.values())
    assert all(json.loads(json.dumps(each["direct_url"]))["url"].startswith("file:///") for each in found.values())


def test_a_failure(site: Site, engine: str) -> None:
    workshop = site.workshop
    bad = workshop.project("bad", hook="print('the reason')\nraise SystemExit(1)")
    user, other = workshop.project("user", requires=["bad"]), workshop.project("other")
    found = site.run(engine, user, bad, other)
    statuses = {name: each["status"] for name, each in found.items()}
    assert statuses == {"bad": "failed", "user": "not tried", "other": "built"}, found
    assert "the reason" in found["bad"]["details"]
    assert Path(found["bad"]["log"]).read_text().count("the reason") == 1


def test_a_build_that_is_killed_is_tried_once_more(site: Site, engine: str) -> None:
    tree = site.workshop.project("hungry", hook="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    found = site.run(engine, tree, site.workshop.project("other"))
    assert {name: each["status"] for name, each in found.items()} == {"hungry": "failed", "other": "built"}
    assert site.workshop.events().count("begin hungry-1.0") == 2


def test_interrupted(site: Site, engine: str) -> None:
    """Whoever builds: what builds have started ends, daemons included."""
    child = site.root / "child"
    hook = (
        "import subprocess\nstarted = subprocess.Popen(['sleep', '100'], start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))\nsay('begun')\ntime.sleep(100)"
    )
    trees = [site.workshop.project("slow", hook=hook), site.workshop.project("other")]
    with subprocess.Popen(site.command(engine, *trees), env=site.environment(), stderr=subprocess.PIPE) as process:
        site.workshop.wait_for("begun slow-1.0")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    wait_until_gone(child)


def test_the_tool_is_killed(site: Site, engine: str) -> None:
    child = site.root / "child"
    hook = (
        "import subprocess\nstarted = subprocess.Popen(['sleep', '100'], start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))\nsay('begun')\ntime.sleep(100)"
    )
    trees = [site.workshop.project("slow", hook=hook), site.workshop.project("other")]
    process = subprocess.Popen(site.command(engine, *trees), env=site.environment(), stderr=subprocess.PIPE)
    site.workshop.wait_for("begun slow-1.0")
    process.kill()
    process.communicate()
    wait_until_gone(child)
