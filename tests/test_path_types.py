"""Paths in a prefix, members of archives and full paths are different types, each made by a function that checks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.archive.strict_zip import Damaged, member_name
from sage_wheels.fs.paths import full
from sage_wheels.prefix.paths import below, is_plain, plain


@pytest.mark.parametrize("text", ["/etc", "..", "a/../b", "a//b", "a/", "./a", "a\0b", "."])
def test_no_path_in_a_prefix(text: str) -> None:
    assert not is_plain(text)
    with pytest.raises(ValueError, match="is no path below a prefix"):
        plain(text)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "/etc"])
def test_no_name_in_a_directory(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a file"):
        below(plain("lib"), name)


@pytest.mark.parametrize("text", ["/etc", "../a", "a//b", "a\0b", "a\\b", "c:/a", "", "."])
def test_no_name_of_a_member(text: str) -> None:
    with pytest.raises(Damaged, match="is no plain path inside the archive"):
        member_name(text)


@pytest.mark.parametrize("text", ["", "a", "./a", "../a"])
def test_no_full_path(text: str) -> None:
    with pytest.raises(ValueError, match="is no full path"):
        full(text)


PROGRAM = """
import os
import shutil

from sage_wheels.archive.strict_zip import Archive, Member, member_name
from sage_wheels.fs.paths import full
from sage_wheels.prefix import Prefix
from sage_wheels.prefix.paths import plain
from sage_wheels.prefix.locator import Locator
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction.steps import Steps
from sage_wheels.wheel.wheel import Wheel
import sage_wheels


def right(tree: Tree, locator: Locator, prefix: Prefix, steps: Steps, member: Member, text: str) -> None:
    path = locator.locate("", member.name)
    if path is not None:
        tree.unlink(path)
        steps.place(path, full("/stage/new"))
        steps.place(plain(text), prefix.path(text))
        os.lstat(prefix.path(path)), os.lstat(path, dir_fd=0), os.path.basename(path)


"""
HEAD = "def wrong(tree: Tree, prefix: Prefix, steps: Steps, wheel: Wheel, member: Member, text: str) -> None:\n    "
WRONG = {
    'tree.unlink("../../etc/passwd")': '"unlink" of "Tree" has incompatible type "str"; expected "PrefixPath"',
    'tree.rename(member.name, plain("bin/x"))': 'incompatible type "MemberName"; expected "PrefixPath"',
    'tree.unlink(prefix.path("bin/x"))': 'incompatible type "FullPath"; expected "PrefixPath"',
    'steps.place(plain("bin/x"), plain("bin/x"))': 'incompatible type "PrefixPath"; expected "FullPath"',
    'wheel.scheme_and_path(plain("lib/x"))': 'incompatible type "PrefixPath"; expected "MemberName"',
    'open(plain("lib/x"))': "sage_wheels.prefix.paths.PrefixPath is no path of the file system",
    "os.rename(prefix.path(text), member.name)": "sage_wheels.archive.strict_zip.MemberName is no path of the file",
    'shutil.rmtree(plain("lib/x"))': "sage_wheels.prefix.paths.PrefixPath is no path of the file system",
    "os.lstat(plain(text)).st_size": "sage_wheels.prefix.paths.PrefixPath is no path of the file system",
    'plain("lib/x").joinpath(text)': '"PrefixPath" has no attribute "joinpath"',
    "sage_wheels.instal(text)": 'Module has no attribute "instal"',
}


@pytest.mark.slow
def test_mypy_sees_wrong_programs(tmp_path: Path, checkout: Path) -> None:
    """All in one run, for it takes long to begin."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        PROGRAM + "\n\n".join(f"{HEAD.replace('wrong', f'wrong_{n}')}{line}\n" for n, line in enumerate(WRONG))
    )
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nplugins = {checkout / 'tests/support/mypy_plugin.py'}\n")
    command = [sys.executable, "-I", "-m", "mypy", "--strict", "--no-error-summary"]
    command += [f"--cache-dir={checkout / '.cache/mypy-programs'}", str(program)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    lines = said.stdout.splitlines()
    assert [line for line in lines if "error:" not in line] == []
    assert len(lines) == len(WRONG), said
    for line, error in zip(lines, WRONG.values(), strict=True):
        assert error in line
