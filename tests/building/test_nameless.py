"""Wheels called UNKNOWN, or without metadata, name the file that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, build_wheel, nameless, parse_source
from sage_wheels.errors import BuildFailed

BARE = "from setuptools import setup\nsetup()\n"
BUILD_SYSTEM = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"setup.py": BARE}, "setup.cfg and no pyproject.toml in"),
        ({"setup.py": BARE, "pyproject.toml": BUILD_SYSTEM}, "no setup.cfg in"),
        ({"setup.py": BARE, "pyproject.toml": BUILD_SYSTEM, "setup.cfg.m4": "x"}, "no setup.cfg in"),
        ({"setup.py": BARE, "setup.cfg": "", "pyproject.toml.in": "[project]"}, "no pyproject.toml in"),
        ({"setup.py": BARE, "setup.cfg": "", "pyproject.toml": BUILD_SYSTEM}, "none of pyproject.toml, setup.cfg"),
        ({"setup.py": BARE, "pyproject.toml": BUILD_SYSTEM, "setup.cfg": None}, "no setup.cfg in"),
    ],
)
@pytest.mark.network
def test_setuptools_knows_no_name(
    tmp_path: Path, real_wheelhouse: Path, files: dict[str, str | None], named: str
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, text in files.items():
        if text is None:
            (tree / name).symlink_to("../generated/setup.cfg")
        else:
            (tree / name).write_text(text)
    options = BuildOptions(cache_dir=str(tmp_path / "cache"), find_links=(str(real_wheelhouse),))
    with pytest.raises(BuildFailed) as raised:
        build_wheel(parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=options)
    assert "UNKNOWN" in raised.value.what.upper()
    assert named in raised.value.what
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("text", "name", "version", "is_real"),
    [
        ('[project]\nname = "unknown"\nversion = "1"\n', "unknown", "1", True),
        ('[project]\nname = "x"\nversion = "0.0.0"\n', "x", "0.0.0", True),
        ('[project]\nname = "x"\ndynamic = ["version"]\n', "x", "0.0.0", True),
        (BUILD_SYSTEM, "x", "0.0.0", False),
        (BUILD_SYSTEM, "UNKNOWN", "1.0", False),
        (BUILD_SYSTEM, "x", "1.0", True),
    ],
)
def test_what_the_project_says_itself_is_real(
    tmp_path: Path, text: str, name: str, version: str, is_real: bool
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert (nameless.reason(str(tmp_path), name, version) is None) is is_real


def test_a_wheel_without_metadata_is_named(
    tmp_path: Path, make_project: Callable[..., Path], options: BuildOptions
) -> None:
    tree = make_project(version="0.0.0")
    text = (tree / "pyproject.toml").read_text()
    (tree / "pyproject.toml").write_text(text.replace("version =", "number ="))
    backend = tree / "backend" / "tiny.py"
    backend.write_text(backend.read_text().replace('("name", "version")', '("name", "number")'))
    with pytest.raises(BuildFailed, match=r"no setup\.cfg in .* and nothing else says its version"):
        build_wheel(parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=options)
