"""Small real things to build with: wheels, wheelhouses, projects, and a backend of forty lines."""

from __future__ import annotations

import os
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

MakeWheel = Callable[..., Path]
MakeProject = Callable[..., Path]

NOBODY = 65534

# A PEP 517 backend. What a test wants of it stands in the project: `hook.py` is run at each hook, with the name of
# the hook and the settings, and may put members for the wheel into `content`; each line of `more.txt` is a requirement
# for the second round.
BACKEND = """
import base64, hashlib, os, re, zipfile

def _hook(name, settings):
    content = {}
    if os.path.exists("hook.py"):
        exec(open("hook.py").read(), {"hook": name, "settings": settings, "content": content})
    return content

def _lines(path):
    return open(path).read().splitlines() if os.path.exists(path) else []

def get_requires_for_build_wheel(config_settings=None):
    _hook("get_requires_for_build_wheel", config_settings)
    return _lines("more.txt")

get_requires_for_build_editable = get_requires_for_build_wheel

def _project():
    text = open("pyproject.toml").read()
    return [re.search(key + r' = "([^"]+)"', text)[1] for key in ("name", "version")]

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name, version = _project()
    content = {f"{name}.py": f"version = {version!r}\\n", **_hook("build_wheel", config_settings)}
    info = f"{name}-{version}.dist-info"
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    rows = [
        f"{member},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        for member, text in content.items()
    ]
    content[f"{info}/RECORD"] = "".join(row + "\\n" for row in [*rows, f"{info}/RECORD,,"])
    with zipfile.ZipFile(f"{wheel_directory}/{name}-{version}-py3-none-any.whl", "w") as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return f"{name}-{version}-py3-none-any.whl"

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return build_wheel(wheel_directory, config_settings)

def build_sdist(sdist_directory, config_settings=None):
    import tarfile
    name, version = _project()
    with tarfile.open(f"{sdist_directory}/{name}-{version}.tar.gz", "w:gz") as archive:
        for file in ("pyproject.toml", "hook.py", "backend/tiny.py"):
            if os.path.exists(file):
                archive.add(file, f"{name}-{version}/{file}")
    return f"{name}-{version}.tar.gz"
"""


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
            (tree / "backend" / "tiny.py").write_text(BACKEND)
        if hook:
            (tree / "hook.py").write_text(hook)
        if more:
            (tree / "more.txt").write_text("\n".join(more))
        return tree

    return make


@pytest.fixture
def wheelhouse(tmp_path: Path, make_wheel: MakeWheel) -> Path:
    """A wheelhouse with the wheel of the backend, `tiny` 1.0, in it."""
    return make_wheel("tiny", "1.0", files={"tiny.py": BACKEND}).parent


@pytest.fixture
def options(tmp_path: Path) -> BuildOptions:
    """Build options that keep everything in the test's own directory; the wheelhouse need not exist."""
    return BuildOptions(cache_dir=str(tmp_path / "cache"), log=str(tmp_path / "build.log"))


@pytest.fixture
def nobody() -> dict[str, Any]:
    """The options of `subprocess` that make a process one to which modes mean something, which root's is not."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture
def place_of_nobody(nobody: dict[str, Any]) -> Iterator[Path]:
    """A directory of that user's own, and not below `tmp_path`, which only its owner may enter."""
    with tempfile.TemporaryDirectory() as directory:
        if nobody:
            os.chown(directory, NOBODY, NOBODY)
        yield Path(directory)


@pytest.fixture(scope="session")
def real_wheelhouse(tmp_path_factory: pytest.TempPathFactory, index_environment: dict[str, str]) -> Path:
    """A wheelhouse from the index, for tests marked `network`: setuptools, flit_core, hatchling and what they need."""
    directory = tmp_path_factory.mktemp("real-wheelhouse")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", directory, "setuptools", "flit_core", "hatchling"],
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


def snapshot(tree: Path) -> dict[str, tuple[int, object]]:
    """Every path below `tree` with its mode, and its content or the text of the link."""
    return {
        str(path.relative_to(tree)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(tree.rglob("*"))
    }


@pytest.fixture
def take_snapshot() -> Callable[[Path], dict[str, tuple[int, object]]]:
    return snapshot
