"""The genuine trees of Sage that `nox -s sage` has set up, with their own scripts or with ours (build/overlay)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.trees import Tree, snapshot

WORK = os.environ.get("GENUINE_SAGE", "")  # Sage 10.7
TODAY = os.environ.get("GENUINE_SAGE_TODAY", "")  # Sage 11.0.beta1
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GENUINE = [
    pytest.mark.skipif(not WORK, reason="the genuine tree of Sage is not here: nox -s sage sets it up"),
]
GENUINE_TODAY = [
    pytest.mark.skipif(not TODAY, reason="the genuine tree of today's Sage is not here: nox -s sage sets it up"),
]
OURS = "trial_"  # what the names of our own packages of Sage begin with


class Sage:
    """A tree of Sage."""

    def __init__(self, work: Path, checkout: Path) -> None:
        self.work, self.checkout = work, checkout
        self.root = work / "tree"
        self.environment = {"HOME": str(work / "home"), "LANG": "C.UTF-8", "TERM": "dumb", "USER": "builder"}
        self.environment |= {"PATH": PATH, "PIP_CONFIG_FILE": os.devnull}

    @property
    def venv(self) -> Path:
        [venv] = self.root.glob("local/var/lib/sage/venv-python*")
        return venv

    @property
    def library(self) -> Path:
        [library] = self.venv.glob("lib/python3*/site-packages")
        return library

    def make(self, *targets: str, jobs: int = 2, **environment: str) -> str:
        """`sage -i`, as it calls make; what that says."""
        env = {**self.environment, "V": "0", "MAKE": f"make -j{jobs}", **environment}
        directory = self.root / "build/make"
        command = ["./install", *targets]
        done = subprocess.run(
            command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def overlay(self, *options: str) -> None:
        subprocess.run([self.checkout / "build/overlay", self.root, *options], check=True)

    def start(self, *command: str | Path, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start one of the scripts, as in the environment of a package script."""
        venv = str(self.venv)
        variables = {"SAGE_ROOT": str(self.root), "SAGE_LOCAL": str(self.root / "local"), "SAGE_VENV": venv}
        variables |= {"SAGE_ORIG_PATH_SET": "True", "SAGE_ORIG_PATH": PATH}
        variables |= {"PATH": f"{self.root}/build/bin:{self.root}/src/bin:{venv}/bin:{PATH}", **(env or {})}
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(
            list(map(str, command)), cwd=self.root, env={**self.environment, **variables}, **{**pipe, **options}
        )

    def run(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts to its end; what it says is in `stdout`."""
        process = self.start(*command, **options)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def add_package(self, name: str, version: str, install: str) -> Path:
        """Write the package OURS + `name`, which has `install` as its script; the directory of its sources."""
        directory = self.root / "build/pkgs" / f"{OURS}{name}"
        (directory / "src").mkdir(parents=True, exist_ok=True)
        texts = {"type": "optional", "package-version.txt": version, "dependencies": "", "spkg-install.in": install}
        for file, text in texts.items():
            (directory / file).write_text(f"{text}\n")
        return directory / "src"

    def remove_packages(self) -> None:
        """Remove our own packages, and what Sage keeps about them."""
        var = "local/var/lib/sage/venv-python*/var"
        for place in ("build/pkgs", f"{var}/lib/sage/installed", f"{var}/lib/sage/scripts", f"{var}/tmp/sage/build"):
            for path in self.root.glob(f"{place}/{OURS}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def spkg_log(self, package: str) -> str:
        """The log of the last time that `package` was installed."""
        [log] = self.root.glob(f"logs/pkgs/{package}-[0-9]*.log")
        return log.read_text().rpartition("Setting up build directory")[2]

    def python(self, program: str) -> str:
        command = [str(self.venv / "bin/python3"), "-I", "-B", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def state(self) -> object:
        """The virtual environment, without build directories and what is there before any package."""
        tree = snapshot(self.venv)
        return {path: entry for path, entry in tree.items() if not re.match(r"var(/tmp|/lock|/lib)?(/|$)", path)} | {
            path: entry for path, entry in tree.items() if re.match(r"var/lib/sage/.*/", path)
        }

    def library_state(self) -> Tree:
        """What is installed for Python: libraries and scripts."""
        tree = snapshot(self.venv)
        return {path: entry for path, entry in tree.items() if re.match(r"(lib|bin)/", path)}

    def scripts(self) -> dict[str, bytes]:
        places = [*self.root.glob("build/bin/*"), *self.root.glob("build/sage_bootstrap/*.py")]
        return {str(path): path.read_bytes() for path in places if path.is_file()}


@pytest.fixture(scope="session")
def tree(checkout: Path) -> Iterator[Sage]:
    """The tree of Sage 10.7 with its own scripts and with nothing installed."""
    yield from emptied(Sage(Path(WORK), checkout))


@pytest.fixture(scope="session")
def today(checkout: Path) -> Iterator[Sage]:
    """The tree of Sage 11.0.beta1, likewise."""
    yield from emptied(Sage(Path(TODAY), checkout))


def emptied(tree: Sage) -> Iterator[Sage]:
    tree.overlay("--undo")
    stock = tree.scripts()
    tree.remove_packages()
    shutil.rmtree(tree.root / "local", ignore_errors=True)
    (tree.root / "local/var/lib/sage/installed").mkdir(parents=True)
    (tree.root / "local/var/lib/sage/installed/.dummy").touch()
    for name in ("logs", "build/sage-distro"):
        shutil.rmtree(tree.root / name, ignore_errors=True)
    yield tree
    tree.overlay("--undo")
    tree.remove_packages()
    assert tree.scripts() == stock
    assert not (tree.root / "build/sage-wheels").exists()
