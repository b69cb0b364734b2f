"""Private names of other projects that this one relies on: this fails first when they change, and says which."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pyproject_hooks
import pytest

import sage_wheels
from sage_wheels.building.backend import variables

# The programs whose docstrings name the parts of pip that they replace or call.
PROGRAMS = ("pip/driver.py", "building/pip_download.py")


@pytest.mark.parametrize("name", [variables.BUILD_BACKEND, variables.BACKEND_PATH, variables.HOOK_ANSWER])
def test_names_of_pyproject_hooks(name: str) -> None:
    root = Path(pyproject_hooks.__file__).parent
    both_sides = [(root / each).read_text() for each in ("_impl.py", "_in_process/_in_process.py")]
    assert all(name in text for text in both_sides)


def named() -> list[str]:
    texts = [(Path(sage_wheels.__file__).parent / each).read_text().split('"""')[1] for each in PROGRAMS]
    return re.findall(r"`(pip\._internal\.[._a-zA-Z]+)`", "\n".join(texts))


@pytest.mark.parametrize("name", named())
def test_names_of_pip(name: str) -> None:
    parts = name.split(".")
    at = next(number for number in range(len(parts), 0, -1) if _is_module(".".join(parts[:number])))
    there = importlib.import_module(".".join(parts[:at]))
    for part in parts[at:]:
        there = getattr(there, part)
    assert callable(there)


def test_all_names_of_pip_are_found() -> None:
    assert len(named()) == 7


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
