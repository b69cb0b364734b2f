"""The names of interpreters, which are written and recognised in one module."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.errors import InterpreterError
from sage_wheels.prefix.names import executables, is_interpreter, version_in
from support.pythons import make_installation


@pytest.mark.parametrize("version", [(3, 10), (3, 12), (4, 0)])
def test_what_is_written_is_recognised(version: tuple[int, int]) -> None:
    names = executables(version)
    assert all(map(is_interpreter, names))
    assert [version_in(each) for each in names] == [version, None, None]


@pytest.mark.parametrize("name", ["python3.x", "python3.12.1", "python3.12d", "Python3.12", "python3.", "xpython3.12"])
def test_no_version_in_another_name(name: str) -> None:
    assert version_in(name) is None


def test_a_free_threaded_interpreter_is_known_by_its_name(tmp_path: Path) -> None:
    """Its version is in its name, so it is not asked for it, and too old a one is refused without running it."""
    python = Path(make_installation(tmp_path / "base"))
    old = python.parent / "python3.7t"
    old.write_text("#!/bin/sh\nexit 7\n")
    os.chmod(old, 0o755)
    with pytest.raises(InterpreterError, match=r"python3\.7t is 3\.7, and builds are run from 3\.8 on"):
        find_building(str(old), None, str(tmp_path / "cache"))
