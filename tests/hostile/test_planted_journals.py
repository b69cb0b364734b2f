"""Nothing outside of a prefix is changed, whatever stands in its state directory, and whatever is swapped for a link.

`outside` is a directory beside the prefix, to which the links lead; it must stay as it is.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import SageWheelsError, UnsafePath
from sage_wheels.transaction import journal
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.journal import Journal, Step
from support.chance import ALL_FAULTS, faults
from support.puppet import Command, Puppet, child_environment
from support.run import install, names, tool, uninstall
from support.scenarios import set_up
from support.trees import STATE, Tree, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
SOMEBODY = 12345
STAGE = f"{STATE}/stage/1-a"


@pytest.fixture(scope="module")
def puppet() -> Iterator[Puppet]:
    with Puppet() as it:
        yield it


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix, outside = make_prefix(tmp_path), tmp_path / "outside"
    install(prefix, make_wheel(tmp_path, "there", "1", {"there.py": ""}))
    (outside / "sub").mkdir(parents=True)
    (outside / "file").write_text("precious")
    (outside / "sub/file").write_text("precious")
    (prefix / "link").symlink_to(outside)
    (prefix / "inner").mkdir()
    (prefix / "inner/file").write_text("of the prefix")
    (prefix / "inner/link").symlink_to(outside / "sub")
    (prefix / STAGE).mkdir(parents=True)
    (prefix / STAGE / "planned").touch()
    (prefix / STAGE / "old").symlink_to(outside)
    return prefix


def paths_out(directory: str) -> list[str]:
    return [f"{directory}/link/{name}" if directory else f"link/{name}" for name in ("file", "new", "sub")]


OUT = [*paths_out(""), "inner/link/file", "inner/link/new", f"{STAGE}/old/file", f"{STAGE}/old/sub/file"]
IN = ["inner/file", "inner/none", "evil"]


def steps() -> Iterator[Step]:
    """Each step with a path that leads out, as P, S or B, and paths of the prefix as the others."""
    for do, out, inside, other in itertools.product(
        ("place", "replace", "exchange", "swap", "remove", "rmdir"), OUT, IN, (*IN, "")
    ):
        yield Step(do, out, inside, other, mode=0o777)
        yield Step(do, inside, out, other, mode=0o777)
        yield Step(do, inside, other, out, mode=0o777)


def known(prefix: Path, step: Step) -> Step:
    """The step with the numbers of what is there, which is what a planter would write."""
    here, there = (prefix / step.path, prefix / (step.staged or step.backup))
    found = [each.stat() if each.exists() else None for each in (here, there)]
    new, old = ((each.st_ino, each.st_mtime_ns) if each else (0, 0) for each in found)
    return step._replace(inode=new[0], time=new[1], old_inode=old[0], old_time=old[1])


def test_a_planted_journal_moves_nothing_outside(prefix: Path, tmp_path: Path) -> None:
    """Each step is tried with the numbers of what is there or without, as the seed says that is printed; FAULT_SEED
    repeats that, and with FAULT_ERRORS=1 it is both."""
    outside = snapshot(tmp_path / "outside")
    inner = snapshot(prefix / "inner")
    chance = faults()
    count = 0
    for step in steps():
        both = (step, known(prefix, step))
        for each in both if ALL_FAULTS else [chance.choice(both)]:
            (prefix / STATE / "journal").write_bytes(Journal(STAGE, [each]).to_bytes())
            (prefix / "evil").write_text("planted")
            try:
                sage_wheels.recover(prefix)
            except SageWheelsError:
                count += 1
                sage_wheels.recover(prefix, set_aside=True)
            assert snapshot(tmp_path / "outside") == outside, each
            assert not (prefix / STATE / "journal").exists()
            shutil.rmtree(prefix / "inner")
            (prefix / "inner").mkdir()
            (prefix / "inner/file").write_text("of the prefix")
            (prefix / "inner/link").symlink_to(tmp_path / "outside/sub")
            shutil.rmtree(prefix / STATE / "set-aside", ignore_errors=True)
            if not (prefix / STAGE / "old").is_symlink():
                (prefix / STAGE).mkdir(parents=True, exist_ok=True)
                (prefix / STAGE / "planned").touch()
                (prefix / STAGE / "old").symlink_to(tmp_path / "outside")
    assert inner == snapshot(prefix / "inner")
    assert count > 100
    print(f"{count} refused")


@pytest.mark.parametrize("leads", ["link/sub", "inner/link", "inner", f"{STAGE}/old/sub", "lib"])
def test_a_planted_committed_moves_nothing(prefix: Path, tmp_path: Path, leads: str) -> None:
    """Nor from the prefix: what is looked through is in the stage and nowhere else."""
    before = snapshot(tmp_path / "outside"), snapshot(prefix)
    for step in (Step("remove", "a", "", leads), Step("swap", "a", "b", leads), Step("exchange", "a", leads)):
        (prefix / STAGE / "old").unlink(missing_ok=True)
        (prefix / STAGE).mkdir(exist_ok=True)
        (prefix / STAGE / "old").symlink_to(tmp_path / "outside")
        (prefix / STAGE / "planned").touch()
        os.utime(prefix / STAGE / "planned", ns=(0, 0))
        (prefix / STAGE / "committed").write_bytes(Journal(STAGE, [step]).to_bytes())
        for each in (tmp_path / "outside/sub/file", prefix / "inner/file"):
            os.utime(each)  # later than the plan
        sage_wheels.recover(prefix)
        assert (snapshot(tmp_path / "outside"), snapshot(prefix)) == before
        assert leftovers(prefix) == []


@pytest.mark.parametrize("bad", ["a//b", "a/./b", "./a", "a/", "/a", "../a", "a/../b", "a\0b", "."])
def test_paths_are_spelt_in_one_way(bad: str) -> None:
    for entry in (
        Journal(bad, []),
        *(Journal(STAGE, [Step("swap", *paths)]) for paths in ((bad, "s", "b"), ("p", bad, "b"), ("p", "s", bad))),
    ):
        with pytest.raises(ValueError, match="it names a path outside the prefix"):
            journal.from_bytes(entry.to_bytes())


def test_every_step_has_a_path() -> None:
    """The prefix itself is none that could be replaced."""
    with pytest.raises(ValueError, match="it has a step without a path"):
        journal.from_bytes(Journal(STAGE, [Step("remove", "", "", "b")]).to_bytes())


@pytest.mark.parametrize("stage", ["link/sub", "inner/file", "inner/none", "there", f"{STATE}/stage/none", STAGE])
@pytest.mark.parametrize("durable", [False, True])
def test_a_stage_elsewhere(prefix: Path, tmp_path: Path, stage: str, durable: bool) -> None:
    """A journal of nothing, that speaks of a stage where there can be none, is undone and gone."""
    before = snapshot(tmp_path / "outside")
    (prefix / STATE / "journal").write_bytes(Journal(stage, [], durable).to_bytes())
    assert sage_wheels.recover(prefix) == [f"undid an interrupted installation of 0 steps in {prefix}"]
    assert snapshot(tmp_path / "outside") == before
    assert not (prefix / STATE / "journal").exists()


def test_a_path_of_ten_thousand_directories(prefix: Path) -> None:
    deep = "/".join("d" * 10_000)
    (prefix / STATE / "journal").write_bytes(Journal(STAGE, [Step("remove", deep, "", "evil")]).to_bytes())
    (prefix / "evil").touch()
    with pytest.raises(SageWheelsError):
        sage_wheels.recover(prefix)
    assert sage_wheels.recover(prefix, set_aside=True)


def test_another_format_is_refused_with_its_version(prefix: Path) -> None:
    body = json.dumps({"format": 1, "stage": STAGE, "steps": [["remove", "x", "", "evil", 0, 0, 0]]}).encode()
    (prefix / STATE / "journal").write_bytes(b"%08x %d\n%s" % (zlib.crc32(body), len(body), body))
    done = tool("recover", "--prefix", prefix)
    assert done.returncode == 1
    assert "format 1, which an earlier version of sage-wheels wrote" in done.stderr
    assert done.stderr.count("\n") == 1


SWAP = """
import os, sys
from support.puppet import is_announced, paths_of

prefix, outside, number, deep = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
below = prefix + "/"
NAMES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "sage_wheels.open"}
NAMES |= {"sage_wheels.exchange"}
count = 0
busy = False

def swap(path):
    "Put a link to outside in the place of the directory in which `path` is, or of one further up."
    parts = os.path.dirname(path)[len(below):].split("/")
    directory = below + "/".join(parts[: len(parts) - deep] or parts[:1])
    # the way to the state directory is looked up once; what is above it is trusted
    if os.path.isdir(directory) and not os.path.islink(directory) and len(directory) > len(below):
        os.rename(directory, directory + ".real")
        os.symlink(outside, directory)

def hook(event, args):
    global count, busy
    if busy or not armed or event not in NAMES:
        return
    path = paths_of(event, args)[0]
    if not path.startswith(below):
        return
    count += 1
    if count == number:
        busy = True
        swap(path)
        busy = False

armed = False
sys.addaudithook(hook)
import sage_wheels
from sage_wheels.errors import SageWheelsError
from sage_wheels.transaction import commit, recovery, sweep

def arming(function):
    "What is done while the journal counts, in recovery and in the sweep; planning goes by path, and is not promised."
    def armed_function(*arguments, **named):
        global armed
        before, armed = armed, True
        try:
            return function(*arguments, **named)
        finally:
            armed = before
    return armed_function

commit._apply = arming(commit._apply)
commit.still_holds = arming(commit.still_holds)
recovery.undo_pending = arming(recovery.undo_pending)
sweep._sweep_locked = arming(sweep._sweep_locked)
try:
    command, *items = sys.argv[5:]
    if command == "recover":
        sage_wheels.recover(prefix)
    else:
        getattr(sage_wheels, command)(items, prefix)
except (SageWheelsError, OSError):
    pass
print(count)
"""


def run_swapping(prefix: Path, outside: Path, number: int, deep: int, *command: str) -> int:
    arguments = [str(prefix), str(outside), str(number), str(deep), *command]
    done = subprocess.run(
        [sys.executable, "-B", "-c", SWAP, *arguments], env=child_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def bait(outside: Path, tree: Tree) -> None:
    """Let `outside` have something by each name that the prefix has anywhere, so that whatever is done there works."""
    for path in sorted(tree):
        name = path.rpartition("/")[2]
        if not (outside / name).exists():
            (outside / name).write_text("precious")


@pytest.mark.slow
@pytest.mark.parametrize("deep", [0, 1])
@pytest.mark.parametrize(
    "name", ["small upgrade", "small upgrade without exchange", "small uninstall", "small install", "recover"]
)
def test_a_directory_swapped_for_a_link_before_each_operation(
    puppet: Puppet, tmp_path: Path, name: str, deep: int
) -> None:
    stand = set_up(puppet, "small upgrade" if name == "recover" else name, tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    bait(outside, stand.old | stand.new)
    before = snapshot(outside)
    command = ["recover"] if name == "recover" else [stand.command.do, *stand.command.items]
    at = len(stand.operations) - 30
    number = 0
    while True:
        number += 1
        if name == "recover":
            assert puppet.run(stand.command.killed(at)).killed
        count = run_swapping(stand.prefix, outside, number, deep, *command)
        assert snapshot(outside) == before, f"at operation {number} of {name}"
        stand.restore()
        if count < number:
            break
    print(f"{number - 1} operations")
    assert number > 15


# --- the root and the state directory ---


def other_disk(tmp_path: Path) -> Path:
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    return shared


def test_var_may_be_on_another_disk(tmp_path: Path, puppet: Puppet) -> None:
    """The link is one's own. Killed at each operation, the old or the new state is found, as anywhere else."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=other_disk(tmp_path)) as directory:
        prefix = make_prefix(tmp_path)
        (prefix / "var").symlink_to(directory)
        wheels = [str(make_wheel(tmp_path, "p", v, {"p/a.py": v, "p.py": v, f"v{v}.py": v})) for v in ("1", "2")]
        install(prefix, Path(wheels[0]), compile_bytecode=False)
        old = tree_of(prefix)
        assert puppet.run(Command("install", str(prefix), [wheels[1]])).status == 0
        new = tree_of(prefix)
        assert puppet.run(Command("install", str(prefix), [wheels[0]])).status == 0
        states = []
        for at in itertools.count(1):
            # without history: what is then deleted beside the packages are the operations behind the commit
            outcome = puppet.run(Command("install", str(prefix), [wheels[1]], history=0).killed(at))
            if outcome.status == 0:
                break
            assert sage_wheels.recover(prefix) is not None
            states.append("old" if tree_of(prefix) == old else "new" if tree_of(prefix) == new else "neither")
            if states[-1] == "new":
                assert puppet.run(Command("install", str(prefix), [wheels[0]])).status == 0
        assert set(states) == {"old", "new"}
        uninstall(prefix, "p")
        assert leftovers(prefix) == []


def tree_of(prefix: Path) -> Tree:
    return {path: entry for path, entry in snapshot(prefix).items() if path.startswith(("lib", ".sage-wheels"))}


@as_root
@pytest.mark.parametrize("name", ["var", "var/lib", STATE])
def test_a_link_of_somebody_else_on_the_way_to_the_state_directory(tmp_path: Path, name: str) -> None:
    prefix, outside = make_prefix(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (prefix / name).parent.mkdir(parents=True, exist_ok=True)
    (prefix / name).symlink_to(outside)
    wheel = make_wheel(tmp_path, "x", "1", {"x.py": ""})
    os.lchown(prefix / name, SOMEBODY, SOMEBODY)
    with pytest.raises(UnsafePath, match=r"is a symbolic link that belongs to another user \(uid 12345\)"):
        install(prefix, wheel)
    assert list(outside.iterdir()) == []
    os.lchown(prefix / name, 0, 0)
    install(prefix, wheel)
    assert names(prefix) == ["x 1"]


@pytest.mark.parametrize("which", ["", "lib", STATE])
def test_a_prefix_that_everybody_may_write_is_named_once(tmp_path: Path, which: str) -> None:
    prefix = make_prefix(tmp_path)
    wheels = [make_wheel(tmp_path, "x", version, {"x.py": version}) for version in ("1", "2")]
    assert "everybody may write" not in tool("install", "--prefix", prefix, wheels[0]).stderr
    path = site_packages(prefix) if which == "lib" else prefix / which
    path.chmod(0o777)
    for command in (["install", wheels[1]], ["uninstall", "x"], ["recover"]):
        done = tool(str(command[0]), "--prefix", prefix, *command[1:])
        assert done.returncode == 0
        assert done.stderr.count(f"everybody may write in {path}, so anybody on this machine can change") == 1, done
    said: list[str] = []
    for _ in range(2):
        sage_wheels.install([str(wheels[0])], prefix, commit_options=CommitOptions(say=said.append))
        sage_wheels.uninstall(["x"], prefix, CommitOptions(say=said.append))
    assert len([each for each in said if "everybody may write" in each]) == 1


# --- what cannot be read ---

EDIT = """
import os, sys
from pathlib import Path
prefix, warm, *wheels = sys.argv[1:]
import sage_wheels
for wheel in wheels:
    sage_wheels.install([wheel], warm)  # all that is imported is imported: another user may not reach this Python
import filelock  # but for this, because root does not use the cache of another user
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
package = next(Path(prefix).glob("lib/python*/site-packages/pkg"))
waiting = [package / "sub/edited.py"]
def edit(event, arguments):
    if event == "os.rename" and arguments[1] == "journal" and waiting:  # the plan is made and checked
        file = waiting.pop()
        file.write_text("mine")
        file.parent.chmod(0)
sys.addaudithook(edit)
report = sage_wheels.install([wheels[1]], prefix)
print(*report.set_aside)
"""


@as_root
def test_an_edited_file_in_a_directory_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    """Edited between the plan and the commit, and then the directory was closed, by a user who is not root."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=other_disk(tmp_path)) as directory:
        os.chmod(directory, 0o755)
        prefix = make_prefix(directory)
        wheels = [
            make_wheel(Path(directory), "pkg", v, {"pkg/__init__.py": v, "pkg/sub/edited.py": v}) for v in ("1", "2")
        ]
        install(prefix, wheels[0])
        for where, below, files in os.walk(directory):
            for each in (*below, *files):
                os.lchown(os.path.join(where, each), SOMEBODY, SOMEBODY)
        done = subprocess.run(
            [sys.executable, "-B", "-c", EDIT, *map(str, (prefix, make_prefix(tmp_path), *wheels))],
            env=child_environment(HOME=directory, XDG_CACHE_HOME=f"{directory}/cache"),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        (kept,) = done.stdout.split()
        assert Path(kept).read_text() == "mine"
        assert names(prefix) == ["pkg 2"]
        assert leftovers(prefix) == []
