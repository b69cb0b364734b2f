"""Builds with the real backends, and what pip is asked for; the index is needed to get hold of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, parse_source
from sage_wheels.building.download import fetch
from sage_wheels.errors import BuildFailed, SourceError
from sage_wheels.requirements.sources import Asked, RemoteFile, Requirement, SdistFile, WheelFile

pytestmark = pytest.mark.network

MakeProject = Callable[..., Path]
Build = Callable[..., BuiltWheel]
ReadWheel = Callable[[str], dict[str, bytes]]

BACKENDS = {
    "setuptools": ("setuptools", "setuptools.build_meta"),
    "flit": ("flit_core", "flit_core.buildapi"),
    "hatchling": ("hatchling", "hatchling.build"),
    "poetry": ("poetry-core", "poetry.core.masonry.api"),
    "pdm": ("pdm-backend", "pdm.backend"),
}


@pytest.fixture
def build(tmp_path: Path, options: BuildOptions, real_wheelhouse: Path) -> Build:
    def run(source: object, **more: object) -> BuiltWheel:
        changed = options._replace(find_links=(str(real_wheelhouse),))._replace(**more)  # type: ignore[arg-type]
        return build_wheel(parse_source(str(source)), wheel_dir=tmp_path / "dist", options=changed)

    return run


def project(tmp_path: Path, backend: str) -> Path:
    requirement, module = BACKENDS[backend]
    tree = tmp_path / "trivial"
    (tree / "trivial").mkdir(parents=True)
    (tree / "trivial" / "__init__.py").write_text('"""Nothing."""\n')
    (tree / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["{requirement}"]\nbuild-backend = "{module}"\n'
        '[project]\nname = "trivial"\nversion = "1.0"\ndescription = "Nothing"\n[project.scripts]\nt = "trivial:t"\n'
    )
    return tree


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_the_wheel_is_the_one_that_build_makes(
    build: Build, tmp_path: Path, backend: str, real_wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    tree = project(tmp_path, backend)
    ours = build(tree)
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(real_wheelhouse)}
    command = [sys.executable, "-I", "-m", "build", "--wheel", "--outdir", str(tmp_path / "theirs"), str(tree)]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    theirs = read_wheel(str(tmp_path / "theirs" / Path(ours.path).name))
    assert read_wheel(ours.path) == theirs


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_a_wheel_without_code_of_the_project_is_for_every_machine(build: Build, tmp_path: Path, backend: str) -> None:
    """If this fails, a release of the backend requires something that building/inputs/backends.py does not list."""
    tree = project(tmp_path, backend)
    assert [build(tree, cache_cpu=each).is_stored for each in ("one", "another")] == [False, True]


def test_without_pyproject_setuptools_builds_as_ever(build: Build, tmp_path: Path, read_wheel: ReadWheel) -> None:
    tree = tmp_path / "old"
    tree.mkdir()
    (tree / "setup.py").write_text(
        "from setuptools import setup\nimport helper\nsetup(name='old', version=helper.version, py_modules=['helper'])"
    )
    (tree / "helper.py").write_text("version = '3.0'")  # legacy: setup.py may import what is beside it
    built = build(tree)
    assert Path(built.path).name == "old-3.0-py3-none-any.whl"
    assert "helper.py" in read_wheel(built.path)


@pytest.mark.parametrize("backend", ["setuptools", "flit"])
def test_editable(build: Build, tmp_path: Path, backend: str, read_wheel: ReadWheel) -> None:
    tree = project(tmp_path, backend)
    content = b"".join(read_wheel(build(tree, editable=True).path).values())
    assert str(tree).encode() in content


def test_sdist_then_wheel(build: Build, tmp_path: Path, read_wheel: ReadWheel) -> None:
    assert "trivial/__init__.py" in read_wheel(build(project(tmp_path, "flit"), sdist_then_wheel=True).path)


def test_index_is_asked_only_if_that_is_allowed(options: BuildOptions, tmp_path: Path) -> None:
    source = parse_source(str(project(tmp_path, "flit")))
    with pytest.raises(BuildFailed, match="--index"):
        build_wheel(source, wheel_dir=tmp_path / "dist", options=options)
    build_wheel(source, wheel_dir=tmp_path / "dist", options=options._replace(use_index=True))
    (fetched,) = (tmp_path / "cache" / "wheels").iterdir()
    assert fetched.name.startswith("flit_core-")


def test_what_was_fetched_once_is_not_fetched_again(
    options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, online = parse_source(str(project(tmp_path, "flit"))), options._replace(use_index=True)
    build_wheel(source, wheel_dir=tmp_path / "dist", options=online)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    build_wheel(source, wheel_dir=tmp_path / "dist", options=online)


def test_what_the_index_does_not_have_either(options: BuildOptions, make_project: MakeProject, tmp_path: Path) -> None:
    source = parse_source(str(make_project(requires=["flit_core==0.0.0.dev0"])))
    with pytest.raises(
        BuildFailed, match=r"pip could not download the build requirements flit_core==0\.0\.0\.dev0"
    ) as raised:
        build_wheel(source, wheel_dir=tmp_path / "dist", options=options._replace(use_index=True))
    assert "No matching distribution" in raised.value.details


def test_a_requirement_becomes_a_file(tmp_path: Path) -> None:
    source = parse_source("ptyprocess==0.7.0")
    assert isinstance(source, Requirement)
    fetched = fetch(source, str(tmp_path / "wheel"))
    assert isinstance(fetched.source, WheelFile)
    assert fetched.direct_url is None
    fetched = fetch(source, str(tmp_path / "sdist"), from_source=True)
    assert isinstance(fetched.source, SdistFile)


def test_a_requirement_is_built_from_its_sdist(build: Build, read_wheel: ReadWheel) -> None:
    built = build("ptyprocess==0.7.0", use_index=True)  # it wants an older flit_core than the newest
    assert built.direct_url is None
    assert "ptyprocess/ptyprocess.py" in read_wheel(built.path)


def test_a_reference_says_where_it_came_from(tmp_path: Path, make_wheel: Callable[..., Path]) -> None:
    wheel = make_wheel("a", "1.0")
    source = RemoteFile(f"a[x] @ file://{wheel}", f"file://{wheel}", Asked("a", "", ("x",)))
    fetched = fetch(source, str(tmp_path / "download"))
    assert fetched.direct_url is not None
    assert fetched.direct_url["url"] == f"file://{wheel}"
    assert fetched.direct_url["archive_info"]["hashes"]["sha256"]


def test_what_pip_does_not_find(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="pip could not download") as raised:
        fetch(Requirement("ptyprocess==0.0.0.dev0", Asked("ptyprocess", "==0.0.0.dev0")), str(tmp_path))
    assert "No matching distribution" in raised.value.details
    assert "\n" not in str(raised.value)


def test_direct_url_is_what_pip_writes(tmp_path: Path, make_wheel: Callable[..., Path]) -> None:
    """Compared with the pip of this interpreter, for a wheel, a directory and a reference."""
    import json

    wheel = make_wheel("a", "1.0")
    for argument in (str(wheel), f"a @ file://{wheel}"):
        target = tmp_path / "target"
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(target)]
        subprocess.run([*command, argument], check=True, stderr=subprocess.DEVNULL)
        theirs = json.loads(next(target.glob("*.dist-info/direct_url.json")).read_text())
        source = parse_source(argument)
        assert isinstance(source, WheelFile)
        ours = source.direct_url()
        assert ours["url"] == theirs["url"]
        assert ours["archive_info"]["hashes"] == theirs["archive_info"].get("hashes", ours["archive_info"]["hashes"])
        assert ours["archive_info"]["hash"] == theirs["archive_info"].get("hash", ours["archive_info"]["hash"])


def test_the_real_wheels_make_images_that_run(build: Build, tmp_path: Path, real_wheelhouse: Path) -> None:
    """The programs of hatchling's wheel, run in the environment of a build that is kept."""
    built = build(project(tmp_path, "hatchling"), keep_build_dir=True)
    environment = tmp_path / "cache" / "build" / "trivial" / "env"
    answer = subprocess.run([environment / "bin" / "hatchling", "--help"], capture_output=True, text=True, check=True)
    assert "build" in answer.stdout
    assert zipfile.is_zipfile(built.path)
