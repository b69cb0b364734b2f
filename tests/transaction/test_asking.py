"""The interpreter of the prefix is asked whether wheels fit it while they are staged: staging does not wait for it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from packaging.tags import sys_tags

from sage_wheels.errors import WheelRefused
from sage_wheels.prefix import find_prefix, interpreter
from support.run import install
from support.trees import STATE, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

MAJOR, MINOR = sys.version_info[:2]
CP = f"cp{MAJOR}{MINOR}"
BINARY = str(next(sys_tags()))
UNFIT = f"{CP}-{CP}-{'macosx_999_0' if sys.platform == 'darwin' else 'manylinux_2_999'}_{os.uname().machine}"
PYTHON = shlex.quote(os.path.realpath(sys.executable))


def foreign_prefix(tmp_path: Path, script: str) -> Path:
    """A prefix whose interpreter is the shell script `script`; $here is a directory for what it leaves."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "python3").write_text(f"#!/bin/sh\nhere={shlex.quote(str(tmp_path))}\n{script}\n")
    (home / "python3").chmod(0o755)
    root = make_prefix(tmp_path)
    (root / "pyvenv.cfg").write_text(f"home = {home}\nversion = {MAJOR}.{MINOR}.99\n")
    return root


def test_files_are_staged_before_the_interpreter_has_answered(tmp_path: Path) -> None:
    """This one answers when it sees them, or gives up."""
    script = f"""
        for attempt in $(seq 500); do
            for file in "$here"/prefix/{STATE}/stage/*/new/lib/*/*/pkg.py; do
                [ ! -e "$file" ] || {{ echo staged > "$here/seen"; exec {PYTHON} "$@"; }}
            done
            sleep 0.02
        done
        exit 1"""
    prefix = foreign_prefix(tmp_path, script)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg.py": "x = 1\n"}, tag=BINARY), compile_bytecode=False)
    assert (tmp_path / "seen").read_text() == "staged\n"
    assert (site_packages(prefix) / "pkg.py").exists()


@pytest.mark.parametrize("others", [0, 1])
def test_what_does_not_fit_is_refused_when_it_has_answered(tmp_path: Path, others: int) -> None:
    prefix = foreign_prefix(tmp_path, f'echo run >> "$here/count"; exec {PYTHON} "$@"')
    before = snapshot(prefix)
    wheels = [make_wheel(tmp_path, f"other{n}", "1", {f"o{n}.py": ""}, tag=BINARY) for n in range(others)]
    with pytest.raises(WheelRefused, match=f"is for {UNFIT}, which the Python"):
        install(prefix, *wheels, make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""}, tag=UNFIT))
    assert (snapshot(prefix), leftovers(prefix)) == (before, [])
    assert (tmp_path / "count").read_text() == "run\n"


def test_what_cannot_fit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path, f'exec {PYTHON} "$@"')
    with pytest.raises(WheelRefused, match="which the Python"):
        install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""}, tag=f"{CP}-{CP}-plan9_mips"))
    assert not (prefix / "var").exists()


def test_it_is_asked_once_and_remembered(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path, f'echo run >> "$here/count"; exec {PYTHON} "$@"')
    for version in "12":
        install(prefix, make_wheel(tmp_path, "pkg", version, {"pkg.py": f"x = {version}\n"}, tag=BINARY))
    with interpreter.asked_beside(find_prefix(prefix)) as is_asked:
        assert not is_asked
    assert (tmp_path / "count").read_text() == "run\n"


def test_it_is_not_asked_about_pure_wheels(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path, f'echo run >> "$here/count"; exec {PYTHON} "$@"')
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""}), compile_bytecode=False)
    assert not (tmp_path / "count").exists()


def test_an_answer_that_nobody_needs_is_not_waited_for(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path, "exec sleep 1000")
    path = make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""}, tag=BINARY, rows={"pkg.py": f"pkg.py,sha256={'A' * 43},0"})
    with pytest.raises(WheelRefused, match="does not have the hash"):
        install(prefix, path)
    if os.path.isdir("/proc/self/task"):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        assert "sleep" not in [Path(f"/proc/{each}/comm").read_text().strip() for each in children]


def test_without_an_answer_the_tags_are_those_of_this_machine(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path, "exit 3")
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""}, tag=BINARY), compile_bytecode=False)
    assert (site_packages(prefix) / "pkg.py").exists()
