"""`sage_wheels/prefix/ask.py` as a target interpreter runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import packaging
import pytest

import sage_wheels
from support.pythons import Python, base_python, pythons

_PROGRAM = os.path.join(os.path.dirname(sage_wheels.__file__), "prefix", "ask.py")
_NEW = [each for each in pythons() if each.version >= (3, 10)]  # for which packaging can be imported


def _printed(python: str, *program: str) -> Any:
    above = os.path.dirname(os.path.dirname(packaging.__file__))
    command = [python, "-I", "-S", "-B", *program, above]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("python", [sys.executable, base_python()], ids=["venv", "base"])
def test_it_prints_one_json_object(python: str) -> None:
    answer = _printed(python, _PROGRAM)
    assert answer.keys() == {"executable", "full_version", "cache_tag", "paths", "tags", "markers"}
    assert answer["paths"].keys() == {"purelib", "platlib", "headers", "scripts", "data"}
    assert answer["cache_tag"] == sys.implementation.cache_tag
    assert f"py{sys.version_info[0]}-none-any" in answer["tags"]


@pytest.mark.parametrize("python", _NEW, ids=lambda each: "{}.{}".format(*each.version))
def test_the_variables_for_markers_are_those_of_packaging(python: Python) -> None:
    program = "import json, sys; sys.path.insert(0, sys.argv[1]); from packaging import markers; "
    program += "print(json.dumps(markers.default_environment()))"
    assert _printed(python.executable, _PROGRAM)["markers"] == _printed(python.executable, "-c", program)
