"""A prefix in which packages have left manifests, and a user who changes it with pip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.cli import main
from sage_wheels.installed import find
from sage_wheels.manifests import entries as manifests
from sage_wheels.manifests.state import state
from sage_wheels.prefix import Prefix, find_prefix
from support.trees import Tree, faded, make_prefix, snapshot
from support.wheels import make_wheel

Pip = Callable[..., str]
MANIFESTS = "var/lib/sage-wheels/stamps"

# A wheel with everything in it that an installer changes, adds or puts elsewhere.
FILES = {
    "lib_/__init__.py": "version = 1\n",
    "lib_/vendor/other-1.dist-info/RECORD": "other.py,,\n",
    "lib_/table, of contents.txt": "",
}
DATA = {
    "scripts/tool": "#!python\nprint(1)\n",
    "data/share/lib/table": "1",
    "headers/lib.h": "",
    "platlib/lib_plat.py": "",
}


@pytest.fixture(scope="session")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Pip:
    """pip, run as a user runs it: `pip(prefix, "install", ...)`; what it says."""
    venv = tmp_path_factory.mktemp("with pip") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)

    def run(prefix: Path, command: str, *arguments: str | Path) -> str:
        usual = ("--isolated", "--disable-pip-version-check", "--python", prefix / "bin/python", command)
        more = ("--no-index", "--no-deps") if command == "install" else ("--yes",)
        line = [venv / "bin/python", "-m", "pip", *usual, *more, *arguments]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def entries(prefix: Prefix) -> dict[str, manifests.ManifestEntry]:
    """The entries of a prefix whose manifests have no other lines."""
    return manifests.entries(prefix, pytest.fail)


class House:
    """A prefix whose packages have left manifests, and a directory of wheels that stands for the index."""

    def __init__(self, directory: Path, prefix: Path) -> None:
        self.prefix = prefix
        self.wheels = directory / "wheelhouse"
        self.index = directory / "index"
        self.manifests = prefix / MANIFESTS
        self.manifests.mkdir(parents=True)
        self.index.mkdir()

    def package(self, name: str, *wheels: Path) -> None:
        """What the package `name` brings: installed as its script does it, and recorded."""
        lines = [f"{wheel.name.split('-')[0]} @ file://{wheel}\n" for wheel in wheels]
        (self.manifests / name).write_text("".join(lines))
        assert main(["pip-install", "--quiet", "--prefix", str(self.prefix), "-r", str(self.manifests / name)]) == 0

    def wheel(self, name: str = "lib", version: str = "1.0", **more: str) -> Path:
        files = {each: content for each, content in FILES.items() if name == "lib"} | {f"{name}_only.py": "", **more}
        data = DATA if name == "lib" else None
        return make_wheel(self.wheels, name, version, files, data=data, entry_points={f"run-{name}": f"{name}_:f"})

    def user(self, name: str = "lib", version: str = "1.0", **more: str) -> Path:
        """A wheel in the index."""
        return make_wheel(self.index, name, version, {f"{name}_only.py": "user = True\n", "user.txt": "", **more})

    def state(self, name: str = "lib") -> str:
        where = find_prefix(self.prefix)
        [entry] = [entry for entry in entries(where).values() if entry.name == name]
        there = find(where, name)
        return state(where, entry, there[0] if there else None)

    def tree(self) -> Tree:
        return faded(snapshot(self.prefix))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def record(prefix: Path, path: str, text: str | bytes) -> Path:
    file = prefix / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file
