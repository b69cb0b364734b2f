"""SAGE_SUDO with two users for once: one without rights, who builds, and root, whose the prefix is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.run import names
from support.trees import Tree, difference, faded, make_prefix, snapshot
from support.users import skip_unless_python_is_for

from .conftest import Scripts
from .test_dist_helpers import Spkg, sources

FORGET = 'sdh_pip_uninstall -r "$SAGE_SPKG_SCRIPTS/$PKG_BASE/spkg-requirements.txt"'
SOMEBODY = 12345  # nobody has this number
AS_SOMEBODY = ("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")

# A backend that leaves something where it runs, and a note of who ran it.
NOTES = """
import os
open("left-by-the-backend", "w").close()
with open({log!r}, "a") as f:
    f.write(f"{{os.geteuid()}}\\n")
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory into which every user may look; pytest's is for its own user."""
    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture
def sudo(tmp_path: Path) -> str:
    """A command with which `SOMEBODY`, and nobody else, becomes root."""
    program = shutil.which("setpriv")
    if os.geteuid() != 0 or not program:
        pytest.skip("needs root, and the program setpriv")
    skip_unless_python_is_for(SOMEBODY)
    become = tmp_path / "setpriv"
    shutil.copy(program, become)
    os.chown(become, 0, SOMEBODY)
    become.chmod(0o4750)
    (tmp_path / "home of root").mkdir()
    command = tmp_path / "sudo"
    command.write_text(
        f'#!/bin/sh\nexec "{become}" --reuid=0 --regid=0 --clear-groups'
        f' env -i HOME="{tmp_path}/home of root" PATH=/usr/bin:/bin "$@"\n'  # as sudo resets it
    )
    command.chmod(0o755)
    if subprocess.run([*AS_SOMEBODY, str(command), "true"]).returncode:
        pytest.skip(f"set-user-ID has no effect in {tmp_path}")
    return str(command)


class TwoUsers(Spkg):
    """The package `tree`, built in the course of sage-spkg, or without it in a directory of its own."""

    def __init__(self, scripts: Scripts, prefix: Path, *, spkg: bool) -> None:
        super().__init__(scripts, prefix, "tree")
        self.spkg = spkg
        self.tree = (self.build if spkg else prefix.parent) / "src"
        self.users = [self.build.parent, scripts.root, *([] if spkg else [self.tree])]
        self.builders = prefix.parent / "builders"
        self.builders.touch()
        self.builders.chmod(0o666)

    def become(self, sudo: str) -> None:
        self.sudo, self.user = sudo, (*AS_SOMEBODY, "env", f"HOME={self.build.parent}")

    def install_twice(self, script: str) -> None:
        for _ in range(2):
            self.prepare()
            self.run(script)

    def prepare(self) -> None:
        self.build.parent.mkdir(parents=True, exist_ok=True)
        if self.spkg:
            super().prepare()
        shutil.rmtree(self.tree, ignore_errors=True)
        sources(self.tree, requires='"no-such-thing"')  # so that the first build in isolation does not go through
        with open(self.tree / "backend.py", "a") as f:
            f.write(NOTES.format(log=str(self.builders)))
        for path in everything_in(*self.users if self.user else []):
            os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)

    def run(self, script: str) -> None:
        """What a package script does, and what sage-spkg does about it: it uninstalls the old version before."""
        destdir = {"SAGE_DESTDIR": str(self.build / "inst")} if self.spkg else {}
        if self.spkg:
            assert self.bash(FORGET, self.build, **destdir) == 0, self.log
        assert self.bash(script, self.tree, **destdir) == 0, self.log
        if (self.build / "spkg-pipinst").exists():
            assert self.bash((self.build / "spkg-pipinst").read_text(), self.build) == 0, self.log

    def installed(self) -> Tree:
        """The prefix, and what Sage keeps about packages, without the build directory."""
        tree = faded(snapshot(self.prefix))
        return {path: entry for path, entry in tree.items() if not f"{path}/".startswith("var/tmp/")}

    def who_built(self) -> set[int]:
        return set(map(int, self.builders.read_text().split()))


def everything_in(*directories: Path) -> list[Path]:
    return [path for each in directories for path in (each, *each.rglob("*"))]


def owners(paths: list[Path]) -> dict[int, Path]:
    """The users who own one of `paths` or more; with an example, for the message."""
    return {path.lstat().st_uid: path for path in paths}


@pytest.mark.parametrize(
    ("script", "spkg"),
    [
        ("sdh_pip_install .", True),
        ("sdh_pip_install --no-build-isolation .", False),
        ("sdh_setup_bdist_wheel; sdh_store_and_pip_install_wheel .", True),
        ("sdh_pip_editable_install .", True),
        ("sdh_pip_editable_install .; sdh_build_and_store_wheel --no-isolation .", True),
        ("sdh_pip_editable_install .", False),
    ],
)
def test_the_user_builds_and_root_commits(
    scripts: Scripts, tmp_path: Path, sudo: str, script: str, *, spkg: bool
) -> None:
    prefix = make_prefix(tmp_path, "venv")
    package = TwoUsers(scripts, prefix, spkg=spkg)
    package.install_twice(script)
    expected = package.installed()
    assert package.who_built() == {0}
    shutil.rmtree(prefix)
    package.builders.write_text("")

    make_prefix(tmp_path, "venv")
    before = package.installed()
    package.become(sudo)
    if subprocess.run([*AS_SOMEBODY, scripts.path("sage-wheels"), "--version"]).returncode:
        pytest.skip("another user cannot read what is tested")
    package.install_twice(script)
    assert package.who_built() == {SOMEBODY}
    assert difference(package.installed(), expected) == []
    assert owners(everything_in(*package.users)).keys() == {SOMEBODY}, owners(everything_in(*package.users))
    roots = [path for path in everything_in(prefix) if package.build.parent not in (path, *path.parents)]
    assert owners(roots).keys() == {0}, owners(roots)

    assert package.bash(FORGET, package.build.parent) == 0, package.log
    assert names(prefix) == []
    shutil.rmtree(prefix / "var/lib/sage")
    assert difference(package.installed(), before) == []
