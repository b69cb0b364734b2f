"""Which projects are built without running anything of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building.inputs.backends import is_plain, plain_reason
from sage_wheels.building.source import pyproject

PROJECT = '[project]\nname = "demo"\nversion = "1.0"\n'
DYNAMIC = '[project]\nname = "demo"\ndynamic = ["version", "description"]\n'
SAYS = {"demo.py": '"""What it is."""\n__version__ = "1.0"\n'}


def reason(tmp_path: Path, backend: str, text: str, files: dict[str, str]) -> str:
    (tmp_path / "pyproject.toml").write_text(f'[build-system]\nrequires = []\nbuild-backend = "{backend}"\n{text}')
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    document: Any = pyproject.load(str(tmp_path))
    return plain_reason(str(tmp_path), document, backend, ())


@pytest.mark.parametrize(
    ("backend", "text", "files"),
    [
        ("flit_core.buildapi", PROJECT, {}),
        ("flit_core.buildapi", DYNAMIC, SAYS),
        ("hatchling.build", PROJECT, {}),
        (
            "hatchling.build",
            '[project]\nname = "demo"\ndynamic = ["version"]\n[tool.hatch.version]\npath = "demo.py"',
            {},
        ),
        ("poetry.core.masonry.api", '[tool.poetry]\nname = "demo"\nversion = "1"', {}),
        ("pdm.backend", PROJECT, {}),
        ("setuptools.build_meta", PROJECT, {}),
        ("setuptools.build_meta", PROJECT, {"setup.cfg": "[egg_info]\ntag_build = \ntag_date = 0\n"}),
    ],
)
def test_plain(tmp_path: Path, backend: str, text: str, files: dict[str, str]) -> None:
    assert reason(tmp_path, backend, text, files)


@pytest.mark.parametrize(
    ("backend", "text", "files"),
    [
        ("flit_core.buildapi", DYNAMIC, {"demo.py": '"""x"""\nfrom os import name as __version__'}),
        ("flit_core.buildapi", DYNAMIC, {"demo.py": '__version__ = "1.0"'}),
        ("flit_core.buildapi", DYNAMIC, {}),
        ("hatchling.build", f"{PROJECT}[tool.hatch.build.hooks.custom]", {}),
        ("hatchling.build", f"{PROJECT}[tool.hatch.build.targets.wheel.hooks.vcs]", {}),
        ("hatchling.build", f'{PROJECT}[tool.hatch.version]\nsource = "vcs"', {}),
        ("hatchling.build", f"{PROJECT}[tool.hatch.metadata.hooks.custom]", {}),
        ("hatchling.build", PROJECT, {"hatch_build.py": ""}),
        ("hatchling.build", PROJECT, {"hatch.toml": ""}),
        ("poetry.core.masonry.api", '[tool.poetry]\nbuild = "build.py"', {}),
        ("pdm.backend", f'{PROJECT}[tool.pdm.version]\nsource = "scm"', {}),
        ("pdm.backend", PROJECT, {"pdm_build.py": ""}),
        ("setuptools.build_meta", PROJECT, {"setup.py": ""}),
        ("setuptools.build_meta", f'{PROJECT}[[tool.setuptools.ext-modules]]\nname = "x"', {}),
        ("setuptools.build_meta", f"{PROJECT}[tool.setuptools_scm]", {}),
        ("setuptools.build_meta", f'{PROJECT}[tool.setuptools.dynamic]\nversion = {{attr = "demo.v"}}', {}),
        ("setuptools.build_meta", PROJECT, {"setup.cfg": "[build_ext]\ninplace = 1\n"}),
        ("setuptools.build_meta", PROJECT, {"setup.cfg": "[metadata]\nversion = attr: demo.v\n"}),
        ("setuptools.build_meta", PROJECT, {"setup.cfg": "not a setup.cfg"}),
        ("mesonpy", PROJECT, {}),
        ("scikit_build_core.build", PROJECT, {}),
    ],
)
def test_not_plain(tmp_path: Path, backend: str, text: str, files: dict[str, str]) -> None:
    assert not reason(tmp_path, backend, text, files)


def test_a_backend_in_the_tree_is_the_projects_own_code() -> None:
    assert not plain_reason("/", {"project": {}}, "flit_core.buildapi", ["."])


def test_another_distribution_may_be_a_plugin(tmp_path: Path) -> None:
    found = reason(tmp_path, "hatchling.build", PROJECT, {})
    assert is_plain(found, ["hatchling", "packaging", "pathspec", "pluggy", "trove_classifiers"])
    assert not is_plain(found, ["hatchling", "hatch-vcs"])
    assert not is_plain("", ["hatchling"])
