"""What counts of a directory such as /usr/local."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.building.inputs.machine import tree


@pytest.mark.parametrize(
    "path", ["include/x.h", "lib/libx.a", "bin/x-config", "opt/x/include/x.h", "cuda/lib64/libx.so"]
)
def test_what_compilers_read(tmp_path: Path, path: str) -> None:
    before = tree(str(tmp_path))
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert tree(str(tmp_path)) != before


@pytest.mark.parametrize(
    "path",
    [
        *("lib/python3.11/site-packages/x.py", "lib/node_modules/x.js", "share/doc/x", "share/man/man1/x.1", "src/x.c"),
        *("texlive/2026/texmf-dist/x.sty", "Cellar/x/1.0/lib/libx.a", "Caskroom/x/x", "Homebrew/x.rb"),
    ],
)
def test_what_they_do_not_read(tmp_path: Path, path: str) -> None:
    """There may be hundreds of thousands of such files; what Homebrew installs is told by its list."""
    top = tmp_path.joinpath(*Path(path).parts[: 2 if path.startswith(("lib", "share")) else 1])
    top.mkdir(parents=True)
    before = tree(str(tmp_path))
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
    assert tree(str(tmp_path)) == before
