"""`sage_wheels.prefix.locator`: one form for each path in the prefix, none for those outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_wheels.prefix.locator import Locator


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "prefix"
    (root / "lib" / "site").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "lib64").symlink_to("lib")
    (tmp_path / "outside").mkdir()
    (root / "out").symlink_to("../outside")
    (root / "absolute-out").symlink_to(tmp_path / "outside")
    (root / "absolute-in").symlink_to(root / "lib" / "site")
    (root / "nowhere").symlink_to("gone")
    (root / "loop").symlink_to("loop")
    (tmp_path / "prefix-sibling").mkdir()
    return root


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("six.py", "lib/site/six.py"),
        ("a/b/c.py", "lib/site/a/b/c.py"),
        ("./six.py", "lib/site/six.py"),
        ("a/../six.py", "lib/site/six.py"),
        ("a//b.py", "lib/site/a/b.py"),
        ("../../bin/six", "bin/six"),
        ("../../lib64/site/six.py", "lib/site/six.py"),
        ("../../absolute-in/six.py", "lib/site/six.py"),
        ("../../lib64", "lib64"),
        ("../../out", "out"),
        ("../../nowhere/x", "gone/x"),
        (".", "lib/site"),
        ("", "lib/site"),
        ("../..", None),
        ("../../..", None),
        ("../../../outside/x", None),
        ("../../../prefix-sibling/x", None),
        ("../../out/x", None),
        ("../../out/a/b/c", None),
        ("../../absolute-out/x", None),
        ("../../out/../prefix/bin/x", "prefix/bin/x"),
        ("/etc/passwd", None),
        ("//etc/passwd", None),
        ("/", None),
        ("nul\0", None),
        ("x" * 256, None),
        ("x/" * 300, None),
        ("xyz/" * 2000, None),
        ("x" * 255, "lib/site/" + "x" * 255),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_locate(root: Path, path: str, place: str | None) -> None:
    assert Locator(str(root)).locate("lib/site", path) == place


def test_absolute_paths_inside(root: Path) -> None:
    locator = Locator(str(root))
    assert locator.locate("lib/site", f"{root}/bin/six") == "bin/six"
    assert locator.locate("lib/site", f"{root}/lib64/x") == "lib/x"
    assert locator.locate("lib/site", f"{root}-sibling/x") is None
    assert locator.locate("lib/site", f"{root}/../outside/x") is None


def test_a_prefix_named_by_a_link_takes_both_of_its_names(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    locator = Locator(str(tmp_path / "link"))
    assert locator.locate("lib", f"{tmp_path}/link/bin/six") == "bin/six"
    assert locator.locate("lib", f"{root}/bin/six") == "bin/six"
    assert locator.locate("lib", f"{root}/absolute-in/x") == "lib/site/x"


def test_a_loop_of_links_has_no_place_outside(root: Path) -> None:
    path = Locator(str(root)).locate("lib", "../loop/x")
    assert path is None or os.path.realpath(root / path).startswith(str(root))


@given(
    st.lists(st.sampled_from(["..", ".", "", "lib", "lib64", "site", "out", "absolute-out", "x", "a b"]), max_size=8)
)
def test_no_path_whatever_leads_out(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    root = tmp_path_factory.getbasetemp() / "places"
    if not root.exists():
        (root / "prefix" / "lib" / "site").mkdir(parents=True)
        (root / "prefix" / "lib64").symlink_to("lib")
        (root / "prefix" / "out").symlink_to("..")
        (root / "prefix" / "absolute-out").symlink_to(root)
    prefix = root / "prefix"
    path = Locator(str(prefix)).locate("lib/site", "/".join(parts))
    if path is not None:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert os.path.realpath(os.path.dirname(prefix / path)).startswith(os.path.realpath(prefix))
