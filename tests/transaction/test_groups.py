"""Groups and access control lists: what arrives in a directory has what it would have if it had been made there."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.prefix import find_prefix
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.move import move_tree
from support.run import install, tool_environment, uninstall
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


ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def acl(*entries: tuple[int, int, int]) -> bytes:
    """What setfacl(1) writes: tag, permissions and number; <linux/posix_acl_xattr.h>."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)


NOBODY = 0xFFFFFFFF
LISTS = {
    "a group": acl((1, 7, NOBODY), (4, 5, NOBODY), (8, 7, 4242), (0x10, 7, NOBODY), (0x20, 5, NOBODY)),
    "a user, and nobody else": acl((1, 7, NOBODY), (2, 7, 4242), (4, 0, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY)),
    "no names": acl((1, 7, NOBODY), (4, 7, NOBODY), (0x20, 0, NOBODY)),
}


def acls(path: Path) -> list[bytes]:
    """The mode and the access control lists of `path`. For a program, which everybody may run, only who is named."""
    found = {name: os.getxattr(path, name) for name in (ACCESS, DEFAULT) if name in os.listxattr(path)}
    if path.parent.name == "bin":
        return [b"".join(found.values())[4:][::8]]
    return [oct(path.stat().st_mode).encode(), *found.values()]


def made_in(directory: Path) -> list[list[bytes]]:
    """The lists of a file and of a directory that are made in `directory`."""
    file, inner = directory / "probe-of-the-test", directory / "probe-of-the-test-too"
    file.touch()
    inner.mkdir()
    found = [acls(file), acls(inner)]
    file.unlink()
    inner.rmdir()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other lists")
@pytest.mark.parametrize("listed", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("shared", [["lib", "bin"], ["var"], ["lib", "bin", "var"], ["bin"]], ids=",".join)
def test_what_comes_has_the_access_control_list_that_the_directory_gives(
    tmp_path: Path, shared: list[str], listed: bytes
) -> None:
    prefix = make_prefix(tmp_path)
    library = site_packages(prefix)
    for name in shared:
        top = {"lib": library, "bin": prefix / "bin", "var": prefix / "var"}[name]
        top.mkdir(exist_ok=True)
        try:
            os.setxattr(top, DEFAULT, listed)
        except OSError:
            pytest.skip("this file system has no access control lists")
    given = {each: made_in(each) for each in (prefix / "bin", library)}
    install(prefix, make_wheel(tmp_path, "other", "1", {"other.py": ""}))  # which makes the state directory
    before = below(prefix)
    for version in ("1", "2"):
        files = {"probe/__init__.py": version, "probe/sub/a.py": "", "single.py": version}
        data = {"scripts/tool": f"#!python\n# {version}\n"}
        install(prefix, make_wheel(tmp_path, "probe", version, files, data=data, entry_points={"e": "probe:f"}))
        for path in below(prefix) - before:
            above = next(each for each in path.parents if each in given)
            assert acls(path) == given[above][path.is_dir()], path
    uninstall(prefix, "probe")
    assert below(prefix) == before


def test_a_group_that_nobody_can_give(tmp_path: Path) -> None:
    """In a user namespace (a container without root), the group of a directory may be unknown; pip does not mind."""
    prefix = make_prefix(tmp_path)
    share(site_packages(prefix))
    wheel = make_wheel(tmp_path, "probe", "1", {"probe/__init__.py": "", "single.py": ""})
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-m", "sage_wheels", "install"]
    done = subprocess.run([*command, "--prefix", prefix, wheel], env=tool_environment(), capture_output=True, text=True)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert (site_packages(prefix) / "probe/__init__.py").exists()
