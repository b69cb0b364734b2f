"""Promise 9 on two machines: two network namespaces, with homes of their own, and a store on a server between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from graph.conftest import Workshop
from graph.test_engines import Site, needs_dask
from support import certificates
from support.run import tool

pytestmark = [needs_dask, pytest.mark.slow]

_OURS, _THEIRS = "10.213.77.1", "10.213.77.2"  # in namespaces that nobody else sees
_SERVER = "import sys, time; from support.bazel import Bazel\nwith Bazel(host=sys.argv[1]) as server:\n    "
_SERVER += "print(server.url, flush=True)\n    time.sleep(600)"


class Machines(NamedTuple):
    """The command prefixes that run something on this machine and on the other one."""

    ours: list[str]
    theirs: list[str]


@pytest.fixture
def site(workshop: Workshop) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(workshop, stack)


@pytest.fixture
def machines(site: Site) -> Iterator[Machines]:
    """Two namespaces with a cable between them. The other machine does not see the directories of ours."""
    missing = [each for each in ("ip", "unshare", "mount") if not shutil.which(each, path=_path())]
    if sys.platform != "linux" or os.geteuid() != 0 or missing:
        pytest.skip(f"network namespaces need Linux, root and {', '.join(missing) or 'nothing more'}")
    one, other = (f"sage-wheels-{os.getpid()}-{each}" for each in ("a", "b"))
    with contextlib.ExitStack() as stack:
        for name in (one, other):
            made = _ip("netns", "add", name)
            if made.returncode:
                pytest.skip(f"this machine does not allow network namespaces: {made.stderr.strip()}")
            stack.callback(_ip, "netns", "delete", name)
        cable = ("link", "add", "eth0", "netns", one, "type", "veth", "peer", "name", "eth0", "netns", other)
        if _ip(*cable).returncode:
            pytest.skip("this machine has no virtual Ethernet (veth)")
        for name, address in ((one, _OURS), (other, _THEIRS)):
            for told in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
                _ip("-n", name, *told).check_returncode()
            _ip("-n", name, "link", "set", "lo", "up").check_returncode()
        hidden = [site.root / each for each in ("src", "cache", "wheels", "ours")]
        for each in hidden:
            each.mkdir(exist_ok=True)
        hide = " && ".join(f"mount -t tmpfs none '{each}'" for each in hidden)
        inside = ["unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh"]
        yield Machines(["ip", "netns", "exec", one], ["ip", "netns", "exec", other, *inside])


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, env={**os.environ, "PATH": _path()})


def test_two_machines(site: Site, machines: Machines) -> None:
    """What is built there, of sources that only we have, comes here; both have the results in their own caches."""
    own = certificates.make(site.root / "tls")
    key = site.root / "key"
    (site.root / "trust").write_text(tool("cache", "keygen", key).stdout)
    url = _serve(site, machines)
    common = {"PATH": _path(), "NO_PROXY": "*", "no_proxy": "*", "SAGE_WHEELS_STORE": url, **own.variables()}
    common["SAGE_WHEELS_STORE_TRUST"] = str(site.root / "trust")
    address = f"tls://{_OURS}:8786"
    scheduler = ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard", "--no-show"]
    site.process(*machines.ours, sys.executable, "-m", *scheduler, *own.options(), **common)
    worker = ["distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1"]
    worker += ["--local-directory", str(site.root / "dask"), "--death-timeout", "60", *own.options()]
    there = {**common, "HOME": str(site.root / "home-there"), "SAGE_WHEELS_STORE_SIGN": str(key)}
    site.process(*machines.theirs, sys.executable, "-m", *worker, **there)
    trees = [
        site.workshop.project("first"),
        site.workshop.project("second", requires=["first"], imports=["first"]),
    ]
    command = site.workshop.command("--engine", f"dask:{address}", *trees)
    here = site.environment(**{**common, "HOME": str(site.root / "home-here"), "XDG_CACHE_HOME": ""})
    limit = time.monotonic() + 60
    while True:  # until the worker is there
        done = _run([*machines.ours, *command], here)
        if "has no workers" not in done.stderr and "does not answer" not in done.stderr:
            break
        assert time.monotonic() < limit, done.stderr
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in site.workshop.wheels.iterdir()) == [
        "first-1.0-py3-none-any.whl",
        "second-1.0-py3-none-any.whl",
    ]
    assert site.workshop.events() == ["begin first-1.0", "end first-1.0", "begin second-1.0", "end second-1.0"]
    # what the worker has built and signed is a result for everybody: this machine takes it without the cluster
    shutil.rmtree(site.workshop.wheels)
    again = _run([*machines.ours, *site.workshop.command("--json", *trees)], here, SAGE_WHEELS_STORE_MODE="read")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count('"stored"') == 2, again.stdout


def _run(command: list[str], environ: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env={**environ, **more}, cwd="/")


def _serve(site: Site, machines: Machines) -> str:
    """The URL of a store on a server of our machine."""
    log = site.root / "server"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*machines.ours, sys.executable, "-c", _SERVER, _OURS], stdout=out, env=site.environment(PATH=_path())
        )
    site.ends_with_it(process)
    limit = time.monotonic() + 60
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < limit
        time.sleep(0.05)
    return log.read_text().strip()


def test_a_machine_of_this_file_is_hidden(machines: Machines, site: Site) -> None:
    """What the test above relies on."""
    (site.root / "src" / "mine").touch()
    for prefix, files in ((machines.ours, ["mine"]), (machines.theirs, [])):
        ask = "import os, sys; print(*os.listdir(sys.argv[1]))"
        command = [*prefix, sys.executable, "-c", ask, str(Path(site.root / "src"))]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": _path()})
        assert done.stdout.split() == files, done.stderr
