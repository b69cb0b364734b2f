"""`sage-wheels cache`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.projects import make_tree

Run = Callable[..., str]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", "hello", "1.0")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SAGE_WHEELS_CACHE", str(tmp_path / "store"))

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "sage_wheels", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run


def build(run: Run, tmp_path: Path, tree: Path, *more: str) -> bool:
    told = run("build", "--json", "--cache-system", "tests", "-w", tmp_path / "dist", *more, f"{tree}/")
    is_stored: bool = json.loads(told)[0]["is_stored"]
    return is_stored


def explain(run: Run, tree: Path, *more: str) -> list[str]:
    return run("cache", "explain", "--cache-system", "tests", *more, f"{tree}/").splitlines()


def test_what_there_is_and_that_it_goes(run: Run, tmp_path: Path, tree: Path) -> None:
    assert json.loads(run("cache", "info", "--json"))["size"] == 0
    build(run, tmp_path, tree)
    info = json.loads(run("cache", "info", "--json", "--cache-size", "2M"))
    assert (info["directory"], info["limit"]) == (str(tmp_path / "store"), 2 << 20)
    assert info["size"] == sum(each["size"] for each in info["kinds"].values()) > 0
    assert str(tmp_path / "store") in run("cache", "info")
    assert json.loads(run("cache", "gc", "--json", "--cache-size", "1"))["freed"] == 0  # it was used just now
    assert build(run, tmp_path, tree)
    assert json.loads(run("cache", "clear", "--json"))["freed"] == info["size"]
    assert json.loads(run("cache", "info", "--json"))["size"] == 0
    assert not build(run, tmp_path, tree)


def test_what_differs_is_named(run: Run, tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain(run, tree) == ["hello would be built: the store knows no build of it"]
    monkeypatch.setenv("CFLAGS", "-O2")
    build(run, tmp_path, tree, "-C", "a=1")
    assert explain(run, tree, "-C", "a=1")[0].startswith("hello would come from the store; its build had taken ")
    monkeypatch.setenv("CFLAGS", "-O3")
    (tree / "code" / "hello.py").write_text("changed")
    told = explain(run, tree)
    assert told[0] == "hello would be built:"
    assert "  CFLAGS was -O2, is -O3" in told
    assert "  the file code/hello.py was changed" in told
    assert "  the setting a was 1, is missing" in told
    [report] = json.loads(run("cache", "explain", "--json", "--cache-system", "tests", f"{tree}/"))
    assert report["differences"] == [line.strip() for line in told[1:]]
    assert not report["is_stored"]


def test_what_is_not_kept_has_a_reason(run: Run, tree: Path) -> None:
    told = explain(run, tree, "--in-place")
    assert told == [
        "hello is not kept in the store: it is built in place, in a directory with what earlier builds left"
    ]


def test_wrong_usage(run: Run) -> None:
    for arguments in (["info", "x"], ["explain"], ["nonsense"]):
        command = [sys.executable, "-m", "sage_wheels", "cache", *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2
