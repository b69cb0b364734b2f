"""Several commands at once: nothing is lost, and what pip decided on holds when it is done."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import sage_wheels
from support import watched
from support.index import Index
from support.projects import Gate, make_tree
from support.run import install, names, uninstall
from support.trees import STATE, difference, faded, leftovers, snapshot
from support.twins import copy_prefix, end, environment, our_command, pip_command, start
from support.wheels import make_wheel

pytestmark = pytest.mark.once

Put = Callable[..., None]
PARTS = 6


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Wheels p0 ... p5, of which each needs the next two, and which share directories."""
    directory = tmp_path / "many"
    for number in range(PARTS):
        requires = [f"p{other}" for other in (number + 1, number + 2) if other < PARTS]
        files = {f"p{number}/__init__.py": "", f"shared/p{number}.py": "", "shared/same.txt": "same"}
        make_wheel(directory, f"p{number}", "1", files, requires=requires, entry_points={f"p{number}": f"p{number}:x"})
    return directory


def test_ten_at_once(tmp_path: Path, template: Path, home: Path, many: Path) -> None:
    """Overlapping sets, each process with its own idea of what is there: the same comes of it as one after another."""
    together, one_by_one = copy_prefix(template, tmp_path / "a/env"), copy_prefix(template, tmp_path / "b/env")
    sets = [["p0"], ["p1"], ["p2"], ["p3", "p5"], ["p4", "p0"], ["p5"], ["p1", "p4"], ["p2", "p0"], ["p3"], ["p4"]]
    options = ["install", "--no-index", "-f", str(many)]
    running = [start(our_command(together, *options, *each), environment(home)) for each in sets]
    done = [end(process) for process in running]
    assert [each.returncode for each in done] == [0] * len(sets), [each.stderr for each in done]
    for names_of in (["p0"], ["p1", "p2", "p3", "p4", "p5"]):
        end(start(our_command(one_by_one, *options, *names_of), environment(home)))
    assert [each for each in names(together) if each[0:3] != "pip"] == [f"p{number} 1" for number in range(PARTS)]
    checked = end(start(pip_command(together, "check"), environment(home)))
    assert checked.returncode == 0, checked.stdout
    assert leftovers(together) == []
    requested = {"REQUESTED", "RECORD"}  # who was asked for first is a matter of chance
    trees = []
    for prefix in (together, one_by_one):
        tree = faded(snapshot(prefix))
        trees.append({path: each for path, each in tree.items() if path.rpartition("/")[2] not in requested})
    for tree in trees:
        for path in [path for path in tree if path.startswith("bin/p")]:
            tree[path] = (*tree[path][:2], "launcher")
    assert difference(*trees) == []


class Decision:
    """An upgrade of `app`, which keeps `lib` 1.0 as it is or is to bring it, held up while pip downloads."""

    def __init__(self, prefix: Path, home: Path, index: Index, *arguments: str) -> None:
        self.held = index.hold("/files/app-")
        self.process = start(our_command(prefix, "install", "-i", index.url, *arguments), environment(home))
        self.held.wait()

    def go_on(self) -> tuple[int, str]:
        self.held.let_go()
        done = end(self.process)
        return done.returncode, done.stdout + done.stderr


def rounds(index: Index) -> int:
    """How often pip asked what there is of `app`."""
    return sum(each.startswith("/simple/app") for each in index.asked)


@pytest.fixture
def built(tmp_path: Path, gate: Gate) -> Path:
    """A source tree whose build is held up: what pip builds, it builds after it has decided."""
    return make_tree(tmp_path / "slow", "slow", "1.0", hook=gate.hook)


def test_a_dependency_is_uninstalled_before_pip_looks(prefix: Path, home: Path, index: Index, put: Put) -> None:
    """pip has seen that it is there, and fails when it looks again what it is."""
    put(prefix, "lib 1.0")
    decision = Decision(prefix, home, index, "app==1.0")
    uninstall(prefix, "lib")
    status, said = decision.go_on()
    assert status == 0, said
    assert names(prefix)[:2] == ["app 1.0", "lib 2.1"]
    assert rounds(index) == 2
    assert said.count("; pip decides again\n") == 1
    assert "ERROR" not in said


def test_a_dependency_is_replaced_before_pip_looks(prefix: Path, home: Path, index: Index, put: Put) -> None:
    put(prefix, "lib 2.0")
    decision = Decision(prefix, home, index, "app")
    put(prefix, "lib 1.0")
    status, said = decision.go_on()
    assert status == 0, said
    assert names(prefix)[:2] == ["app 2.0", "lib 2.1"]
    assert rounds(index) == 2
    assert said.count("Successfully installed") == 1


@pytest.mark.parametrize("change", ["uninstalled", "replaced"])
def test_a_dependency_changes_after_pip_has_decided(
    prefix: Path, home: Path, index: Index, put: Put, gate: Gate, built: Path, change: str
) -> None:
    put(prefix, "lib 2.0")
    process = start(our_command(prefix, "install", "-i", index.url, "app", built), environment(home))
    with gate.wait():
        if change == "uninstalled":
            uninstall(prefix, "lib")
        else:
            put(prefix, "lib 1.0")
    gate.wait().close()
    done = end(process)
    assert done.returncode == 0, done.stderr
    assert names(prefix)[:2] == ["app 2.0", "lib 2.1"]
    assert "slow 1.0" in names(prefix)
    assert done.stderr.count("; pip decides again\n") == 1
    assert done.stdout.count("Successfully installed") == 1


@pytest.mark.parametrize("change", ["unrelated", "what was there stays", "the same"])
def test_what_changes_after_pip_has_decided_makes_no_difference(
    prefix: Path, home: Path, index: Index, put: Put, gate: Gate, built: Path, change: str
) -> None:
    put(prefix, "lib 2.0", "plain 1.0")
    process = start(our_command(prefix, "install", "-i", index.url, "app", built), environment(home))
    with gate.wait():
        if change == "unrelated":
            uninstall(prefix, "plain")
            put(prefix, "both 1.0")
        elif change == "the same":
            put(prefix, "app 2.0")
    done = end(process)
    assert done.returncode == 0, done.stderr
    others = {"unrelated": ["both 1.0"]}.get(change, ["plain 1.0"])
    there = [each for each in names(prefix) if not each.startswith("pip ")]
    assert there == sorted(["app 2.0", "lib 2.0", "slow 1.0", *others])
    assert rounds(index) == 1


def test_what_is_to_be_upgraded_changes_meanwhile(prefix: Path, home: Path, index: Index, put: Put) -> None:
    """Somebody installs the newer version that pip has not seen: it is not replaced by the older one."""
    put(prefix, "lib 2.0")
    decision = Decision(prefix, home, index, "app==1.0")
    put(prefix, "app 2.0")
    status, said = decision.go_on()
    assert status == 0, said
    assert names(prefix)[:2] == ["app 1.0", "lib 2.0"]  # it was asked for by its version
    assert rounds(index) == 2


@pytest.mark.parametrize("seen", ["by pip", "after pip has decided"])
def test_what_seems_to_be_there_is_part_of_a_change_that_is_undone(
    tmp_path: Path, prefix: Path, home: Path, index: Index, put: Put, wheel_of: Callable[[str], Path], seen: str
) -> None:
    """Somebody is about to commit what pip is asked for, and is killed: it is installed then."""
    put(prefix, "lib 2.0")
    served = tmp_path / "served"
    served.mkdir()
    (served / "app.txt").write_text("app\n")
    with Index(served) as other_index:
        if seen == "by pip":
            held, arguments = other_index.hold("app.txt"), ["-r", f"{other_index.files}/app.txt"]
        else:
            held, arguments = index.hold("/files/app-"), ["app"]
        process = start(our_command(prefix, "install", "-i", index.url, *arguments), environment(home))
        held.wait()
        at = f"os.rename {prefix}/{STATE}/journal"
        with watched.stopped("install", "--prefix", prefix, wheel_of("app 2.0"), at=at) as other:
            held.let_go()
            assert process.stderr
            said = list(itertools.takewhile(lambda line: "waiting for" not in line, process.stderr))
            other.send_signal(signal.SIGKILL)
        done = end(process)
    assert done.returncode == 0, [*said, done.stderr]
    sage_wheels.recover(prefix)
    assert names(prefix)[:2] == ["app 2.0", "lib 2.0"]
    assert rounds(index) == 1


def test_it_comes_to_an_end(prefix: Path, home: Path, index: Index, put: Put) -> None:
    """Two changes, one after another, while pip decides anew: each is seen."""
    put(prefix, "lib 2.0")
    decision = Decision(prefix, home, index, "app")
    put(prefix, "lib 1.0")
    again = index.hold("/files/app-")
    decision.held.let_go()
    again.wait()
    put(prefix, "lib 2.0")
    again.let_go()
    done = end(decision.process)
    assert done.returncode == 0, done.stderr
    assert names(prefix)[:2] == ["app 2.0", "lib 2.0"]
    assert rounds(index) == 3


def test_plain_pip_changes_something_meanwhile(prefix: Path, home: Path, index: Index, put: Put) -> None:
    """Somebody who knows nothing of our lock."""
    put(prefix, "lib 2.0")
    decision = Decision(prefix, home, index, "app")
    other = end(start(pip_command(prefix, "install", "-q", "-i", index.url, "lib==1.0"), environment(home)))
    assert other.returncode == 0, other.stderr
    status, said = decision.go_on()
    assert status == 0, said
    assert names(prefix)[:2] == ["app 2.0", "lib 2.1"]


def test_installations_of_ours_meanwhile_do_not_wait(prefix: Path, home: Path, index: Index, tmp_path: Path) -> None:
    """pip decides, downloads and builds without the lock."""
    decision = Decision(prefix, home, index, "app")
    for number in itertools.islice(itertools.count(), 3):
        install(prefix, make_wheel(tmp_path / "quick", "quick", f"{number}", {"quick.py": f"{number}"}))
    status, said = decision.go_on()
    assert status == 0, said
    assert names(prefix)[:1] == ["app 2.0"]
    assert "quick 2" in names(prefix)
