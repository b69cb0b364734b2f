"""The walls of the house, which are looked at in the text of all modules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sage_wheels
from support.walls import MAKERS, broken, broken_scripts, makers_in


def test_no_wall_is_broken(checkout: Path) -> None:
    package = Path(sage_wheels.__file__).parent
    assert len(list(package.rglob("*.py"))) > 100
    assert broken(package) == []
    assert broken_scripts(checkout / "build") == []
    assert all(list(makers_in(ast.parse((package / module).read_text()))) for module, _ in MAKERS.values())


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("cli/list.py", 'x = "SAGE_LOCAL"', "says SAGE_LOCAL"),
        ("cli/list.py", "# an spkg", "says spkg"),
        ("environment.py", 'x = "SAGE_LOCAL"', "says SAGE_LOCAL"),
        ("cli/completions/bash", "SAGE_LOCAL", "says SAGE_LOCAL"),
        ("cli/completions/bash", "spkg", "says spkg"),
        ("cli/list.py", "import os; os.environ['HOME']", "reads the environment"),
        ("cli/list.py", "import os; os.getenv('HOME')", "reads the environment"),
        ("sage/list.py", "from os import environ", "reads the environment"),
        ("wheel/layout.py", "def f(x):\n    return PrefixPath(x)", "makes a PrefixPath in f"),
        ("prefix/paths.py", "def f(x):\n    return PrefixPath(x)", "makes a PrefixPath in f"),
        ("wheel/layout.py", "x = paths.MemberName('a')", "makes a MemberName in <module>"),
        ("wheel/layout.py", "def f(x):\n    return typing.cast('FullPath', x)", "makes a FullPath in f"),
        ("wheel/layout.py", "def f(x):\n    return cast(paths.PrefixPath, x)", "makes a PrefixPath in f"),
        ("wheel/layout.py", "x = cast('list[PrefixPath]', y)", "makes a PrefixPath in <module>"),
        ("wheel/layout.py", "from sage_wheels.prefix.paths import PrefixPath as P", "has another name for PrefixPath"),
        ("wheel/layout.py", "from typing import cast as as_type", "has another name for cast"),
        ("wheel/layout.py", "P = paths.PrefixPath", "has another name for PrefixPath"),
        ("wheel/layout.py", "x = map(FullPath, y)", "has another name for FullPath"),
    ],
)
def test_a_broken_wall_is_seen(tmp_path: Path, name: str, line: str, what: str) -> None:
    file = tmp_path / "package" / name
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n")
    assert broken(tmp_path / "package") == [f"{name}:{line.count(chr(10)) + 1}: {what}"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("sage/list.py", 'x = "SAGE_LOCAL", "spkg"'),
        ("environment.py", "import os; os.environ['SAGE_VENV']"),
        ("cli/completions/bash", "SAGE_VENV"),
        ("cli/list.py", 'x = "SAGE_WHEELS_LOG", "nspkg.pth"'),
        ("prefix/ask.py", "import os; os.environ['HOME']"),
        ("wheel/layout.py", "def f(x: PrefixPath) -> FullPath:\n    return plain(x)"),
        ("wheel/layout.py", "from sage_wheels.fs.paths import FullPath, full as whole\nx = set[FullPath]()"),
        ("fs/paths.py", "def full(x):\n    return FullPath(x)"),
    ],
)
def test_what_is_allowed_is_not_seen(tmp_path: Path, name: str, line: str) -> None:
    file = tmp_path / "package" / name
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n")
    assert broken(tmp_path / "package") == []


@pytest.mark.parametrize(
    ("name", "line", "found"),
    [
        ("lib/prepare.py", "# an spkg", ["build/lib/prepare.py:1: says spkg"]),
        ("make/package", "SAGE_ROOT=", ["build/make/package:1: says SAGE_ROOT"]),
        ("make/package", "SAGE_WHEELS=", []),
        ("lib/system-python.sh", "$SAGE_VENV", []),
        ("lib/system-python.sh", "$SAGE_ROOT", ["build/lib/system-python.sh:1: says SAGE_ROOT"]),
        ("lib/overlay.py", "SAGE_ROOT", []),
    ],
)
def test_scripts_for_everybody_do_not_know_sage(tmp_path: Path, name: str, line: str, found: list[str]) -> None:
    file = tmp_path / "build" / name
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n")
    assert broken_scripts(tmp_path / "build") == found
