"""`-r FILE` and `-c FILE` of install and build: what they mean to pip, or a refusal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from support.projects import make_sdist, make_tree
from support.run import names, python, tool
from support.trees import make_prefix
from support.wheels import make_wheel


def install(directory: Path, prefix: Path, *words: str | Path, status: int = 0) -> str:
    done = tool("install", "--prefix", prefix, "--cache-dir", directory / "cache", *words, cwd=directory)
    assert done.returncode == status, done.stderr
    return done.stderr


def test_items_of_a_file_and_of_the_command_line_are_one_transaction(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    one, two, three = (make_wheel(tmp_path, each, "1", {f"{each}.py": ""}) for each in ("one", "two", "three"))
    digest = hashlib.sha256(two.read_bytes()).hexdigest()
    (tmp_path / "more.txt").write_text(f"{three} ; python_version < '3'\n./{two.name} --hash=sha256:{digest}\n")
    (tmp_path / "items.txt").write_text("# why\n-r more.txt\n")
    install(tmp_path, prefix, "-r", "items.txt", one)
    assert names(prefix) == ["one 1", "two 1"]
    make_tree(tmp_path / "tree", "tree", "1")
    (tmp_path / "sources.txt").write_text("./tree\n")
    built = tool("build", "--cache-dir", tmp_path / "cache", "-w", tmp_path, "-r", "sources.txt", cwd=tmp_path)
    assert built.stdout == f"{tmp_path}/tree-1-py3-none-any.whl\n"


def test_an_editable_line(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    one = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    make_tree(tmp_path / "tree", "tree", "1")
    (tmp_path / "items.txt").write_text(f"-e ./tree\n{one}\n")
    install(tmp_path, prefix, "-r", "items.txt")
    assert names(prefix) == ["one 1", "tree 1"]
    (told,) = prefix.rglob("tree-1.dist-info/direct_url.json")
    assert json.loads(told.read_text()) == {"dir_info": {"editable": True}, "url": f"file://{tmp_path}/tree"}
    (tmp_path / "items.txt").write_text(f"-e {one}\n")
    said = install(tmp_path, prefix, "-r", "items.txt", status=2)
    assert f"{one} is no source tree, and only that can be editable; name a directory" in said
    # `pip wheel` makes the usual wheel of it, and so does `build`
    (tmp_path / "items.txt").write_text("-e ./tree\n")
    built = tool("build", "--cache-dir", tmp_path / "cache", "-w", tmp_path, "-r", "items.txt", cwd=tmp_path)
    assert built.stdout == f"{tmp_path}/tree-1-py3-none-any.whl\n"


@pytest.mark.parametrize("inside", [True, False])
def test_constraints(tmp_path: Path, inside: bool) -> None:
    """A requirement takes what a constraint admits, and anything else is refused if it is not that."""
    prefix = make_prefix(tmp_path)
    old, new = (make_wheel(tmp_path, "one", version, {"one.py": f"x = {version}\n"}) for version in ("1", "2"))
    other = make_wheel(tmp_path, "other", "1", {"other.py": ""})
    (tmp_path / "c.txt").write_text(f"One<2\nnobody-asked==7\nother @ {other.as_uri()}\nold; python_version < '3'\n")
    (tmp_path / "items.txt").write_text("-c c.txt\none\nother\n" if inside else "one\nother\n")
    words = ["-r", "items.txt", *([] if inside else ["-c", "c.txt"])]
    install(tmp_path, prefix, "--find-links", tmp_path, *words)
    assert names(prefix) == ["one 1", "other 1"]
    assert [each.parent.name for each in prefix.rglob("direct_url.json")] == ["other-1.dist-info"]
    said = install(tmp_path, prefix, "-c", "c.txt", new, status=1)
    assert said == (
        "sage-wheels: error: one 2 does not fit line 1 of c.txt, One<2; ask for another version, or change the "
        "constraint\n"
    )
    install(tmp_path, prefix, "-c", "c.txt", "--reinstall", old)
    make_tree(tmp_path / "tree", "one", "3")
    assert "one 3 does not fit" in install(tmp_path, prefix, "-c", "c.txt", "./tree", status=1)
    done = tool("build", "--cache-dir", tmp_path / "cache", "-c", "c.txt", "./tree", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert names(prefix) == ["one 1", "other 1"]
    assert "one 2 does not fit" in install(tmp_path, prefix, "--destdir", tmp_path / "d", "-c", "c.txt", new, status=1)


@pytest.mark.parametrize("text", ["./{}", "{}", "file:{}", "one @ file:{}"])
def test_a_wheel_as_a_constraint(tmp_path: Path, text: str) -> None:
    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    (tmp_path / "c.txt").write_text(f"{text.format(wheel.name)}\n")
    install(tmp_path, prefix, "-c", "c.txt", "One")
    assert names(prefix) == ["one 1"]
    said = install(tmp_path, prefix, "-c", "c.txt", "One>2", status=1)
    assert f"{wheel} was asked for as One>2, but makes 1" in said


def test_a_constraint_says_where_a_project_comes_from(tmp_path: Path) -> None:
    """Also for what is named by another path; as with pip, it is refused then, not replaced."""
    prefix = make_prefix(tmp_path)
    make_tree(tmp_path / "tree", "one", "1")
    make_tree(tmp_path / "other", "one", "1")
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    (tmp_path / "c.txt").write_text(f"one @ file://{tmp_path}/tree\n")
    for words in (["./other"], ["-e", "./other"], [str(wheel)], ["./other", "one"]):
        said = install(tmp_path, prefix, "-c", "c.txt", *words, status=1)
        assert f"does not fit line 1 of c.txt, {tmp_path}/tree; ask for it by its name only" in said
    assert "but makes 1" in install(tmp_path, prefix, "-c", "c.txt", "one>1", "./tree", status=1)
    for words in (["one"], ["./tree"], ["-e", "tree/"], ["one", "./tree/../tree"]):
        install(tmp_path, prefix, "-c", "c.txt", "--reinstall", *words)
        assert names(prefix) == ["one 1"]


def locked(wheel: Path, sdist: Path, digest: str = "") -> str:
    files = [hashlib.sha256(each.read_bytes()).hexdigest() for each in (wheel, sdist)]
    return (
        'lock-version = "1.0"\ncreated-by = "tests"\ndefault-groups = ["usual"]\n'
        '[[packages]]\nname = "one"\nversion = "1"\n'
        f'wheels = [{{ path = "{wheel.name}", hashes = {{ sha256 = "{digest or files[0]}" }} }},\n'
        '{ url = "https://example.invalid/one-1-py2-none-any.whl", hashes = { sha256 = "0" } }]\n'
        '[[packages]]\nname = "two"\nversion = "1"\nmarker = "\'usual\' in dependency_groups"\n'
        f'sdist = {{ path = "{sdist.name}", hashes = {{ sha256 = "{files[1]}" }} }}\n'
        '[[packages]]\nname = "three"\nversion = "1"\nmarker = "\'other\' in dependency_groups"\n'
        'sdist = { url = "https://example.invalid/three-1.tar.gz", hashes = { sha256 = "0" } }\n'
    )


def test_a_lock_file(tmp_path: Path) -> None:
    """The wheel that fits, else the sdist, with hashes; and nothing else."""
    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": "x = 'the wheel'\n"})
    sdist = make_sdist(tmp_path, make_tree(tmp_path / "tree", "two", "1"), "two", "1")
    lock = tmp_path / "pylock.toml"
    lock.write_text(locked(wheel, sdist, "0" * 64))
    said = install(tmp_path, prefix, "-r", "pylock.toml", status=1)
    assert f"{wheel} has none of the hashes that were given for it" in said
    lock.write_text(locked(wheel, sdist))
    install(tmp_path, prefix, "-r", "pylock.toml")
    assert names(prefix) == ["one 1", "two 1"]
    assert python(prefix, "import one; print(one.x)") == "the wheel"
    assert not list(prefix.rglob("direct_url.json"))
    lock.write_text('requires-python = "<3"\n' + locked(wheel, sdist))
    assert "pylock.toml requires Python <3, and this is 3." in install(tmp_path, prefix, "-r", "pylock.toml", status=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "--index-url https://example.org\n",
            "has --index-url, which is not supported in a requirements file; leave it out, and if you trust it, write "
            "it into the configuration of pip ('pip config set')",
        ),
        (
            "-f .\n",
            "has -f, which is not supported in a requirements file; leave it out, or give it on the command line",
        ),
        ("-c nowhere.txt\n", "the constraints file {here}/nowhere.txt is not there; check"),
        ("-r nowhere.txt\n", "the requirements file {here}/nowhere.txt is not there; check"),
        ("# a comment\n\nsix ==\n", "line 3 of items.txt: 'six ==' is neither a file, nor a directory, nor a "),
        ("./nowhere\n", "line 1 of items.txt: ./nowhere is neither a file nor a directory; check"),
        ("six; what == '3'\n", "line 1 of items.txt: "),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, text: str, said: str) -> None:
    prefix = make_prefix(tmp_path)
    (tmp_path / "items.txt").write_text(text)
    (tmp_path / "c.txt").write_text("one==1\n")
    done = tool("install", "--prefix", prefix, "-r", "items.txt", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said.replace("{here}", str(tmp_path)) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.once
def test_which_files_pip_may_choose(tmp_path: Path) -> None:
    """Lines that say this, but not from where, are followed; what the command line names is chosen by them, too."""
    wheels = tmp_path / "wheels"
    for version in ("1", "3a1"):
        make_wheel(wheels, "one", version, {"one.py": "x = 'wheel'\n"})
    make_sdist(wheels, make_tree(tmp_path / "tree", "one", "2"), "one", "2")
    for number, (text, version) in enumerate(
        [
            ("one\n", "2"),
            ("--only-binary :all:\none\n", "1"),
            ("--prefer-binary\none\n", "1"),
            ("--pre\none\n", "3a1"),
            ("--pre\n--no-binary=one\none\n", "2"),
            ("-r more.txt\none\n", "1"),
            ("--only-binary=other\none\n", "2"),
        ]
    ):
        prefix = make_prefix(tmp_path, f"prefix{number}")
        (tmp_path / "more.txt").write_text("--only-binary=one\n")
        (tmp_path / "items.txt").write_text(text)
        install(tmp_path, prefix, "--find-links", wheels, "-r", "items.txt")
        assert names(prefix) == [f"one {version}"], text
    (tmp_path / "items.txt").write_text("--only-binary=:all:\n")
    install(tmp_path, make_prefix(tmp_path, "last"), "--find-links", wheels, "-r", "items.txt", "one")
    assert names(tmp_path / "last") == ["one 1"]
    # `build` wants a source, and the file forbids it
    built = tool("build", "--find-links", wheels, "-w", tmp_path, "-r", "items.txt", "one", cwd=tmp_path)
    assert (built.returncode, built.stdout) == (1, "")
    assert built.stderr.count("\n") == 1
    assert "one is a wheel already; install it as it is" in built.stderr


@pytest.mark.parametrize("where", ["in the file", "on the command line", "in a marker that is false"])
def test_hashes_may_be_demanded(tmp_path: Path, where: str) -> None:
    prefix = make_prefix(tmp_path)
    one, two = (make_wheel(tmp_path, each, "1", {f"{each}.py": ""}) for each in ("one", "two"))
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    lines = f"--require-hashes\n{one} --hash=sha256:{digest}\n"
    other = {"in the file": f"{two}\n", "in a marker that is false": f"{two} ; python_version < '3'\n"}.get(where, "")
    (tmp_path / "items.txt").write_text(lines + other)
    words = [two.name] if where == "on the command line" else []
    if where == "in a marker that is false":
        install(tmp_path, prefix, "-r", "items.txt")
        assert names(prefix) == ["one 1"]
        return
    said = install(tmp_path, prefix, "-r", "items.txt", *words, status=1)
    place = two.name if words else "line 3 of items.txt"
    assert said == f"sage-wheels: error: {place} has no --hash, but a file has --require-hashes; add its hash\n"
    assert names(prefix) == []


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "-c c.txt\n"])
def test_a_file_that_names_nothing(tmp_path: Path, text: str) -> None:
    """As with pip: nothing is done, and that is no failure."""
    prefix = make_prefix(tmp_path)
    (tmp_path / "items.txt").write_text(text)
    (tmp_path / "c.txt").write_text("one==1\n")
    assert install(tmp_path, prefix, "-r", "items.txt") == "sage-wheels: items.txt contains no requirement\n"
    assert install(tmp_path, prefix, "-q", "-r", "items.txt") == ""
    assert names(prefix) == []
    done = tool("build", "-r", "items.txt", "-r", "items.txt", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "sage-wheels: items.txt and items.txt contain no requirement\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one[extra]==1\n", "line 1 of c.txt is a constraint with extras; leave"),
        ("-e ./tree\n", "line 1 of c.txt is an editable constraint; write"),
        ("./tree\n", "line 1 of c.txt names no project; write"),
        ("\none ==\n", "line 2 of c.txt: 'one ==' is neither a file, nor"),
    ],
)
def test_constraints_that_pip_refuses(tmp_path: Path, text: str, said: str) -> None:
    one = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    make_tree(tmp_path / "tree", "tree", "1")
    (tmp_path / "c.txt").write_text(text)
    assert said in install(tmp_path, make_prefix(tmp_path), "-c", "c.txt", one, status=1)
