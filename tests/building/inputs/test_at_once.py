"""Many builders of one key at once, and a store that is in a bad way.

Promise 8.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.inputs import Project
from support.projects import make_tree

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

COMMAND = [sys.executable, "-m", "sage_wheels", "build", "--cache-system", "tests"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree whose build leaves a mark."""
    return make_tree(tmp_path / "tree", "hello", "1.0", hook=f"open({str(tmp_path / 'ran')!r}, 'a').write('x')\n")


def test_twenty_builders_of_one_key_build_it_once(tmp_path: Path, tree: Path) -> None:
    command = [*COMMAND, "--cache-dir", str(tmp_path / "store")]
    processes = [
        subprocess.Popen(
            [*command, "-w", tmp_path / f"dist{number}", f"{tree}/"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for number in range(20)
    ]
    said = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 20
    assert (tmp_path / "ran").read_text() == "x"
    assert sum("hello comes from the store" in each for each in said) == 19
    found = {path.read_bytes() for path in tmp_path.glob("dist*/*.whl")}
    assert len(found) == 1
    assert len(list(tmp_path.glob("dist*/*.whl"))) == 20


def run(tmp_path: Path, tree: Path, **environ: str) -> str:
    command = [*COMMAND, "--usual-build-dir", str(tmp_path / "builds"), "-w", str(tmp_path / "dist"), f"{tree}/"]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SAGE_WHEELS_CACHE": str(tmp_path / "store"), **environ},
    ).stderr


def test_a_store_that_is_read_only_is_read(tmp_path: Path, tree: Path, ordinary: list[str]) -> None:
    run(tmp_path, tree)
    store = tmp_path / "store"
    try:
        for path in [store, *store.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        command = [*ordinary, *COMMAND, "--usual-build-dir", str(tmp_path / "builds"), "-w", str(tmp_path / "dist")]
        environ = {**os.environ, "SAGE_WHEELS_CACHE": str(store)}
        done = subprocess.run([*command, f"{tree}/"], capture_output=True, text=True, check=True, env=environ)
        assert "hello comes from the store" in done.stderr
        (tree / "new").touch()
        done = subprocess.run([*command, f"{tree}/"], capture_output=True, text=True, check=True, env=environ)
        assert done.stderr.count(f"the store {store} does not work") == 1
    finally:
        for path in [store, *store.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_results_that_cannot_be_kept_are_no_obstacle(tmp_path: Path, tree: Path) -> None:
    """Files stand where the directories of the store should be."""
    (tmp_path / "store").mkdir(mode=0o700)
    for name in ("results", "content", "staging"):
        (tmp_path / "store" / name).write_text("in the way")
    for _ in range(2):
        said = run(tmp_path, tree)
        assert said.count("does not work") == 1
        assert len(said.splitlines()) == 1
    assert (tmp_path / "ran").read_text() == "xx"


@pytest.mark.parametrize("name", ["staging", "trees"])
def test_images_that_cannot_be_kept_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What a backend needs is unpacked in the build directory, as on a disk that is full or read-only."""
    project = Project(tmp_path, monkeypatch)
    project.options = project.options._replace(usual_build_dir=str(tmp_path / "builds"))
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / name).write_text("in the way")
    (project.tree / "more.txt").write_text("tool")
    first = project.build()
    assert not first.is_stored
    # in the place of the trees, it is deleted
    assert len([note for note in project.notes if "does not work" in note]) == (name == "staging")
    assert project.build().is_stored == (name == "trees")  # results can be kept
