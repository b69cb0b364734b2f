"""Every file operation of every other command fails once: one sentence that names the path, nothing half-done, and the
next command works.

`test_errors` has what installs, upgrades and uninstalls. Here are the commands that build, read, recover and move, from
their command lines: from the places in the program that look at, read or change a file, one operation each fails with
one of the errors. A third of these places is tried each time, fifty at most; which, and with what, follows from the
seed that is printed. FAULT_SEED repeats that, and FAULT_ERRORS=8 lets everything fail with all errors.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.chance import faults
from support.projects import WRITING
from support.puppet import Command, Outcome, Puppet
from support.scenarios import demo, neighbour
from support.trees import STATE, Tree, difference, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

pytestmark = pytest.mark.once

ERRORS = ("ENOSPC", "EIO", "EACCES", "EDQUOT", "EMFILE", "EINTR", "EXDEV", "EROFS")
EACH = int(os.environ.get("FAULT_ERRORS", "0"))  # errors for each operation, if it is all of them
MOST = 50  # places, if it is not all of them

BACKEND = f"""{WRITING}
def get_requires_for_build_wheel(settings=None):
    return ["helper"]

def build_wheel(directory, settings=None, metadata=None):
    import helper
    return _write(directory, {{"made.py": open("made.py").read() + helper.version}})
"""
REMOVING = ("os.remove", "os.rmdir", "os.scandir", "open", "os.lstat", "os.stat")  # if this fails, something is left
WHEEL = "made-1-py3-none-any.whl"


class Stand(NamedTuple):
    """A directory in which a command line runs, the copy that it is made again from, and what happens undisturbed."""

    puppet: Puppet
    root: Path
    copy: Path
    line: list[str]
    normal: Outcome
    old: Tree
    new: Tree

    def run(self, at: int = 0, fail: int = 0) -> Outcome:
        return run(self.puppet, self.root, self.line, at, fail)

    def restore(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.copy, self.root, symlinks=True)

    def forget(self) -> None:
        """Make the tool's own directory what it was: enough after a command that only reads."""
        state = f"prefix/{STATE}"
        shutil.rmtree(self.root / state)
        shutil.copytree(self.copy / state, self.root / state)


def run(puppet: Puppet, root: Path, line: list[str], at: int = 0, fail: int = 0) -> Outcome:
    environ = {"TMPDIR": f"{root}/tmp", "HOME": f"{root}/home", "XDG_CACHE_HOME": f"{root}/home/.cache"}
    command = Command("main", str(root), line, environ=environ).counted(reads=True, looks="too", sites=True)
    return puppet.run(command.failing(at, fail))


def set_up(puppet: Puppet, directory: Path, prepare: Callable[[Puppet, Path], list[str]]) -> Stand:
    root, copy = directory / "root", directory / "copy"
    for each in ("tmp", "home", "wheels"):
        (root / each).mkdir(parents=True)
    line = prepare(puppet, root)
    old = snapshot(root / "prefix") if (root / "prefix").exists() else {}
    root.rename(copy)
    shutil.copytree(copy, root, symlinks=True)  # as every time: what knows files by their inodes has to ask anew
    normal = run(puppet, root, line)
    assert "Traceback (most recent call last):" not in normal.said, normal
    assert not any(each.startswith("sage-wheels: error") for each in normal.said), normal
    new = snapshot(root / "prefix") if (root / "prefix").exists() else {}
    stand = Stand(puppet, root, copy, line, normal, old, new)
    stand.restore()
    return stand


def points(stand: Stand, below: Iterable[str] = ("",)) -> Iterator[tuple[str, Outcome, str]]:
    """Let operations on these paths fail; which it was each time, and what came of it.

    One third of them, and no more than `MOST`, as the seed says, with one of the errors; or all of them, with `EACH`
    errors.
    """
    paths = [f" {stand.root}/{each}" for each in below]

    def of_interest(operations: list[str]) -> list[int]:
        return [at for at, operation in enumerate(operations, 1) if any(path in operation for path in paths)]

    chosen = of_interest(stand.normal.operations)
    print(f"{len(chosen)} places")
    chance = faults()
    if not EACH:
        chosen = chance.sample(chosen, min(-(-len(chosen) // 3), MOST))
    for each in chosen:
        for error in chance.sample(ERRORS, EACH or 1):
            at = each
            while len((outcome := stand.run(at, getattr(errno, error))).operations) < at:
                # it was less this time: what was changed within a tick of the clock may be looked at twice
                stand.restore()
                at = chance.choice(of_interest(outcome.operations))
            operation = outcome.operations[at - 1]
            where = f"{error} at {at}, {operation}: {outcome._replace(operations=[])}"
            check_message(stand, outcome, where)
            yield operation, outcome, where


def check_message(stand: Stand, outcome: Outcome, where: str) -> None:
    """It did as always, or one sentence says what did not work, and where."""
    assert outcome.descriptors == 0, where
    if f"open {stand.root}/made-1/" not in where:  # what cannot be read is not built, which the backend may take badly
        assert "Traceback (most recent call last):" not in outcome.said, where
    sentences = [each for each in outcome.said if each.startswith("sage-wheels: error: ")]
    if outcome.status == stand.normal.status and not sentences:
        assert outcome.answer == stand.normal.answer, where
        return
    if stand.line[0] == "verify" and not sentences:  # what it cannot read is part of the answer
        assert f"unreadable {stand.root}/" in outcome.answer, where
        return
    assert outcome.status == 1, where
    if stand.line[0] == "pip" and not sentences:
        return  # pip has said it, on the standard error of both
    assert len(sentences) == 1, where
    assert str(stand.root) in sentences[0], where


# --- what reads ---


def _two_there(puppet: Puppet, root: Path) -> str:
    prefix = make_prefix(root)
    for wheel in (neighbour(root / "wheels", "1.0"), demo(root / "wheels", "1.0")):
        assert puppet.run(Command("install", str(prefix), [wheel])).status == 0
    older = site_packages(prefix) / "older.egg-info"  # its name says no version, so its metadata is read
    older.mkdir()
    (older / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: older\nVersion: 0.1\n")
    shutil.rmtree(prefix / STATE / "cache", ignore_errors=True)
    return str(prefix)


READING = {
    "list": ["list"],
    "list as JSON": ["list", "--json"],
    "show": ["show", "demo"],
    "show an egg-info": ["show", "older"],
    "files": ["files", "demo"],
    "owner": ["owner", "share/demo/a.txt"],
    "verify": ["verify", "demo", "neighbour"],
    "install --dry-run": ["install", "--dry-run"],
    "uninstall --dry-run": ["uninstall", "--dry-run", "demo"],
}


@pytest.mark.parametrize("command", READING)
def test_what_only_reads(puppet: Puppet, fast_path: Path, command: str) -> None:
    def prepare(puppet: Puppet, root: Path) -> list[str]:
        name, *more = READING[command]
        more += [demo(root / "wheels", "2.0"), "--no-compile"] if command == "install --dry-run" else []
        return [name, "--prefix", _two_there(puppet, root), *more]

    stand = set_up(puppet, fast_path, prepare)
    assert len(stand.normal.operations) >= 3
    for _, outcome, where in points(stand):
        if outcome.status or stand.line[0] == "install":
            assert difference(stand.old, snapshot(stand.root / "prefix")) == [], where
        assert os.listdir(stand.root / "tmp") == [], where
        assert (again := stand.run()).answer == stand.normal.answer, (where, again)
        assert again.status == stand.normal.status, (where, again)
        stand.forget()


# --- what changes a prefix ---


def _recover(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    command = Command("install", prefix, [demo(root / "wheels", "2.0")])
    undisturbed = puppet.run(command._replace(do="recover", items=[]))
    assert undisturbed.status == 0
    shutil.copytree(prefix, root / "before", symlinks=True)
    operations = puppet.run(command).operations
    shutil.rmtree(prefix)
    (root / "before").rename(prefix)
    journal = next(n for n, each in enumerate(operations, 1) if each.endswith(f" {prefix}/{STATE}/journal"))
    assert puppet.run(command.killed(journal + 12)).killed
    return ["recover", "--prefix", prefix]


def _pip_install(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    (root / "requirements.txt").write_text(f"demo @ file://{demo(root / 'wheels', '2.0')}\nneighbour\n")
    (root / "superseded").write_text("third\n")
    house = Path(neighbour(root / "wheels", "2.0")).parent
    options = ["--no-compile", "-f", str(house), "-r", str(root / "requirements.txt")]
    return ["pip-install", "--prefix", prefix, *options, "--superseded", str(root / "superseded")]


def _pip_install_a_tree(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    tree, house = _project(root)
    options = ["--no-compile", "-f", str(house), "--cache-dir", str(root / "cache")]
    return ["pip-install", "--prefix", prefix, *options, f"{tree}/"]


def _pip_uninstall(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    (root / "requirements.txt").write_text("demo\nnot-there\n")
    return ["pip-uninstall", "--prefix", prefix, "-r", str(root / "requirements.txt")]


def _our_pip_uninstall(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    (root / "requirements.txt").write_text("demo\nnot-there\n")
    return ["pip", "--prefix", prefix, "uninstall", "-y", "-r", str(root / "requirements.txt")]


def _our_pip_install(puppet: Puppet, root: Path) -> list[str]:
    """The transaction is that of install; what fails here is what comes before it."""
    prefix = _two_there(puppet, root)
    _record(root, demo(root / "wheels", "1.0"))
    house = Path(demo(root / "wheels", "2.0")).parent
    options = ["--no-index", "--find-links", str(house), "--no-deps", "--no-compile", "--no-cache-dir"]
    return ["pip", "--prefix", prefix, "install", *options, "demo==2.0"]


def _restore(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    _record(root, demo(root / "wheels", "1.0"))
    assert puppet.run(Command("install", prefix, [demo(root / "wheels", "2.0")])).status == 0
    return ["restore", "--prefix", prefix, "--no-compile", "demo"]


def _record(root: Path, wheel: str) -> None:
    scripts = root / "prefix/var/lib/sage/scripts/demo"
    scripts.mkdir(parents=True)
    (scripts / "spkg-requirements.txt").write_text(f"demo @ file://{wheel}\n")
    (scripts / "spkg-piprm").touch()


def _move_tree(puppet: Puppet, root: Path) -> list[str]:
    prefix = _two_there(puppet, root)
    for path in ("share/new/a", "share/demo/a.txt", "etc/b"):
        (root / "inst" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "inst" / path).write_text(f"moved {path}")
    (root / "inst/link").symlink_to("etc")
    return ["move-tree", str(root / "inst"), prefix]


def _spkg_uninstall(puppet: Puppet, root: Path) -> list[str]:
    """A package that is recorded in SAGE_LOCAL and installed in the virtual environment that is found there."""
    prefix = _two_there(puppet, root)
    sage = root / "local/var/lib/sage"
    wheel = sage / "wheels/demo-1.0-py3-none-any.whl"
    texts = {
        wheel: "",
        sage / "scripts/demo/spkg-requirements.txt": f"demo @ file://{wheel}\n",
        sage / "scripts/demo/spkg-piprm": (
            'if x; then\n    x\nfi\n\nsdh_pip_uninstall -r "$SAGE_SPKG_SCRIPTS/$PKG_BASE/spkg-requirements.txt"\n'
        ),
        root / "build/sage_bootstrap/uninstall.py": "def run():\n    pass\n",
    }
    files = [str(path.relative_to(root / "local")) for path in list(texts)[:2]]
    texts[sage / "installed/demo-1.0"] = json.dumps({"files": files})
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (sage / "venv").symlink_to(prefix)
    return ["spkg-uninstall", str(root / "build"), "demo", str(root / "local")]


class Change(NamedTuple):
    """A command line that changes a prefix, made by `prepare`.

    `below` are the paths that are of interest, if it is not all of them: what is built is further down, what is
    installed in test_errors. `goes_on`: what it leaves half done is no fault, because the next command goes on. It
    takes away the file `source`, which is there as long as the prefix is the old one, and cannot be run again.
    """

    prepare: Callable[[Puppet, Path], list[str]]
    below: tuple[str, ...] = ("",)
    goes_on: bool = False
    source: str = ""


CHANGING = {
    "recover": Change(_recover, goes_on=True),
    "pip-install": Change(_pip_install),
    "pip-install of a tree": Change(_pip_install_a_tree, ("tmp/",)),
    "pip-uninstall": Change(_pip_uninstall),
    "pip uninstall": Change(_our_pip_uninstall),
    "pip install": Change(_our_pip_install, ("tmp/", "wheels/", "prefix/pyvenv.cfg", "prefix/var/lib/sage/")),
    "restore": Change(_restore),
    "move-tree": Change(_move_tree, source="inst/share/new/a"),
    "spkg-uninstall": Change(_spkg_uninstall),
}


@pytest.mark.parametrize("change", CHANGING.values(), ids=CHANGING)
def test_what_changes_a_prefix(puppet: Puppet, fast_path: Path, change: Change) -> None:
    stand = set_up(puppet, fast_path, change.prepare)
    prefix = stand.root / "prefix"
    assert len(stand.normal.operations) > 20
    states = []
    for operation, outcome, where in points(stand, change.below):
        tree = snapshot(prefix)
        states.append("new" if tree == stand.new else "old" if tree == stand.old else "neither")
        if change.goes_on and outcome.status:
            states[-1] = "new"
        assert states[-1] != "neither", where + "\n".join(difference(stand.old, tree))
        assert outcome.status or states[-1] == "new", where
        if not operation.startswith(REMOVING):
            assert os.listdir(stand.root / "tmp") == [], where
        if change.source and states[-1] == "new":
            assert puppet.run(Command("recover", str(prefix))).status == 0
        else:
            assert not change.source or (stand.root / change.source).is_file(), where
            again = stand.run()
            assert again.status == 0, (where, again)
        assert difference(stand.new, snapshot(prefix)) == [], where
        assert leftovers(prefix) == [], where
        stand.restore()
    print(f"{states.count('old')} old, {states.count('new')} new")


# --- builds ---


def _project(root: Path) -> tuple[Path, Path]:
    """A source tree, and the wheelhouse with the backend that builds it."""
    tree, house = root / "made-1", root / "house"
    (tree / "sub").mkdir(parents=True)
    (tree / "made.py").write_text("made = 1\n")
    (tree / "sub/data").write_text("x")
    (tree / "link").symlink_to("sub")
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n[project]\nname = "made"\nversion = "1"\n'
    )
    make_wheel(house, "tiny", "1", {"tiny.py": BACKEND}, entry_points={"tiny": "tiny:build_wheel"})
    for version in ("0.9", "1"):  # if the newer one cannot be read, the older one must not take its place
        make_wheel(house, "helper", version, {"helper/__init__.py": f"version = '# {version}'\n"})
    return tree, house


def _sdist(root: Path, tree: Path) -> Path:
    path = root / "made-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, tree.name)
    return path


def _build(root: Path, source: object, house: Path, *more: str) -> list[str]:
    options = ["--find-links", str(house), "--cache-dir", str(root / "cache"), "--wheel-dir", str(root / "dist")]
    return ["build", *options, *more, str(source)]


def _build_tree(puppet: Puppet, root: Path) -> list[str]:
    tree, house = _project(root)
    return _build(root, f"{tree}/", house)


def _build_sdist(puppet: Puppet, root: Path) -> list[str]:
    tree, house = _project(root)
    return _build(root, _sdist(root, tree), house, "--log", str(root / "log"))


def _build_warm(puppet: Puppet, root: Path) -> list[str]:
    """The cache has everything, and the wheel directory an older build."""
    tree, house = _project(root)
    line = _build(root, f"{tree}/", house)
    assert run(puppet, root, line).status == 0
    return line


# How it is built, and the paths that are of interest.
BUILDING = {
    "a tree": (_build_tree, [""]),
    "an sdist": (_build_sdist, ["made-1.tar.gz", "log", "cache/build/made/src"]),
    "with a full cache": (_build_warm, [""]),
}


@pytest.mark.parametrize("what", BUILDING)
def test_building(puppet: Puppet, fast_path: Path, what: str) -> None:
    prepare, paths = BUILDING[what]
    stand = set_up(puppet, fast_path, prepare)
    root = stand.root
    assert stand.run().status == 0
    wheel = (root / "dist" / WHEEL).read_bytes()
    usual = caches(root)
    stand.restore()
    sources = snapshot(root / "made-1")
    statuses = []
    for operation, outcome, where in points(stand, paths):
        statuses.append(outcome.status)
        made = sorted(os.listdir(root / "dist")) if (root / "dist").exists() else []
        assert made in ([], [WHEEL]), where
        if made:
            assert (root / "dist" / WHEEL).read_bytes() == wheel, where
        assert outcome.status or made, where
        removing = operation.startswith((*REMOVING, "sage_wheels.open"))  # a directory is opened to be emptied
        assert removing or os.listdir(root / "tmp") == [], where
        assert removing or not_in(caches(root), usual) == [], where
        age(root / "cache/staging")
        again = stand.run()
        assert (again.status, again.answer) == (0, stand.normal.answer), (where, again)
        assert (root / "dist" / WHEEL).read_bytes() == wheel, where
        assert not_in(caches(root), usual) == [], where
        assert difference(sources, snapshot(root / "made-1")) == [], where
        stand.restore()
    print(f"{statuses.count(0)} succeeded all the same, {statuses.count(1)} did not")
    assert 1 in statuses


def caches(root: Path) -> set[str]:
    """What is below the cache, without whole results and contents of the store: these are counted, and go."""
    return {
        str(Path(directory, name).relative_to(root / "cache"))
        for directory, _, names in os.walk(root / "cache")
        for name in names
        if not is_whole(Path(directory, name))
    }


def is_whole(path: Path) -> bool:
    kind = path.parent.parent.name
    if kind not in ("results", "content"):
        return False
    data = path.read_bytes()
    if kind == "content":
        return hashlib.sha256(data).hexdigest() == path.name
    head, _, body = data.partition(b"\n")
    return hashlib.sha256(body).hexdigest().encode() == head


def not_in(found: set[str], usual: set[str]) -> list[str]:
    """What would stay for ever, but for the two files with which the store counts."""
    return sorted(found - usual - {"added", "evict.lock"})


def age(directory: Path) -> None:
    """Make what lies there two days old."""
    for each in directory.iterdir() if directory.exists() else ():
        os.utime(each, (1, 1))
