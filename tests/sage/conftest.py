"""The scripts in build/bin, in a directory laid out as a Sage tree: nothing is downloaded, real processes run."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.pythons import path_to_this_python
from support.trees import make_prefix

TOOL = ("sage_wheels", "build", "filelock", "installer", "packaging", "pyproject_hooks", "resolvelib")


class Scripts:
    """A Sage tree at `root` with our scripts in build/bin and nothing else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "build" / "bin"
        self.memory = root / "build" / "sage-wheels" / "python"

    def path(self, name: str) -> str:
        return str(self.bin / name)

    def run(self, name: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a script; `options` are those of `subprocess.run`, `env` is added to the environment."""
        env = {**os.environ, **options.pop("env", {})}
        command = [self.path(name), *map(str, arguments)]
        return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 300, **options}, env=env)

    def start(self, name: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([self.path(name), *map(str, arguments)], **{"text": True, **options})


@pytest.fixture
def scripts(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", path_to_this_python())
    root = tmp_path / "sage root"
    shutil.copytree(checkout / "build", root / "build", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "build/bin/sage-dist-helpers", root / "build/bin/sage-dist-helpers-python")
    home = root / "build" / "sage-wheels"
    home.mkdir()
    for name in (*TOOL, *(["tomli"] if sys.version_info < (3, 11) else [])):
        file = importlib.import_module(name).__file__
        assert file
        (home / name).symlink_to(Path(file).parent)
    return Scripts(root)


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The virtual environment that is meant by SAGE_VENV."""
    prefix = make_prefix(tmp_path, "venv")
    monkeypatch.setenv("SAGE_VENV", str(prefix))
    return prefix


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "wheels"
    directory.mkdir()
    monkeypatch.setenv("SAGE_SPKG_WHEELS", str(directory))
    return directory
