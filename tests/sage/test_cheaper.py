"""The lines in build/lib/cheaper.py: bash does the same with the old one and with the new one."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.once  # whatever Python runs the tests


class Case(NamedTuple):
    """Values of the variable `name` in the lines that contain `part`; afterwards bash shows `shown`."""

    part: str
    name: str
    values: tuple[str, ...]
    shown: str = ""


PATHS = ("", "x", "x.log", "d", "d/x", "d/x.log", "d/new/x.log.log", "./x", "d/", "missing/x", "file", "file/x")
CASES = (
    Case("[qnt]'", "MAKEFLAGS", ("", "n", "s -j2 --jobserver-auth=3,4", "-q", "k", "B V=0 -- X=-n", "w", "-Otarget")),
    Case("*q'", "MAKE", ("make", "make -q", "make -j2 -kq", "gmake -Bn", "/a-q/make")),
    Case('echo "$PKG_SRC"', "PKG_SRC", ("", "six-1.17.0", "./six", "/w/six-1.spkg", "six/")),
    Case("export PKG_BASE", "PKG_NAME", ("", "six", "six-1.17.0", "six-1.17.0-p1", "-x"), "$PKG_BASE"),
    Case('mkdir -p "$dir"', "dir", (*PATHS[1:], "new/er")),
    Case("head -1", "script", ("empty", "comment", "shebang", "later", "unended")),
    Case("local tmpscript", "script", ("/a/b/spkg-install", "/a b/c"), "$tmpscript"),
    Case("logname=", "logfile", (*PATHS[:8], "/w/logs/six-1.17.0.log", "d/.log"), "$logname"),
    Case(
        "logdir=`", "logfile", ("", "x.log", "d/x.log", "./x.log", "d/new/../x.log", "/x.log"), '$(cd "$logdir" && pwd)'
    ),
    Case('rm -f "$timefile"', "timefile", PATHS[1:]),
    Case('mkdir -p "$logdir"', "logdir", PATHS[1:]),
    Case("in=$(", "in", ("", "/", "//", "/home/me/.sage", "a//b///c", "///x", "a b"), "$in"),
    Case("( cd", "out", ("./", "d", "missing", "file", "/")),
)


@pytest.fixture(scope="module")
def pairs(checkout: Path) -> list[tuple[str, str]]:
    module = runpy.run_path(str(checkout / "build/lib/cheaper.py"))
    return [pair for script in module["_LINES"] for pair in module["lines"](script)]


def look(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def run(line: str, case: Case, directory: Path) -> dict[str, tuple[list[str], list[str]]]:
    """What comes of `line`, which may begin an `if`, for each value: what is printed, and what is there afterwards.

    It is run in a function of a script, which has an ERR trap, in a directory of its own below `directory`.
    """
    texts = {"file": "", "empty": "", "comment": "# x\n#!/bin/sh\n", "shebang": "#!/bin/sh\n", "unended": "#!x"}
    places = {value: directory / f"{number}" for number, value in enumerate(case.values)}
    for place in places.values():
        (place / "d/new").mkdir(parents=True)
        for name, text in {**texts, "later": "\n#!/bin/sh\n"}.items():
            (place / name).write_text(text)
            (place / f"{name}.in").write_text(text)
    rest = "echo yes; else echo no; fi" if line.endswith("then") else ""
    script = f"""
exit_with_error_msg() {{ echo failed; }}
trap 'echo trapped' ERR
set -E
f() {{
{line}
{rest}
echo $? "{case.shown}"
}}
place=0
for value; do
    cd "{directory}/$place"
    (unset {case.name}; {case.name}=$value; f)
    echo end
    place=$((place + 1))
done"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", *case.values],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "MAKE": "make"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    said = done.stdout.replace(str(directory), "HERE").split("end\n")[:-1]
    return {value: (text.split("\n"), look(place)) for text, (value, place) in zip(said, places.items(), strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.part)
def test_it_does_the_same(pairs: list[tuple[str, str]], case: Case, tmp_path: Path) -> None:
    [(old, new)] = [pair for pair in pairs if case.part in pair[0]]
    assert run(new, case, tmp_path / "new") == run(old, case, tmp_path / "old")


GOOD = ("/s/local", "/a:/b", "/a.b:/.c", "/a/./b", "/a/../b", "", "../a", "..", "a/..")
BAD = ("/a//b", "./a", "/a:./b", "/a/.", "/a/.:/b", ".", "/a:.", "/a:.:/b", ":/a", "/a:", "/a::/b", ":")


def test_only_a_bad_python_path_is_cleaned(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    [new] = [new for old, new in pairs if "PYTHONPATH" in old]
    found = run(new, Case("", "PYTHONPATH", (*GOOD, *BAD)), tmp_path)
    assert {value: said[0] for value, (said, _) in found.items()} == {
        **dict.fromkeys(GOOD, "no"),
        **dict.fromkeys(BAD, "yes"),
    }


def test_each_line_is_tried(pairs: list[tuple[str, str]]) -> None:
    tried = {old for old, _ in pairs for case in CASES if case.part in old}
    assert [old for old, _ in pairs if old not in tried] == ['if [ -n "$PYTHONPATH" ]; then']
