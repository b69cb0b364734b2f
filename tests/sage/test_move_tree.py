"""sage-move-tree: a staged tree becomes part of a prefix, all or nothing."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_wheels.prefix import lock
from support.trees import leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts


def stage(directory: Path, files: dict[str, str | int]) -> Path:
    """Write files; a number instead of the text is the mode of a directory."""
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            (directory / path).mkdir(exist_ok=True)
        elif content.startswith("-> "):
            (directory / path).symlink_to(content[3:])
        else:
            (directory / path).write_text(content)
    for path, content in files.items():
        if isinstance(content, int):
            (directory / path).chmod(content)
    return directory


@pytest.fixture(params=["inside", "outside", "elsewhere"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where packages are staged: in the prefix, beside it, or on another file system."""
    if request.param == "inside":
        yield tmp_path / "prefix/var/tmp/sage/build/pkg/inst"
        return
    if request.param == "outside":
        yield tmp_path / "inst"
        return
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory) / "inst"


def test_what_is_there_is_merged_with_what_comes(scripts: Scripts, tmp_path: Path, source: Path) -> None:
    prefix = stage(tmp_path / "prefix", {"bin/a": "old", "lib/x/one": "1", "lib64": "-> lib", "share/doc/r": "doc"})
    inode = (prefix / "lib/x").stat().st_ino
    stage(source, {"bin/b": "b", "lib/x/two": "2", "lib/y/z/three": "3", "lib64/four": "4", "share/link": "-> doc"})
    (source / "bin/b").chmod(0o755)
    done = scripts.run("sage-move-tree", source, prefix)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not source.exists()
    shutil.rmtree(prefix / "var")
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir() or path.is_symlink()}
    lib = {"lib/x/one", "lib/x/two", "lib/y/z/three", "lib/four", "lib64"}
    assert found == {"bin/a", "bin/b", "share/doc/r", "share/link", *lib}
    assert (prefix / "lib64").is_symlink()
    assert os.readlink(prefix / "share/link") == "doc"
    assert (prefix / "lib/x").stat().st_ino == inode
    assert stat.S_IMODE((prefix / "bin/b").stat().st_mode) == 0o755


def test_modes_are_as_staged_but_directories_are_writable(scripts: Scripts, tmp_path: Path, source: Path) -> None:
    prefix = stage(tmp_path / "prefix", {"lib/old": ""})
    stage(source, {"lib/ro/file": "text", "lib/ro": 0o555, "share/x": "", "share": 0o750})
    (source / "lib/ro/file").chmod(0o444)
    assert scripts.run("sage-move-tree", source, prefix).returncode == 0
    modes = {path: stat.S_IMODE((prefix / path).stat().st_mode) for path in ("lib/ro", "lib/ro/file", "share")}
    assert modes == {"lib/ro": 0o755, "lib/ro/file": 0o444, "share": 0o750}


def test_every_file_that_was_there_is_named(scripts: Scripts, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": "", "pkg_data/x": "same"})
    assert scripts.run("sage-pip-install", "--prefix", prefix, wheel).returncode == 0
    library = site_packages(prefix).relative_to(prefix)
    (prefix / "bin/mine").write_text("old")
    (prefix / "lib64").symlink_to("lib")
    source = stage(
        tmp_path / "inst", {"bin/mine": "new", f"{library}/pkg.py": "other", "lib64": "-> lib", "bin/new": "n"}
    )
    done = scripts.run("sage-move-tree", source, prefix)
    assert done.returncode == 0
    assert done.stderr == (
        f"sage-wheels: warning: {prefix}/bin/mine was there already; it was replaced\n"
        f"sage-wheels: warning: {prefix}/{library}/pkg.py was there already and belongs to pkg 1.0; it was replaced\n"
    )
    assert (prefix / "bin/mine").read_text() == "new"


@pytest.mark.parametrize(
    ("there", "staged"),
    [
        ({"lib/x/file": ""}, {"lib/x": "a file"}),
        ({"lib/x": "a file"}, {"lib/x/file": ""}),
        ({"lib/x": "-> /etc"}, {"lib/x/file": ""}),
        ({"lib/x": "-> nowhere"}, {"lib/x/file": ""}),
    ],
)
def test_what_cannot_be_merged_is_refused_whole(
    scripts: Scripts, tmp_path: Path, source: Path, there: dict[str, str | int], staged: dict[str, str | int]
) -> None:
    prefix = stage(tmp_path / "prefix", {"bin/other": "old", **there})
    stage(source, {"bin/other": "new", "bin/more": "", **staged})
    before = {str(path): path.lstat().st_mtime_ns for path in [*prefix.rglob("*"), *source.rglob("*")]}
    done = scripts.run("sage-move-tree", source, prefix)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{prefix}/lib/x, which " in done.stderr
    after = {str(path): path.lstat().st_mtime_ns for path in [*prefix.rglob("*"), *source.rglob("*")]}
    new = {path for path in after if path not in before}
    assert all("/var" in path for path in new)
    files = {path for path in before if not Path(path).is_dir()}
    assert {path: after[path] for path in files} == {path: before[path] for path in files}


def test_a_copy_that_fails_is_one_sentence_and_leaves_nothing(scripts: Scripts, tmp_path: Path) -> None:
    prefix = stage(tmp_path / "prefix", {"bin/other": "old"})
    source = stage(tmp_path / "inst", {f"lib/{name}": "x" * 100_000 for name in "abc"})
    before = snapshot(prefix)
    # as a disk that is full
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))}
    done = scripts.run("sage-move-tree", source, prefix, **limit)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert re.search(r"failed at /\S+/lib/[abc] \(File too large\); solve that problem", done.stderr), done.stderr
    assert {path: entry for path, entry in snapshot(prefix).items() if not path.startswith("var")} == before
    assert len(list(source.glob("lib/*"))) == 3


def test_directories_that_are_there_start_nothing(scripts: Scripts, tmp_path: Path) -> None:
    """Every Python package stages an empty lib/, and no more."""
    prefix = stage(tmp_path / "prefix", {"lib/file": ""})
    source = stage(tmp_path / "inst", {"lib": 0o755})
    (scripts.bin / "sage-wheels").unlink()
    assert scripts.run("sage-move-tree", source, prefix).returncode == 0
    assert not source.exists()
    source = stage(tmp_path / "a b", {"lib/new": 0o755})
    shutil.copy(scripts.bin / "sage-flock", scripts.bin / "sage-wheels")
    assert scripts.run("sage-move-tree", source, prefix, cwd=tmp_path).returncode != 0  # it asked for the tool


def test_a_directory_is_not_moved_into_itself(scripts: Scripts, tmp_path: Path) -> None:
    """Not by the short cut for what is there already, either."""
    prefix = stage(tmp_path / "prefix", {"lib": 0o755})
    (tmp_path / "link").symlink_to("prefix")
    for source, destination in (("prefix", "prefix"), ("link", "prefix"), ("prefix", "link"), ("link/", "prefix/.")):
        done = scripts.run("sage-move-tree", source, destination, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert (prefix / "lib").is_dir()


def test_a_link_is_no_staged_tree(scripts: Scripts, tmp_path: Path) -> None:
    """Not for the short cut for what is there already, either."""
    prefix = stage(tmp_path / "prefix", {"lib": 0o755})
    (tmp_path / "link").symlink_to(stage(tmp_path / "inst", {"lib": 0o755}))
    done = scripts.run("sage-move-tree", tmp_path / "link", prefix)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("source", ["inst/", "inst/.", "inst/lib/.."])
def test_a_source_by_another_name_goes_as_well(scripts: Scripts, tmp_path: Path, source: str) -> None:
    stage(tmp_path / "prefix", {"lib/file": ""})
    stage(tmp_path / "inst", {"lib": 0o755})
    done = scripts.run("sage-move-tree", source, "prefix", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "inst").exists()


def test_a_relative_source_and_destination(scripts: Scripts, tmp_path: Path) -> None:
    stage(tmp_path / "prefix", {"lib/file": ""})
    stage(tmp_path / "inst", {"lib/new": "", "bin/x": ""})
    assert scripts.run("sage-move-tree", "inst", "prefix", cwd=tmp_path).returncode == 0
    assert (tmp_path / "prefix/bin/x").exists()


def test_nonsense(scripts: Scripts, tmp_path: Path) -> None:
    stage(tmp_path / "prefix", {"lib/file": ""})
    for source, destination in (
        ("missing", "prefix"),
        ("prefix/lib/file", "prefix"),
        (".", "prefix"),
        ("prefix", "prefix"),
    ):
        done = scripts.run("sage-move-tree", source, destination, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_it_waits_for_the_lock(scripts: Scripts, tmp_path: Path) -> None:
    prefix = stage(tmp_path / "prefix", {"lib/file": ""})
    source = stage(tmp_path / "inst", {"lib/new": ""})
    with lock.hold(str(prefix / "var/lib/sage-wheels/lock")):
        done = scripts.run("sage-move-tree", "--lock-timeout", "0", source, prefix)
        assert done.returncode == 3
    assert (source / "lib/new").exists()
    assert scripts.run("sage-move-tree", source, prefix).returncode == 0


@pytest.mark.parametrize("call", range(1, 14))
def test_killed_at_any_rename_it_moved_all_or_nothing(
    scripts: Scripts, tmp_path: Path, call: int, source: Path
) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    prefix = make_prefix(tmp_path)
    stage(prefix, {"bin/b": "old b", "share/there/x": "old x"})
    new = {"bin/a": "a", "bin/b": "new b", "share/there/x": "new x", "share/there/y": "y", "share/new/z": "z"}
    stage(source, dict(new))
    before = {path: text for path, text in contents(prefix).items() if not path.startswith("var/")}
    after = {**before, **new}
    inject = f"inject=rename,renameat,renameat2,link,linkat:signal=KILL:when={call}"
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=rename,renameat,renameat2,link,linkat",
        "-e",
        inject,
    ]
    done = subprocess.run([*command, scripts.path("sage-move-tree"), str(source), str(prefix)], capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL)
    scripts.run("sage-wheels", "recover", "--prefix", prefix)
    found = {path: text for path, text in contents(prefix).items() if not path.startswith("var/")}
    assert found in (before, after)
    if found == before:
        assert contents(source) == new  # what was built is not lost
        assert scripts.run("sage-move-tree", source, prefix).returncode == 0
    assert {path: text for path, text in contents(prefix).items() if not path.startswith("var/")} == after
    assert leftovers(prefix) == []


def contents(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(root)): path.read_text(errors="replace") for path in files}


def test_the_snapshot_of_a_prefix_is_the_same_after_nothing(scripts: Scripts, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    (tmp_path / "inst").mkdir()
    assert scripts.run("sage-move-tree", tmp_path / "inst", prefix).returncode == 0
    assert snapshot(prefix) == before
