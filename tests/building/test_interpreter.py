from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.errors import InterpreterError
from sage_wheels.prefix import find_prefix
from support.pythons import Python, make_installation, pythons


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


def base() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def test_without_a_word_it_is_ours_but_none_of_a_virtual_environment(tmp_path: Path) -> None:
    building = find_building(None, None, str(tmp_path))
    assert os.path.realpath(building.executable) == base()
    assert building.pattern.version == sys.version_info[:2]
    assert building.facts.tags[0].startswith(f"cp3{sys.version_info[1]}-")


def test_for_a_virtual_environment_it_is_what_that_was_made_from(venv: Path, tmp_path: Path) -> None:
    building = find_building(None, find_prefix(venv), str(tmp_path))
    assert os.path.realpath(building.executable) == base()


def test_a_virtual_environments_python_stands_for_its_base(venv: Path, tmp_path: Path) -> None:
    building = find_building(str(venv / "bin" / "python"), None, str(tmp_path))
    assert os.path.realpath(building.executable) == base()


@pytest.mark.parametrize(
    "python", [each for each in pythons() if each.version >= (3, 10)], ids=lambda each: "{}.{}".format(*each.version)
)
def test_a_copied_interpreter_in_a_virtual_environment_is_asked(tmp_path: Path, python: Python) -> None:
    copied = tmp_path / "copied"
    subprocess.run([python.executable, "-I", "-m", "venv", "--copies", "--without-pip", copied], check=True)
    building = find_building(str(copied / "bin" / "python"), None, str(tmp_path / "cache"))
    assert building.executable == python.executable


def test_python3_beside_a_copied_interpreter_may_be_another_version(tmp_path: Path) -> None:
    """As in /usr/bin of Debian, where several versions are: what a copy takes for its base is `python3` there."""
    python = Path(make_installation(tmp_path / "base"))
    shutil.copy(python, python.parent / "python3.99")
    (python.parent / "python3").unlink()
    (python.parent / "python3").symlink_to("python3.99")
    copied = tmp_path / "copied"
    subprocess.run([python, "-I", "-m", "venv", "--copies", "--without-pip", copied], check=True)
    building = find_building(str(copied / "bin" / "python"), None, str(tmp_path / "cache"))
    assert building.executable == os.path.realpath(python)


@pytest.mark.parametrize("name", ["python2.7", "python3.7"])
def test_a_python_that_is_too_old(name: str, tmp_path: Path) -> None:
    """One of that name is not even run."""
    (tmp_path / name).touch(0o755)
    with pytest.raises(InterpreterError, match=f"{name} is {name[6:]}, and builds are run from 3.8 on; name another"):
        find_building(str(tmp_path / name), None, str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["/nowhere/python3.12", "/bin/false", "/bin/cat"])
def test_what_is_no_python(name: str, tmp_path: Path) -> None:
    with pytest.raises(InterpreterError) as raised:
        find_building(name, None, str(tmp_path))
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
