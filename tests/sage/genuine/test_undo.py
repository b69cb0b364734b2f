"""A user of Sage replaces what a package has brought, something breaks, and one command takes it back: docs/sage.md."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.trees import difference
from support.wheels import make_wheel

from .conftest import GENUINE, GENUINE_TODAY, Sage

PROGRAM = "import pexpect; print(pexpect.run('echo it').decode().strip())"


@pytest.fixture(params=[pytest.param("tree", marks=GENUINE), pytest.param("today", marks=GENUINE_TODAY)])
def each_tree(request: pytest.FixtureRequest) -> Sage:
    found: Sage = request.getfixturevalue(request.param)
    return found


def test_undo_of_what_broke_something(each_tree: Sage, tmp_path: Path) -> None:
    tree = each_tree
    tree.overlay()
    tree.make("pexpect")
    assert tree.python(PROGRAM) == "it"
    before = tree.library_state()
    [wheel] = tree.venv.glob("var/lib/sage/wheels/ptyprocess-*.whl")
    version = wheel.name.split("-")[1]

    other = make_wheel(tmp_path, "ptyprocess", "9.0", {"ptyprocess/__init__.py": "# all else is in another castle\n"})
    sage_pip = [tree.root / "sage", "--pip"] if (tree.root / "sage").exists() else ["sage-pip"]  # which that one runs
    done = tree.run(*sage_pip, "install", "--no-index", "--no-deps", "--replace-packages", other)
    assert done.returncode == 0, done.stdout
    assert f"ptyprocess {version}, which package ptyprocess installed, would become 9.0" in done.stdout
    broken = subprocess.run([tree.venv / "bin/python3", "-c", PROGRAM], capture_output=True, text=True)
    assert "No module named 'ptyprocess.ptyprocess'" in broken.stderr

    history = tree.run("sage-wheels", "history").stdout.splitlines()
    number = history[-1].split()[0]
    assert re.fullmatch(rf" *{number}  \S+ \S+  \S+ +ptyprocess {version} -> 9\.0", history[-1]), history
    assert "--replace-packages" in tree.run("sage-wheels", "history", number).stdout
    done = tree.run("sage-wheels", "undo")
    assert (done.returncode, f"ptyprocess changed from 9.0 to {version}" in done.stdout) == (0, True), done.stdout
    assert difference(before, tree.library_state()) == []
    assert tree.python(PROGRAM) == "it"

    logs = {path: path.stat().st_mtime_ns for path in tree.root.glob("logs/pkgs/*.log")}
    tree.make("pexpect", "ptyprocess")
    assert {path: path.stat().st_mtime_ns for path in tree.root.glob("logs/pkgs/*.log")} == logs, "nothing was built"
    assert difference(before, tree.library_state()) == []
    assert re.search(
        rf"^ptyprocess {version} +sage-wheels +package ptyprocess$", tree.run("sage-wheels", "list").stdout, re.M
    )
    tree.overlay("--undo")
