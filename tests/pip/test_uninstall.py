"""`sage-wheels pip uninstall` says what pip says, asks as pip asks, and removes exactly what was installed."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.pip.elsewhere import Elsewhere, find_elsewhere
from sage_wheels.prefix import find_prefix
from support.index import Index
from support.projects import make_tree
from support.pythons import make_installation
from support.run import install, names
from support.trees import difference, leftovers, make_prefix, site_packages, snapshot
from support.twins import Done, Twins, end, environment, our_command, pip_command, start
from support.wheels import make_wheel

Put = Callable[..., None]


def said(done: Done, prefix: Path) -> list[str]:
    """All that was said, but for our own sentences, whether a directory is named as such, and how names are spelt."""
    text = (done.stdout + done.stderr).replace(str(prefix), "PREFIX").replace("/*\n", "\n").replace("extra_", "extra-")
    return [line for line in text.splitlines() if not line.startswith("sage-wheels: ")]


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("uninstall -y app", ["extra_lib 1.0", "lib 2.0"]),
        ("uninstall --yes lib app", ["extra_lib 1.0"]),
        ("uninstall -y -r requirements.txt Extra.Lib", ["lib 2.0"]),
        ("uninstall -y -r nested.txt", ["lib 2.0"]),
        ("-q uninstall -y app", ["extra_lib 1.0", "lib 2.0"]),
        ("uninstall lib -y app", ["extra_lib 1.0"]),
        ("uninstall -y lib -q Extra.Lib --no-input app", []),
        ("uninstall -y no-such-thing app", ["extra_lib 1.0", "lib 2.0"]),
        ("uninstall -y no-such-thing", ["app 1.0", "extra_lib 1.0", "lib 2.0"]),
        ("uninstall", ["app 1.0", "extra_lib 1.0", "lib 2.0"]),
        ("uninstall -y -r empty.txt", ["app 1.0", "extra_lib 1.0", "lib 2.0"]),
        ("uninstall --no-such-option app", ["app 1.0", "extra_lib 1.0", "lib 2.0"]),
        ("uninstall --ye --requirem requirements.txt", ["extra_lib 1.0", "lib 2.0"]),
        ("uninstall -y app ./tree tree/[more]", ["extra_lib 1.0", "lib 2.0"]),
        ("uninstall -y ./tree", ["app 1.0", "extra_lib 1.0", "lib 2.0"]),
        ("uninstall -y -r trees.txt", ["extra_lib 1.0", "lib 2.0"]),
    ],
)
def test_says_and_does_what_pip_does(twins: Twins, put: Put, line: str, there: list[str]) -> None:
    for each in twins.both:
        put(each, "lib 2.0", "app 1.0", "extra-lib 1.0")
        (each.parent / "requirements.txt").write_text("# what goes\napp>=0.1  # old\n")
        (each.parent / "nested.txt").write_text("Extra.Lib\n-r requirements.txt\n")
        (each.parent / "empty.txt").write_text("# nothing\n")
        (each.parent / "trees.txt").write_text(
            "./tree\n-e ./tree\n./tree ; python_version > '3'\nhttps://example.org/tree.zip\napp\n"
        )
        make_tree(each.parent / "tree", "lib", "2.0")
    theirs, own = twins.run(*line.split())
    assert own.returncode == theirs.returncode, own.stderr
    assert [each for each in names(twins.ours) if not each.startswith("pip ")] == there
    assert [each for each in names(twins.pips) if not each.startswith("pip ")] == there
    if own.returncode == 2:
        assert "--no-such-option" in own.stderr
    else:
        assert sorted(said(own, twins.ours)) == sorted(said(theirs, twins.pips))


NO_REQUIREMENTS = (
    *("lib/plain", "lib plain", "lib=1.0", "plain,lib", "./plain", "bad name!", "lib-", "lib[", "-r bad.txt"),
    *("lib; no_such_marker == '1'", "git+https://example.org/plain.git#egg=lib-", "lib-1.0.whl", ""),
)


@pytest.mark.parametrize("given", NO_REQUIREMENTS)
def test_nothing_goes_if_something_is_no_requirement(twins: Twins, put: Put, given: str) -> None:
    for each in twins.both:
        put(each, "lib 2.0", "plain 1.0")
        (each.parent / "bad.txt").write_text("plain\nlib=1.0\n")
    arguments = given.split() if given.startswith("-r") else [given]
    theirs, own = twins.run("uninstall", "-y", "plain", *arguments)
    assert own.returncode == 1, own.stderr
    assert theirs.returncode != 0
    assert own.stderr.startswith("ERROR: Invalid requirement: ")
    assert own.stderr.count("\n") == 1
    assert own.stdout == ""
    assert names(twins.ours) == names(twins.pips)
    assert "plain 1.0" in names(twins.ours)


@pytest.mark.parametrize(
    "given",
    [
        "git+https://example.org/some.git#egg=plain",
        "git+https://example.org/some.git@main#subdirectory=x&egg=plain",
        "https://example.org/plain-1.0-py3-none-any.whl",
        "https://example.org/plain-1.0-py3-none-any.whl#sha256=0",
        "file:///no/where/plain-1.0-py3-none-any.whl",
        "dist/plain-1.0-py3-none-any.whl",
        "plain-1.0-py3-none-any.whl",
        "plain @ https://example.org/lib-1.0-py3-none-any.whl",
        "plain>=0.1; python_version < '3'",
        "plain[more]==1.0",
        "https://example.org/plain-1.0.tar.gz",
        "lib-2.0.tar.gz",
    ],
)
def test_what_else_tells_a_name(twins: Twins, put: Put, given: str) -> None:
    for each in twins.both:
        put(each, "lib 2.0", "plain 1.0")
    theirs, own = twins.run("uninstall", "-y", given)
    assert own.returncode == theirs.returncode, own.stderr
    assert names(twins.ours) == names(twins.pips)
    assert "lib 2.0" in names(twins.ours)


REQUIREMENTS = {
    "byte order mark": b"\xef\xbb\xbfplain\n",
    "UTF-16": "plain\n".encode("utf-16"),
    "coding": "# -*- coding: latin-1 -*-\n# Stra\xdfe\nplain\n".encode("latin-1"),
    "variable": b"${PLAIN}\n",
    "variable that is not set": b"plain  # ${NOT_SET}\n",
    "quoted": b"-r 'two words.txt'\n",
    "quoted after =": b'--requirement="two words.txt"\n',
    "at once": b"-rother.txt\n",
    "variable in an option": b"-r ${OTHER}.txt\n",
    "egg": b"git+https://example.org/some.git#egg=plain\n",
    "editable": b"-e git+https://example.org/some.git#egg=plain\n",
    "continued": b"pl\\\nain\n",
    "comment that is not continued": b"# lib \\\nplain\n",
    "options": b"--no-index\n--find-links 'x y'\nplain==1.0 --hash=sha256:" + 64 * b"0" + b"\n",
}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_files_as_pip_reads_them(twins: Twins, put: Put, name: str) -> None:
    for each in twins.both:
        put(each, "lib 2.0", "plain 1.0")
        (each.parent / "requirements.txt").write_bytes(REQUIREMENTS[name])
        for other in ("two words.txt", "other.txt"):
            (each.parent / other).write_text("plain\n")
    variables = {"PLAIN": "plain", "OTHER": "other"}
    theirs, own = twins.run("uninstall", "-y", "-r", "requirements.txt", variables=variables)
    assert own.returncode == theirs.returncode == 0, own.stderr
    assert names(twins.ours) == names(twins.pips)
    assert "plain 1.0" not in names(twins.ours)
    assert "lib 2.0" in names(twins.ours)


@pytest.mark.parametrize(
    "content",
    [b"-r https://example.org/requirements.txt\n", b"# coding: klingon\nplain\n", b"-r 'plain\n", b"\xff\n", b"-r\n"],
)
def test_requirements_files_that_are_refused(
    prefix: Path, home: Path, put: Put, tmp_path: Path, content: bytes
) -> None:
    put(prefix, "plain 1.0")
    before = snapshot(prefix)
    file = tmp_path / "requirements.txt"
    file.write_bytes(b"plain\n" + content if content.startswith(b"-r") else content)
    done = end(start(our_command(prefix, "uninstall", "-y", "-r", str(file)), environment(home)))
    assert done.returncode == 1
    assert done.stderr.startswith("sage-wheels: error: ")
    assert done.stderr.count("\n") == 1
    assert snapshot(prefix) == before


@pytest.mark.parametrize(
    ("answers", "goes"), [("y\n", True), ("\n", True), ("YES\n", False), ("n\n", False), ("perhaps\n\n", True)]
)
def test_asks_as_pip_asks(twins: Twins, put: Put, answers: str, goes: bool) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
    theirs, own = twins.run("uninstall", "lib", answers=answers + "n\n")
    assert own.returncode == theirs.returncode == 0, own.stderr
    assert ("lib 2.0" not in names(twins.ours)) == ("lib 2.0" not in names(twins.pips)) == goes
    assert sorted(said(own, twins.ours)) == sorted(said(theirs, twins.pips))


def test_the_environment_answers(twins: Twins, put: Put) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
    theirs, own = twins.run("uninstall", "lib", variables={"PIP_YES": "1"})
    assert own.returncode == theirs.returncode == 0, own.stderr
    assert said(own, twins.ours) == said(theirs, twins.pips)
    assert names(twins.ours) == names(twins.pips)


def test_the_environment_says_that_the_systems_packages_may_go(tmp_path: Path, home: Path, put: Put) -> None:
    """PIP_BREAK_SYSTEM_PACKAGES is what Dockerfiles set, once for all."""
    root = tmp_path / "whole"
    make_installation(root)
    put(root, "plain 1.0")
    (site_packages(root).parent / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    done = end(start(our_command(root, "uninstall", "-y", "plain"), environment(home)))
    assert done.returncode == 1, done.stderr
    assert names(root) == ["plain 1.0"]
    variables = environment(home, PIP_BREAK_SYSTEM_PACKAGES="1")
    done = end(start(our_command(root, "uninstall", "-y", "plain"), variables))
    assert done.returncode == 0, done.stderr
    assert names(root) == []


@pytest.mark.parametrize("quiet", ["-q", "-qq", "-qqq"])
def test_as_quiet_as_pip(twins: Twins, put: Put, quiet: str) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
        stamp = each / "var/lib/sage-wheels/stamps/base"
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text("lib @ file:///no/where/lib-2.0-py3-none-any.whl\n")
    theirs, own = twins.run("uninstall", quiet, "-y", "no-such-thing", "git+https://example.org/x", "lib")
    assert own.returncode == theirs.returncode == 0, own.stderr
    assert said(own, twins.ours) == said(theirs, twins.pips)
    assert ("note: lib 2.0" in own.stderr) == (quiet == "-q")
    assert names(twins.ours) == names(twins.pips)


def test_asks_for_each(twins: Twins, put: Put) -> None:
    for each in twins.both:
        put(each, "lib 2.0", "plain 1.0", "extra-lib 1.0")
    theirs, own = twins.run("uninstall", "lib", "plain", "extra-lib", answers="n\ny\nn\n")
    assert own.returncode == theirs.returncode == 0, own.stderr
    assert names(twins.ours) == names(twins.pips)
    assert "plain 1.0" not in names(twins.ours)
    assert "lib 2.0" in names(twins.ours)


def test_an_option_of_a_newer_pip(prefix: Path, home: Path, put: Put) -> None:
    """pip 26.3 has it, older ones have not."""
    put(prefix, "plain 1.0")
    done = end(start(our_command(prefix, "--no-proxy-env", "uninstall", "-y", "plain"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert "plain 1.0" not in names(prefix)


def test_what_goes_wrong_comes_last_in_a_log(prefix: Path, home: Path, put: Put) -> None:
    put(prefix, "plain 1.0")
    done = end(
        start(our_command(prefix, "uninstall", "--no-input", "plain"), environment(home), stderr=subprocess.STDOUT)
    )
    assert done.stdout.startswith("Found existing installation: plain 1.0\n")
    assert done.stdout.splitlines()[-1].startswith("sage-wheels: error: ")


@pytest.mark.parametrize("options", [[], ["--no-input"]])
def test_nothing_goes_without_an_answer(twins: Twins, put: Put, options: list[str]) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
    before = snapshot(twins.ours)
    theirs, own = twins.run("uninstall", "lib", *options)
    assert own.returncode == theirs.returncode == 2, own.stderr
    assert "Traceback" not in own.stderr
    assert snapshot(twins.ours) == before


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal(prefix: Path, home: Path, put: Put, answer: str) -> None:
    put(prefix, "lib 2.0")
    ours, theirs = pty.openpty()
    try:
        process = start(our_command(prefix, "uninstall", "lib"), environment(home), stdin=theirs, stdout=theirs)
        os.close(theirs)
        shown = ""
        while "Proceed (Y/n)? " not in shown:
            shown += os.read(ours, 1000).decode()
        os.write(ours, answer.encode() + b"\n")
        done = end(process)
    finally:
        os.close(ours)
    assert done.returncode == 0, done.stderr
    assert "Would remove:" in shown
    assert ("lib 2.0" in names(prefix)) == (answer == "n")


def test_what_pip_has_installed_goes_exactly(prefix: Path, home: Path, index: Index) -> None:
    before = snapshot(prefix)
    line = ("install", "-q", "-i", index.url, "app[more]")
    done = end(start(pip_command(prefix, *line), environment(home)))
    assert done.returncode == 0, done.stderr
    (site_packages(prefix) / "foreign.txt").write_text("nobody's")
    done = end(start(our_command(prefix, "uninstall", "-y", "lib", "app", "extra-lib"), environment(home)))
    assert done.returncode == 0, done.stderr
    (site_packages(prefix) / "foreign.txt").unlink()
    assert difference(before, snapshot(prefix)) == []
    assert leftovers(prefix) == []


def test_a_file_of_another_distribution_and_an_edited_one_stay(prefix: Path, home: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        install(prefix, make_wheel(tmp_path / "own", name, "1", {"shared/same.py": "", f"{name}.py": ""}))
    (site_packages(prefix) / "one.py").write_text("edited = True\n")
    done = end(start(our_command(prefix, "uninstall", "-y", "one"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert sage_wheels.verify("other", prefix) == []
    assert not (site_packages(prefix) / "one.py").exists()
    assert "kept a file that somebody edited" in done.stderr


def test_an_egg_link_tells_no_version(prefix: Path, home: Path) -> None:
    (site_packages(prefix) / "develop.egg-link").write_text("/src/develop\n.")
    done = end(start(our_command(prefix, "uninstall", "-y", "develop"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Found existing installation: develop",
        "Uninstalling develop:",
        "  Successfully uninstalled develop",
    ]


def test_several_go_in_one_transaction(prefix: Path, home: Path, put: Put) -> None:
    """One that cannot go keeps the others, too."""
    put(prefix, "lib 2.0", "plain 1.0")
    record = site_packages(prefix) / "plain-1.0.dist-info/RECORD"
    record.unlink()
    before = snapshot(prefix)
    done = end(start(our_command(prefix, "uninstall", "-y", "lib", "plain"), environment(home)))
    assert done.returncode == 1, done.stderr
    assert snapshot(prefix) == before


@pytest.mark.parametrize("program", ["echo nonsense", "exit 1"])
def test_a_python_that_does_not_answer_finds_nothing(tmp_path: Path, program: str) -> None:
    """Nor does one that hangs: `tests/prefix/test_answers.py`."""
    prefix = find_prefix(make_prefix(tmp_path))
    os.unlink(prefix.python)
    Path(prefix.python).write_text(f"#!/bin/sh\n{program}\n")
    os.chmod(prefix.python, 0o755)
    assert find_elsewhere(prefix, ["absent"], []) == Elsewhere({}, {})
