"""`sage_wheels/prefix/ask.py` as a target interpreter runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import packaging
import pytest

import sage_wheels
from support.pythons import base_python


@pytest.mark.parametrize("python", [sys.executable, base_python()], ids=["venv", "base"])
def test_it_prints_one_json_object(python: str) -> None:
    program = Path(sage_wheels.__file__).parent / "prefix" / "ask.py"
    above = os.path.dirname(os.path.dirname(packaging.__file__))
    command = [python, "-I", "-S", "-B", str(program), above]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answer.keys() == {"executable", "full_version", "cache_tag", "paths", "tags", "markers"}
    assert answer["paths"].keys() == {"purelib", "platlib", "headers", "scripts", "data"}
    assert answer["cache_tag"] == sys.implementation.cache_tag
    assert f"py{sys.version_info[0]}-none-any" in answer["tags"]
