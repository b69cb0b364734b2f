"""A prefix that virtualenv has made: as it writes one, and a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sage_wheels
from support.run import install, names, uninstall
from support.trees import make_prefix, site_packages
from support.wheels import make_wheel


def check(prefix: Path, tmp_path: Path, seeded: list[str]) -> None:
    """Wheels fit, nothing that virtualenv has seeded differs, and all of it goes."""
    install(prefix, make_wheel(tmp_path, "probe", "1.0", {"probe.py": ""}, requires_python=">=3.8.1,!=3.9.7,<4.0.0"))
    assert {each.partition(" ")[0] for each in names(prefix)} == {"probe", *seeded}
    for name in ("probe", *seeded):
        assert sage_wheels.verify(name, prefix) == []
    uninstall(prefix, "probe", *seeded)
    left = [each for each in os.listdir(site_packages(prefix)) if not each.startswith(("_virtualenv", "__pycache__"))]
    assert [each for each in left if not each.endswith(".virtualenv")] == []


def test_as_virtualenv_writes_it(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    cfg = (prefix / "pyvenv.cfg").read_text().splitlines()[0]
    full = "{}.{}.{}.{}.{}".format(*sys.version_info)
    lines = [cfg, "implementation = CPython", f"version_info = {full}", "virtualenv = 20.26.0"]
    (prefix / "pyvenv.cfg").write_text("\n".join([*lines, "include-system-site-packages = false\n"]))
    files = {"seed/__init__.py": "", "seed/sub/a.py": ""}
    install(prefix, make_wheel(tmp_path, "seed", "1.0", files), compile_bytecode=False)
    with open(site_packages(prefix) / "seed-1.0.dist-info/RECORD", "a") as record:
        for directory, name in (("seed", "__init__"), ("seed/sub", "a")):
            record.write(f"{directory}/{name}.cpython-311.pyc,,\n{directory}/__pycache__,,\n")
    (site_packages(prefix) / "seed-1.0.virtualenv").touch()
    check(prefix, tmp_path, ["seed"])


@pytest.mark.network
def test_a_real_one(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "tool"], check=True)
    python = str(tmp_path / "tool/bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "virtualenv"], check=True)
    data = f"--app-data={tmp_path / 'data'}"
    subprocess.run([python, "-m", "virtualenv", "-q", data, tmp_path / "made"], check=True)
    check(tmp_path / "made", tmp_path, [each.partition(" ")[0] for each in names(tmp_path / "made")])
