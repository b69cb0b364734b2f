"""The sdist of this project unpacks to a checkout, so what README.md says of one is true of the other."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PARTS = (
    *(".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    *("README.md", "SECURITY.md", "benchmarks", "build", "changelog.d", "docs", "noxfile.py", "pyproject.toml"),
    *("data", "mkdocs.yml", "sage_wheels", "tests", "tools"),
)


Files = dict[str, tuple[bytes, bool]]  # by path: the content, and whether it is executable


def in_checkout(root: Path) -> Files:
    files = [path for part in PARTS for path in (root / part, *(root / part).rglob("*")) if path.is_file()]
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in files
        if path.parent.name != "__pycache__"
    }


def in_sdist(sdist: Path) -> Files:
    with tarfile.open(sdist) as archive:
        return {
            member.name.partition("/")[2]: (file.read(), bool(member.mode & 0o100))
            for member in archive
            if (file := archive.extractfile(member))
        }


@pytest.mark.network
def test_the_sdist_unpacks_to_a_checkout(checkout: Path, tmp_path: Path, index_environment: dict[str, str]) -> None:
    command = [sys.executable, "-I", "-m", "build", "--sdist", "--outdir", str(tmp_path), str(checkout)]
    subprocess.run(command, check=True, env=index_environment, capture_output=True)
    [sdist] = tmp_path.glob("*.tar.gz")
    expected, there = in_checkout(checkout), in_sdist(sdist)
    assert there.keys() - {"PKG-INFO"} == expected.keys()
    assert [path for path in expected if there[path] != expected[path]] == []
