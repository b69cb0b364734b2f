"""What people write behind `pip install` means the same behind `sage-wheels install` and `build`."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.cli import main
from support.projects import make_sdist, make_tree
from support.run import names, python, tool
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command line in a directory of the test's own: its status, and what it says to people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SAGE_VENV", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        return status, capsys.readouterr().err

    return command


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The project `top`, and in a subdirectory `inner`, which its build needs a file of `top` for."""
    top = make_tree(tmp_path / "repository", "top", "9.0")
    (top / "VERSION").write_text("1.0\n")
    make_tree(top / "sub" / "dir", "inner", "1.0", hook="assert open('../../VERSION').read() == '1.0\\n'\n")
    return top


def archive_of(tree: Path, name: str, kind: str) -> str:
    return shutil.make_archive(name, kind, tree.parent, tree.name)


def direct_url(prefix: Path, dist_info: str) -> Any:
    return json.loads((site_packages(prefix) / f"{dist_info}.dist-info" / "direct_url.json").read_text())


@pytest.mark.parametrize("what", ["directory", "zip", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("text", ["inner @ {url}#subdirectory=sub/dir", "{url}#egg=Inner&subdirectory=sub%2Fdir"])
def test_a_subdirectory_is_the_project(run: Run, prefix: Path, repository: Path, what: str, text: str) -> None:
    path = str(repository) if what == "directory" else archive_of(repository, "whatever", what)
    url = f"file://{os.path.abspath(path)}"
    assert run("install", "--prefix", prefix, text.format(url=url)) == (
        0, f"sage-wheels: inner 1.0 installed into {prefix}\n",
    )  # fmt: skip
    told = direct_url(prefix, "inner-1.0")
    assert (told["url"], told["subdirectory"]) == (url, "sub/dir")
    assert ("dir_info" if what == "directory" else "archive_info") in told


def test_an_editable_subdirectory(run: Run, prefix: Path, repository: Path) -> None:
    status, _ = run("install", "--prefix", prefix, "--editable", f"file://{repository}#subdirectory=sub/dir")
    assert status == 0
    assert direct_url(prefix, "inner-1.0") == {
        "dir_info": {"editable": True},
        "subdirectory": "sub/dir",
        "url": f"file://{repository}",
    }
    assert python(prefix, "import inner; print(inner.__file__)") == f"{repository}/sub/dir/code/inner.py"


@pytest.mark.parametrize(
    "words",
    [["-e", "./tree"], ["-e./tree"], ["-e", "tree"], ["--editable=tree/"], ["./tree", "-e"], ["-r", "items.txt"]],
)
def test_spellings_of_editable(run: Run, prefix: Path, tmp_path: Path, words: list[str]) -> None:
    tree = make_tree(tmp_path / "tree", "one", "1.0")
    (tmp_path / "items.txt").write_text("-e tree\n")
    assert run("install", "--prefix", prefix, *words) == (0, f"sage-wheels: one 1.0 installed into {prefix}\n")
    assert direct_url(prefix, "one-1.0") == {"dir_info": {"editable": True}, "url": f"file://{tree}"}


def test_only_the_tree_behind_the_option_is_editable(run: Run, prefix: Path, tmp_path: Path) -> None:
    """As with pip; an option without a tree is said of all."""
    for name in ("one", "two"):
        make_tree(tmp_path / name, name, "1.0")
    wheel = make_wheel(tmp_path, "three", "1.0", {"three.py": ""})
    assert run("install", "--prefix", prefix, "-e", "one", "./two", wheel)[0] == 0
    assert [direct_url(prefix, f"{each}-1.0").get("dir_info") for each in ("one", "two", "three")] == [
        {"editable": True}, {}, None,
    ]  # fmt: skip
    assert run("install", "--prefix", prefix, "--editable", "--reinstall", "one", "./two")[0] == 0
    assert direct_url(prefix, "two-1.0")["dir_info"] == {"editable": True}
    before = snapshot(prefix)
    assert run("install", "--prefix", prefix, "-e", "./one", "./two", "--built", wheel)[0] == 2
    assert run("install", "--prefix", prefix, "-e", wheel, "./two")[0] == 2
    assert snapshot(prefix) == before


def test_what_was_built_of_a_subdirectory(run: Run, prefix: Path, repository: Path, tmp_path: Path) -> None:
    source = f"Inner @ file://{repository}#subdirectory=sub/dir"
    assert run("build", "--editable", "-w", tmp_path / "dist", source)[0] == 0
    wheel = tmp_path / "dist" / "inner-1.0-py3-none-any.whl"
    other = source.replace("Inner", "other")
    assert "was asked for as other, but the project there is inner" in run(
        "install", "--prefix", prefix, "-e", "--built", wheel, other
    )[1]  # fmt: skip
    assert run("install", "--prefix", prefix, "-e", "--built", wheel, source)[0] == 0
    assert direct_url(prefix, "inner-1.0")["subdirectory"] == "sub/dir"


@pytest.mark.parametrize("what", ["directory", "sdist", "zip"])
@pytest.mark.parametrize("command", ["install", "build"])
def test_another_project_than_its_name_says(
    run: Run, prefix: Path, repository: Path, tmp_path: Path, what: str, command: str
) -> None:
    path: Path | str = repository
    if what == "sdist":
        path = make_sdist(tmp_path, repository, "other", "1.0")
    elif what == "zip":
        path = archive_of(repository, "other-1.0", "zip")
    before = snapshot(prefix)
    destination = ["--prefix", prefix] if command == "install" else ["-w", tmp_path / "dist"]
    status, said = run(command, *destination, f"other @ file://{Path(path).resolve()}", f"file://{repository}")
    assert status == 1
    assert said.splitlines()[-1].startswith(f"sage-wheels: error: {path} was asked for as other") or "other" in said
    assert "but the project there is top" in said
    assert snapshot(prefix) == before
    assert not list(tmp_path.glob("dist/*"))


def test_names_are_normalised(run: Run, prefix: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "Some_Name", "1.0")
    assert run("install", "--prefix", prefix, f"some.name @ file://{tree}")[0] == 0


def test_markers(run: Run, prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "one", "1.0", {"one.py": ""})
    status, said = run(
        "install", "--prefix", prefix, f"one @ file://{wheel} ; python_version < '3'", "nothing; os_name=='x'"
    )
    assert status == 0
    assert [line.partition(" is skipped, ")[0] for line in said.splitlines()] == [
        f"sage-wheels: one @ file://{wheel}",
        "sage-wheels: nothing",
    ]
    assert names(prefix) == []
    assert run("install", "--prefix", prefix, f"{wheel}; python_version > '3'")[0] == 0
    assert names(prefix) == ["one 1.0"]
    assert run("build", "-w", tmp_path / "dist", "./nowhere; python_version < '3'")[0] == 0


def note(sentence: str) -> str:
    return f"sage-wheels: note: {sentence}\n"


def test_what_extras_need_is_said(run: Run, prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path,
        "one",
        "1.0",
        {"one.py": ""},
        headers="Provides-Extra: Foo_Bar\nProvides-Extra: all\nProvides-Extra: old",
        requires=[
            "base",
            "quick>=1; extra == 'foo.bar'",
            "ancient; extra == 'old' and python_version < '3'",
            "one[foo-bar]; extra == 'all'",
        ],
    )
    base, quick = note("one 1.0 needs base, which is not installed"), "needs quick>=1, which is not installed"
    done = f"sage-wheels: one 1.0 reinstalled into {prefix}\n"
    assert run("install", "--prefix", prefix, f"{wheel}")[1].startswith(base)
    again = ["install", "--reinstall", "--prefix", prefix]
    assert run(*again, f"{wheel}[FOO-bar]")[1] == base + note(f"one[foo-bar] 1.0 {quick}") + done
    assert run(*again, f"one[all] @ file://{wheel}")[1] == base + note(f"one[foo-bar] 1.0 {quick}") + done
    assert run(*again, f"{wheel}[old]")[1] == base + done
    said = run(*again, f"{wheel}[slow,foo_bar]")[1]
    assert said == note("one 1.0 has no extra slow") + base + note(f"one[foo-bar] 1.0 {quick}") + done
    installed = run("install", "--prefix", prefix, f"{wheel}[foo-bar]")[
        1
    ]  # it is there, and what its extra needs is not
    assert note(f"one[foo-bar] 1.0 {quick}") in installed
    assert "is installed in" in installed


def test_extras_of_others_count(run: Run, prefix: Path, tmp_path: Path) -> None:
    """Of what is there already, and of what comes in the same transaction; in a circle, too."""
    headers = "Provides-Extra: fast"
    lib = make_wheel(
        tmp_path, "lib", "1.0", {"lib.py": ""}, headers=headers,
        requires=["never", "quick; extra == 'fast'", "app[fast]; extra == 'fast'"],
    )  # fmt: skip
    app = make_wheel(tmp_path, "app", "1.0", {"app.py": ""}, headers=headers, requires=["lib[fast,slow]>=1"])
    expected = [note("lib 1.0 has no extra slow"), note("lib[fast] 1.0 needs quick, which is not installed")]
    said = run("install", "--prefix", prefix, lib, app)[1]
    assert all(said.count(each) == 1 for each in expected)
    said = run("install", "--reinstall", "--prefix", prefix, app)[1]
    assert said.startswith("".join(expected))
    assert "never" not in said


def test_extras_of_trees(run: Run, prefix: Path, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", "one", "1.0")
    for item in ("./tree[x]", "one[X] @ file:tree", f"file://{tmp_path}/tree[x]"):
        status, said = run("install", "--reinstall", "--prefix", prefix, item)
        assert status == 0
        assert note("one 1.0 has no extra x") in said, item


def test_an_sdist_that_makes_another_version(
    run: Run, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index").mkdir()
    make_sdist(tmp_path / "index", make_tree(tmp_path / "tree", "one", "2.0"), "one", "1.0")
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for command in (["build", "-w", "dist"], ["install", "--prefix", prefix]):
        status, said = run(*command, "--find-links", "index", "one==1.0")
        assert status == 1
        assert "was asked for as one==1.0, but makes 2.0" in said


def test_the_history_says_what_was_asked_for_where_the_file_is_gone(
    run: Run, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "links", "one", "1.0", {})
    make_sdist(tmp_path / "links", make_tree(tmp_path / "tree", "two", "1.0"), "two", "1.0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert run("install", "--prefix", prefix, "--find-links", "links", "one==1.0", "two")[0] == 0
    (entry,) = json.loads(tool("history", "1", "--json", "--prefix", prefix).stdout)
    assert {each["name"]: each["origin"] for each in entry["changes"]} == {"one": "one==1.0", "two": "two"}


def test_an_sdist_without_a_directory(run: Run, prefix: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "one", "1.0")
    path = tmp_path / "one-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, ".")
    assert run("install", "--prefix", prefix, path)[0] == 0
    assert names(prefix) == ["one 1.0"]


def test_a_name_that_is_a_directory_too(run: Run, prefix: Path, tmp_path: Path) -> None:
    """It is a requirement, as with pip; but that is said."""
    make_wheel(tmp_path / "wheels", "tree", "1.0", {"tree.py": ""})
    make_tree(tmp_path / "tree", "tree", "2.0")
    status, said = run("install", "--prefix", prefix, "--find-links", "wheels", "tree")
    assert (status, names(prefix)) == (0, ["tree 1.0"])
    assert "sage-wheels: tree is taken as the name of a project; for the directory of that name, write ./tree\n" in said


def test_without_isolation_beside_what_has_no_record(run: Run, prefix: Path, tmp_path: Path) -> None:
    """Debian's packages have none: what was built cannot be kept in the store, and is delivered."""
    info = site_packages(prefix) / "helper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: helper\nVersion: 1.0\n")
    make_tree(tmp_path / "tree", "tree", "1.0", requires=["helper"])
    status, said = run("build", "--prefix", prefix, "--no-isolation", "./tree")
    assert (status, (tmp_path / "tree-1.0-py3-none-any.whl").exists()) == (0, True), said
