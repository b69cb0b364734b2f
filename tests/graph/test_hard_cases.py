"""Promise 9 where things are not as they should be: sources, wheels, places and processes that are hard on the run."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.version import Version

from graph.conftest import Workshop, wait_until_gone, wait_until_there
from sage_wheels.building.options import BuildOptions
from sage_wheels.graph.engine import Event
from sage_wheels.graph.graph import Graph, Wheels
from sage_wheels.graph.projects import Project
from sage_wheels.graph.scheduler import ALL, RunOptions, run
from sage_wheels.graph.tasks import Result, Task
from sage_wheels.requirements.sources import SdistFile
from support.run import tool_environment
from support.wheels import make_wheel


def test_what_cannot_be_read_costs_only_itself(workshop: Workshop) -> None:
    """Archives that are none, trees without anything, requirements that are none, names that are odd."""
    broken = workshop.root / "broken-1.0.tar.gz"
    broken.write_bytes(b"\x1f\x8bnonsense")
    empty = workshop.root / "empty-1.0.tar.gz"
    with tarfile.open(empty, "w:gz"):
        pass
    zipped = workshop.root / "zipped-1.0.zip"
    zipped.write_bytes(b"PK\x05\x06" + bytes(18))
    bare = workshop.root / "bare"
    bare.mkdir()
    odd = workshop.project("odd", requires=["not a requirement !"])
    says = workshop.project("says", asks=["also not one !"])
    good = workshop.project("good")
    named = (workshop.root / "src" / "a b'\"$(x)\n\u2026").resolve()
    good.rename(named)
    run = workshop.build("-k", "-j3", broken, empty, zipped, odd, says, named)
    assert run.done.returncode == 1
    assert "Traceback" not in run.done.stderr
    expected = dict.fromkeys(("broken", "empty", "zipped", "odd", "says"), "failed")
    assert run.statuses() == {**expected, "good": "built"}, run.done.stderr


def test_wheels_that_say_nonsense(workshop: Workshop) -> None:
    """A line of a wheel that is no requirement, and a marker that cannot be told, are no end of the run."""
    wrong = workshop.project("wrong", needs=["no requirement !", 'x; unknown_marker == "1"'])
    user = workshop.project("user", requires=["wrong"])
    other = workshop.project("other")
    run = workshop.build("-k", "-j2", user, wrong, other)
    assert "Traceback" not in run.done.stderr
    assert run.statuses()["other"] == "built", run.done.stderr
    make_wheel(workshop.root, "lib", "1.0", {}, requires=["no requirement !"])
    again = workshop.build("--find-links", workshop.root, workshop.project("uses", requires=["lib"]), other)
    assert "Traceback" not in again.done.stderr


def test_a_source_that_is_given_twice_is_built_once(workshop: Workshop) -> None:
    tree = workshop.project("twice")
    run = workshop.build("-j2", tree, tree, workshop.project("user", requires=["twice"], imports=["twice"]))
    assert run.done.returncode == 0, run.done.stderr
    assert workshop.events().count("begin twice-1.0") == 1
    assert run.done.stdout.count("twice-1.0") == 1


def test_pre_releases_and_extras(workshop: Workshop) -> None:
    """A source is there to be used: a pre-release fits, as does what an extra of it needs."""
    user = workshop.project(
        "user", requires=["early[more]>=2.0b1", 'never; python_version<"3"'], imports=["early", "ex"]
    )
    early = workshop.project("early", version="2.0b2", needs=['ex; extra == "more"'])
    run = workshop.build("-j2", user, early, workshop.project("ex", seconds=0.3))
    assert run.done.returncode == 0, run.done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_wheel_directory_that_cannot_be_written(workshop: Workshop) -> None:
    workshop.wheels.mkdir(mode=0o500)
    run = workshop.build("-k", workshop.project("one"), workshop.project("two"))
    assert set(run.statuses().values()) == {"failed"}
    assert "Traceback" not in run.done.stderr


def test_a_wheel_directory_that_is_a_file(workshop: Workshop) -> None:
    workshop.wheels.write_text("")
    run = workshop.build("-k", workshop.project("one"), workshop.project("two"))
    assert set(run.statuses().values()) == {"failed"}, run.done.stderr
    assert "Traceback" not in run.done.stderr


def test_more_jobs_than_descriptors(workshop: Workshop) -> None:
    """What cannot be started now is started later."""
    trees = [workshop.project(f"p{number}", seconds=0.2) for number in range(30)]
    done = subprocess.run(
        workshop.command("-j", "100000", *trees),
        capture_output=True,
        text=True,
        env=tool_environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)),
    )
    assert done.returncode == 0, done.stderr
    assert len(list(workshop.wheels.glob("*.whl"))) == 30


def test_interrupted_twice(workshop: Workshop) -> None:
    """The second signal comes while the first one is followed: nothing is left running."""
    child = workshop.root / "child"
    hook = (
        "import subprocess, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "deaf = ['sh', '-c', 'trap \"\" TERM INT; sleep 600 & wait; sleep 600']\n"
        "started = subprocess.Popen(deaf, start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))\ntime.sleep(600)"
    )
    tree, other = workshop.project("slow", hook=hook), workshop.project("other", seconds=600)
    with subprocess.Popen(
        workshop.command("-j2", tree, other), env=tool_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until_there(child)
        process.send_signal(signal.SIGINT)
        time.sleep(1.2)
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in error
    wait_until_gone(child)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_daemon_of_a_build_ends_with_it(workshop: Workshop) -> None:
    child = workshop.root / "child"
    hook = (
        "import subprocess\nstarted = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))"
    )
    user = workshop.project(
        "user", requires=["maker"], hook=f"import os\nassert not os.path.exists('/proc/' + open({str(child)!r}).read())"
    )
    run = workshop.build("-j2", workshop.project("maker", hook=hook), user)
    assert run.done.returncode == 0, run.done.stderr
    assert not Path(f"/proc/{child.read_text()}").exists()


def test_tokens_that_are_lost_come_back(workshop: Workshop) -> None:
    """A build takes all tokens and keeps them: those that come after run beside each other all the same."""
    hook = (
        "import os, re\npath = re.search('fifo:([^ ]+)', os.environ['MAKEFLAGS'])[1]\n"
        "assert os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 100) == b'+'"
    )
    thief = workshop.project("thief", hook=hook)
    both = [workshop.project(name, requires=["thief"], hook=workshop.until_begun(3)) for name in ("one", "two")]
    run = workshop.build("-j2", thief, *both)
    assert run.done.returncode == 0, run.done.stderr
    assert workshop.most_at_once() == 2


class _Drowsy:
    """An engine whose tasks end one by one; nobody may watch a pool that has tokens, for that is no sleep."""

    is_elsewhere = False

    def __init__(self) -> None:
        self.running: list[int] = []

    def start(self, task: Task, variables: Mapping[str, str]) -> None:
        self.running.append(task.number)

    def wait(self, seconds: float | None, also: int | None = None) -> list[Event]:
        assert also is None or not select.select([also], [], [], 0)[0]
        number = self.running.pop(0)
        return [Event(number, "result", result=Result(number, "built", wheel=f"/w/{number}", version="1"))]

    def finish(self) -> list[Event]:
        return []

    def cancel(self) -> None:
        self.running.clear()


def test_who_waits_does_not_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where make's tokens are free but -j, or the wish for more of them, forbids another build, the tool sleeps."""
    reader, writer = os.pipe()
    os.write(writer, b"+++++")
    monkeypatch.setenv("MAKEFLAGS", f" -j6 --jobserver-auth={reader},{writer}")
    names = ["one", "two", "three", "large", "all"]
    projects = [
        Project(number, SdistFile(f"/{name}-1.tar.gz"), name, Version("1"), (), ()) for number, name in enumerate(names)
    ]
    for jobs in (2, 3, 6):
        graph = Graph(projects, {}, Wheels(lambda name, specifier: None, complete=True))
        options = RunOptions(jobs=jobs, slots={"large": 5, "all": ALL})
        outcomes = run(graph, _Drowsy(), str(tmp_path), BuildOptions(), options)
        assert all(outcome.is_good for outcome in outcomes)
    assert os.read(reader, 100) == b"+++++"
    os.close(reader)
    os.close(writer)


def test_without_isolation(workshop: Workshop) -> None:
    trees = [workshop.project(name, requires=["nowhere"] if name == "two" else []) for name in ("one", "two")]
    run = workshop.build("--no-isolation", "--skip-dependency-check", "-j2", *trees)
    assert run.done.returncode == 0, run.done.stderr


def test_editable(workshop: Workshop) -> None:
    trees = [workshop.project(name) for name in ("one", "two")]
    run = workshop.build("--editable", "-j2", *trees)
    assert run.done.returncode == 0, run.done.stderr


def test_descriptors_of_a_pool_that_are_files(workshop: Workshop) -> None:
    """Sage's logger points the descriptors that MAKEFLAGS speaks of elsewhere: then there is a pool of ours."""
    trees = [workshop.project(name, hook=workshop.until_begun(2)) for name in ("one", "two", "three")]
    with open(workshop.root / "log", "w") as log:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" 3>&1 4>&1', "sh", *workshop.command("-j2", *trees)],
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            env=tool_environment(MAKEFLAGS=" -j8 --jobserver-auth=3,4"),
        )
    assert done.returncode == 0, done.stderr
    assert workshop.most_at_once() == 2
