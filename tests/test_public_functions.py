"""What the public functions take and refuse: `import sage_wheels`."""

from __future__ import annotations

from pathlib import Path

import pytest

import sage_wheels
from support.projects import make_tree
from support.run import names
from support.trees import make_prefix
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def test_a_path_object_is_a_path_also_without_a_separator(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path, "one", "1", {"one.py": ""})
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path)
    sage_wheels.install([Path("one-1-py3-none-any.whl")], prefix)
    assert names(prefix) == ["one 1"]
    with pytest.raises(sage_wheels.SourceError, match=r"tree has neither pyproject\.toml nor setup\.py"):
        sage_wheels.install([Path("tree")], prefix)
    make_tree(tmp_path / "two", "two", "2")
    (built,) = sage_wheels.build([Path("two")], tmp_path / "dist")  # else it would be looked for on an index
    assert Path(built).name == "two-2-py3-none-any.whl"


def test_one_string_is_not_several_items(prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "a", "1", {"a.py": ""})
    sage_wheels.install([str(wheel)], prefix)
    for call in (
        lambda: sage_wheels.install(str(wheel), prefix),
        lambda: sage_wheels.install(wheel, prefix),  # type: ignore[arg-type]
        lambda: sage_wheels.build("six"),
        lambda: sage_wheels.uninstall("a", prefix),
    ):
        with pytest.raises(sage_wheels.UsageError, match=r"is one item, where several are expected; write \["):
            call()
    assert names(prefix) == ["a 1"]
