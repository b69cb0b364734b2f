"""What names one project twice: as with pip, all that is asked of it counts, and a file goes before an index."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.projects import make_sdist, make_tree
from support.run import names, tool
from support.trees import make_prefix
from support.wheels import make_wheel


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A wheelhouse with `one` 1, 2 and 3, and the same project as a tree, an sdist and a wheel of version 2.5."""
    house = tmp_path / "house"
    house.mkdir()
    for version in ("1", "2", "3"):
        make_wheel(house, "one", version, {"one.py": ""}, headers="Provides-Extra: x\nProvides-Extra: y\n")
    make_wheel(house, "other", "1", {"other.py": ""})
    make_sdist(tmp_path, make_tree(tmp_path / "tree", "one", "2.5"), "one", "2.5")
    make_wheel(tmp_path, "one", "2.5", {"one.py": ""})
    # we read that file with a regular expression, and do not see this name before the build
    shutil.copytree(tmp_path / "tree", tmp_path / "nameless")
    text = (tmp_path / "tree/pyproject.toml").read_text()
    (tmp_path / "nameless/pyproject.toml").write_text(text.replace("\nname =", "\n  name ="))
    (tmp_path / "two.txt").write_text("one<3\n")
    return tmp_path


def install(here: Path, *words: str, status: int = 0) -> tuple[list[str], str]:
    prefix = make_prefix(here / "prefixes", "p") if not (here / "prefixes/p").exists() else here / "prefixes/p"
    options: list[str | Path] = ["--prefix", prefix, "--cache-dir", here / "cache", "--find-links", here / "house"]
    done = tool("install", *options, *words, cwd=here)
    assert done.returncode == status, done.stderr
    return names(prefix), done.stderr


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ("one>1 one<3", "2"),
        ("-r two.txt One!=2", "1"),
        ("one one other==1", "3"),
        ("one<3 ./tree", "2.5"),
        ("-r two.txt -e tree", "2.5"),
        ("one-2.5.tar.gz one>2", "2.5"),
        ("one one-2.5-py3-none-any.whl", "2.5"),
        ("./nameless one", "2.5"),
        ("one -e ./nameless other==1", "2.5"),
    ],
)
def test_one_is_installed(here: Path, words: str, version: str) -> None:
    found, _ = install(here, *words.split())
    assert found == [f"one {version}", *(["other 1"] if "other" in words else [])]


@pytest.mark.parametrize("words", ["one[x] one[y,z]", "one[z] one-2.5-py3-none-any.whl", "one[z] ./nameless"])
def test_the_extras_of_all_count(here: Path, words: str) -> None:
    _, said = install(here, *words.split())
    assert "has no extra z" in said


@pytest.mark.parametrize(
    "words", ["one>=3 ./tree", "one>=3 ./nameless", "one-2.5-py3-none-any.whl one<2", "one<2 -e tree"]
)
def test_a_version_that_is_not_admitted(here: Path, words: str) -> None:
    found, said = install(here, *words.split(), status=1)
    assert found == []
    assert "one 2.5 does not fit another requirement, one" in said


def test_different_hashes(here: Path) -> None:
    (here / "hashes.txt").write_text("".join(f"one --hash=sha256:{each * 64}\n" for each in "ab"))
    assert "one is asked for twice, with different hashes" in install(here, "-r", "hashes.txt", status=1)[1]
