"""What a build finds beside and above the copy of its tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_wheels.building.source import surroundings
from sage_wheels.building.source.replica import copy_source_tree

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python


def project(at: Path) -> Path:
    at.mkdir(parents=True)
    (at / "pyproject.toml").touch()
    return at


@pytest.fixture
def copied(tmp_path: Path) -> object:
    return lambda tree: Path(copy_source_tree(str(tree), str(tmp_path / "where" / "src")).path)


def read(copy: Path, relative: str) -> str:
    """As a backend reads: relative to its current directory."""
    with open(os.path.join(copy, relative)) as f:
        return f.read()


def test_files_and_directories_beside_and_above(tmp_path: Path, copied: object) -> None:
    assert callable(copied)
    tree = project(tmp_path / "a" / "mono" / "lib" / "python")
    for where in ("a/mono/lib", "a/mono", "a"):
        (tmp_path / where / "VERSION").write_text(where)
    (tmp_path / "a/mono/lib/common").mkdir()
    (tmp_path / "a/mono/lib/common/data").write_text("data")
    copy = copied(tree)
    assert copy.name == "python"
    assert read(copy, "../VERSION") == "a/mono/lib"
    assert read(copy, "../common/data") == "data"
    assert read(copy, "../../VERSION") == "a/mono"
    assert read(copy, "../../../VERSION") == "a"
    assert read(copy, "../../lib/VERSION") == "a/mono/lib"
    assert read(copy, "../../../mono/lib/VERSION") == "a/mono/lib"
    assert (copy / "../../lib/python").resolve() == copy.resolve(), "the copy, and not the tree"


def test_a_project_is_built_at_the_same_path_wherever_it_stands(tmp_path: Path, copied: object) -> None:
    assert callable(copied)
    (one, other) = (project(tmp_path / where / "python") for where in ("one", "a/b/c/d"))
    first = copied(one)
    os.rename(tmp_path / "where", tmp_path / "old")
    assert copied(other) == first


def test_what_is_written_through_a_link_is_written_there(tmp_path: Path, copied: object) -> None:
    assert callable(copied)
    tree = project(tmp_path / "mono" / "python")
    (tmp_path / "mono" / "VERSION").write_text("1")
    (copied(tree) / "../VERSION").resolve().write_text("2")
    assert (tmp_path / "mono" / "VERSION").read_text() == "2"


def test_links_of_the_tree_lead_where_they_lead_in_it(tmp_path: Path, copied: object) -> None:
    assert callable(copied)
    tree = project(tmp_path / "1" / "2" / "3" / "4" / "5" / "6" / "python")
    (tmp_path / "far").write_text("far")
    (tmp_path / "1" / "2" / "near").mkdir()
    (tmp_path / "1" / "2" / "near" / "file").write_text("near")
    (tree / "package").mkdir()
    (tree / "package" / "far").symlink_to("../../../../../../../../far")
    (tree / "near").symlink_to("../../../../../near")
    (tree / "itself").symlink_to("../../6/python")
    copy = copied(tree)
    assert (copy / "itself").resolve() == copy.resolve()
    assert read(copy, "package/far") == "far"
    assert read(copy, "near/file") == "near"
    assert os.readlink(copy / "near") == "../../../../../near"


def test_a_crowd_beside_the_tree_is_not_linked(tmp_path: Path, copied: object) -> None:
    assert callable(copied)
    tree = project(tmp_path / "crowd" / "python")
    for number in range(surroundings.MOST_BESIDE):  # the tree itself is one more
        (tmp_path / "crowd" / str(number)).touch()
    (tree / "link").symlink_to("../7")
    assert set(os.listdir(copied(tree).parent)) == {"python", "7"}


def test_what_may_not_be_listed_has_no_links(tmp_path: Path, copied: object) -> None:
    assert callable(copied)
    link = tmp_path / "link"
    link.symlink_to(project(tmp_path / "mono" / "python"))
    (tmp_path / "mono" / "VERSION").write_text("1")
    copy = copied(link)
    assert copy.name == "python", "as the backend's current directory is called in the tree itself"
    assert read(copy, "../VERSION") == "1"
