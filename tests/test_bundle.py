"""The bundles, a directory and one file: the tool, the make rules, sage-flock and sage-move-tree, with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.trees import make_prefix
from support.wheels import make_wheel

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=["sage-wheels", "sage-wheels.pyz"])
def bundle(request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (checkout / ".cache/tool").exists():
        pytest.skip("build/bin/sage-wheels was never started here, and so there is nothing to bundle")
    destination = tmp_path_factory.mktemp("bundle") / str(request.param)
    command = [sys.executable, "-I", str(checkout / "tools/make_bundle.py"), str(destination)]
    subprocess.run(command, check=True, capture_output=True)
    return destination


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """That of a user who has a home, a python3, and nothing else."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    return {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


def said(env: dict[str, str], *command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_bundle_brings(bundle: Path, env: dict[str, str], tmp_path: Path) -> None:
    program = bundle / "bin/sage-wheels" if bundle.is_dir() else bundle
    rules = Path(said(env, program, "make-rules").strip())
    assert "$(SAGE_WHEELS_MAKE)/package" in rules.read_text()
    assert os.access(rules.parent / "package", os.X_OK)
    assert said(env, program, "make-rules").strip() == str(rules)
    beside = (rules.parent / "../../../bin").resolve()
    assert said(env, beside / "sage-wheels", "--version") == said(env, program, "--version")
    link = tmp_path / "link"
    link.symlink_to(beside / "sage-flock")
    assert said(env, link, tmp_path / "lock", "echo", "under the lock") == "under the lock\n"
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged/file").write_text("x")
    said(env, beside / "sage-move-tree", tmp_path / "staged", tmp_path / "destination")
    assert (tmp_path / "destination/file").read_text() == "x"


def test_its_rules_find_the_tool_beside_them(bundle: Path, env: dict[str, str], tmp_path: Path) -> None:
    make_wheel(tmp_path, "one", "1.0", {"one.py": "x = 1\n"})
    (tmp_path / "packages.txt").write_text("one one-1.0-py3-none-any.whl\n")
    program = bundle / "bin/sage-wheels" if bundle.is_dir() else bundle
    prefix = make_prefix(tmp_path)
    text = f"PREFIX := {prefix}\nPACKAGES := packages.txt\ninclude $(shell {program} make-rules)\n"
    (tmp_path / "Makefile").write_text(text)
    assert "one 1.0 installed" in said(env, "make", "-C", tmp_path)
    assert list(prefix.rglob("one.py"))
