from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.environment.satisfied import missing_from

MARKERS = {"python_version": "3.11", "sys_platform": "linux"}


@pytest.fixture
def installed(tmp_path: Path, make_wheel: Callable[..., Path]) -> Callable[..., list[str]]:
    """Unpack wheels, given as for `make_wheel`, into a directory; the search path."""

    def put(**wheels: list[str]) -> list[str]:
        for name, requires in wheels.items():
            shutil.unpack_archive(make_wheel(name, "1.0", requires=requires), tmp_path / "site", "zip")
        return [str(tmp_path / "site")]

    return put


def test_what_is_there(installed: Callable[..., list[str]]) -> None:
    path = installed(a=["b"], b=["a"])
    assert missing_from(path, ["a", "b>=1", "A"], MARKERS) == []


def test_what_is_not_there_or_too_old(installed: Callable[..., list[str]]) -> None:
    path = installed(a=[])
    assert missing_from(path, ["b", "a>1"], MARKERS) == ["a>1, there is 1.0", "b"]


def test_what_requirements_require(installed: Callable[..., list[str]]) -> None:
    path = installed(a=["b", "c; sys_platform=='win32'", "d; extra=='x'"], b=["e>2"])
    assert missing_from(path, ["a"], MARKERS) == ["e>2 (asked for by b)"]
    assert missing_from(path, ["a[x]"], MARKERS) == ["e>2 (asked for by b)", "d (asked for by a)"]


def test_nonsense_is_missing() -> None:
    assert missing_from([], ["a >< 1"], MARKERS) == ["a >< 1"]
    undefined = "a; os_name ~= 'x'"
    assert missing_from([], [undefined], MARKERS) == [undefined]
