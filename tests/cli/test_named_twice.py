"""What names one project twice: as with pip, all that is asked of it counts, and a file goes before an index."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from support.index import Index
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
    assert "one and another requirement have different hashes" in install(here, "-r", "hashes.txt", status=1)[1]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("words", ["./tree", "./nameless", "-e tree", "-e ./nameless"])
@pytest.mark.parametrize("option", ["-r", "-c"])
def test_a_directory_has_no_hash(here: Path, option: str, words: str) -> None:
    """It cannot be checked, and so it is not installed in the place of what was checked; pip refuses it, too."""
    (here / "hash.txt").write_text(f"one==2.5 --hash=sha256:{digest(here / 'one-2.5.tar.gz')}\n")
    found, said = install(here, option, "hash.txt", *words.split(), status=1)
    assert found == []
    who = "line 1 of hash.txt" if option == "-c" else "another requirement"
    assert f"{words[2:].strip(' ./')} is no file and has no hash, but {who} gives one for one" in said


def test_a_directory_that_a_constraint_names_has_no_hash(here: Path) -> None:
    (here / "hash.txt").write_text(f"one==2.5 --hash=sha256:{digest(here / 'one-2.5.tar.gz')}\n")
    (here / "where.txt").write_text(f"one @ {(here / 'tree').as_uri()}\n")
    found, said = install(here, "-r", "hash.txt", "-c", "where.txt", status=1)
    assert found == []
    assert f"{here / 'tree'} is no file and has no hash, but one==2.5 gives one for one" in said


@pytest.mark.parametrize("name", ["one-2.5.tar.gz", "one-2.5-py3-none-any.whl"])
@pytest.mark.parametrize("option", ["-r", "-c"])
def test_a_file_has_one_of_the_hashes(here: Path, option: str, name: str) -> None:
    hashes = [digest(here / "one-2.5.tar.gz"), digest(here / "one-2.5-py3-none-any.whl")]
    (here / "both.txt").write_text("one " + " ".join(f"--hash=sha256:{each}" for each in hashes))
    (here / "other.txt").write_text(f"one --hash=sha256:{'a' * 64}")
    found, said = install(here, option, "other.txt", name, status=1)
    assert found == []
    assert f"{here / name} has none of the hashes that " in said
    assert install(here, option, "both.txt", name)[0] == ["one 2.5"]


def test_the_hashes_of_all_count(here: Path) -> None:
    """As with pip: the file must have one that the requirement and each constraint give."""
    wheels = {each: digest(here / f"house/one-{each}-py3-none-any.whl") for each in ("1", "2")}
    (here / "a.txt").write_text(f"one==1 --hash=sha256:{wheels['1']} --hash=sha256:{wheels['2']}\n")
    (here / "b.txt").write_text(f"one==1 --hash=sha256:{wheels['1']}\n")
    (here / "c.txt").write_text(f"one==1 --hash=sha256:{'c' * 64}\n")
    assert install(here, "-r", "a.txt", "-c", "b.txt")[0] == ["one 1"]
    assert install(here, "-r", "a.txt", "-r", "b.txt", "--reinstall")[0] == ["one 1"]
    for options in ("-r a.txt -c c.txt", "-r a.txt -c b.txt -c c.txt", "-r b.txt -r c.txt"):
        _, said = install(here, *options.split(), status=1)
        assert "have different hashes" in said


def test_the_hash_counts_where_the_url_has_one(here: Path) -> None:
    """pip accepts a file that has either of the two."""
    wheel = here / "house/one-1-py3-none-any.whl"
    with Index(here / "house") as index:
        line = f"one @ {index.files}/{wheel.name}#sha256={digest(wheel)}"
        (here / "url.txt").write_text(f"{line} --hash=sha256:{'a' * 64}\n")
        (here / "good.txt").write_text(f"{line}\none --hash=sha256:{digest(wheel)}\n")
        (here / "bad.txt").write_text(f"{line}\none --hash=sha256:{'a' * 64}\n")
        for bad in ("url.txt", "bad.txt"):
            found, said = install(here, "-r", bad, status=1)
            assert found == []
            assert "has none of the hashes that were given for it" in said
        assert install(here, "-r", "good.txt")[0] == ["one 1"]
