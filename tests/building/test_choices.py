from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.environment.choices import Choices, Pick
from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.store.store import Store

PICKS = [Pick("a", "1.0", "/x/a-1.0-py3-none-any.whl")]


@pytest.fixture
def choices(tmp_path: Path) -> Choices:
    return Choices(Store(str(tmp_path / "cache")), find_building(None, None, str(tmp_path / "cache")))


@pytest.fixture
def house(tmp_path: Path, make_wheel: Callable[..., Path]) -> str:
    return str(make_wheel("a", "1.0").parent)


def test_a_choice_is_remembered(choices: Choices, house: str) -> None:
    assert choices.recall(["b", "a"], [house]) is None
    choices.remember(["a", "b"], [house], PICKS)
    assert choices.recall(["b", "a"], [house]) == PICKS
    assert choices.recall(["a"], [house]) is None
    assert choices.recall(["a", "b"], []) is None


@pytest.mark.parametrize("change", ["another wheel", "another content", "one less", "other time"])
def test_it_is_forgotten_when_the_wheelhouse_changes(
    choices: Choices, house: str, make_wheel: Callable[..., Path], change: str
) -> None:
    choices.remember(["a"], [house], PICKS)
    if change == "another wheel":
        make_wheel("b", "1.0")
    elif change == "another content":
        make_wheel("a", "1.0", requires=["b"])
    elif change == "other time":
        os.utime(f"{house}/a-1.0-py3-none-any.whl", (1, 1))
    else:
        os.unlink(f"{house}/a-1.0-py3-none-any.whl")
    assert choices.recall(["a"], [house]) is None


def test_what_is_no_wheel_does_not_matter(choices: Choices, house: str) -> None:
    choices.remember(["a"], [house], PICKS)
    Path(house, ".a-2.0-py3-none-any.whl.17.part").touch()
    assert choices.recall(["a"], [house]) == PICKS


def test_it_may_be_deleted(choices: Choices, house: str, tmp_path: Path) -> None:
    choices.remember(["a"], [house], PICKS)
    shutil.rmtree(tmp_path / "cache")
    assert choices.recall(["a"], [house]) is None
