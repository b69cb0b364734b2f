"""Which modules of an editable package the system hides: what we say of real backends, and what Python does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sage_wheels.installed import find
from sage_wheels.installed.files import owned
from sage_wheels.installed.hidden import hidden_modules
from sage_wheels.prefix import find_prefix
from support.pythons import make_installation
from support.run import tool

pytestmark = [pytest.mark.network, pytest.mark.slow]

MESON = """project('trial', version: '1.0')
py = import('python').find_installation(pure: true)
py.install_sources('trial/__init__.py', subdir: 'trial')
"""
# What is required, the backend, more of pyproject.toml, files; whether the finder comes before the directories.
BACKENDS = {
    "meson-python": ("meson-python", "mesonpy", "", {"meson.build": MESON}, True),
    "scikit-build-core": (
        "scikit-build-core",
        "scikit_build_core.build",
        "[tool.scikit-build]\nwheel.cmake = false",
        {},
        True,
    ),
    "setuptools": ("setuptools", "setuptools.build_meta", "[tool.setuptools]\npackages = ['trial']", {}, False),
    "hatchling": (
        *("hatchling", "hatchling.build"),
        "[tool.hatch.build]\ndev-mode-exact = true\n[tool.hatch.build.targets.wheel]\npackages = ['trial']",
        *({}, False),
    ),
}


@pytest.mark.parametrize("name", BACKENDS)
def test_what_the_system_hides_is_what_is_said(tmp_path: Path, name: str) -> None:
    """sagemath/sage#37263"""
    requires, backend, more, files, is_first = BACKENDS[name]
    if name == "meson-python" and not shutil.which("ninja"):
        pytest.skip("needs ninja on PATH: what its loader would run of an isolated environment is gone")
    python = make_installation(tmp_path / "system")
    [system] = (tmp_path / "system").glob("lib/python*/site-packages")
    (system / "trial.py").touch()
    venv = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", "--without-pip", "--system-site-packages", venv], check=True)
    tree = tmp_path / "tree"
    (tree / "trial").mkdir(parents=True)
    (tree / "trial/__init__.py").touch()
    for file, text in files.items():
        (tree / file).write_text(text)
    (tree / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "{backend}"\n'
        f'[project]\nname = "trial"\nversion = "1.0"\n{more}\n'
    )
    done = tool("install", "--index", "--prefix", venv, "--editable", tree, cwd=tree)
    assert done.returncode == 0, done.stderr
    program = "import trial; print(trial.__file__)"
    imported = subprocess.run([venv / "bin/python3", "-I", "-B", "-c", program], capture_output=True, text=True)
    assert imported.returncode == 0, imported.stderr
    prefix = find_prefix(venv)
    [trial] = find(prefix, "trial")
    hidden = hidden_modules(prefix, owned(prefix, trial).rows)
    hides = imported.stdout.strip() == str(system / "trial.py")
    assert hides is not is_first, imported.stdout
    assert hidden == ({"trial": str(system / "trial.py")} if hides else {})
