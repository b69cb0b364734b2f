"""`sage_wheels.installed.verify`: every difference from RECORD, and none that is not there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import NotRemovable
from support.run import install, uninstall
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    files = {"pkg/__init__.py": "x = 1\n", "pkg/sub/a.py": "y = 1\n", "mod.py": "", "ns/pkg/b.py": "", "pkg/data": "d"}
    install(prefix, make_wheel(tmp_path, "pkg", "1", files, data={"scripts/s": "#!python\n", "data/share/pkg/d": ""}))
    install(prefix, make_wheel(tmp_path, "other", "1", {"ns/other/c.py": "", "pkg/extra.py": ""}))
    return prefix


def problems(prefix: Path, name: str = "pkg") -> set[tuple[str, str]]:
    return {(state, os.path.relpath(path, site_packages(prefix))) for state, path in sage_wheels.verify(name, prefix)}


def test_all_is_well(prefix: Path) -> None:
    before = snapshot(prefix)
    assert problems(prefix) == problems(prefix, "other") == set()
    assert snapshot(prefix) == before


def test_every_state(prefix: Path) -> None:
    library = site_packages(prefix)
    (library / "mod.py").unlink()
    (library / "pkg/data").write_text("e")
    (library / "pkg/sub/a.py").write_text("longer than it was")
    (library / "pkg/sub/mine.txt").write_text("")
    (prefix / "bin/s").write_text("")
    (library / "ns/pkg/mine.py").write_text("")
    (library / "ns/mine.py").write_text("")
    (library / "pkg/__init__.py").unlink()
    (library / "pkg/__init__.py").symlink_to("/nowhere")
    assert problems(prefix) == {
        ("missing", "mod.py"),
        ("changed", "pkg/data"),
        ("changed", "pkg/sub/a.py"),
        ("changed", "../../../bin/s"),
        ("changed", "pkg/__init__.py"),
        ("foreign", "pkg/sub/mine.txt"),
        ("foreign", "ns/pkg/mine.py"),
    }


def test_bytecode_may_go_and_come(prefix: Path) -> None:
    command = [str(prefix / "bin/python"), "-O", "-c", "import pkg.sub.a, mod"]
    subprocess.run(command, check=True)
    assert problems(prefix) == set()
    for path in site_packages(prefix).rglob("*.pyc"):
        path.unlink()
    assert problems(prefix) == set()


def test_rows_that_make_no_sense_are_named_as_they_stand(prefix: Path) -> None:
    with open(site_packages(prefix) / "pkg-1.dist-info/RECORD", "a") as record:
        record.write("../../../../outside,,\n./,,\n")
    found = sage_wheels.verify("pkg", prefix)
    assert [tuple(each) for each in found] == [("ignored", "../../../../outside"), ("ignored", "./")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable(prefix: Path) -> None:
    (site_packages(prefix) / "pkg/data").chmod(0)
    assert problems(prefix) == {("unreadable", "pkg/data")}


def test_without_record(prefix: Path) -> None:
    (site_packages(prefix) / "pkg-1.dist-info/RECORD").unlink()
    with pytest.raises(NotRemovable, match="what belongs to pkg 1 is not known"):
        sage_wheels.verify("pkg", prefix)


def test_what_is_not_installed_has_no_problems(prefix: Path) -> None:
    assert problems(prefix, "six") == set()


def test_rows_of_bytecode_that_never_was_there(prefix: Path, tmp_path: Path) -> None:
    """As virtualenv writes them for what it seeds: of directories, and of files beside the sources."""
    rows = "pkg/__pycache__,,\npkg/sub/__pycache__/,,\n__pycache__,,\n"
    rows += "pkg/__init__.cpython-311.pyc,,\npkg/sub/a.virtualenv.pyc,,\nmod.pyc,,\npkg/x.pyo,,\n"
    with open(site_packages(prefix) / "pkg-1.dist-info/RECORD", "a") as record:
        record.write(rows)
    assert problems(prefix) == set()
    assert (site_packages(prefix) / "pkg/__pycache__").is_dir()
    wheel = next(tmp_path.glob("pkg-*.whl"))
    assert install(prefix, wheel).unchanged == (("pkg", "1"),)
    (site_packages(prefix) / "mod.py").unlink()
    assert problems(prefix) == {("missing", "mod.py")}
    uninstall(prefix, "pkg")
    assert sorted(os.listdir(site_packages(prefix) / "pkg")) == ["__pycache__", "extra.py"]


def test_a_module_that_is_bytecode_only_may_not_be_absent(prefix: Path, tmp_path: Path) -> None:
    install(prefix, make_wheel(tmp_path, "sourceless", "1", {"hidden.pyc": "x", "both.pyc": "x", "both.py": ""}))
    for name in ("hidden.pyc", "both.pyc"):
        (site_packages(prefix) / name).unlink()
    assert problems(prefix, "sourceless") == {("missing", "hidden.pyc")}
