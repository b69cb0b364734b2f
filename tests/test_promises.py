"""docs/design.md numbers what is promised; tests speak of these numbers, and nothing is promised without a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

NOT_BUILT = "(not built yet)"


def promises(checkout: Path) -> dict[int, str]:
    """The text of each promise by its number."""
    section = (checkout / "docs/design.md").read_text().partition("## What is promised\n")[2].partition("\n## ")[0]
    return {int(number): text for number, text in re.findall(r"^(\d+)\. (.*(?:\n +.*)*)", section, re.MULTILINE)}


def spoken_of(test: Path) -> set[int]:
    """The numbers of the promises that the head of a file of tests speaks of."""
    head = ast.get_docstring(ast.parse(test.read_text())) or ""
    return {
        int(each)
        for found in re.findall(r"[Pp]romises? (\d+(?:(?:, | and )\d+)*)", head)
        for each in re.findall(r"\d+", found)
    }


def test_every_promise_has_tests_and_they_say_so(checkout: Path) -> None:
    every = promises(checkout)
    assert list(every) == list(range(1, 11))
    listed = {number: set(re.findall(r"`([\w/]+\.py)`", text)) for number, text in every.items()}
    root = checkout / "tests"
    saying = {test.relative_to(root).as_posix(): spoken_of(test) for test in root.rglob("test_*.py")}
    for number, text in every.items():
        assert listed[number] == {test for test, numbers in saying.items() if number in numbers}
        assert bool(listed[number]) != (NOT_BUILT in text)


@pytest.mark.parametrize("page", ["README.md", "docs/design.md", "docs/security.md"])
def test_nobody_says_that_a_change_is_finished(checkout: Path, page: str) -> None:
    """The journal is for rollback only."""
    said = " ".join((checkout / page).read_text().split())
    assert not re.search(r"finished or undone|redoable|redo (log|journal)", said)
