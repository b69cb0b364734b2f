from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.copying import copy_tree
from sage_wheels.errors import FileOperationFailed, SourceError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    result = tmp_path / "tree"
    (result / "package").mkdir(parents=True)
    (result / "package" / "a.py").write_text("a")
    return result


def test_contents_and_times_are_kept_and_modes_settled(tree: Path, tmp_path: Path) -> None:
    script, data = tree / "script", tree / "data"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    data.write_text("x")
    data.chmod(0o660)
    os.utime(data, (1, 1))
    copy_tree(str(tree), str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "package" / "a.py").read_text() == "a"
    assert (tmp_path / "copy" / "script").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "copy" / "data").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "copy" / "data").stat().st_mtime == 1


def test_links_inside_stay_links_into_the_copy(tree: Path, tmp_path: Path) -> None:
    (tree / "relative").symlink_to("package/a.py")
    (tree / "absolute").symlink_to(tree / "package")
    (tree / "package" / "through-the-outside").symlink_to(f"../../{tree.name}/package/a.py")
    (tree / "dangling").symlink_to("nowhere")
    copy_tree(str(tree), str(tmp_path / "copy"))
    copy = tmp_path / "copy"
    assert os.readlink(copy / "relative") == "package/a.py"
    assert (copy / "absolute").is_symlink()
    assert (copy / "absolute").resolve() == copy / "package"
    assert (copy / "package" / "through-the-outside").resolve() == copy / "package" / "a.py"
    assert os.readlink(copy / "dangling") == "nowhere"


def test_links_that_lead_out_are_replaced_by_what_they_point_at(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("content")
    (outside / "link").symlink_to("file")
    (tree / "file").symlink_to(outside / "file")
    (tree / "directory").symlink_to("../outside")
    copy_tree(str(tree), str(tmp_path / "copy"))
    copy = tmp_path / "copy"
    assert not (copy / "file").is_symlink()
    assert (copy / "file").read_text() == "content"
    assert not (copy / "directory").is_symlink()
    assert os.readlink(copy / "directory" / "link") == "file"


def test_a_link_to_what_holds_the_tree_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "up").symlink_to("..")
    with pytest.raises(SourceError, match="holds the link itself"):
        copy_tree(str(tree), str(tmp_path.parent / f"{tmp_path.name}-copy"))


def test_two_outside_directories_that_point_at_each_other_are_refused(tree: Path, tmp_path: Path) -> None:
    for one, other in (("one", "two"), ("two", "one")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    (tree / "link").symlink_to(tmp_path / "one")
    with pytest.raises(SourceError, match="holds the link itself"):
        copy_tree(str(tree), str(tmp_path / "copy"))


def test_what_is_no_source_is_left_out(tree: Path, tmp_path: Path) -> None:
    for name in (".tox", ".nox", "package/.tox", "cache"):
        (tree / name).mkdir()
    os.mkfifo(tree / "pipe")
    copy_tree(str(tree), str(tmp_path / "copy"), leave_out=[str(tree / "cache")])
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")}
    assert copied == {"package", "package/a.py", "package/.tox"}


def test_a_copy_into_the_tree_itself_ends(tree: Path) -> None:
    copy_tree(str(tree), str(tree / "cache" / "copy"), leave_out=[str(tree / "cache")])
    assert (tree / "cache" / "copy" / "package" / "a.py").exists()


def test_the_original_is_not_touched(tree: Path, tmp_path: Path, take_snapshot: Callable[[Path], object]) -> None:
    before = take_snapshot(tree)
    copy_tree(str(tree), str(tmp_path / "copy"))
    assert take_snapshot(tree) == before


def test_what_cannot_be_written_is_a_sentence(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileOperationFailed, match="copying"):
        copy_tree(str(tree), str(tmp_path / "file" / "copy"))
