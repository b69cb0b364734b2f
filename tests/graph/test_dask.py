"""Promise 9 on a Dask cluster: what is lost with a worker, with the scheduler, and who may build at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import sage_wheels
from graph.conftest import Workshop
from graph.test_engines import Site, needs_dask
from support import certificates
from support.run import tool

pytestmark = [needs_dask, pytest.mark.slow]


@pytest.fixture
def site(workshop: Workshop) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(workshop, stack)


@pytest.fixture
def address(site: Site) -> str:
    return site.start_scheduler()


_KILL_WORKER = (
    "import os, signal\n"
    "def parent(pid):\n    return int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])\n"
    "pid = os.getpid()\n"
    "while 'dask_worker' not in open(f'/proc/{pid}/cmdline').read():\n    pid = parent(pid)\n"
    "os.kill(pid, signal.SIGKILL)\ntime.sleep(60)\n"
)


def test_a_worker_that_is_killed_takes_nothing_with_it(site: Site, address: str) -> None:
    """Of two workers one is killed in the middle, and another one comes: all is built, what was done only once."""
    mark = site.root / "mark"
    hook = f"import os\nif not os.path.exists({str(mark)!r}):\n    open({str(mark)!r}, 'w').close()\n" + "".join(
        f"    {line}\n" for line in _KILL_WORKER.splitlines()
    )
    trees = [
        site.workshop.project("first"),
        site.workshop.project("victim", requires=["first"], hook=hook),
        site.workshop.project("last", requires=["victim"]),
    ]
    for _ in range(2):
        site.start_worker(address)
    site.until_workers(address, 2)
    with subprocess.Popen(
        site.command(address, *trees), env=site.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        site.workshop.wait_for("begin victim-1.0")
        site.start_worker(address)  # as a restarted one
        out, error = process.communicate(timeout=100)
    assert process.returncode == 0, error
    assert {each["name"]: each["status"] for each in json.loads(out)} == dict.fromkeys(
        ("first", "victim", "last"), "built"
    )
    assert "died while it built victim" in error
    events = site.workshop.events()
    assert [events.count(f"begin {name}-1.0") for name in ("first", "victim", "last")] == [1, 2, 1]


def test_a_source_that_kills_three_workers(site: Site, address: str) -> None:
    trees = [site.workshop.project("killer", hook=_KILL_WORKER), site.workshop.project("other")]
    for _ in range(4):
        site.start_worker(address)
    site.until_workers(address, 4)
    found = site.run(address, *trees, jobs=1)
    assert found["killer"]["what"] == "building killer: 3 workers died while they built it"
    assert found["other"]["status"] == "built"
    assert site.workshop.events().count("begin killer-1.0") == 3


def _other_tool(site: Site, module: str, old: str, new: str) -> str:
    """The PYTHONPATH with which a worker has another tool, in which one module has another text."""
    libraries = site.root / "other"
    package = Path(sage_wheels.__file__).parent
    shutil.copytree(package, libraries / "sage_wheels", ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / module).read_text()
    assert old in text
    (libraries / "sage_wheels" / module).write_text(text.replace(old, new))
    return str(libraries)


def _other_version(site: Site) -> dict[str, str]:
    return {"PYTHONPATH": _other_tool(site, "version.py", sage_wheels.__version__, "0.0.7")}


def test_a_worker_with_another_version_gets_no_more(site: Site, address: str) -> None:
    trees = [site.workshop.project(f"p{number}", seconds=0.2) for number in range(4)]
    site.start_worker(address)
    site.start_worker(address, **_other_version(site))
    site.until_workers(address, 2)
    found = site.run(address, *trees)
    assert {each["status"] for each in found.values()} == {"built"}
    assert [site.workshop.events().count(f"begin {name}-1.0") for name in found] == [1, 1, 1, 1]


def test_no_worker_that_is_like_us(site: Site, address: str) -> None:
    site.start_worker(address, **_other_version(site))
    site.until_workers(address, 1)
    found = site.run(address, site.workshop.project("one"), site.workshop.project("two"))
    assert {each["status"] for each in found.values()} == {"failed"}
    assert f"no worker of {address} can build for this machine" in found["one"]["what"]
    assert "0.0.7" in found["one"]["details"]
    assert "this machine" in found["one"]["details"]
    assert site.workshop.events() == []


def test_slots(site: Site, address: str) -> None:
    """-j is what all workers together have, and what is too large for all of them is refused by name."""
    site.start_worker(address, "--resources", "slots=2", "--nthreads", "2")
    site.start_worker(address)
    site.until_workers(address, 2)
    trees = [site.workshop.project(f"p{number}", hook=site.workshop.until_begun(3)) for number in range(6)]
    large = site.workshop.project("large")
    page = site.root / "timings.html"
    done = site.build(address, "-k", "--slots", "large=3", "--timings", page, *trees, large)
    assert done.returncode == 1
    assert "large needs 3 slots, and no worker has more than 2" in done.stderr
    assert "6 built, 1 failed" in done.stderr
    assert site.workshop.most_at_once() == 3
    workers = {each["worker"] for each in json.loads(page.with_suffix(".json").read_text())}
    assert len(workers) == 2
    assert all(f"<td>{each}</td>" in page.read_text() for each in workers)


def test_the_scheduler_is_lost(site: Site, address: str) -> None:
    site.start_worker(address)
    site.until_workers(address, 1)
    trees = [site.workshop.project("quick"), site.workshop.project("slow", requires=["quick"], seconds=100)]
    trees += [site.workshop.project(f"later{number}", requires=["quick"]) for number in range(12)]
    report = site.root / "report.json"
    options = ["--engine", f"dask:{address}", "-k", "--report", str(report)]
    with subprocess.Popen(
        site.workshop.command(*options, *trees), env=site.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        site.workshop.wait_for("begin slow-1.0")
        assert site.scheduler
        site.scheduler.send_signal(signal.SIGKILL)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert f"the scheduler at {address} is lost" in error
    assert "Traceback" not in error
    told = {each["name"]: each["status"] for each in json.loads(report.read_text())}
    assert told == {"quick": "built", "slow": "failed", **{f"later{number}": "not tried" for number in range(12)}}
    assert f"not tried  12 sources, because the scheduler at {address} is lost: later0 1.0, later1 1.0, " in error
    assert [each.name for each in site.workshop.wheels.iterdir()] == ["quick-1.0-py3-none-any.whl"]


def test_contents_that_are_gone_are_sent_again(site: Site, address: str) -> None:
    """The shared directory is emptied, and damaged, between two builds of one run."""
    import_both = ["first", "second"]
    spoil = (
        f"import pathlib\nfor each in pathlib.Path({str(site.store)!r}).rglob('*'):\n"
        "    if each.is_file():\n        each.chmod(0o600)\n        each.write_bytes(b'x' * each.stat().st_size)\n"
    )
    trees = [
        site.workshop.project("first"),
        site.workshop.project("second", requires=["first"], hook=spoil),
        site.workshop.project("third", requires=import_both, imports=import_both),
    ]
    site.start_worker(address)
    site.until_workers(address, 1)
    found = site.run(address, *trees)
    assert {each["status"] for each in found.values()} == {"built"}, found


def test_addresses(site: Site) -> None:
    tree = site.workshop.project("one")

    def said(*options: str) -> str:
        done = tool(*site.workshop.command(*options, tree)[3:])
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        return done.stderr

    store = ["--store", site.store.as_uri(), "--store-mode", "both"]
    assert "runs code on every worker" in said("--engine", "dask:tcp://192.0.2.1:8786", *store)
    assert "is no address" in said("--engine", "dask:nowhere", *store)
    assert "there is no engine ray" in said("--engine", "ray", *store)
    assert "a store that all of them see" in said("--engine", "dask:tcp://127.0.0.1:1")
    assert "is 'read', and builds on several machines" in said("--engine", "dask:tcp://127.0.0.1:1", *store[:2])
    assert "runs code on every worker" in said("--engine", "dask:tcp://127.example:8786", *store)
    assert "does not answer" in said("--engine", "dask:tcp://127.0.0.1:1", *store)
    assert "leave --no-isolation" in said("--engine", "dask:tcp://127.0.0.1:1", *store, "--no-isolation")


def test_tls(site: Site) -> None:
    """Whoever has no certificate of the authority is nobody, and hears it in one sentence."""
    own, other = certificates.make(site.root / "own"), certificates.make(site.root / "other")
    address = site.start_scheduler(*own.options(), protocol="tls")
    site.start_worker(address, *own.options())
    tree = site.workshop.project("one")
    for variables in ({}, other.variables(), {**own.variables(), "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": "/nowhere"}):
        refused = site.build(address, tree, **variables)
        assert refused.returncode == 1, refused.stderr
        assert f"the scheduler at {address} does not answer" in refused.stderr
        assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
    done = site.build(address, tree, **own.variables())
    assert done.returncode == 0, done.stderr
    assert site.workshop.events() == ["begin one-1.0", "end one-1.0"]


def _key(site: Site, name: str) -> tuple[str, str]:
    """A file of a key that signs, and the line that trusts it."""
    file = site.root / name
    return str(file), tool("cache", "keygen", file).stdout


def test_whose_results_count(site: Site, address: str) -> None:
    """A worker without a key that is trusted here gets its task back untouched; what it says does not count."""
    good, line = _key(site, "good")
    bad, _ = _key(site, "bad")
    trust = site.root / "trust"
    trust.write_text(line)
    site.start_worker(address, SAGE_WHEELS_STORE_SIGN=bad)
    site.until_workers(address, 1)
    tree = site.workshop.project("one")
    refused = site.build(address, "--store-trust", trust, tree)
    assert refused.returncode == 1
    assert "can build for this machine" in refused.stderr
    assert "it signs with no key that is trusted here" in refused.stderr
    assert site.workshop.events() == []
    site.start_worker(address, SAGE_WHEELS_STORE_SIGN=good)
    site.until_workers(address, 2)
    done = site.build(address, "--store-trust", trust, tree)
    assert done.returncode == 0, done.stderr
    assert site.workshop.events() == ["begin one-1.0", "end one-1.0"]


def test_an_answer_that_is_not_signed(site: Site, address: str) -> None:
    """Of a worker that lies about its key."""
    _, line = _key(site, "good")
    trust = site.root / "trust"
    trust.write_text(line)
    libraries = _other_tool(site, "store/exchange.py", "return ANYBODY in trusted or", "return True or")
    site.start_worker(address, PYTHONPATH=libraries)
    site.until_workers(address, 1)
    refused = site.build(address, "--store-trust", trust, site.workshop.project("one"))
    assert refused.returncode == 1
    assert "its answer is not signed" in refused.stderr
    assert not site.workshop.wheels.exists() or not list(site.workshop.wheels.iterdir())


def test_a_worker_with_another_store(site: Site, address: str) -> None:
    """One that only reads, and one without any, are refused before a task runs."""
    site.start_worker(address, SAGE_WHEELS_STORE_MODE="read")
    site.start_worker(address, SAGE_WHEELS_STORE="")
    site.until_workers(address, 2)
    refused = site.build(address, site.workshop.project("one"))
    assert refused.returncode == 1
    assert "read and write" in refused.stderr
    assert "need a store that all of them see" in refused.stderr
    assert site.workshop.events() == []


def test_without_a_key_of_the_result(site: Site, address: str) -> None:
    """What the local store may not keep travels all the same; settings and variables do, this machine's own do not."""
    site.start_worker(address, WHERE="there", SAGE_WHEELS_CACHE=str(site.root / "theirs"))
    site.until_workers(address, 1)
    seen = site.root / "seen"
    hook = f"import os\nopen({str(seen)!r}, 'w').write(repr([os.environ.get('WHERE'), os.environ.get('CFLAGS')]))"
    tree = site.workshop.project("one", hook=hook)
    done = site.build(address, "--no-store", tree, CFLAGS="-O1", HOME=str(site.root))
    assert done.returncode == 0, done.stderr
    assert seen.read_text() == "[None, '-O1']"
    assert len(list(site.workshop.wheels.iterdir())) == 1


def test_one_log_of_another_machine(site: Site, address: str) -> None:
    """Its last lines come while it is written, and only its lines."""
    site.start_worker(address)
    site.until_workers(address, 1)
    gate = site.root / "gate"
    hook = f"import os\nprint('of one', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)"
    trees = [site.workshop.project("one", hook=hook), site.workshop.project("two", hook="print('of two')")]
    command = site.workshop.command("--engine", f"dask:{address}", "--follow", "one", *trees)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=site.environment()) as process:
        assert process.stderr
        before = []
        for line in process.stderr:
            before.append(line.rstrip())
            if before[-1] == "of one":
                break
        gate.touch()
        after = process.stderr.read()
    assert process.returncode == 0, after
    assert "of one" in before
    assert "of two" not in "".join([*before, after])


def test_at_most_so_many_lines(tmp_path: Path) -> None:
    """Of a log that grows faster than it may be sent, the last whole lines come, once a second."""
    from sage_wheels.graph.dask_task import LastLines

    path = tmp_path / "log"
    path.write_text("first\nsecond\nthird\nfour")
    log = LastLines(str(path), 14)
    assert log.take() == "third\n"
    assert log.take() == ""
    assert LastLines(str(path), 100).take() == "first\nsecond\nthird\n"
    assert LastLines(str(path), 0).take() == ""
    assert LastLines("", 14).take() == ""
