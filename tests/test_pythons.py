"""`support.pythons`, by which noxfile.py finds the Pythons to test on: real ones, wherever a machine keeps them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.pythons import base_python, other_pythons, pythons


def found(path: Path, home: Path, checkout: Path) -> dict[str, str]:
    """What is found with that PATH and that home: executables by version."""
    program = "import json; from support.pythons import pythons; print(json.dumps(pythons()))"
    env = {"PATH": str(path), "HOME": str(home), "PYTHONPATH": str(checkout / "tests")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    return {"{}.{}".format(*version): executable for executable, version in json.loads(done.stdout)}


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("kept", ["versions/{}.2/bin", "installs/python/{}.2/bin"], ids=["pyenv", "asdf, mise"])
def test_behind_a_shim_that_is_not_run(tmp_path: Path, checkout: Path, kept: str) -> None:
    other = other_pythons()[-1]
    version = "{}.{}".format(*other.version)
    shim, real = tmp_path / "shims" / f"python{version}", tmp_path / kept.format(version) / f"python{version}"
    for each in (shim, real):
        each.parent.mkdir(parents=True)
    shim.write_text(f"#!/bin/sh\n: >'{tmp_path}/ran'\nexec {other.executable} \"$@\"\n")
    shim.chmod(0o755)
    real.symlink_to(other.executable)
    assert found(shim.parent, tmp_path, checkout)[version] == other.executable
    assert not (tmp_path / "ran").exists()


def test_one_of_each_version(tmp_path: Path, checkout: Path) -> None:
    """A virtual environment on PATH is the interpreter that it was made from; what does not run is none."""
    version = "{}.{}".format(*sys.version_info)
    link, broken, directory = (tmp_path / f"python{each}" for each in (version, "3.28", "3.29"))
    link.symlink_to(sys.executable)
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    directory.mkdir()
    there = found(tmp_path, tmp_path, checkout)
    assert there[version] == base_python()
    assert not {"3.28", "3.29"} & there.keys()
    assert all(os.path.realpath(each.executable) == each.executable for each in pythons())
