"""The Pythons of this machine, and whole installations made of one."""

from __future__ import annotations

import functools
import glob
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple


class Python(NamedTuple):
    """An interpreter: its full path and its version, (3, 12)."""

    executable: str
    version: tuple[int, int]


OLDEST = (3, 8)  # that a prefix may have
_NEWEST = 30  # 3.30
# Where version managers keep Pythons, from the directory above that of their `shims`: pyenv, asdf and mise.
_BEHIND_SHIMS = ("versions/*/bin", "installs/python/*/bin")
_QUESTION = """
import ensurepip, os, ssl, sys, sysconfig, venv
usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
if usual and sys.version_info.releaselevel == "final":
    print(sys.version_info[0], sys.version_info[1], os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
"""


@functools.cache
def pythons() -> list[Python]:
    """One CPython of each version from `OLDEST` that is on this machine, oldest first.

    The running one stands for its version, for any other the first that is found: on PATH, where systems keep Pythons,
    where version managers and uv keep them. Only real interpreters count, of a final release, with the usual lock, that
    can make virtual environments.
    """
    found = {sys.version_info[:2]: base_python()}
    for directory in _directories():
        for minor in range(OLDEST[1], _NEWEST):
            path = f"{directory}/python3.{minor}"
            if (3, minor) not in found and os.path.exists(path) and not _is_script(path):
                version, executable = _ask(path)
                if version == (3, minor):
                    found[version] = executable
    return [Python(found[version], version) for version in sorted(found)]


def other_pythons() -> list[Python]:
    """Those of other versions than the running one; none on most machines."""
    return [each for each in pythons() if each.version != sys.version_info[:2]]


def _directories() -> list[str]:
    """Where Pythons may be, in the order in which they are preferred; some are not there."""
    home = os.path.expanduser("~")
    on_path = os.environ.get("PATH", "").split(os.pathsep)
    managers = [os.path.dirname(each) for each in on_path if os.path.basename(each) == "shims"]
    managers += [os.environ.get("PYENV_ROOT") or f"{home}/.pyenv"]
    kept = [f"{root}/{below}" for root in managers for below in _BEHIND_SHIMS]
    kept += [f"{home}/.local/share/uv/python/*/bin", "/opt/python/*/bin"]
    installed = [path for pattern in kept for path in sorted(glob.glob(pattern), key=_by_version, reverse=True)]
    return [*on_path, "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", *installed]


def _by_version(path: str) -> list[int]:
    """What sorts .../3.12.10/bin behind .../3.12.9/bin."""
    return [int(number) for number in re.findall(r"[0-9]+", path)]


def _is_script(path: str) -> bool:
    """Whether `path` is a shim, which would start who knows what."""
    try:
        with open(path, "rb") as f:
            return f.read(2) == b"#!"
    except OSError:
        return True  # a directory, or not ours to read


def _ask(path: str) -> tuple[tuple[int, int], str]:
    """The version of the interpreter `path`, and where it really is; (0, 0) if it is of no use."""
    try:
        done = subprocess.run([path, "-I", "-c", _QUESTION], capture_output=True, text=True)
    except OSError:
        return (0, 0), ""
    if done.returncode or not done.stdout:
        return (0, 0), ""
    major, minor, executable = done.stdout.rstrip("\n").split(" ", 2)
    return (int(major), int(minor)), executable


def base_python() -> str:
    """The interpreter that runs the tests, outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def path_to_this_python() -> str:
    """PATH with the Python that runs the tests in front: what looks there for a system Python finds this one."""
    return f"{os.path.dirname(base_python())}{os.pathsep}{os.environ.get('PATH', '')}"


def make_installation(root: Path) -> str:
    """Make a whole Python installation at `root`, its standard library linked to the running one's; its interpreter.

    The executable is a copy, because Python finds its home from where its executable really is.
    """
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = root / "lib" / name
    (root / "bin").mkdir(parents=True)
    (library / "site-packages").mkdir(parents=True)
    for entry in os.scandir(sysconfig.get_path("stdlib")):
        if entry.name not in ("site-packages", "dist-packages", "EXTERNALLY-MANAGED"):
            os.symlink(entry.path, library / entry.name)
    executable = root / "bin" / name
    shutil.copy(base_python(), executable)
    os.symlink(name, root / "bin" / "python3")
    return str(executable)


def begin_to_copy_in(root: Path, python: str | os.PathLike[str], standard: Path) -> Path:
    """The first instant of copying a Python into `root`, as Sage's build does it: its bin/python3 is there, and of its
    standard library, which is at `standard`, one file and no more. The directory that the rest goes to."""
    library = root / "lib" / standard.name
    (root / "bin").mkdir(parents=True)
    (library / "site-packages").mkdir(parents=True)
    shutil.copy(python, root / "bin/python3")
    (root / "bin" / standard.name).symlink_to("python3")
    # By this file the interpreter knows its library; one that was built for this prefix would look for no other.
    shutil.copy(standard / "os.py", library)
    return library
