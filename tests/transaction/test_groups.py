"""Groups: what arrives in a directory has the group and the bit that it would have if it had been made there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sage_wheels.prefix import find_prefix
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.move import move_tree
from support.run import install, uninstall
from support.trees import STATE, make_prefix, site_packages
from support.wheels import make_wheel


def another_group() -> int | None:
    """A group that files can be given to, and that is not the one that they get."""
    if os.geteuid() == 0:
        return 4242
    return next((each for each in os.getgroups() if each != os.getegid()), None)


GROUP = another_group()
pytestmark = pytest.mark.skipif(GROUP is None, reason="the user is in one group only")


def share(directory: Path) -> None:
    """Let `directory` and all directories below be the group's."""
    for each in [directory, *(each for each in directory.rglob("*") if each.is_dir() and not each.is_symlink())]:
        os.chown(each, -1, GROUP or 0)
        each.chmod(stat.S_IMODE(each.stat().st_mode) | stat.S_ISGID)


def given_by(directory: Path) -> tuple[int, int]:
    """Group and bit of a directory that is made in `directory`."""
    probe = directory / "probe-of-the-test"
    probe.mkdir()
    status = probe.stat()
    probe.rmdir()
    return status.st_gid, status.st_mode & stat.S_ISGID


def below(prefix: Path) -> set[Path]:
    return {each for each in prefix.rglob("*") if STATE not in str(each)}


SHARED = {  # "lib/unshared": not the library itself, but all around it
    "library": ["lib"],
    "scripts": ["bin"],
    "state": ["var"],
    "all-but-library": ["", "lib/unshared"],
    "namespace": ["lib/ns"],
    "nothing": [],
    "everything": [""],
}


@pytest.mark.parametrize("shared", SHARED.values(), ids=SHARED)
def test_what_comes_belongs_to_whom_the_directory_says(tmp_path: Path, shared: list[str]) -> None:
    prefix = make_prefix(tmp_path)
    library = site_packages(prefix)
    install(prefix, make_wheel(tmp_path, "old", "1", {"ns/old.py": "", "old.py": ""}))
    for each in shared:
        if each == "lib/unshared":
            library.chmod(stat.S_IMODE(library.stat().st_mode) & ~stat.S_ISGID)
            os.chown(library, -1, os.getegid())
        else:
            share(prefix / each.replace("lib", str(library.relative_to(prefix))))
    before = below(prefix)
    given = {each: given_by(each) for each in [prefix, *before] if each.is_dir() and not each.is_symlink()}
    for version in ("1.0", "2.0"):
        files = {"probe/__init__.py": version, "probe/sub/a.py": "", "single.py": version, "ns/b.py": version}
        files |= {"probe/new/b.py": ""} if version == "2.0" else {}
        data = {"scripts/tool": f"#!python\n# {version}\n", "data/share/probe/x": version}
        install(prefix, make_wheel(tmp_path, "probe", version, files, data=data, entry_points={"e": "probe:f"}))
        for path in below(prefix) - before:
            group, bit = next(given[each] for each in path.parents if each in given)
            status = path.stat()
            assert (status.st_gid, status.st_mode & stat.S_ISGID) == (group, bit if path.is_dir() else 0), path
    uninstall(prefix, "probe")
    assert below(prefix) == before


def test_a_moved_tree_keeps_the_groups_that_it_was_given(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    share(prefix / "bin")
    (prefix / "share").mkdir()
    staged = prefix / "staged"  # from elsewhere, it would be a copy, which keeps no groups
    staged.mkdir()
    for path in ("bin/tool", "share/plain/file", "share/games/score"):
        (staged / path).parent.mkdir(parents=True, exist_ok=True)
        (staged / path).touch()
    os.chown(staged / "share/games/score", -1, GROUP or 0)
    move_tree(str(staged), find_prefix(prefix), CommitOptions())
    assert (prefix / "bin/tool").stat().st_gid == GROUP
    assert (prefix / "share/plain/file").stat().st_gid == given_by(prefix / "share")[0]
    assert (prefix / "share/games/score").stat().st_gid == GROUP
