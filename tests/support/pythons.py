"""The Pythons of this machine, and whole installations made of one."""

from __future__ import annotations

import functools
import glob
import os
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


@functools.cache
def other_pythons() -> list[Python]:
    """CPythons of other versions than the running one (3.8 and newer), oldest first; none on most machines."""
    home = os.path.expanduser("~")
    directories = [
        *os.environ.get("PATH", "").split(os.pathsep),
        *("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"),
        *glob.glob(f"{os.environ.get('PYENV_ROOT') or home + '/.pyenv'}/versions/*/bin"),
        *glob.glob(f"{home}/.local/share/uv/python/*/bin"),
        *glob.glob("/opt/python/*/bin"),
    ]
    found: dict[tuple[int, int], str] = {}
    for directory in directories:
        for minor in range(8, 20):
            path = f"{directory}/python3.{minor}"
            if (3, minor) == sys.version_info[:2] or (3, minor) in found or not os.path.exists(path):
                continue
            with open(path, "rb") as f:
                if f.read(2) == b"#!":
                    continue  # a shim that would start who knows what
            if _runs(path, minor):
                found[3, minor] = os.path.realpath(path)
    return [Python(found[version], version) for version in sorted(found)]


def _runs(path: str, minor: int) -> bool:
    program = f"import sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([path, "-I", "-c", program], capture_output=True).returncode == 0


def base_python() -> str:
    """The interpreter that runs the tests, outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


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
