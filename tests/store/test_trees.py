"""Trees of the store, and what stands in their way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.store import trees

KEY = "abcd"


def ready(root: Path, name: str) -> str:
    directory = root / "staging" / name
    (directory / "tree").mkdir(parents=True)
    (directory / "tree" / "file").write_text("content")
    return str(directory)


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, _dangling, _link_to_itself])
@pytest.mark.parametrize("up", [0, 1, 2], ids=["tree", "shard", "kind"])
def test_what_is_in_the_place_of_a_directory_is_replaced(
    tmp_path: Path, up: int, make: Callable[[Path], object]
) -> None:
    path = Path(trees.path_of(str(tmp_path), KEY))
    place = [path, *path.parents][up]
    place.parent.mkdir(parents=True, exist_ok=True)
    make(place)
    trees.put(str(tmp_path), ready(tmp_path, "one"), str(path), 7, path.is_dir)
    assert (path / "tree/file").read_text() == "content"
    again = ready(tmp_path, "two")
    trees.put(str(tmp_path), again, str(path), 7, path.is_dir)  # another process was faster
    assert os.path.isdir(again)


def test_a_directory_of_others_is_not_replaced(tmp_path: Path) -> None:
    """A link to a directory is one, and a root that is away is not made of files."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "trees").symlink_to("elsewhere")
    path = trees.path_of(str(tmp_path), KEY)
    trees.put(str(tmp_path), ready(tmp_path, "one"), path, 7, lambda: False)
    assert (tmp_path / "elsewhere" / "ab" / KEY / "tree/file").exists()
    assert (tmp_path / "trees").is_symlink()
