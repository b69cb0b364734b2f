"""A prefix held open by descriptors: what works by names, works; links are not followed; errors name the full paths."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.fs import deletion, exchange
from sage_wheels.fs.files import LinkInTheWay
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.tree import Tree
from support.puppet import child_environment

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory, and beside it `outside`, to which `link` leads."""
    (tmp_path / "outside/sub").mkdir(parents=True)
    (tmp_path / "outside/file").write_text("precious")
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_text("x")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "inner").symlink_to("a")
    return root


def test_what_can_be_done(root: Path) -> None:
    with Tree(str(root)) as tree:
        tree.rename("a/file", "a/b/file")
        tree.link("a/b/file", "a/second")
        tree.symlink("second", "a/third")
        assert tree.readlink("a/third") == "second"
        assert tree.read("a/second") == b"x"
        tree.make_directories("c/d/e")
        tree.rename("a/b", "c/d/e/b")
        exchange.prepare_exchange()
        if exchange.can_exchange(str(root)):
            tree.exchange("a/second", "c/d")
            tree.exchange("a/second", "c/d")
        assert sorted(path for path, _ in tree.files_below("c")) == ["c/d/e/b/file"]
        assert sorted(path for path, _ in tree.directories_below("c")) == ["c/d", "c/d/e", "c/d/e/b"]
        assert list(tree.files_below("a/second")) == []
        tree.unlink("a/second")
        tree.chmod_directory("c/d", 0o700)
        tree.delete("c")
        tree.delete("c")
        assert tree.names("a") == ["third"]
        assert not tree.is_there("c")
        assert tree.lstat("a/none/x") is None
        tree.mkdir("c")
        tree.rmdir("c")


OPERATIONS = {
    "rename": lambda tree, out: tree.rename(out, "taken"),
    "rename to": lambda tree, out: tree.rename("a/file", out),
    "exchange": lambda tree, out: tree.exchange("a/file", out),
    "link": lambda tree, out: tree.link(out, "taken"),
    "link to": lambda tree, out: tree.link("a/file", out),
    "symlink": lambda tree, out: tree.symlink("x", out),
    "readlink": lambda tree, out: tree.readlink(out),
    "unlink": lambda tree, out: tree.unlink(out),
    "mkdir": lambda tree, out: tree.mkdir(out),
    "make_directories": lambda tree, out: tree.make_directories(f"{out}/x"),
    "rmdir": lambda tree, out: tree.rmdir(out),
    "chmod": lambda tree, out: tree.chmod_directory(out, 0),
    "read": lambda tree, out: tree.read(out),
    "lstat": lambda tree, out: tree.lstat(out),
    "names": lambda tree, out: tree.names(out),
    "delete": lambda tree, out: tree.delete(out),
    "open": lambda tree, out: tree.open(out, os.O_CREAT | os.O_WRONLY),
}


@pytest.mark.parametrize("out", ["link/file", "link/new", "link/sub", "inner/file", "inner/b/new"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_done_through_a_link(root: Path, name: str, out: str) -> None:
    with Tree(str(root)) as tree:
        tree.names("a")
        with pytest.raises(LinkInTheWay) as caught:
            OPERATIONS[name](tree, out)
    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename == str(root / out.partition("/")[0])
    assert sorted(os.listdir(root.parent / "outside")) == ["file", "sub"]
    assert (root.parent / "outside/file").read_text() == "precious"
    assert sorted(os.listdir(root / "a")) == ["b", "file"]


def test_a_link_itself_is_what_it_is(root: Path) -> None:
    with Tree(str(root)) as tree:
        for refused in (tree.delete, tree.read, tree.names):
            with pytest.raises(LinkInTheWay, match="a symbolic link is in the way"):
                refused("link")
        tree.rename("link", "a/link")
        tree.unlink("a/link")
    assert sorted(os.listdir(root.parent / "outside")) == ["file", "sub"]


def test_errors_name_the_full_paths(root: Path) -> None:
    with Tree(str(root)) as tree:
        with pytest.raises(FileNotFoundError) as caught:
            tree.rename("a/none", "a/b/none")
        assert (caught.value.filename, caught.value.filename2) == (f"{root}/a/none", f"{root}/a/b/none")
        with pytest.raises(FileNotFoundError) as caught:
            tree.mkdir("none/x/y")
        assert caught.value.filename == f"{root}/none"
        with pytest.raises(IsADirectoryError):
            tree.read("a")
        with pytest.raises(OSError, match="Directory not empty") as full:
            tree.rmdir("a")
        assert full.value.filename == f"{root}/a"


def test_any_number_of_directories(root: Path) -> None:
    """Few of them stay open, and none stays open at the end."""
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    deep = "/".join("d" * 200)
    with Tree(str(root)) as tree:
        for number in range(1000):
            tree.mkdir(f"x{number}")
            tree.mkdir(f"x{number}/y")
            tree.rename(f"x{number}/y", f"x{number - number % 7}/z{number}")
        tree.make_directories(deep)
        tree.rename(f"{deep}", "x0/deepest")
        if before:
            assert len(os.listdir("/proc/self/fd")) < len(before) + 350
    after = set(os.listdir("/proc/self/fd")) if before else set()
    assert len(after) == len(before)


def test_the_state_directory_is_made_once_and_held(root: Path) -> None:
    with Tree(str(root)) as tree:
        with pytest.raises(FileNotFoundError):
            _ = tree.state
        tree.make_directories(f"{STATE}/stage")
        (root / "var").rename(root / "elsewhere")
        tree.mkdir(f"{STATE}/stage/1")
        assert (root / "elsewhere/lib/sage-wheels/stage/1").is_dir()
    (root / "var").symlink_to("elsewhere")
    with Tree(str(root)) as tree:
        assert tree.names(f"{STATE}/stage") == ["1"]


def test_a_prefix_that_was_moved(root: Path) -> None:
    with Tree(str(root)) as tree:
        tree.check_not_moved()
        root.rename(root.with_name("moved"))
        tree.mkdir("new")
        assert root.with_name("moved").joinpath("new").is_dir()
        with pytest.raises(FileNotFoundError):
            tree.check_not_moved()
        root.mkdir()
        with pytest.raises(FileNotFoundError):
            tree.check_not_moved()


CLOSED = """
import os
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.prefix.tree import Tree
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
os.makedirs("tree/closed/inside/deeper")
open("tree/closed/inside/file", "w").close()
os.makedirs("tree/read-only/inside")
open("tree/read-only/file", "w").close()
os.symlink("/etc", "tree/closed/link")
for path, mode in (("tree/closed/inside", 0), ("tree/closed", 0), ("tree/read-only", 0o555), ("tree", 0o555)):
    os.chmod(path, mode)
with Tree(os.getcwd()) as tree:
    assert sorted(path for path, _ in tree.files_below("tree")) == [
        "tree/closed/inside/file", "tree/closed/link", "tree/read-only/file"
    ]
os.chmod("tree/closed/inside", 0)
os.chmod("tree/closed", 0)
delete_tree(os.path.abspath("tree"))
assert os.listdir(".") == []
"""


@as_root
def test_permissions_are_no_obstacle_to_the_owner(tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        os.chown(directory, 12345, 12345)
        done = subprocess.run(
            [sys.executable, "-B", "-c", CLOSED], env=child_environment(), cwd=directory, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_deleting_what_is_no_directory_and_what_is_not_there(root: Path) -> None:
    deletion.delete_tree(str(root / "a/file"))
    deletion.delete_tree(str(root / "a/none"))
    deletion.delete_tree(str(root / "none/none"))
    with pytest.raises(LinkInTheWay):
        deletion.delete_tree(str(root / "link"))
    (root / "a/out").symlink_to(root.parent / "outside")
    deletion.delete_tree(str(root / "a"))
    assert sorted(os.listdir(root)) == ["inner", "link"]
    assert sorted(os.listdir(root.parent / "outside")) == ["file", "sub"]
