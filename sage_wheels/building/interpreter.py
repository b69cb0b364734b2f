"""The interpreter that builds, as a virtual environment made from it would see it.

The room `wheel` writes images for a prefix. A build environment is a virtual environment, so the building interpreter
is described here as the `Prefix` of one: a directory in the cache with nothing of a prefix in it, which is also where
the facts about that interpreter are remembered.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import NamedTuple

from sage_wheels.errors import InterpreterError
from sage_wheels.prefix import Prefix, Scheme
from sage_wheels.prefix import interpreter as facts_of
from sage_wheels.prefix.filesystem import regular, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.interpreter import Facts


class Building(NamedTuple):
    """The building interpreter: `executable` is none of a virtual environment, `pattern` the prefix to write for."""

    executable: str
    facts: Facts
    pattern: Prefix


def find_building(python: str | None, prefix: Prefix | None, cache: str) -> Building:
    """The interpreter to build with: `python`, else the one below `prefix`, else the one that runs us.

    Raises `InterpreterError` if it cannot be run.
    """
    named = python or (facts_of.base_executable(prefix) if prefix else sys.executable)
    executable, version = _base_of(named)
    key = re.sub(r"[^A-Za-z0-9._+-]+", "-", executable).strip("-")
    root = f"{cache}/pythons/{key}"
    pattern = _pattern(root, executable, version, f"python{version[0]}.{version[1]}")
    facts = _facts(pattern, executable)
    library = re.search(r"/(python\d+\.\d+[a-z]*)(/|$)", facts.paths["purelib"])
    if library:  # python3.13t: free-threaded
        pattern = _pattern(root, executable, version, library[1])
    return Building(executable, facts, pattern._replace(full_version=facts.full_version))


def _facts(pattern: Prefix, executable: str) -> Facts:
    """The facts about `executable`, asked once: even for the interpreter that runs us, its tags take 10 ms."""
    import packaging

    status = os.stat(executable)
    key = [executable, status.st_size, status.st_mtime_ns, packaging.__version__]
    memo = f"{pattern.root}/facts.json"
    try:
        with open(memo, encoding="utf-8", opener=regular) as f:
            known, facts = json.load(f)
        if known == key:
            return facts_of.Facts(**facts)
    except (FileNotFoundError, ValueError, TypeError):
        pass  # never asked, or not whole since the power went
    asked = facts_of.ask(pattern)
    os.makedirs(pattern.root, exist_ok=True)
    write_whole(memo, json.dumps([key, asked._asdict()]).encode())
    return asked


def _pattern(root: str, executable: str, version: tuple[int, int], library: str) -> Prefix:
    site_packages = f"lib/{library}/site-packages"
    scheme = Scheme(site_packages, site_packages, f"include/site/{library}", "bin", "")
    return Prefix(root, version, os.path.dirname(executable), f"{version[0]}.{version[1]}", scheme)


def _base_of(named: str) -> tuple[str, tuple[int, int]]:
    """The executable that a virtual environment's Python stands for, and its version.

    Our own is known and a plain `/usr/bin/python3.12` speaks for itself; anything else is asked.
    """
    ours: str = getattr(sys, "_base_executable", sys.executable)
    if os.path.realpath(named) in (os.path.realpath(sys.executable), os.path.realpath(ours)):
        return os.path.realpath(ours), sys.version_info[:2]
    real = os.path.realpath(named)
    plain = re.fullmatch(r"python(\d+)\.(\d+)", os.path.basename(real))
    if (
        plain
        and os.access(real, os.X_OK)
        and not os.path.exists(f"{os.path.dirname(os.path.dirname(real))}/pyvenv.cfg")
    ):
        return real, (int(plain[1]), int(plain[2]))
    return _ask(named)


def _ask(named: str) -> tuple[str, tuple[int, int]]:
    import shutil
    import subprocess

    path = shutil.which(named) or named
    program = "import sys, json; print(json.dumps([sys._base_executable, *sys.version_info[:2]]))"
    try:
        command = [path, "-I", "-S", "-B", "-c", program]
        answer = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
        executable, major, minor = json.loads(answer)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise InterpreterError(f"the Python {named} cannot be run ({error})", "name another with --python") from error
    return os.path.realpath(executable), (major, minor)
