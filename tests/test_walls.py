"""The walls of the house, which are looked at in the text of all modules."""

from __future__ import annotations

from pathlib import Path

import pytest

import sage_wheels
from support.walls import broken


def test_no_wall_is_broken() -> None:
    package = Path(sage_wheels.__file__).parent
    assert len(list(package.rglob("*.py"))) > 100
    assert broken(package) == []


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("cli/list.py", 'x = "SAGE_LOCAL"', "says SAGE_LOCAL"),
        ("cli/list.py", "# an spkg", "says spkg"),
        ("environment.py", 'x = "SAGE_LOCAL"', "says SAGE_LOCAL"),
        ("cli/list.py", "import os; os.environ['HOME']", "reads the environment"),
        ("cli/list.py", "import os; os.getenv('HOME')", "reads the environment"),
        ("sage/list.py", "from os import environ", "reads the environment"),
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
        ("cli/list.py", 'x = "SAGE_WHEELS_LOG", "nspkg.pth"'),
        ("prefix/ask.py", "import os; os.environ['HOME']"),
    ],
)
def test_what_is_allowed_is_not_seen(tmp_path: Path, name: str, line: str) -> None:
    file = tmp_path / "package" / name
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n")
    assert broken(tmp_path / "package") == []
