"""Prefixes that are not on one ordinary file system: a scheme directory of its own, an overlay.

The mounts are made in a mount namespace of the test's own, which needs root on Linux.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.run import install, tool_environment
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel


def _can_mount() -> bool:
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _can_mount(), reason="needs unshare --mount and the right to mount")

OLD = {"pkg/__init__.py": "v = 1\n", "pkg/sub/a.py": "", "mod.py": "v = 1\n", "pkg/data": "old"}
NEW = {"pkg/__init__.py": "v = 2\n", "pkg/new/b.py": "", "mod.py": "v = 2\n", "pkg/data": "new"}


@pytest.fixture
def wheels(tmp_path: Path) -> tuple[Path, Path]:
    old = make_wheel(tmp_path / "wheels", "pkg", "1.0", OLD, entry_points={"pkg": "pkg:main"})
    return old, make_wheel(tmp_path / "wheels", "pkg", "2.0", NEW, entry_points={"pkg": "pkg:main"})


def within(mounts: str, program: str, *arguments: Path) -> str:
    """What `program` prints, run by Python in a mount namespace in which the shell commands `mounts` were run."""
    script = f"{mounts} && exec {shlex.quote(sys.executable)} -c {shlex.quote(program)} " + shlex.join(
        map(str, arguments)
    )
    command = ["unshare", "--mount", "sh", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, env=tool_environment())
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


PREAMBLE = """
import os, sys
sys.path.insert(0, os.environ["SUPPORT"])
import sage_wheels
from pathlib import Path
from support.trees import kept_beside, snapshot, leftovers
from sage_wheels.transaction.install import InstallOptions
prefix, *wheels = map(Path, sys.argv[1:])
def check(state):
    assert leftovers(prefix) == [], leftovers(prefix)
    assert sage_wheels.verify("pkg", prefix) == []
    hidden = [name for name in os.listdir(next(prefix.glob("lib/python*/site-packages"))) if name.startswith(".")]
    assert set(hidden) <= kept_beside(prefix), hidden
    return snapshot(prefix)
"""


@pytest.fixture(autouse=True)
def _support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPPORT", str(Path(__file__).parent.parent))


def test_a_library_directory_on_another_file_system(tmp_path: Path, wheels: tuple[Path, Path]) -> None:
    prefix = make_prefix(tmp_path)
    program = PREAMBLE + (
        "empty = snapshot(prefix)\n"
        "sage_wheels.install([str(wheels[0])], prefix)\n"
        "check(1)\n"
        "report = sage_wheels.install([str(wheels[1])], prefix)\n"
        "check(2)\n"
        "assert any(step.action == 'exchange' for step in report.steps), report.steps\n"
        "sage_wheels.uninstall(['pkg'], prefix)\n"
        "assert snapshot(prefix) == empty\n"
        "print(os.stat(prefix).st_dev != os.stat(next(prefix.glob('lib/python*/site-packages'))).st_dev)\n"
    )
    mount = f"mount -t tmpfs none {shlex.quote(str(site_packages(prefix)))}"
    assert within(mount, program, prefix, *wheels) == "True"


@pytest.mark.parametrize(
    "where", ["{library}", "bin", "var", "{library}/pkg/sub", "{library}/pkg", "{library} bin var"]
)
def test_a_bind_mount_has_the_device_number_of_what_is_around_it(
    tmp_path: Path, wheels: tuple[Path, Path], where: str
) -> None:
    """And yet nothing can be renamed from the one to the other."""
    prefix = make_prefix(tmp_path)
    mounts = ["true"]
    for number, each in enumerate(where.split()):
        mounted, here = tmp_path / str(number), prefix / each.format(library=site_packages(prefix))
        for directory in (mounted, here):
            directory.mkdir(parents=True, exist_ok=True)
        mounts.append(shlex.join(["cp", "-a", f"{here}/.", str(mounted)]))
        mounts.append(shlex.join(["mount", "--bind", str(mounted), str(here)]))
    program = PREAMBLE + (
        "empty = snapshot(prefix)\n"
        "sage_wheels.install([str(wheels[0])], prefix)\n"
        "old = check(1)\n"
        "sage_wheels.install([str(wheels[1])], prefix)\n"
        "new = check(2)\n"
        "sage_wheels.undo(None, prefix)\n"
        "assert check(1) == old\n"
        "sage_wheels.undo(None, prefix)\n"
        "assert check(2) == new\n"
        "sage_wheels.uninstall(['pkg'], prefix)\n"
        "assert snapshot(prefix) == empty\n"
        "print('done')\n"
    )
    assert within(" && ".join(mounts), program, prefix, *wheels) == "done"


def test_an_edit_between_plan_and_commit_is_set_aside_from_another_file_system(
    tmp_path: Path, wheels: tuple[Path, Path]
) -> None:
    """Also when an earlier copy of it was killed half-way."""
    prefix = make_prefix(tmp_path)
    program = PREAMBLE + (
        "sage_wheels.install([str(wheels[0])], prefix)\n"
        "waiting = [next(prefix.glob('lib/python*/site-packages'))]\n"
        "state = prefix / 'var/lib/sage-wheels'\n"
        "def edit(event, arguments):\n"
        "    if event == 'os.rename' and arguments[1] == 'journal' and waiting:\n"  # the plan is made and checked
        "        library = waiting.pop()\n"
        "        (library / 'pkg/data').write_text('mine')\n"
        "        (library / 'pkg/link').symlink_to('data')\n"
        "        [stage] = (state / 'stage').iterdir()\n"
        "        (state / 'set-aside' / stage.name).mkdir(parents=True)\n"
        "        (state / 'set-aside' / stage.name / '.unfinished-copy').symlink_to('/nowhere')\n"
        "sys.addaudithook(edit)\n"
        "report = sage_wheels.install([str(wheels[1])], prefix, commit_options=sage_wheels.CommitOptions(say=print))\n"
        "check(2)\n"
        "assert not list(prefix.rglob('.unfinished-copy'))\n"
        "print(sorted((Path(each).name, os.path.islink(each), Path(each).read_text()) for each in report.set_aside))\n"
    )
    mount = f"mount -t tmpfs none {shlex.quote(str(site_packages(prefix)))}"
    expected = [("data", False, "mine"), ("link", True, "mine")]
    assert within(mount, program, prefix, *wheels) == str(expected)


def test_an_overlay_does_not_rename_the_directories_of_its_lower_layer(
    tmp_path: Path, wheels: tuple[Path, Path]
) -> None:
    prefix = make_prefix(tmp_path / "lower")
    empty = snapshot(prefix)
    install(prefix, wheels[0])
    merged = tmp_path / "merged"
    layers = tmp_path / "layers"
    for each in (merged, layers):
        os.mkdir(each)
    program = PREAMBLE + (
        "report = sage_wheels.install([str(wheels[1])], prefix)\n"
        "check(2)\n"
        "assert not any(step.action == 'exchange' for step in report.steps), report.steps\n"
        "assert any(step.action == 'rmdir' for step in report.steps), report.steps\n"
        "sage_wheels.uninstall(['pkg'], prefix)\n"
        "print(sorted(snapshot(prefix)))\n"
    )
    # an overlay on tmpfs: the file system below must be one that can be an upper layer
    mounts = (
        f"mount -t tmpfs none {layers} && mkdir {layers}/upper {layers}/work && mount -t overlay overlay -o "
        f"lowerdir={prefix.parent},upperdir={layers}/upper,workdir={layers}/work,redirect_dir=off {merged}"
    )
    output = within(mounts, program, merged / prefix.name, *wheels)
    assert output == str(sorted(empty))


@pytest.mark.parametrize(
    "deed",
    [
        "for each in ('copy', 'beside'): (stage / each).unlink()\n(state / 'journal').unlink()\n",
        "shutil.rmtree(stage)\n(state / 'journal').unlink()\n",
        "shutil.rmtree(state)\n",
        "(stage / 'beside').unlink()\nshutil.move(next((beside / 'old').iterdir()), prefix / 'lost')\n",
    ],
    ids=["what names it", "the stage", "the state directory", "what names it, and a file"],
)
def test_old_files_on_another_file_system_are_named_whatever_was_deleted(
    tmp_path: Path, wheels: tuple[Path, Path], deed: str
) -> None:
    """By `recover`, `verify` and the commands that change the prefix, until `recover --set-aside`. Promise 2."""
    prefix = make_prefix(tmp_path)
    other = make_wheel(tmp_path / "wheels", "other", "1.0", {"other.py": ""})
    program = PREAMBLE + (
        "import shutil, signal, subprocess\n"
        "library, state = next(prefix.glob('lib/python*/site-packages')), prefix / 'var/lib/sage-wheels'\n"
        "def files():\n"
        "    return {each.read_bytes() for each in prefix.rglob('*') if each.is_file()}\n"
        "sage_wheels.install([str(wheels[0])], prefix)\n"
        "shutil.rmtree(state / 'history')\n"
        "if not os.fork():\n"
        "    def kill(event, arguments):\n"
        "        if event == 'os.rename' and arguments[0] == 'journal' and arguments[1] != 'journal':\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "    sys.addaudithook(kill)\n"
        "    sage_wheels.install([str(wheels[1])], prefix)\n"
        "os.wait()\n"
        "[stage], [beside] = (state / 'stage').iterdir(), library.glob('.sage-wheels-*')\n"
        "kept = {each.read_bytes() for each in beside.rglob('*') if each.is_file()}\n"
        "assert b'v = 1\\n' in kept, kept\n"
        f"{deed}"
        "def run(*command):\n"
        "    command = [sys.executable, '-m', 'sage_wheels', *command, '--prefix', str(prefix)]\n"
        "    return subprocess.run(command, capture_output=True, text=True)\n"
        "commands = [('install', str(wheels[2])), ('verify',)] if not (state / 'journal').exists() else []\n"
        "for command in [*commands, ('recover',)]:\n"
        "    done = run(*command)\n"
        "    assert '--set-aside' in done.stderr, done\n"
        "    if commands:\n"
        "        assert done.stderr.count(str(beside)) == 1, done\n"
        "    assert (done.returncode == 1) == (command == ('recover',)), done\n"
        "done = run('recover', '--set-aside')\n"
        "assert done.returncode == 0, done\n"
        "assert f'{beside}-interrupted' in done.stderr, done\n"
        "assert kept <= files(), kept - files()\n"
        "for command in ('recover', 'verify'):\n"
        "    done = run(command)\n"
        "    assert beside.name not in done.stderr and 'set-aside' not in done.stderr, done\n"
        "assert (done := run('recover')).stderr.endswith(f'nothing was left unfinished in {prefix}\\n'), done\n"
        "print('done')\n"
    )
    mount = f"mount -t tmpfs none {shlex.quote(str(site_packages(prefix)))}"
    assert within(mount, program, prefix, *wheels, other) == "done"


def test_old_files_of_the_history_on_another_file_system_are_not_taken_for_forgotten_ones(
    tmp_path: Path, wheels: tuple[Path, Path]
) -> None:
    prefix = make_prefix(tmp_path)
    program = PREAMBLE + (
        "from sage_wheels.transaction.recover import left_behind\n"
        "from sage_wheels.prefix import find_prefix\n"
        "for each in (*wheels, wheels[0]):\n"
        "    sage_wheels.install([str(each)], prefix)\n"
        "    assert left_behind(find_prefix(prefix)) == [] == sage_wheels.recover(prefix)\n"
        "sage_wheels.undo(None, prefix)\n"
        "assert left_behind(find_prefix(prefix)) == [] == sage_wheels.recover(prefix, set_aside=True)\n"
        "assert len(list(next(prefix.glob('lib/python*/site-packages')).glob('.sage-wheels-*'))) >= 2\n"
        "print('done')\n"
    )
    mount = f"mount -t tmpfs none {shlex.quote(str(site_packages(prefix)))}"
    assert within(mount, program, prefix, *wheels) == "done"
