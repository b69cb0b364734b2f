"""`sage-wheels cache`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.projects import make_tree
from support.run import tool_environment

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
    told = run("cache", "info").splitlines()
    assert told[0].startswith(f"{tmp_path / 'store'}: ")
    assert len(told) == 1 + len(info["kinds"])
    assert json.loads(run("cache", "gc", "--json", "--cache-size", "1"))["freed"] == 0
    told = run("cache", "gc", "--cache-size", "1").splitlines()
    assert told[0].endswith(": 0 B were deleted")
    assert told[1].endswith("left, because they were used within the last hour")
    assert len(run("cache", "gc").splitlines()) == 1
    assert build(run, tmp_path, tree)
    assert json.loads(run("cache", "clear", "--json"))["freed"] == info["size"]
    assert json.loads(run("cache", "info", "--json"))["size"] == 0
    assert not build(run, tmp_path, tree)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_what_differs_in_git_is_named(run: Run, tmp_path: Path, tree: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@y")
        subprocess.run(["git", "-C", tree, *who, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    build(run, tmp_path, tree)
    git("tag", "v1")
    refs = "  the list of git's branches and tags has changed"
    assert explain(run, tree) == ["hello would be built:", refs]
    git("checkout", "-q", "-b", "other")
    head = "  git's HEAD was ref: refs/heads/main, is ref: refs/heads/other"
    assert explain(run, tree) == ["hello would be built:", head, refs]
    (tree / "new.txt").touch()
    status = "  the output of git status has changed"
    assert explain(run, tree) == ["hello would be built:", "  the file new.txt is new", head, refs, status]


def test_what_counts_only_at_times_is_named_in_one_line(run: Run, tmp_path: Path, tree: Path) -> None:
    prefix = tmp_path / "prefix"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    build(run, tmp_path, tree, f"--prefix={prefix}")
    assert explain(run, tree, f"--prefix={prefix}", "--no-isolation", "--skip-dependency-check") == [
        "hello would be built:",
        "  the name of the interpreter counts now",
        "  what is installed counts now",
        "  isolation was True, is False",
    ]


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


def test_all_options_of_build(run: Run, tmp_path: Path, tree: Path) -> None:
    """Whoever wants to know why `build` has built puts `cache explain` in its place."""
    build(run, tmp_path, tree)
    (tmp_path / "list").write_text(f"{tree}\n")
    taken = "hello would come from the store; its build had taken "
    for more in (["-w", "dist", f"{tree}/"], ["-j2", "-k", "--verify-store", f"{tree}/"], ["-r", tmp_path / "list"]):
        assert run("cache", "explain", "--cache-system", "tests", *more).startswith(taken)
    assert explain(run, tree, "--rebuild") == [
        "hello would be built:",
        "  --rebuild builds what is in the store, too",
    ]
    assert explain(run, tree, "-e") == [
        "hello is not kept in the store: an editable wheel is good for its source tree only"
    ]


def test_what_cannot_be_built_is_refused_as_by_build(run: Run, tmp_path: Path, tree: Path) -> None:
    build(run, tmp_path, tree)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    for arguments in (["explain", wheel], ["explain", "--sandbox", "--in-place", tree]):
        command = [sys.executable, "-m", "sage_wheels", "cache", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert done.returncode in (1, 2)
        assert done.stderr.startswith("sage-wheels: error: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["info", "gc", "clear"])
def test_a_store_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Then builds use a directory for one command; of that there is nothing to tell."""
    (home := tmp_path / "cache").mkdir()
    home.chmod(0o777)
    monkeypatch.delenv("SAGE_WHEELS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    command = [sys.executable, "-m", "sage_wheels", "cache", what, "--json"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["what"].startswith("there is no store")


def test_a_limit_of_nothing(run: Run, tmp_path: Path, tree: Path) -> None:
    build(run, tmp_path, tree)
    assert json.loads(run("cache", "info", "--json", "--cache-size", "0"))["limit"] == 0
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (1, 1))  # it was not used for long
    assert json.loads(run("cache", "gc", "--json", "--cache-size", "0"))["freed"] > 0
    assert json.loads(run("cache", "info", "--json"))["size"] == 0


@pytest.mark.parametrize(
    ("told", "limit"),
    [("1.5G", 3 << 29), ("10GiB", 10 << 30), ("1T", 1 << 40), ("10GB", 10**10), ("10 gb", 10**10), ("500m", 500 << 20)],
)
def test_how_a_size_is_written(run: Run, told: str, limit: int) -> None:
    assert json.loads(run("cache", "info", "--json", "--cache-size", told))["limit"] == limit


@pytest.mark.parametrize("told", ["1.5", "1e9", "10X", "1,5G", "G", "", "\N{ARABIC-INDIC DIGIT THREE}G", "9" * 5000])
def test_what_is_no_size(told: str) -> None:
    command = [sys.executable, "-m", "sage_wheels", "cache", "info", "--cache-size", told]
    done = subprocess.run(command, capture_output=True, check=False, text=True, env=tool_environment())
    assert done.returncode == 2
    assert "is no number of bytes such as 500M, 1.5G or 10GiB" in done.stderr


def test_wrong_usage(run: Run) -> None:
    for arguments in (["info", "x"], ["explain"], ["nonsense"]):
        command = [sys.executable, "-m", "sage_wheels", "cache", *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2
