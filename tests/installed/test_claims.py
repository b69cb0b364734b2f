"""`sage_wheels.installed.claims`: the names that no distribution can own; the rest is in test_files.py."""

from __future__ import annotations

import pytest

from sage_wheels.prefix.names import is_interpreter


@pytest.mark.parametrize(
    "name",
    ["python", "python3", "python3.11", "python3.13t", "Python", "pythonw", "pypy3", "python3-config", "python.exe"],
)
def test_interpreters(name: str) -> None:
    assert is_interpreter(name)


@pytest.mark.parametrize("name", ["ipython", "python-argcomplete", "pythonic", "python3x", "pip", "2to3", "bpython3"])
def test_no_interpreters(name: str) -> None:
    assert not is_interpreter(name)
