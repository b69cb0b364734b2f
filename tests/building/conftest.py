"""Small real things to build with: wheels, wheelhouses, and projects with the backend of `support.projects`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building import BuildOptions
from support import wheels
from support.projects import WRITING
from support.users import NOBODY, as_nobody

MakeWheel = Callable[..., Path]
MakeProject = Callable[..., Path]


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Write a wheel with one module into the directory `to` (default: the wheelhouse); see `support.wheels`."""

    def make(
        name: str, version: str, *, files: Mapping[str, str] | None = None, to: Path | None = None, **more: Any
    ) -> Path:
        content = {f"{name}.py": f"version = {version!r}\n"} if files is None else files
        return wheels.make_wheel(to or tmp_path / "wheelhouse", name, version, content, **more)

    return make


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Write a source tree that the backend above builds: in the tree if `requires` is None, else the wheel `tiny`."""

    def make(
        name: str = "hello",
        version: str = "1.0",
        *,
        requires: Iterable[str] | None = None,
        hook: str = "",
        more: Iterable[str] = (),
        at: Path | None = None,
    ) -> Path:
        tree = at or tmp_path / f"{name}-tree"
        tree.mkdir()
        in_tree = requires is None
        (tree / "pyproject.toml").write_text(
            "[build-system]\n"
            f"requires = {list(requires or [])!r}\n"
            'build-backend = "tiny"\n'
            + ('backend-path = ["backend"]\n' if in_tree else "")
            + f'[project]\nname = "{name}"\nversion = "{version}"\n'
        )
        if in_tree:
            (tree / "backend").mkdir()
            (tree / "backend" / "tiny.py").write_text(WRITING)
        if hook:
            (tree / "hook.py").write_text(hook)
        if more:
            (tree / "more.txt").write_text("\n".join(more))
        return tree

    return make


@pytest.fixture
def wheelhouse(tmp_path: Path, make_wheel: MakeWheel) -> Path:
    """A wheelhouse with the wheel of the backend, `tiny` 1.0, in it."""
    return make_wheel("tiny", "1.0", files={"tiny.py": WRITING}).parent


@pytest.fixture
def options(tmp_path: Path) -> BuildOptions:
    """Build options that keep everything in the test's own directory; the wheelhouse need not exist."""
    return BuildOptions(cache_dir=str(tmp_path / "cache"), log=str(tmp_path / "build.log"))


@pytest.fixture
def nobody() -> dict[str, Any]:
    """The options of `subprocess` that make a process one to which modes mean something, which root's is not."""
    return as_nobody()


@pytest.fixture
def ordinary() -> list[str]:
    """What to put before a command so that modes mean something to it, though it runs as root."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("needs the program setpriv")
    none = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={none}", f"--inh-caps={none}"]


@pytest.fixture
def place_of_nobody(nobody: dict[str, Any]) -> Iterator[Path]:
    """A directory of that user's own, and not below `tmp_path`, which only its owner may enter."""
    with tempfile.TemporaryDirectory() as directory:
        if nobody:
            os.chown(directory, NOBODY, NOBODY)
        yield Path(directory)


@pytest.fixture(scope="session")
def real_wheelhouse(tmp_path_factory: pytest.TempPathFactory, index_environment: dict[str, str]) -> Path:
    """A wheelhouse from the index, for tests marked `network`: some backends, and what they need."""
    directory = tmp_path_factory.mktemp("real-wheelhouse")
    backends = ("setuptools", "flit_core", "hatchling", "poetry-core", "pdm-backend")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", directory, *backends],
        check=True,
        env=index_environment,
    )
    return directory


def contents(wheel: str | Path) -> dict[str, bytes]:
    """The members of a wheel with their contents."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def read_wheel() -> Callable[[str], dict[str, bytes]]:
    return contents
