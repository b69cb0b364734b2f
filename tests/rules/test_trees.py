"""What tells a source tree from what it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sage_wheels.rules.trees import Memory


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/setup.py").write_text("one")
    (tmp_path / "tree/sub/link").symlink_to("somewhere")
    return tmp_path / "tree"


def fingerprint(tree: Path, **options: int) -> str:
    return Memory(str(tree.parent / "memory"), **options).fingerprint(str(tree))


def test_contents_count_and_times_do_not(tree: Path) -> None:
    first = fingerprint(tree)
    os.utime(tree / "setup.py", (1000, 1000))
    assert fingerprint(tree) == first
    (tree / "__pycache__").mkdir()
    assert fingerprint(tree) == first
    seen = {first}
    for change in (
        lambda: (tree / "setup.py").write_text("two"),  # of the same size
        lambda: (tree / "setup.py").chmod(0o755),
        lambda: (tree / "setup.py").rename(tree / "other.py"),
        lambda: (tree / "empty").mkdir(),
        lambda: (tree / "sub/link").unlink(),
        lambda: (tree / "sub/link").symlink_to("elsewhere"),
    ):
        change()
        os.utime(tree / "sub", (1000, 1000))
        seen.add(fingerprint(tree))
    assert len(seen) == 7


def test_a_file_that_looks_as_before_is_not_read_again(tree: Path) -> None:
    first = fingerprint(tree, tick=10**15)  # days: it was changed a moment ago, however slow this machine is
    assert json.loads((tree.parent / "memory").read_text()) == {}
    assert fingerprint(tree, tick=-(10**10)) == first
    memory = tree.parent / "memory"
    known = json.loads(memory.read_text())
    assert known.keys() == {"/setup.py"}
    memory.write_text(json.dumps({"/setup.py": [*known["/setup.py"][:-1], "another digest"]}))
    assert fingerprint(tree) != first
    memory.write_text("no JSON")
    assert fingerprint(tree) == first


def test_a_file_is_a_source_and_so_is_nothing(tmp_path: Path) -> None:
    absent = fingerprint(tmp_path / "x/y.whl")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/y.whl").write_text("")
    assert fingerprint(tmp_path / "x/y.whl") != absent
