"""Defaults of options from files and variables, and whom they are believed from: real processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.projects import make_tree
from support.run import names, tool, tool_environment
from support.trees import make_prefix
from support.wheels import make_wheel


class Home:
    """A home with a project, in which commands run."""

    def __init__(self, tmp_path: Path) -> None:
        self.home = tmp_path / "home"
        self.project = self.home / "project"
        (self.project / "deep").mkdir(parents=True)
        self.prefix = make_prefix(self.project, "venv")
        self.own = self.home / ".config/sage-wheels/sage-wheels.toml"
        self.own.parent.mkdir(parents=True)
        for each in (tmp_path, self.home, self.project):
            each.chmod(0o755)

    def run(self, *words: str | Path, status: int = 0, **variables: str) -> tuple[str, str]:
        env = tool_environment(HOME=str(self.home), **variables)
        done = tool(*words, cwd=self.project / "deep", env=env)
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("file", ["sage-wheels.toml", "pyproject.toml"])
def test_the_nearest_file_of_a_project(home: Home, file: str) -> None:
    table = "[tool.sage-wheels]\n" if file == "pyproject.toml" else ""
    (home.project / file).write_text(f'{table}prefix = "venv"\n')
    assert home.run("list") == ("", "")
    (home.home / "sage-wheels.toml").write_text('prefix = "nowhere"\n')
    assert home.run("list") == ("", "")
    assert home.run("list", "--no-config", status=2)[1].startswith("sage-wheels: error: no prefix is named")
    assert home.run("--no-config", "list", status=2)[0] == ""
    assert home.run("config")[0] == f"prefix = 'venv'  # {home.project / file}\n"


def test_which_counts_more(home: Home, tmp_path: Path) -> None:
    other = make_prefix(tmp_path, "other")
    home.own.write_text(f'prefix = "{tmp_path}/nowhere"\nquiet = true\n[list]\nsize = true\n')
    assert "nowhere is not there" in home.run("list", status=1)[1]
    (home.project / "sage-wheels.toml").write_text('prefix = "venv"\n')
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    assert home.run("install", wheel) == ("", "")  # quiet
    assert names(home.prefix) == ["one 1"]
    assert " B " in home.run("list")[0]  # size
    assert home.run("list", VIRTUAL_ENV=str(other))[0] == ""
    assert home.run("list", SAGE_WHEELS_PREFIX=str(other))[0] == ""
    assert "one 1" in home.run("list", "--prefix", home.prefix, SAGE_WHEELS_PREFIX=str(other))[0]
    assert "already, and nothing" in home.run("install", wheel, SAGE_WHEELS_QUIET="0")[1]
    told = {each["key"]: each["source"] for each in json.loads(home.run("config", "--json", SAGE_WHEELS_QUIET="no")[0])}
    assert told == {
        "prefix": f"{home.project}/sage-wheels.toml",
        "quiet": "$SAGE_WHEELS_QUIET",
        "size": str(home.own),
    }


@pytest.mark.parametrize("key", ["index = true", 'find-links = ["x"]', 'on-conflict = "overwrite"', 'python = "./x"'])
def test_what_widens_trust_is_the_users_own(home: Home, tmp_path: Path, key: str) -> None:
    (home.project / "sage-wheels.toml").write_text(f'prefix = "venv"\n{key}\n')
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    said = home.run("install", wheel, status=2)[1]
    assert "which only the user's own configuration may; move it there" in said
    assert "which only the user's own configuration may" in home.run("config", status=1)[1]
    assert names(home.prefix) == []
    (home.project / "sage-wheels.toml").write_text('prefix = "venv"\n')
    home.own.write_text(f"{key}\n")
    home.run("install", wheel)
    assert names(home.prefix) == ["one 1"]


def test_a_project_names_only_what_is_in_it(home: Home, tmp_path: Path) -> None:
    make_prefix(tmp_path, "other")
    (home.project / "sage-wheels.toml").write_text(f'prefix = "{tmp_path}/other"\n')
    assert "which is outside of" in home.run("list", status=2)[1]


def test_a_file_that_others_could_have_written_is_not_read(home: Home) -> None:
    file = home.project / "sage-wheels.toml"
    file.write_text('prefix = "venv"\n')
    file.chmod(0o666)
    _, said = home.run("list", status=2)
    assert f"{file} is not read, because everybody may write in {file}\n" in said
    file.chmod(0o644)
    home.project.chmod(0o777)
    assert f"{file} is not read, because others may write in {home.project}\n" in home.run("list", status=2)[1]
    home.project.chmod(0o755)
    home.run("list")
    if os.geteuid() == 0:
        os.chown(file, 12345, 12345)
        assert "is not read, because" in home.run("list", status=2)[1]


def test_no_file_of_a_tree_that_is_built_is_read(home: Home, tmp_path: Path) -> None:
    tree = make_tree(home.project / "deep/the tree", "tree", "1")
    (tree / "sage-wheels.toml").write_text('wheel-dir = "evil"\n')
    (home.project / "sage-wheels.toml").write_text('wheel-dir = "good"\n')
    env = tool_environment(HOME=str(home.home))
    for item in (".", f"file://{tree}", tree.as_uri(), f"tree @ {tree.as_uri()}", f"tree[some] @ {tree.as_uri()}"):
        done = tool("build", "--cache-dir", tmp_path / "cache", item, cwd=tree, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{home.project}/good/tree-1-py3-none-any.whl\n"
        assert f"{tree}/sage-wheels.toml is not read, because it is in a tree that is being built\n" in done.stderr
    assert not (tree / "evil").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prefix = 1.5.2", "cannot be read"),
        ("prefix = true", "sets prefix to True; set it to a text or a number"),
        ("quiet = 'maybe'", "sets quiet to 'maybe'; set it to true or false"),
        ("lock-timeout = 'x'", "sets lock-timeout: 'x' is no number of seconds"),
        ("[install]\nno-compil = true", "sets no-compil, which is no setting of install"),
        ("[install]\nyes = true", "sets yes, which is no setting of install"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(home: Home, text: str, said: str) -> None:
    home.own.write_text(text)
    error = home.run("install", "--prefix", home.prefix, "./x", status=2)[1]
    assert error.startswith(f"sage-wheels: error: {home.own} ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["PREFIX", "HISTORY", "LINK_MODE", "CACHE_DIR", "FIND_LINKS"])
def test_an_empty_variable_is_as_if_it_were_not_set(home: Home, name: str) -> None:
    home.own.write_text(f'prefix = "{home.prefix}"\n')
    for words in (["list"], ["install", "-r", "/dev/null"], ["config"]):
        assert home.run(*words, status=0, **{f"SAGE_WHEELS_{name}": ""}) == home.run(*words)


def test_an_unknown_key_is_named(home: Home) -> None:
    home.own.write_text("xyzzy = 1\n")
    assert (
        home.run("config", status=1)[1] == f"sage-wheels: {home.own} sets xyzzy, which is no setting of any command\n"
    )


def test_that_nothing_is_set_is_said(home: Home) -> None:
    assert home.run("config") == (
        "",
        "sage-wheels: all defaults are the usual ones: no file and no variable sets another\n",
    )
    assert home.run("config", "--json") == ("[]\n", "")
