"""A tree of Sage that was moved (sagemath/sage#41946, #42008): its records and scripts name the old path."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.trees import make_prefix
from support.wheels import make_wheel

from .conftest import Scripts
from .test_dist_helpers import Spkg

ENTRY_POINTS = {"pkg-1.0.dist-info/entry_points.txt": "[console_scripts]\nsay = pkg:say\n"}
SOURCE = {"pkg.py": "def say():\n    print('it')\n"}


@pytest.fixture(params=["old", "old place"])
def old(request: pytest.FixtureRequest, scripts: Scripts, tmp_path: Path) -> Spkg:
    """A package that was installed into an environment in a directory of that name."""
    (tmp_path / request.param).mkdir()
    spkg = Spkg(scripts, make_prefix(tmp_path / request.param, "venv"))
    install(spkg)
    return spkg


@pytest.fixture
def moved(old: Spkg, tmp_path: Path) -> Spkg:
    """The same after it was moved; either path has a blank in it, so that all forms of a first line are met."""
    new = tmp_path / ("new place" if old.prefix.parent.name == "old" else "new")
    os.rename(old.prefix.parent, new)
    return Spkg(old.scripts, new / "venv")


def install(spkg: Spkg) -> None:
    spkg.prepare()
    data = {"scripts/tell": "#!python\nimport pkg\npkg.say()\n"}
    make_wheel(spkg.build / "dist", "pkg", "1.0", {**SOURCE, **ENTRY_POINTS}, data=data)
    assert spkg.install() == 0, spkg.log


def works(spkg: Spkg) -> list[bool]:
    """Whether each of its two scripts runs."""
    found = []
    for name in ("say", "tell"):
        try:
            done = subprocess.run([spkg.prefix / "bin" / name], capture_output=True, check=False)
        except FileNotFoundError:  # of the interpreter
            found.append(False)
        else:
            found.append(done.stdout == b"it\n")
    return found


def sage_wheels(spkg: Spkg, *words: str) -> subprocess.CompletedProcess[str]:
    return spkg.scripts.run("sage-wheels", *words, f"--prefix={spkg.prefix}", env={"SAGE_VENV": str(spkg.prefix)})


def test_verify_names_its_scripts(moved: Spkg) -> None:
    assert works(moved) == [False, False]
    done = sage_wheels(moved, "verify")
    assert done.returncode == 4
    assert set(done.stdout.splitlines()) == {f"dead {moved.prefix}/bin/{name}" for name in ("say", "tell")}


def test_a_link_to_the_old_place_is_named(moved: Spkg, tmp_path: Path) -> None:
    """SAGE_ROOT/venv, until configure makes it again."""
    (tmp_path / "venv").symlink_to(tmp_path / "gone/venv")
    done = moved.scripts.run("sage-wheels", "list", "--prefix", tmp_path / "venv")
    said = f"the prefix {tmp_path}/venv is a link to {tmp_path}/gone/venv, which is no directory; make the link again"
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_restore_mends_it(moved: Spkg) -> None:
    listed = sage_wheels(moved, "list").stdout
    assert "package pkg" in listed
    assert "gone" not in listed
    done = sage_wheels(moved, "restore", "--all")
    assert done.returncode == 0, done.stderr
    assert works(moved) == [True, True]
    assert sage_wheels(moved, "verify").returncode == 0
    assert "nothing" in sage_wheels(moved, "restore", "--all").stderr


def test_restore_by_name_mends_it(moved: Spkg) -> None:
    done = sage_wheels(moved, "restore", "pkg")
    assert done.returncode == 0, done.stderr
    assert works(moved) == [True, True]


def test_make_again_mends_it(moved: Spkg) -> None:
    install(moved)
    assert works(moved) == [True, True], moved.log
    assert f"{moved.prefix.as_uri()}/" in moved.requirements.read_text()
    assert sage_wheels(moved, "verify").returncode == 0


def test_clean_removes_it(moved: Spkg) -> None:
    moved.uninstall()
    assert not list(moved.prefix.glob("lib/python3*/site-packages/pkg*"))
    assert not (moved.prefix / "bin/say").exists()


def test_what_was_not_moved_is_left_alone(old: Spkg) -> None:
    assert works(old) == [True, True]
    assert sage_wheels(old, "verify").returncode == 0
    before = (old.prefix / "bin/say").stat().st_ino
    assert sage_wheels(old, "restore", "--all").returncode == 0
    assert (old.prefix / "bin/say").stat().st_ino == before
