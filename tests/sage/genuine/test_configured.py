"""Sage 11.0.beta1 configured in other ways than by `set-up-today`: a copy of its genuine tree, with build/overlay."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.trees import Tree, difference, snapshot

from .conftest import GENUINE_TODAY, Sage

pytestmark = [*GENUINE_TODAY, pytest.mark.slow]

# What of a tree is made by building.
_MADE = ("local", "logs", "sage-distro", ".git")
# Wheels, an isolated sdist, a package that Sage records in SAGE_LOCAL.
PACKAGES = ("setuptools", "pexpect", "tomli_w", "six")


class Configured(Sage):
    """A tree whose SAGE_LOCAL and SAGE_VENV are elsewhere."""

    def __init__(self, work: Path, checkout: Path, local: Path, venv: Path) -> None:
        super().__init__(work, checkout)
        self.local, self.own_venv = local, venv

    @property
    def venv(self) -> Path:
        return self.own_venv

    def say(self, *command: str | Path) -> str:
        """Run one of the scripts, which must succeed; what it says."""
        done = self.run(*command, env={"SAGE_LOCAL": str(self.local)})
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def everything(self) -> Tree:
        """What is in both, without what is there before any package."""
        found = {f"{top}: {path}": entry for top in {self.local, self.venv} for path, entry in snapshot(top).items()}
        return {path: entry for path, entry in found.items() if not re.search(r": .*\bvar/(tmp|lock)\b", path)}


def configure(today: Sage, configured: Configured, *options: str) -> None:
    """Let `configured` be a copy of the genuine tree, configured with `options`, and with the overlay."""
    today.overlay("--undo")
    root = configured.root
    shutil.copytree(today.root, root, symlinks=True, ignore=shutil.ignore_patterns(*_MADE))
    for link in root.glob("build/pkgs/*/src"):  # configure must not see them
        if link.is_symlink():
            link.unlink()
    python = re.search(r"^PYTHON_FOR_VENV = (.+)$", (root / "build/make/Makefile").read_text(), re.MULTILINE)
    assert python
    command = ["./configure", f"--with-python={python[1]}", "--enable-build-as-root", *options]
    env = configured.environment
    done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    configured.overlay()


@pytest.fixture(scope="module", params=["prefix", "venv"])
def configured(
    today: Sage, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Configured]:
    """With `--prefix` alone, SAGE_VENV is SAGE_LOCAL; else it is a path of its own that sees the system's packages."""
    tmp_path = tmp_path_factory.mktemp("configured")
    (tmp_path / "home").mkdir()
    local = tmp_path / "elsewhere"
    venv = local if request.param == "prefix" else tmp_path / "own-venv"
    configured = Configured(tmp_path, today.checkout, local, venv)
    options = [] if venv == local else [f"--with-sage-venv={venv}", "--enable-system-site-packages"]
    configure(today, configured, f"--prefix={local}", *options)
    yield configured
    shutil.rmtree(tmp_path)


def test_packages_come_and_go(configured: Configured) -> None:
    venv = configured.venv
    clean = [f"{package}-clean" for package in (*PACKAGES[1:], "ptyprocess")]
    configured.make("pip", "setuptools")
    configured.make(*clean)
    before = configured.everything()
    configured.make(*PACKAGES)
    assert (
        "include-system-site-packages = " + ("true" if configured.local != venv else "false")
        in (venv / "pyvenv.cfg").read_text()
    )
    paths = configured.python("import pexpect, tomli_w, six; print(pexpect.__file__, tomli_w.__file__, six.__file__)")
    assert all(path.startswith(f"{venv}/") for path in paths.split())
    assert "without isolation, because" not in configured.spkg_log("pexpect")
    listed = configured.say("sage-wheels", "list")
    for package in PACKAGES:
        assert re.search(rf" package {package}$", listed, re.MULTILINE), listed
    again = configured.everything()
    configured.make(*(f"{package}-no-deps" for package in PACKAGES))
    assert difference(_undated(again), _undated(configured.everything())) == []
    said = configured.make(*clean)
    assert "arning" not in said
    left = [
        line for line in difference(before, configured.everything()) if re.search("pexpect|ptyproc|tomli_w|six", line)
    ]
    assert left == []


def test_an_editable_module_that_the_systems_hides_is_named(today: Sage, configured: Configured) -> None:
    """sagemath/sage#37263"""
    home = re.search(r"^home = (.+)/bin$", (configured.venv / "pyvenv.cfg").read_text(), re.MULTILINE)
    assert home
    if configured.local == configured.venv or not Path(home[1]).is_relative_to(today.work):
        pytest.skip("it does not see the packages of a system into which this test may write")
    configured.make("setuptools")
    [library] = Path(home[1]).glob("lib/python3*/site-packages")
    systems = library / "trial_hidden.py"
    source = configured.add_package("hidden", "1.0", "cd src && sdh_pip_editable_install .")
    (source / "trial_hidden").mkdir()
    (source / "trial_hidden/__init__.py").touch()
    (source / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='trial_hidden', version='1.0', packages=['trial_hidden'])\n"
    )
    try:
        systems.touch()
        said = configured.say("sage-spkg", "trial_hidden-1.0", configured.venv)
        [line] = [line for line in said.splitlines() if "hides" in line]
        assert line.endswith(f"hides trial_hidden by {systems}"), line
        assert configured.python("import trial_hidden; print(trial_hidden.__file__)") == str(systems)
        configured.say("sage-spkg-uninstall", "trial_hidden", configured.venv)
    finally:
        systems.unlink()
        configured.remove_packages()


def test_what_is_missing_is_restored(configured: Configured) -> None:
    configured.make("six", "tomli_w")
    assert "six 1" in configured.say(configured.root / "sage", "--pip", "list", "--format=freeze").replace("==", " ")
    configured.say("sage-pip-uninstall", "six")
    assert not list(configured.venv.glob("lib/python3*/site-packages/six.py"))
    configured.say("sage-wheels", "restore", "six")
    assert configured.python("import six; print(six.__file__)").startswith(str(configured.venv))


def _undated(tree: Tree) -> Tree:
    """`tree` without the dates in installation records, and without byte-code, which has the time of its source."""
    return {
        path: entry
        for path, entry in tree.items()
        if not re.search(r"/sage/installed/|/wheels/|\.pyc$|/RECORD$|direct_url\.json$", path)
    }
