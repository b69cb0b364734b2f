"""Prefixes in which directories of the scheme are reached by links: as in any other, and no link is left dangling."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import Conflict, WheelRefused
from sage_wheels.prefix import find_prefix
from sage_wheels.sage import stamps
from support.pythons import other_pythons
from support.run import install, names, tool, uninstall
from support.trees import STATE, difference, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

PYTHON = "lib/python{}.{}".format(*sys.version_info)
LINKS = {f"{PYTHON}/site-packages": "sp", "lib": "mylib", PYTHON: "lib/py", "bin": "realbin"}


def link(prefix: Path, name: str, target: str) -> None:
    """Move the directory `name` in `prefix` to `target`, and leave a link."""
    (prefix / name).rename(prefix / target)
    (prefix / name).symlink_to(os.path.relpath(prefix / target, (prefix / name).parent))


@pytest.fixture(params=LINKS)
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    link(prefix, request.param, LINKS[request.param])
    return prefix


def wheel(directory: Path, version: str = "1") -> Path:
    files = {"pkg/__init__.py": "def f(): pass\n", "mod.py": "", "pkg.pth": "# nothing\n"}
    data = {"scripts/script": "#!python\n", "data/share/pkg/x": ""}
    return make_wheel(directory / "w", "pkg", version, files, data=data, entry_points={"tool": "pkg:f"})


def test_the_tree_is_as_it_was(tmp_path: Path, prefix: Path) -> None:
    before = snapshot(prefix)
    for _ in range(2):
        install(prefix, wheel(tmp_path))
        install(prefix, wheel(tmp_path, "2"))
        assert names(prefix) == ["pkg 2"]
        assert sage_wheels.verify("pkg", prefix) == []
        report = uninstall(prefix, "pkg")
        assert (report.set_aside, report.ignored) == ((), ())
        assert difference(before, snapshot(prefix)) == []
    assert leftovers(prefix) == []


def test_what_runs_at_every_start_comes_last_and_goes_first(tmp_path: Path, prefix: Path) -> None:
    came = install(prefix, wheel(tmp_path))
    assert came.steps[-1].path.endswith("/pkg.pth")
    assert came.steps[-2].path.endswith("/pkg-1.dist-info")
    assert [os.path.basename(path) for path in came.runs_at_start] == ["pkg.pth"]
    went = uninstall(prefix, "pkg")
    assert went.steps[0].path.endswith("/pkg.pth")
    assert {os.path.basename(step.path) for step in went.steps[1:3]} == {"script", "tool"}
    assert went.steps[-1].path.endswith("/pkg-1.dist-info")


def test_rows_that_no_distribution_can_own(tmp_path: Path, prefix: Path) -> None:
    (prefix / "realvar").mkdir()
    (prefix / "var").symlink_to("realvar")
    library = site_packages(prefix)
    (prefix / PYTHON / "os.py").write_text("")
    before = snapshot(prefix)
    install(prefix, wheel(tmp_path))
    rows = ["bin/python", "pyvenv.cfg", "var/lib/sage-wheels/lock", f"{PYTHON}/os.py", *LINKS, "var", *LINKS.values()]
    with open(library / "pkg-1.dist-info/RECORD", "a") as record:
        record.writelines(f"../../../{row},,\n" for row in rows)
    report = uninstall(prefix, "pkg")
    assert {"bin/python", "pyvenv.cfg", "var/lib/sage-wheels/lock", f"{PYTHON}/os.py", *LINKS} <= {
        row.removeprefix("pkg 1: ../../../") for row in report.ignored
    }
    assert (prefix / "var/lib/sage-wheels/lock").is_file()
    after = {path: entry for path, entry in snapshot(prefix).items() if not path.startswith("realvar/")}
    assert difference(before, after) == []


def test_an_egg(tmp_path: Path, prefix: Path) -> None:
    library = site_packages(prefix)
    install(prefix, wheel(tmp_path))
    before = snapshot(prefix)
    (library / "old-1-py3.11.egg/old").mkdir(parents=True)
    (library / "old-1-py3.11.egg/old/a.py").write_text("")
    (library / "easy-install.pth").write_text("./old-1-py3.11.egg\n")
    (prefix / "bin/old").write_text("#!/p\n# EASY-INSTALL-SCRIPT: 'old==1','old'\n")
    steps = uninstall(prefix, "old").steps
    assert [os.path.basename(step.path) for step in steps] == ["easy-install.pth", "old", "old-1-py3.11.egg"]
    assert difference(before, snapshot(prefix)) == []


def test_foreign_files_are_seen(tmp_path: Path, prefix: Path) -> None:
    install(prefix, wheel(tmp_path))
    (site_packages(prefix) / "pkg/mine").write_text("")
    found = sage_wheels.verify("pkg", prefix)
    assert [(each.state, os.path.basename(each.path)) for each in found] == [("foreign", "mine")]


def test_the_same_wheel_changes_nothing(tmp_path: Path, prefix: Path) -> None:
    install(prefix, wheel(tmp_path))
    before = snapshot(prefix)
    report = install(prefix, wheel(tmp_path))
    assert (report.unchanged, report.steps) == ((("pkg", "1"),), ())
    assert difference(before, snapshot(prefix)) == []


def test_record_has_the_paths_of_the_scheme(tmp_path: Path, prefix: Path) -> None:
    install(prefix, wheel(tmp_path), compile_bytecode=False)
    lines = (site_packages(prefix) / "pkg-1.dist-info/RECORD").read_text().splitlines()
    listed = {line.partition(",")[0] for line in lines}
    assert {"mod.py", "pkg-1.dist-info/RECORD", "../../../bin/tool", "../../../share/pkg/x"} <= listed
    assert not [path for path in listed if not os.path.exists(os.path.normpath(site_packages(prefix) / path))]


@pytest.fixture
def two_names(tmp_path: Path) -> Path:
    """A prefix with directories that have two names."""
    prefix = make_prefix(tmp_path)
    (prefix / "lib64").symlink_to("lib")
    (prefix / "share/man").mkdir(parents=True)
    (prefix / "man").symlink_to("share/man")
    return prefix


def test_two_wheels_that_name_one_new_directory_in_two_ways(tmp_path: Path, two_names: Path) -> None:
    (two_names / "share/man/keep").write_text("")
    before = snapshot(two_names)
    one = make_wheel(tmp_path, "one", "1", {}, data={"data/man/man1/a.1": "a", "data/man/man1/same.1": "x"})
    two = make_wheel(tmp_path, "two", "1", {}, data={"data/share/man/man1/b.1": "b", "data/share/man/man1/same.1": "x"})
    install(two_names, one, two)
    assert sorted(os.listdir(two_names / "share/man/man1")) == ["a.1", "b.1", "same.1"]
    uninstall(two_names, "one")
    assert sorted(os.listdir(two_names / "share/man/man1")) == ["b.1", "same.1"]
    uninstall(two_names, "two")
    assert difference(before, snapshot(two_names)) == []


def test_one_wheel_that_names_one_new_directory_in_two_ways(tmp_path: Path, two_names: Path) -> None:
    before = snapshot(two_names)
    data = {f"data/lib64/{PYTHON.removeprefix('lib/')}/site-packages/c/_x.so": "so"}
    install(two_names, make_wheel(tmp_path, "pkg", "1", {"c/__init__.py": ""}, data=data))
    assert (site_packages(two_names) / "c/_x.so").is_file()
    assert sage_wheels.verify("pkg", two_names) == []
    uninstall(two_names, "pkg")
    assert difference(before, snapshot(two_names)) == []


def test_different_files_for_one_place(tmp_path: Path, two_names: Path) -> None:
    before = snapshot(two_names)
    one = make_wheel(tmp_path, "one", "1", {}, data={"data/man/a.1": "one"})
    two = make_wheel(tmp_path, "two", "1", {}, data={"data/share/man/a.1": "two"})
    with pytest.raises(Conflict, match=r"one and two both have share/man/a\.1, with different content"):
        install(two_names, one, two)
    both = make_wheel(tmp_path, "both", "1", {}, data={"data/man/a.1": "one", "data/share/man/a.1": "two"})
    with pytest.raises(WheelRefused, match="two of its members have the same destination"):
        install(two_names, both)
    assert difference(before, snapshot(two_names)) == []


def test_an_interpreter_by_another_name(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    link(prefix, "bin", "realbin")
    with pytest.raises(WheelRefused, match="would replace the interpreter realbin/python"):
        install(prefix, make_wheel(tmp_path, "evil", "1", {}, data={"data/realbin/python": ""}))


def test_a_dist_info_that_is_a_link(tmp_path: Path) -> None:
    """What a hand moved elsewhere in the prefix is replaced there."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"mod.py": ""}))
    link(prefix, f"{PYTHON}/site-packages/pkg-1.dist-info", "moved")
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"mod.py": "x = 1\n"}), compile_bytecode=False)
    assert (prefix / "moved/RECORD").read_text().count("mod.py") == 1
    assert sage_wheels.verify("pkg", prefix) == []


def test_the_record_of_a_package_names_its_distributions(tmp_path: Path, prefix: Path) -> None:
    install(prefix, wheel(tmp_path))
    stamp = tmp_path / "stamp"
    stamp.write_text(json.dumps({"files": [f"{PYTHON}/site-packages/pkg-1.dist-info/METADATA"]}))
    assert stamps.listed_in(find_prefix(prefix), str(stamp)).names == ["pkg"]


def test_byte_code_behind_a_link_that_leads_out(tmp_path: Path) -> None:
    """What a hand has put elsewhere, for all prefixes say, is not ours to remove."""
    prefix, outside = make_prefix(tmp_path), tmp_path / "outside"
    install(prefix, make_wheel(tmp_path, "mod", "1", {"mod.py": ""}), compile_bytecode=False)
    outside.mkdir()
    (outside / f"mod.{sys.implementation.cache_tag}.pyc").write_bytes(b"precious")
    (site_packages(prefix) / "__pycache__").symlink_to(outside)
    uninstall(prefix, "mod")
    assert names(prefix) == []
    assert [each.read_bytes() for each in outside.iterdir()] == [b"precious"]


def test_a_link_in_the_state_directory_is_named(tmp_path: Path) -> None:
    """It does not go away by waiting, so nobody is told to wait."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "probe", "1", {"probe.py": "x = 1\n"}))
    (tmp_path / "outside").mkdir()
    (prefix / STATE / "set-aside").symlink_to(tmp_path / "outside")
    with (site_packages(prefix) / "probe.py").open("a") as f:
        f.write("# mine\n")
    done = tool("uninstall", "--prefix", prefix, "probe")
    assert done.returncode == 1
    assert f"failed at {prefix / STATE / 'set-aside'} (" in done.stderr
    assert "); replace the symbolic link there with what it points to" in done.stderr
    assert list((tmp_path / "outside").iterdir()) == []
    assert "# mine" in (site_packages(prefix) / "probe.py").read_text()


def _file(path: Path) -> None:
    path.write_text("mine")


def _link_out(path: Path) -> None:
    out = Path(str(path).partition("/prefix/")[0], f"out-{len(path.parts)}")
    out.mkdir()
    path.symlink_to(out)


def _link_to_a_file(path: Path) -> None:
    path.symlink_to(sys.executable)


def _dangling(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def seen(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    return status.st_mode, status.st_ino, status.st_mtime_ns, os.listdir(path) if path.is_dir() else None


@pytest.mark.parametrize("foreign", [False, True], ids=["own Python", "another Python"])
@pytest.mark.parametrize("was_there", [False, True], ids=["new", "upgrade"])
@pytest.mark.parametrize("make", [_file, _link_out, _link_to_a_file, _dangling, _pipe])
def test_what_is_in_the_place_of_pycache_leaves_byte_code_out(
    tmp_path: Path, make: Callable[[Path], None], was_there: bool, foreign: bool
) -> None:
    """As with pip, the change goes on; pip writes through a link that leads out."""
    prefix = make_prefix(tmp_path)
    if foreign:
        others = other_pythons()
        if not others:
            pytest.skip("no Python of another version here")
        prefix = tmp_path / "other" / "prefix"
        subprocess.run([others[0].executable, "-I", "-m", "venv", "--without-pip", prefix], check=True)
    files = {"pkg/__init__.py": "", "pkg/sub/a.py": "", "mod.py": ""}
    library = prefix / find_prefix(prefix).scheme.purelib
    if was_there:
        install(prefix, make_wheel(tmp_path / "w", "pkg", "1", dict(files)))
    places = [library / "__pycache__", library / "pkg/__pycache__"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            shutil.rmtree(place)
        make(place)
    before = [seen(each) for each in places]
    done = tool("install", "--prefix", prefix, make_wheel(tmp_path / "w", "pkg", "2", dict(files)))
    assert done.returncode == 0, done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if "pycache" in line]
    assert sentence.startswith(f"sage-wheels: no byte-code is written to {places[0]} (and 1 like it)")
    assert names(prefix) == ["pkg 2"]
    assert [each.name for each in library.rglob("*.pyc")] != []  # that of pkg/sub
    listed = (library / "pkg-2.dist-info/RECORD").read_text()
    assert listed.count(".pyc,,") == 1
    assert {each.state for each in sage_wheels.verify("pkg", prefix)} <= {"foreign"}
    report = uninstall(prefix, "pkg")
    assert report.ignored == ()
    assert [seen(each) for each in places] == before
    assert leftovers(prefix) == []
