from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.building.source.pyproject import Early, read_ahead

LEGACY = Early({"setuptools >= 40.8.0"}, "setuptools.build_meta:__legacy__")


@pytest.mark.parametrize(
    ("text", "early"),
    [
        ('[build-system]\nrequires = ["a", "b>1"]\nbuild-backend = "a.api:x"', Early({"a", "b>1"}, "a.api:x")),
        ('[build-system]\nrequires = ["a"]', Early({"a"}, LEGACY.backend)),
        ("[project]", LEGACY),
        ('[build-system]\nrequires = ["a"]\nbackend-path = ["."]', None),
        ("[build-system]\nrequires = 3", None),
        ("[build-system]\nrequires = [3]", None),
        ('[build-system]\nbuild-backend = "a"', None),
        ("build-system = 3", None),
        ("nonsense", None),
        ("\xff", None),
    ],
)
def test_what_is_plain_is_read_and_what_is_not_is_left_to_build(tmp_path: Path, text: str, early: Early | None) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode("latin-1"))
    assert read_ahead(str(tmp_path)) == early


def test_without_pyproject(tmp_path: Path) -> None:
    assert read_ahead(str(tmp_path)) == LEGACY


@pytest.mark.parametrize(
    "text", ["[project]", '[build-system]\nrequires = ["a", "b>1"]\nbuild-backend = "a.api:x"', None]
)
def test_build_agrees(tmp_path: Path, text: str | None) -> None:
    from build import ProjectBuilder

    if text:
        (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "setup.py").touch()
    early = read_ahead(str(tmp_path))
    assert early is not None
    assert ProjectBuilder(tmp_path).build_system_requires == early.requires
