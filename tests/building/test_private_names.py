"""Private names of other projects that this one relies on: this fails first when they change, and says which."""

from __future__ import annotations

import importlib.util
import re
import sys
import venv
from pathlib import Path
from types import ModuleType

import pyproject_hooks
import pytest

import pip
import sage_wheels
from sage_wheels.building.backend import variables
from sage_wheels.prefix.interpreter import BASE_EXECUTABLE, base_executable_here

PACKAGE = Path(sage_wheels.__file__).parent
# The programs whose docstrings name the parts of pip that they replace or call.
PROGRAMS = ("pip/driver.py", "building/pip_download.py")


@pytest.mark.parametrize("name", [variables.BUILD_BACKEND, variables.BACKEND_PATH, variables.HOOK_ANSWER])
def test_names_of_pyproject_hooks(name: str) -> None:
    root = Path(pyproject_hooks.__file__).parent
    both_sides = [(root / each).read_text() for each in ("_impl.py", "_in_process/_in_process.py")]
    assert all(name in text for text in both_sides)


def named() -> list[str]:
    texts = [text_of(each).split('"""')[1] for each in PROGRAMS]
    return re.findall(r"`(pip\._internal\.[._a-zA-Z]+)`", "\n".join(texts))


def text_of(program: str) -> str:
    return (PACKAGE / program).read_text()


@pytest.mark.parametrize("name", named())
def test_names_of_pip(name: str) -> None:
    parts = name.split(".")
    at = next(number for number in range(len(parts), 0, -1) if _is_module(".".join(parts[:number])))
    there = importlib.import_module(".".join(parts[:at]))
    for part in parts[at:]:
        there = getattr(there, part)
    assert callable(there) or isinstance(there, ModuleType)


def test_all_names_of_pip_are_found() -> None:
    assert len(named()) == 16


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_module_of_pip_is_used_that_the_docstring_does_not_name(program: str) -> None:
    used = set(re.findall(r'"(pip\._internal[.\w]*)"', text_of(program)))
    assert used
    assert [each for each in sorted(used) if not any(f"{name}.".startswith(f"{each}.") for name in named())] == []


def test_a_variable_of_pip() -> None:
    """pip sets and reads it where it runs itself in another Python (`--python`)."""
    assert "_PIP_RUNNING_IN_SUBPROCESS" in text_of("pip/driver.py")
    texts = [each.read_text() for each in Path(pip.__file__).parent.joinpath("_internal/cli").glob("*.py")]
    assert any("_PIP_RUNNING_IN_SUBPROCESS" in each for each in texts)


def test_a_name_of_cpython() -> None:
    """`venv` of the standard library relies on it, too."""
    assert base_executable_here() == getattr(sys, BASE_EXECUTABLE)
    assert BASE_EXECUTABLE in Path(venv.__file__).read_text()
    using = [each for each in PACKAGE.rglob("*.py") if BASE_EXECUTABLE in each.read_text()]
    assert [each.relative_to(PACKAGE).as_posix() for each in using] == ["prefix/interpreter.py"]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
