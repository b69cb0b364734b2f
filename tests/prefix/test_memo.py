"""What is remembered in a prefix is written nowhere else, whoever may have put links there. Promise 7."""

from __future__ import annotations

import os
from pathlib import Path

from sage_wheels.prefix import find_prefix, memo
from support.run import install
from support.trees import STATE, make_prefix
from support.wheels import make_wheel


def test_what_is_written_can_be_read_until_it_is_forgotten(tmp_path: Path) -> None:
    prefix = find_prefix(make_prefix(tmp_path))
    assert memo.read(prefix, "a") is None
    memo.write(prefix, "a", b"one")
    memo.write(prefix, "a", b"two")
    assert memo.read(prefix, "a") == b"two"
    memo.forget(prefix, ["a"])
    memo.forget(prefix, ["a"])
    assert memo.read(prefix, "a") is None
    assert os.listdir(prefix.path(f"{STATE}/cache")) == []


def test_a_cache_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    prefix, outside = make_prefix(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "probe.stats").write_text("precious")
    (prefix / STATE).mkdir(parents=True)
    (prefix / STATE / "cache").symlink_to(outside)
    install(prefix, make_wheel(tmp_path, "probe", "1", {f"probe/m{n}.py": "" for n in range(60)}))
    memo.forget(find_prefix(prefix), ["probe.stats"])
    assert [each.read_text() for each in outside.iterdir()] == ["precious"]


def test_a_link_in_the_place_of_an_unfinished_memo_is_not_written_through(tmp_path: Path) -> None:
    prefix, outside = make_prefix(tmp_path), tmp_path / "outside"
    outside.write_text("precious")
    (prefix / STATE / "cache").mkdir(parents=True)
    (prefix / STATE / f"cache/a.{os.getpid()}").symlink_to(outside)
    for _ in range(2):  # the second time nothing is in the way
        memo.write(find_prefix(prefix), "a", b"new")
        assert outside.read_text() == "precious"
    assert memo.read(find_prefix(prefix), "a") == b"new"


def test_where_the_prefix_was_nothing_is_made(tmp_path: Path) -> None:
    prefix = find_prefix(make_prefix(tmp_path))
    os.rename(prefix.root, tmp_path / "moved")
    memo.write(prefix, "a", b"new")
    memo.forget(prefix, ["a"])
    assert not os.path.lexists(prefix.root)
