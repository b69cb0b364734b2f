from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.environment.wheelhouse import Wheelhouse
from sage_wheels.errors import UsageError

TAGS = ["cp311-cp311-linux_x86_64", "cp311-abi3-linux_x86_64", "py3-none-any"]


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., Wheelhouse]:
    """Write empty files; file names are all that a wheelhouse looks at."""

    def write(*names: str, more: tuple[str, ...] = ()) -> Wheelhouse:
        for directory, files in (("one", names), ("two", more)):
            (tmp_path / directory).mkdir()
            for name in files:
                (tmp_path / directory / name).touch()
        return Wheelhouse([str(tmp_path / "one"), str(tmp_path / "two")], TAGS)

    return write


def names(wheelhouse: Wheelhouse, project: str) -> list[str]:
    return [Path(entry.path).name for entry in wheelhouse.of(project)]


def test_newest_first_then_best_tag_then_highest_build(touch: Callable[..., Wheelhouse]) -> None:
    ordered = [
        "a-10.0-py3-none-any.whl",
        "a-9.0-2-cp311-cp311-linux_x86_64.whl",
        "a-9.0-1-cp311-cp311-linux_x86_64.whl",
        "a-9.0-cp311-cp311-linux_x86_64.whl",
        "a-9.0-cp311-abi3-linux_x86_64.whl",
        "a-9.0-py3-none-any.whl",
        "a-9.0rc1-py2.py3-none-any.whl",
    ]
    assert names(touch(*sorted(ordered)), "a") == ordered


def test_names_are_compared_as_pep_503_says(touch: Callable[..., Wheelhouse]) -> None:
    wheelhouse = touch("Foo_Bar-1.0-py3-none-any.whl", "foo.bar-2.0-py3-none-any.whl", "foo-3.0-py3-none-any.whl")
    assert len(names(wheelhouse, "foo-bar")) == 2


def test_the_first_directory_comes_first(touch: Callable[..., Wheelhouse], tmp_path: Path) -> None:
    wheelhouse = touch("a-1.0-py3-none-any.whl", more=("a-1.0-py3-none-any.whl",))
    assert wheelhouse.of("a")[0].path == str(tmp_path / "one" / "a-1.0-py3-none-any.whl")


def test_what_fits_no_tag_is_not_chosen_but_known(touch: Callable[..., Wheelhouse]) -> None:
    wheelhouse = touch("a-1.0-cp39-cp39-win32.whl")
    assert wheelhouse.of("a") == []
    assert wheelhouse.others("a") == ["a-1.0-cp39-cp39-win32.whl"]


def test_what_is_no_wheel_or_not_yet_one_is_not_seen(touch: Callable[..., Wheelhouse]) -> None:
    wheelhouse = touch(
        "a-1.0.tar.gz", ".a-1.0-py3-none-any.whl.17.part", "a.whl", "a-x-py3-none-any.whl", ".a-1.0-py3-none-any.whl"
    )
    assert wheelhouse.of("a") == []


def test_it_is_read_once(touch: Callable[..., Wheelhouse], tmp_path: Path) -> None:
    wheelhouse = touch("a-1.0-py3-none-any.whl")
    assert len(wheelhouse.of("a")) == 1
    (tmp_path / "one" / "b-1.0-py3-none-any.whl").touch()
    assert wheelhouse.of("b") == []


def test_a_wheelhouse_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.*--find-links"):
        Wheelhouse([str(tmp_path / "nowhere")], TAGS).of("a")
