"""build/make/python-packages.mk with a real make."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.run import names, python
from support.trees import make_prefix, snapshot
from support.wheels import make_wheel

from .conftest import Scripts
from .test_dist_helpers import sources

MAKEFILE = """\
PREFIX := {prefix}
PACKAGES := packages.txt
include rules/python-packages.mk
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


class Packages:
    """A directory with a Makefile and a list of packages."""

    def __init__(self, directory: Path, prefix: Path) -> None:
        self.directory = directory
        self.prefix = prefix
        self.stamps = prefix / "var/lib/sage-wheels/stamps"
        self.wheels = prefix / "var/lib/sage-wheels/wheels"
        (directory / "Makefile").write_text(MAKEFILE.format(prefix=prefix))

    def make(self, *arguments: str, status: int = 0) -> str:
        """What make says on both its outputs."""
        command = ["make", "--no-print-directory", *arguments]
        done = subprocess.run(
            command, cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def list(self, text: str) -> None:
        (self.directory / "packages.txt").write_text(text)


@pytest.fixture
def packages(scripts: Scripts, tmp_path: Path) -> Packages:
    work = tmp_path / "work"
    work.mkdir()
    (work / "rules").symlink_to(scripts.root / "build/make")  # make splits names at spaces
    found = Packages(work, make_prefix(tmp_path))
    make_wheel(work / "upstream", "one", "1.0", {"one.py": "version = 1\n"})
    make_wheel(work / "upstream", "two", "1.0", {"two.py": ""}, requires=["one"])
    sources(work / "tree")
    found.list(
        "# name source options : dependencies | first\n\n"
        "one upstream/one-1.0-py3-none-any.whl\n"
        "two upstream/two-1.0-py3-none-any.whl : one  # why\n"
        "tree tree/ -C key=value : | two\n"
    )
    return found


def test_a_package_comes_with_what_it_depends_on_and_once(packages: Packages) -> None:
    assert "tree 1.0 installed" in packages.make("tree")
    assert names(packages.prefix) == ["one 1.0", "tree 1.0", "two 1.0"]
    assert python(packages.prefix, "import tree; print(tree.settings)") == "{'key': 'value'}"
    assert (packages.wheels / "tree-1.0-py3-none-any.whl").exists()
    assert "installed" not in packages.make("tree", "one")


def test_clean_leaves_nothing_and_is_silent_if_there_is_nothing(packages: Packages) -> None:
    before = snapshot(packages.prefix)
    packages.make("python-packages")
    assert "one 1.0 uninstalled" in packages.make("one-clean", "two-uninstall")
    assert names(packages.prefix) == ["tree 1.0"]
    packages.make("python-packages-clean")
    assert snapshot(packages.prefix) == before
    assert [*packages.stamps.iterdir(), *packages.wheels.glob("*.whl")] == []
    assert packages.make("-s", "python-packages-clean") == ""


def test_a_new_source_replaces_the_old_one_and_what_depends_on_it_follows(packages: Packages) -> None:
    packages.make("python-packages")
    stamp = {name: (packages.stamps / name).stat().st_mtime_ns for name in ("two", "tree")}
    make_wheel(packages.directory / "upstream", "one", "2.0", {"one.py": "version = 2\n"})
    text = (packages.directory / "packages.txt").read_text()
    packages.list(text.replace("one-1.0", "one-2.0"))
    packages.make("python-packages")
    assert python(packages.prefix, "import one; print(one.version)") == "2"
    assert (packages.stamps / "two").stat().st_mtime_ns > stamp["two"]
    assert (packages.stamps / "tree").stat().st_mtime_ns == stamp["tree"]


@pytest.mark.once
def test_many_at_once(packages: Packages) -> None:
    """Namespace packages that bring one and the same file (sagemath #26018), again and again."""
    before = snapshot(packages.prefix)
    lines = []
    for number in range(24):
        files = {"backports/__init__.py": "# nothing\n", f"backports/p{number}.py": f"n = {number}\n"}
        wheel = make_wheel(packages.directory / "upstream", f"backports.p{number}", "1", files)
        lines.append(f"p{number} upstream/{wheel.name}" + (f" : p{number // 4}" if number % 4 else ""))
    packages.list("\n".join(lines) + "\n")
    for _ in range(2):
        packages.make("-j8", "python-packages")
        program = "import importlib; print([importlib.import_module(f'backports.p{n}').n for n in range(24)])"
        assert python(packages.prefix, program) == str(list(range(24)))
        packages.make("-j8", "python-packages-clean")
        assert snapshot(packages.prefix) == before


def test_a_relative_prefix(packages: Packages) -> None:
    packages.make("one", f"PREFIX={os.path.relpath(packages.prefix, packages.directory)}")
    wheel = packages.wheels / "one-1.0-py3-none-any.whl"
    path = (packages.stamps / "one").read_text().removeprefix("one @ file://").strip()
    assert os.path.isabs(path)
    assert os.path.samefile(path, wheel)


def test_a_space_in_the_prefix(packages: Packages) -> None:
    prefix = make_prefix(packages.directory / "a  b")
    before = snapshot(prefix)
    assert packages.make("-j8", "two", f"PREFIX={prefix}").count("installed") == 2
    assert "installed" not in packages.make("two", f"PREFIX={prefix}")
    packages.make("-j8", "python-packages-clean", f"PREFIX={prefix}")
    assert snapshot(prefix) == before


def test_a_comma_in_an_option(packages: Packages) -> None:
    packages.list("tree tree/ -C key=a,b -C other=c,d\n")
    packages.make("tree")
    assert python(packages.prefix, "import tree; print(tree.settings)") == "{'key': 'a,b', 'other': 'c,d'}"


def test_a_tree_that_is_called_like_its_package(packages: Packages) -> None:
    packages.list("tree ./tree\n")
    assert "Circular" not in packages.make("tree")
    assert packages.make("tree") == "make: Nothing to be done for 'tree'.\n"


def test_a_source_that_another_rule_makes(packages: Packages) -> None:
    packages.list("one made/one-1.0-py3-none-any.whl\n")
    with open(packages.directory / "Makefile", "a") as f:
        f.write("made/one-1.0-py3-none-any.whl:\n\tmkdir -p made; cp upstream/one-1.0-*.whl $@\n")
    assert "one: one 1.0 installed" in packages.make("one")


def test_a_colon_needs_no_space_after_it(packages: Packages) -> None:
    text = (packages.directory / "packages.txt").read_text()
    packages.list(text.replace(" : one", "\t:one"))
    packages.make("two")
    assert names(packages.prefix) == ["one 1.0", "two 1.0"]


@pytest.mark.parametrize("line", ["six", "six : one"])
def test_a_line_without_a_source_is_said_to_be(packages: Packages, line: str) -> None:
    packages.list(f"{line}\n")
    said = packages.make("six", status=2)
    assert "packages.txt:1: six has no SOURCE; name" in said
    assert said.count("\n") == 1


def test_without_a_goal_it_is_all_of_them(packages: Packages) -> None:
    packages.make()
    assert names(packages.prefix) == ["one 1.0", "tree 1.0", "two 1.0"]


def test_a_build_that_fails_fails_make_and_leaves_no_stamp(packages: Packages) -> None:
    (packages.directory / "tree/hook.py").write_text("if hook == 'build_wheel': raise ValueError('no')\n")
    assert "error:" in packages.make("tree", status=2)
    assert not (packages.stamps / "tree").exists()
    sources(packages.directory / "other")
    packages.list("tree other/\n")
    packages.make("tree")


def test_what_is_not_set_or_not_there_is_said(packages: Packages) -> None:
    assert "PREFIX is not set" in packages.make("one", "PREFIX=$(error PREFIX is not set)", status=2)
    assert "PACKAGES is empty; name" in packages.make("one", "PACKAGES=", status=2)
    shutil.rmtree(packages.prefix)
    assert "make it first: python3 -m venv" in packages.make("one", status=2)
    assert packages.make("-s", "one-clean") == ""
    packages.list("one upstream/missing.whl\n")
    assert "missing.whl" in packages.make("one", status=2)


def test_a_dry_run_does_nothing(packages: Packages) -> None:
    before = snapshot(packages.prefix)
    packages.make("-n", "python-packages")
    assert snapshot(packages.prefix) == before
    assert not packages.stamps.exists()


def test_what_is_built_is_what_the_list_says_whatever_the_times_are(packages: Packages) -> None:
    packages.make("python-packages")
    newer = make_wheel(packages.directory / "upstream", "one", "2.0", {"one.py": "version = 2\n"})
    os.utime(newer, (1000, 1000))
    text = (packages.directory / "packages.txt").read_text()
    packages.list(text.replace("one-1.0", "one-2.0"))
    packages.make("one")
    assert python(packages.prefix, "import one; print(one.version)") == "2"
    assert [each.name for each in packages.wheels.glob("one-*")] == [newer.name]
    packages.list(text)
    packages.make("one")
    assert python(packages.prefix, "import one; print(one.version)") == "1"
    assert [each.name for each in packages.wheels.glob("one-*")] == ["one-1.0-py3-none-any.whl"]
    packages.list(text.replace("key=value", "key=other"))
    packages.make("tree")
    assert python(packages.prefix, "import tree; print(tree.settings)") == "{'key': 'other'}"
    edited = packages.directory / "tree/code/edited.py"
    edited.write_text("")
    os.utime(edited, (1000, 1000))
    assert "tree: begins" in packages.make("tree")
    assert packages.make("tree") == "make: Nothing to be done for 'tree'.\n"
    backend = packages.directory / "tree/backend.py"
    backend.write_text(backend.read_text() + "# of the same size as the other one: a\n")
    assert "tree: begins" in packages.make("tree")
    status = backend.stat()
    backend.write_text(backend.read_text().replace("one: a", "one: b"))
    os.utime(backend, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "tree: begins" in packages.make("tree")
    backend.touch()  # and so is the same
    assert packages.make("tree") == "make: Nothing to be done for 'tree'.\n"


def test_wheels_of_other_names_stay_and_clean_takes_every_version(packages: Packages) -> None:
    packages.make("one")
    make_wheel(packages.wheels, "One", "3.0", {"one.py": ""})
    other = make_wheel(packages.wheels, "one-more", "3.0", {"more.py": ""})
    packages.make("one-clean")
    assert list(packages.wheels.glob("*.whl")) == [other]


def test_what_left_the_list_is_named_and_pruned(packages: Packages) -> None:
    packages.make("python-packages")
    packages.list("one upstream/one-1.0-py3-none-any.whl\n")
    said = packages.make("python-packages")
    assert "no longer in the list: tree two; 'make python-packages-prune' uninstalls them\n" in said
    assert names(packages.prefix) == ["one 1.0", "tree 1.0", "two 1.0"]
    packages.make("python-packages-prune")
    assert names(packages.prefix) == ["one 1.0"]
    assert "no longer" not in packages.make("python-packages-summary")


def test_lines_at_begin_and_end_a_log_for_each_and_one_summary(packages: Packages) -> None:
    (packages.directory / "tree/hook.py").write_text("if hook == 'build_wheel': raise ValueError('no such luck')\n")
    text = (packages.directory / "packages.txt").read_text()
    packages.list(f"{text}late upstream/two-1.0-py3-none-any.whl : tree\n")
    said = packages.make("-k", "python-packages", status=2)
    assert "one: begins\n" in said
    assert re.search(r"^one: one 1.0 installed \(\d+ s\)$", said, re.MULTILINE)
    assert re.search(r"^tree: failed \(\d+ s\); the whole log is ", said, re.MULTILINE)
    logs = packages.prefix / "var/lib/sage-wheels/logs"
    summary = f"python-packages: 4 in packages.txt: 2 installed, 1 failed\n  tree failed: its log is {logs}/tree.log\n"
    assert f"{summary}  not installed: late\n" in said
    assert "no such luck" in (logs / "tree.log").read_text()
    assert "one 1.0 installed" in (logs / "one.log").read_text()
    assert packages.make("python-packages-summary").startswith(summary)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one a.whl\none b.whl\n", "packages.txt:2: one is named in line 1, too; keep one of them"),
        ("one a.whl : two : three\n", "packages.txt:1: there are two colons; write one"),
        ("# two\n\none a.whl : two -C x=y\ntwo b.whl\n", "packages.txt:3: the option -C comes after the colon; write"),
        ("one a.whl : gone\n", "packages.txt:1: one comes after gone, which has no line of its own; add one"),
        ("one a.whl : two\ntwo b.whl : one\n", "packages.txt:1: one -> two -> one is a cycle; take one of them out"),
        ("o:ne a.whl\n", "packages.txt:1: 'o:ne' cannot be the name of a package; correct it"),
        ("one a.whl | two\ntwo b.whl\n", "packages.txt:1: a | is at the wrong place; write one"),
        ("one -C x=y a.whl\n", "packages.txt:1: one has no SOURCE; name its wheel"),
        ("one 'a b.whl'\n", "packages.txt:1: 'a has a quotation mark or backslash in it; write it without"),
    ],
)
def test_a_wrong_list_stops_make_with_one_sentence(packages: Packages, text: str, said: str) -> None:
    packages.list(text)
    for goal in ("python-packages", "one"):
        out = packages.make(goal, status=2)
        assert said in out
        assert out.count("\n") == 1, out


def test_a_list_that_is_not_there_stops_make(packages: Packages) -> None:
    (packages.directory / "packages.txt").unlink()
    out = packages.make(status=2)
    assert "the list packages.txt cannot be read (No such file or directory); check the path in PACKAGES" in out
    assert out.count("\n") == 1


def test_the_example_is_understood(checkout: Path) -> None:
    from sage_wheels.rules import lists

    found = lists.read(str(checkout / "build/make/packages.example"))
    assert len(found) == 12
    assert [each.after for each in found if each.name == "pexpect"] == [("ptyprocess",)]


@pytest.mark.network
@pytest.mark.slow
def test_the_example_is_run(checkout: Path, tmp_path: Path, index_environment: dict[str, str]) -> None:
    """As its head says."""
    rules = checkout / "build/make"
    shutil.copy(rules / "packages.example", tmp_path / "packages.txt")
    makefile = f"PREFIX := $(CURDIR)/prefix\nPACKAGES := packages.txt\ninclude {rules}/python-packages.mk\n"
    (tmp_path / "Makefile").write_text(makefile)
    script = f"python3 -m venv prefix && sh {rules}/fetch-packages && make -j4"
    done = subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=index_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("python-packages: 12 in packages.txt: 12 installed, 0 failed\n")
    program = "import certifi, dateutil, idna, jinja2, packaging, pexpect, requests; print(jinja2.__version__)"
    assert python(tmp_path / "prefix", program) == "3.1.6"


# A backend that never ends, with a child in a session of its own and one that ignores signals.
ENDLESS = """\
import os, subprocess
def build_wheel(*arguments):
    subprocess.Popen(["sleep", MARK], start_new_session=True)
    subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; sleep " + MARK + "; sleep " + MARK])
    open(BEGUN, "w").close()
    subprocess.call(["sleep", MARK])
"""


def wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(6000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it does not come about")


def still_there(mark: str) -> list[str]:
    """The processes that the backend has started, by their numbers."""
    done = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True, check=True)
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    return [pid for pid, state, arguments in lines if f"sleep {mark}" in arguments and state[0] != "Z"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, daemons are not found")
@pytest.mark.parametrize("goal", ["python-packages", "endless"])
@pytest.mark.parametrize("how", ["TERM", "TERM to all", "TERM twice", "INT to all", "HUP to all", "INT to all twice"])
def test_nothing_is_left_running_and_the_next_make_goes_on(packages: Packages, how: str, goal: str) -> None:
    """Make tells its own children to end at SIGTERM only; a terminal tells all processes of the job."""
    mark = str(77_000_000 + os.getpid())
    begun = packages.directory / "begun"
    tree = packages.directory / "endless"
    tree.mkdir()
    (tree / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'b'\nbackend-path = ['.']\n")
    (tree / "b.py").write_text(f"MARK, BEGUN = {mark!r}, {str(begun)!r}\n{ENDLESS}")
    packages.list("one upstream/one-1.0-py3-none-any.whl\nendless endless/ --no-store : one\n")
    make = subprocess.Popen(
        ["make", "-j2", goal],
        cwd=packages.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    wait_for(begun.exists)
    send = os.killpg if "to all" in how else os.kill
    for _ in range(2 if "twice" in how else 1):
        with contextlib.suppress(ProcessLookupError):
            send(make.pid, signal.Signals[f"SIG{how.split()[0]}"])
    make.communicate(timeout=60)
    assert make.returncode != 0
    wait_for(lambda: not still_there(mark))
    assert (packages.stamps / "one").exists()
    assert not (packages.stamps / "endless").exists()
    assert not list(packages.stamps.glob("*.new"))
    packages.list("one upstream/one-1.0-py3-none-any.whl\ntwo upstream/two-1.0-py3-none-any.whl : one\n")
    packages.make("-j2", "python-packages")
    assert names(packages.prefix) == ["one 1.0", "two 1.0"]
