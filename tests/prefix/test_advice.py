"""Commands that messages advise name the prefix, so that whoever has several copies the right one."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels import environment
from sage_wheels.prefix.advice import command

ON_A_PREFIX = "check|files|freeze|history|install|list|owner|recover|repair|restore|show|tree|undo|uninstall|verify|why"
# in the help, and of another version of this tool
GENERAL = {"so that 'sage-wheels undo' can undo", "'sage-wheels recover' of the version that wrote it undoes it"}


def texts(path: Path) -> list[str]:
    """The strings in a module, without docstrings."""
    tree = ast.parse(path.read_text())
    docs = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docs]
    return [each.value for each in found if isinstance(each.value, str)]


def test_messages_have_commands_for_a_prefix_from_one_place() -> None:
    top = Path(sage_wheels.__file__).parent
    modules = [each for each in top.rglob("*.py") if each.parent.name != "cli" or each.name not in ("help.py",)]
    assert len(modules) > 200
    found = [
        f"{module.relative_to(top)}: {text}"
        for module in modules
        for text in texts(module)
        if re.search(rf"'sage-wheels ({ON_A_PREFIX})\\b", text) and not any(each in text for each in GENERAL)
    ]
    assert found == []


@pytest.mark.parametrize("root", ["/plain", "/with blank", "/with 'quote", "/\u00e4"])
def test_a_command_can_be_copied(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.OF_PREFIX:
        monkeypatch.delenv(name, raising=False)
    assert shlex.split(command(root, "undo 3")) == ["sage-wheels", "undo", "3", "--prefix", root]
    monkeypatch.setenv(environment.OF_PREFIX[0], root)
    assert command(root, "undo 3") == "sage-wheels undo 3"
    assert command("/another", "undo 3") == "sage-wheels undo 3 --prefix /another"
