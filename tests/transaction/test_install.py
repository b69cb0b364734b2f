"""Installing: one transaction for all, exactly the new state or exactly the old one. Promise 2."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.errors import Conflict, NotRemovable, Outdated, SageWheelsError, SourceError, UsageError, WheelRefused
from sage_wheels.installed import Distribution
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions
from support.run import install, names, python, uninstall
from support.trees import difference, faded, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel, record_row


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def pkg(tmp_path: Path, version: str, files: dict[str, str], **more: Any) -> Path:
    return make_wheel(tmp_path / "wheels", "pkg", version, {"pkg/__init__.py": f"v = {version!r}\n", **files}, **more)


def assert_untouched(prefix: Path, before: object, wheels: list[Path], error: type[SageWheelsError], **how: Any) -> str:
    """Installing `wheels` fails with `error`, one sentence, and leaves nothing; the message."""
    with pytest.raises(error) as caught:
        install(prefix, *wheels, **how)
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


CHANGES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "files go": ({"pkg/a.py": "", "pkg/sub/b.py": "", "gone.py": "", "gone/c.py": ""}, {"pkg/a.py": "x = 1\n"}),
    "files come": ({"pkg/a.py": ""}, {"pkg/a.py": "", "pkg/sub/b.py": "", "new.py": "", "new/c.py": ""}),
    "module becomes package": ({"mod.py": "x = 1\n"}, {"mod/__init__.py": "x = 2\n"}),
    "package becomes module": ({"mod/__init__.py": "x = 1\n", "mod/a/b.py": ""}, {"mod.py": "x = 2\n"}),
    "file becomes directory": ({"pkg/data": "x"}, {"pkg/data/file": "y"}),
    "directory becomes file": ({"pkg/data/a/b": "x", "pkg/data/c": "x"}, {"pkg/data": "y"}),
    "everything changes": ({"a.py": "", "b/c.py": ""}, {"d.py": "", "e/f.py": ""}),
    "only contents change": ({"pkg/a.py": "1", "mod.py": "1"}, {"pkg/a.py": "2", "mod.py": "2"}),
    "top-level file becomes directory": ({"thing": "x"}, {"thing/x": "y"}),
    "top-level directory becomes file": ({"thing/x": "x"}, {"thing": "y"}),
}


@pytest.mark.parametrize("crowded", [False, True], ids=["alone", "crowded"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_upgrade_leaves_exactly_the_new_version(tmp_path: Path, prefix: Path, change: str, crowded: bool) -> None:
    """`crowded`: a file of nobody in pkg/, so that no directory can be taken as a whole."""
    old, new = CHANGES[change]
    stranger = site_packages(prefix) / "pkg/stranger.txt"
    if crowded:
        stranger.parent.mkdir()
        stranger.write_text("mine")
    install(prefix, pkg(tmp_path, "2", new))
    expected = snapshot(prefix)
    uninstall(prefix, "pkg")
    install(prefix, pkg(tmp_path, "1", old))
    report = install(prefix, pkg(tmp_path, "2", new))
    assert difference(faded(expected), faded(snapshot(prefix))) == []
    assert [tuple(each) for each in report.changes] == [("pkg", "1", "2")]
    assert report.set_aside == ()
    assert python(prefix, "import pkg; print(pkg.v)") == "2"
    install(prefix, pkg(tmp_path, "1", old))
    uninstall(prefix, "pkg")
    assert stranger.exists() == crowded
    assert [name for name in os.listdir(site_packages(prefix)) if name != "pkg"] == []
    assert leftovers(prefix) == []


def test_an_edited_file_is_set_aside_when_it_is_replaced_or_goes(tmp_path: Path, prefix: Path) -> None:
    install(prefix, pkg(tmp_path, "1", {"pkg/config": "theirs 1", "pkg/old": "theirs"}))
    library = site_packages(prefix)
    (library / "pkg/config").write_text("mine")
    (library / "pkg/old").write_text("mine, too")
    report = install(prefix, pkg(tmp_path, "2", {"pkg/config": "theirs 2"}))
    assert (library / "pkg/config").read_text() == "theirs 2"
    assert not (library / "pkg/old").exists()
    where = library.relative_to(prefix).as_posix()
    assert set_aside(prefix) == {f"{where}/pkg/config": b"mine", f"{where}/pkg/old": b"mine, too"}
    assert len(report.set_aside) == 2


def test_several_wheels_are_one_transaction(tmp_path: Path, prefix: Path) -> None:
    one = make_wheel(tmp_path, "one", "1", {"one.py": ""})
    before = snapshot(prefix)
    bad = make_wheel(tmp_path, "two", "1", {"two.py": "x"}, rows={"two.py": record_row("two.py", "y")})
    message = assert_untouched(prefix, before, [one, bad], WheelRefused)
    assert "two-1-py3-none-any.whl: the content of 'two.py' does not have the hash in its RECORD" in message
    report = install(prefix, one, make_wheel(tmp_path, "two", "2", {"two.py": ""}))
    assert [tuple(each) for each in report.changes] == [("one", "", "1"), ("two", "", "2")]
    assert names(prefix) == ["one 1", "two 2"]


def test_the_same_wheel_again_changes_nothing_and_says_so(tmp_path: Path, prefix: Path) -> None:
    wheel = pkg(tmp_path, "1", {"pkg/a.py": "x = 1\n"}, entry_points={"t": "pkg:f"}, data={"scripts/s": "#!python\n"})
    install(prefix, wheel)
    before = snapshot(prefix)
    inodes = {path: os.lstat(prefix / path).st_ino for path in before}
    report = install(prefix, wheel)
    assert report.unchanged == (("pkg", "1"),)
    assert (report.changes, report.steps) == ((), ())
    assert snapshot(prefix) == before
    assert {path: os.lstat(prefix / path).st_ino for path in before} == inodes


def test_the_same_wheel_with_bytecode_in_it_changes_nothing(tmp_path: Path, prefix: Path) -> None:
    cached = f"pkg/__pycache__/a.{sys.implementation.cache_tag}.pyc"
    wheel = pkg(tmp_path, "1", {"pkg/a.py": "", cached: "from the wheel"})
    install(prefix, wheel)
    before = snapshot(prefix)
    assert install(prefix, wheel).unchanged == (("pkg", "1"),)
    assert snapshot(prefix) == before


def test_the_same_version_with_other_content_is_installed(tmp_path: Path, prefix: Path) -> None:
    install(prefix, pkg(tmp_path, "1", {"pkg/a.py": "x = 1\n"}))
    report = install(prefix, pkg(tmp_path, "1", {"pkg/a.py": "x = 2\n"}))
    assert [tuple(each) for each in report.changes] == [("pkg", "1", "1")]
    assert python(prefix, "import pkg.a; print(pkg.a.x)") == "2"


@pytest.mark.parametrize("first", ["#!python\n", "#!/bin/sh\n", ""], ids=["of Python", "of the shell", "no"])
def test_the_same_version_with_another_script_is_installed(tmp_path: Path, prefix: Path, first: str) -> None:
    install(prefix, pkg(tmp_path, "1", {}, data={"scripts/tool": f"{first}print(1)\n"}))
    wheel = pkg(tmp_path, "1", {}, data={"scripts/tool": f"{first}print(2)\n"})
    report = install(prefix, wheel)
    assert [tuple(each) for each in report.changes] == [("pkg", "1", "1")]
    assert (prefix / "bin/tool").read_text().endswith("print(2)\n")
    assert install(prefix, wheel).unchanged == (("pkg", "1"),)


def test_a_version_that_is_spelled_in_two_ways_is_one(tmp_path: Path, prefix: Path) -> None:
    wheel = make_wheel(tmp_path, "pkg", "1.0.post1", {"pkg.py": ""}, metadata_text="Name: pkg\nVersion: 1.0-1\n")
    install(prefix, wheel)
    assert install(prefix, wheel).unchanged == (("pkg", "1.0-1"),)


def test_reinstall_installs_the_same_again(tmp_path: Path, prefix: Path) -> None:
    wheel = pkg(tmp_path, "1", {})
    install(prefix, wheel)
    before = snapshot(prefix)
    report = install(prefix, wheel, reinstall=True)
    assert [tuple(each) for each in report.changes] == [("pkg", "1", "1")]
    assert faded(snapshot(prefix)) == faded(before)


@pytest.mark.parametrize("damage", ["missing", "shorter", "no RECORD row", "same length"])
def test_a_damaged_installation_is_repaired(tmp_path: Path, prefix: Path, damage: str) -> None:
    wheel = pkg(tmp_path, "1", {"pkg/a.py": "x = 1\n", "mod.py": "x = 1\n"})
    install(prefix, wheel)
    before = snapshot(prefix)
    library = site_packages(prefix)
    if damage == "missing":
        (library / "mod.py").unlink()
    elif damage == "shorter":
        (library / "pkg/a.py").write_text("")
    elif damage == "same length":
        (library / "pkg/a.py").write_text("x = 2\n")
    else:
        record = library / "pkg-1.dist-info/RECORD"
        record.write_text("".join(line for line in record.read_text().splitlines(True) if "mod.py" not in line))
    report = install(prefix, wheel, reinstall=damage == "same length", overwrite=damage == "no RECORD row")
    assert [tuple(each) for each in report.changes] == [("pkg", "1", "1")]
    assert difference(faded(before), faded(snapshot(prefix))) == []
    assert len(report.set_aside) == (damage in ("shorter", "same length"))


def test_a_second_record_of_the_same_name_goes(tmp_path: Path, prefix: Path) -> None:
    """What a killed pip leaves: two dist-infos of one project."""
    wheel = pkg(tmp_path, "2", {})
    install(prefix, wheel)
    expected = snapshot(prefix)
    library = site_packages(prefix)
    for version in ("0.9", "1"):
        stale = library / f"Pkg-{version}.dist-info"
        stale.mkdir()
        (stale / "METADATA").write_text(f"Name: Pkg\nVersion: {version}\n")
        rows = [f"Pkg-{version}.dist-info/{name},," for name in ("METADATA", "RECORD")]
        (stale / "RECORD").write_text("\n".join([*rows, record_row("stale.py", "")]))
        (library / "stale.py").write_text("")
    report = install(prefix, wheel)
    assert [change.old_version for change in report.changes] == ["0.9, 1, 2"]
    assert difference(faded(expected), faded(snapshot(prefix))) == []


def test_a_foreign_file_in_the_dist_info_does_not_keep_the_old_version(tmp_path: Path, prefix: Path) -> None:
    install(prefix, pkg(tmp_path, "1", {}))
    (site_packages(prefix) / "pkg-1.dist-info/foreign").write_text("mine")
    report = install(prefix, pkg(tmp_path, "1", {}), reinstall=True)
    assert (site_packages(prefix) / "pkg-1.dist-info/foreign").read_text() == "mine", "its directory stays"
    assert report.set_aside == ()
    report = install(prefix, pkg(tmp_path, "2", {}))
    assert names(prefix) == ["pkg 2"]
    assert [Path(path).read_text() for path in report.set_aside] == ["mine"]
    assert not (site_packages(prefix) / "pkg-1.dist-info").exists()


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("damage", ["no RECORD", "no CSV", "a directory", "nothing left", "only what is foreign"])
def test_a_wheel_takes_the_place_of_one_without_record(tmp_path: Path, prefix: Path, damage: str, version: str) -> None:
    """Its files are nobody's then: those that are the same stay, others are conflicts."""
    install(prefix, pkg(tmp_path, "1", {}))
    library = site_packages(prefix)
    record = library / "pkg-1.dist-info/RECORD"
    record.unlink()
    if damage == "no CSV":
        record.write_text('"')
    elif damage == "a directory":
        record.mkdir()
    elif damage != "no RECORD":
        shutil.rmtree(record.parent)
        record.parent.mkdir()
    if damage == "only what is foreign":
        (record.parent / "notes").write_text("mine, too")
    (library / "pkg/__init__.py").write_text("mine")
    wheel = pkg(tmp_path, version, {"pkg/new.py": ""})
    message = assert_untouched(prefix, snapshot(prefix), [wheel], Conflict, reinstall=True)
    assert "__init__.py, which belongs to no distribution, or to pkg" in message
    report = install(prefix, wheel, reinstall=True, overwrite=True)
    aside = ["mine", "mine, too"] if damage == "only what is foreign" else ["mine"]
    assert [Path(path).read_text() for path in report.set_aside] == aside
    assert names(prefix) == [f"pkg {version}"]
    assert sage_wheels.verify("pkg", prefix) == []
    uninstall(prefix, "pkg")
    assert os.listdir(library) == []


def test_the_same_wheel_again_gives_back_the_record(tmp_path: Path, prefix: Path) -> None:
    """What the refusal to uninstall it advises."""
    before = snapshot(prefix)
    wheel = pkg(tmp_path, "1", {"mod.py": ""}, entry_points={"t": "pkg:f"})
    install(prefix, wheel)
    (site_packages(prefix) / "pkg-1.dist-info/RECORD").unlink()
    with pytest.raises(NotRemovable, match=r"install --reinstall pkg==1 --prefix \S+', which makes a new one"):
        uninstall(prefix, "pkg")
    assert install(prefix, wheel, reinstall=True).set_aside == ()
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("together", [True, False])
def test_a_conflict_names_both_and_leaves_everything(tmp_path: Path, prefix: Path, together: bool) -> None:
    one = make_wheel(tmp_path, "one", "1", {"shared/mod.py": "x = 1\n", "one.py": ""})
    two = make_wheel(tmp_path, "two", "1", {"shared/mod.py": "x = 2\n", "two.py": ""})
    if not together:
        install(prefix, one)
    before = snapshot(prefix)
    message = assert_untouched(prefix, before, [one, two] if together else [two], Conflict)
    assert "one" in message
    assert "two" in message
    assert "shared/mod.py" in message
    assert "--on-conflict overwrite" in message


def test_a_conflict_may_be_overwritten_and_the_file_stays_with_both(tmp_path: Path, prefix: Path) -> None:
    install(prefix, make_wheel(tmp_path, "one", "1", {"shared/mod.py": "x = 1\n"}))
    install(prefix, make_wheel(tmp_path, "two", "1", {"shared/mod.py": "x = 2\n"}), overwrite=True)
    module = site_packages(prefix) / "shared/mod.py"
    assert module.read_text() == "x = 2\n"
    uninstall(prefix, "two")
    assert module.exists(), "one claims it, too"
    uninstall(prefix, "one")
    assert not module.exists()


@pytest.mark.parametrize("place", ["mod.py", "pkg/mod.py", "../../../bin/tool", "../../../share/x"])
def test_a_file_of_nobody_in_the_way(tmp_path: Path, prefix: Path, place: str) -> None:
    stranger = site_packages(prefix) / place
    stranger.resolve().parent.mkdir(parents=True, exist_ok=True)
    stranger.resolve().write_text("mine")
    files = {"mod.py": "theirs", "pkg/mod.py": "theirs"}
    wheel = make_wheel(tmp_path, "pkg", "1", files, data={"data/share/x": "theirs", "scripts/tool": "theirs"})
    message = assert_untouched(prefix, snapshot(prefix), [wheel], Conflict)
    assert f"pkg would replace {stranger.resolve()}, which belongs to no distribution" in message
    report = install(prefix, wheel, overwrite=True)
    assert stranger.read_text() == "theirs"
    assert [Path(path).read_text() for path in report.set_aside] == ["mine"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("inside", ["", "sub"])
def test_a_directory_of_nobody_in_the_way(tmp_path: Path, prefix: Path, inside: str, overwrite: bool) -> None:
    (site_packages(prefix) / "mod.py" / inside).mkdir(parents=True)
    wheel = make_wheel(tmp_path, "pkg", "1", {"mod.py": ""})
    message = assert_untouched(prefix, snapshot(prefix), [wheel], Conflict, overwrite=overwrite)
    what = "a directory with other files" if inside else "an empty directory"
    assert f"{site_packages(prefix) / 'mod.py'}, which is {what}; uninstall the one or the other, or move" in message


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_in_the_way_of_a_directory(tmp_path: Path, prefix: Path, overwrite: bool) -> None:
    install(prefix, make_wheel(tmp_path, "one", "1", {"thing": "a file"}))
    wheel = make_wheel(tmp_path, "two", "1", {"thing/file": "x"})
    message = assert_untouched(prefix, snapshot(prefix), [wheel], Conflict, overwrite=overwrite)
    assert "belongs to one 1" in message
    assert "--on-conflict" not in message, "that does not help"


@pytest.mark.parametrize("target", ["../../../../outside", "nowhere", "loop"])
def test_a_link_that_leads_out_is_not_followed(tmp_path: Path, prefix: Path, target: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = site_packages(prefix) / "pkg"
    link.symlink_to("pkg" if target == "loop" else outside if target.startswith("..") else target)
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": ""})
    message = assert_untouched(prefix, snapshot(prefix), [wheel], Conflict)
    assert f"{link}, which is a symbolic link that leads out of the prefix or nowhere" in message
    assert list(outside.iterdir()) == []


def test_two_versions_in_one_call_are_refused(tmp_path: Path, prefix: Path) -> None:
    wheels = [make_wheel(tmp_path / version, "a.b", version, {"m.py": ""}) for version in ("1", "2")]
    message = assert_untouched(prefix, snapshot(prefix), wheels, UsageError)
    assert all(str(wheel) in message for wheel in wheels)


def test_a_dry_run_changes_nothing_and_tells_the_steps(tmp_path: Path, prefix: Path) -> None:
    before = snapshot(prefix)
    wheel = pkg(tmp_path, "1", {})
    report = sage_wheels.install([str(wheel)], prefix, InstallOptions(), CommitOptions(dry_run=True))
    assert snapshot(prefix) == before
    assert [tuple(each) for each in report.changes] == [("pkg", "", "1")]
    assert ("place", f"{site_packages(prefix)}/pkg") in report.steps
    assert leftovers(prefix) == []


def test_durable_does_the_same(tmp_path: Path, prefix: Path) -> None:
    sage_wheels.install([str(pkg(tmp_path, "1", {}))], prefix, InstallOptions(), CommitOptions(durable=True))
    assert names(prefix) == ["pkg 1"]
    before = snapshot(prefix)
    sage_wheels.install([str(pkg(tmp_path, "2", {}))], prefix, InstallOptions(), CommitOptions(durable=True))
    sage_wheels.install([str(pkg(tmp_path, "1", {}))], prefix, InstallOptions(), CommitOptions(durable=True))
    assert faded(snapshot(prefix)) == faded(before)


def test_old_bytecode_that_nobody_lists_is_replaced(tmp_path: Path, prefix: Path) -> None:
    stray = site_packages(prefix) / f"__pycache__/mod.{sys.implementation.cache_tag}.pyc"
    stray.parent.mkdir()
    stray.write_bytes(b"stray")
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"mod.py": "x = 1\n"}))
    assert python(prefix, "import mod; print(mod.x)") == "1"
    assert stray.read_bytes() != b"stray"


def test_a_wheel_that_is_not_there(tmp_path: Path, prefix: Path) -> None:
    before = snapshot(prefix)
    with pytest.raises(SourceError, match=r"gone-1-py3-none-any\.whl"):
        install(prefix, tmp_path / "gone-1-py3-none-any.whl")
    assert snapshot(prefix) == before


def test_a_single_file_is_never_absent_from_the_steps_of_an_upgrade(tmp_path: Path, prefix: Path) -> None:
    """Code comes before the dist-info that describes it, the old dist-info leaves last; .pth comes last, goes first."""
    files = {"mod.py": "1", "pkg.pth": "#\n", "old.pth": "#\n", "old.py": ""}
    install(prefix, pkg(tmp_path, "1", files, entry_points={"t": "pkg:f"}))
    steps = install(prefix, pkg(tmp_path, "2", {"mod.py": "2", "pkg.pth": "# 2\n"}, entry_points={"u": "pkg:f"})).steps
    order = [str(step).replace(str(prefix) + "/", "").rpartition("site-packages/")[2] for step in steps]
    at = {each: number for number, each in enumerate(order)}
    assert at["old.pth"] < at["pkg"] < at["pkg-2.dist-info"] < at["pkg-1.dist-info"] < at["pkg.pth"]
    assert at["mod.py"] < at["pkg-2.dist-info"]
    assert at["old.py"] < at["pkg-1.dist-info"]
    assert at["remove bin/t"] < at["place bin/u"] < at["pkg-2.dist-info"]


def test_bytecode_of_a_shared_source_fits_the_source_that_stays(tmp_path: Path, prefix: Path) -> None:
    one = make_wheel(tmp_path, "one", "1", {"b/__init__.py": "x = 1\n", "b/one.py": ""})
    two = make_wheel(tmp_path, "two", "1", {"b/__init__.py": "x = 1\n", "b/two.py": ""})
    install(prefix, one)
    source = site_packages(prefix) / "b/__init__.py"
    os.utime(source, (1e9, 1e9))
    bytecode = site_packages(prefix) / f"b/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
    bytecode.unlink()
    python(prefix, "import sys; sys.dont_write_bytecode = False; import b")
    before = bytecode.read_bytes()
    assert int.from_bytes(before[8:12], "little") == 10**9
    install(prefix, two)
    assert bytecode.read_bytes() == before


@pytest.mark.parametrize("listed", [True, False], ids=["in RECORD", "written by Python"])
def test_bytecode_of_anothers_source_is_the_others(tmp_path: Path, prefix: Path, listed: bool) -> None:
    install(prefix, make_wheel(tmp_path, "six", "1", {"six.py": "x = 1\n"}), compile_bytecode=listed)
    python(prefix, "import sys; sys.dont_write_bytecode = False; import six")
    cached = f"__pycache__/six.{sys.implementation.cache_tag}.pyc"
    wheel = make_wheel(tmp_path, "evil", "1", {cached: "evil"})
    message = assert_untouched(prefix, snapshot(prefix), [wheel], Conflict, adopt=True)
    assert f"{cached}, which belongs to six 1" in message


@pytest.mark.parametrize("tops", [["b/"], ["", "b/"]], ids=["package", "module and package"])
def test_bytecode_that_comes_for_a_source_that_is_there_fits_it(tmp_path: Path, prefix: Path, tops: list[str]) -> None:
    """The source of the first one stays, with its time; so the second one's byte-code has to name that."""
    files = {f"{top}m.py": "x = 1\n" for top in tops}
    install(prefix, make_wheel(tmp_path, "one", "1", files), compile_bytecode=False)
    for each in files:
        os.utime(site_packages(prefix) / each, (1e9, 1e9))
    install(prefix, make_wheel(tmp_path, "two", "1", {**files, "b/more.py": ""}))
    for each in files:
        found = (site_packages(prefix) / each).parent / f"__pycache__/m.{sys.implementation.cache_tag}.pyc"
        assert int.from_bytes(found.read_bytes()[8:12], "little") == 10**9
        assert os.stat(site_packages(prefix) / each).st_mtime == 1e9
    source, own = (site_packages(prefix) / f"b/{name}" for name in ("more.py", "__pycache__"))
    bytecode = (own / f"more.{sys.implementation.cache_tag}.pyc").read_bytes()
    assert int.from_bytes(bytecode[8:12], "little") == int(source.stat().st_mtime)


def test_bytecode_that_a_wheel_brings_is_left_as_recorded(tmp_path: Path, prefix: Path) -> None:
    cached = f"b/__pycache__/m.{sys.implementation.cache_tag}.pyc"
    install(prefix, make_wheel(tmp_path, "one", "1", {"b/m.py": ""}), compile_bytecode=False)
    install(prefix, make_wheel(tmp_path, "two", "1", {"b/m.py": "", cached: b"\0" * 20}), compile_bytecode=False)
    assert sage_wheels.verify("two", prefix) == []


@pytest.mark.parametrize("compiled", [True, False], ids=["byte-code", "no byte-code"])
@pytest.mark.parametrize("twice", [True, False], ids=["listed by both", "listed by one"])
def test_the_bytecode_of_an_overwritten_source_goes(tmp_path: Path, prefix: Path, compiled: bool, twice: bool) -> None:
    """Of the same size and second as the new source, Python would run it."""
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "one", "1", {"ns/i.py": "x = 1\n", "ns/one.py": ""}))
    if twice:
        install(prefix, make_wheel(tmp_path, "two", "1", {"ns/i.py": "x = 1\n"}))
    wheel = make_wheel(tmp_path, "two", "2", {"ns/i.py": "x = 2\n"})
    install(prefix, wheel, overwrite=True, compile_bytecode=compiled)
    cache = site_packages(prefix) / "ns/__pycache__"
    assert (cache / f"i.{sys.implementation.cache_tag}.pyc").exists() == compiled
    assert (cache / f"one.{sys.implementation.cache_tag}.pyc").exists()
    assert python(prefix, "import ns.i; print(ns.i.x)") == "2"
    assert sage_wheels.verify("two", prefix) == []
    uninstall(prefix, "one", "two")
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "not watched"])
def test_a_condition_still_holds_when_the_commit_is_made(tmp_path: Path, prefix: Path, is_watched: bool) -> None:
    """The dependency goes after the condition was looked at, and before the lock is taken."""
    install(prefix, make_wheel(tmp_path, "dependency", "1", {"dependency.py": ""}))
    after = []

    def check(distributions: list[Distribution]) -> None:
        if "dependency" not in [each.name for each in distributions]:
            raise Outdated("the dependency is gone")
        uninstall(prefix, "dependency")
        after.append(snapshot(prefix))

    options = InstallOptions(check=check, watched=frozenset({"dependency"} if is_watched else ()))
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""})
    if is_watched:
        with pytest.raises(Outdated, match="the dependency is gone"):
            sage_wheels.install([str(wheel)], prefix, options)
        assert snapshot(prefix) == after[0]
        assert leftovers(prefix) == []
    else:
        sage_wheels.install([str(wheel)], prefix, options)
        assert names(prefix) == ["pkg 1"]
    assert len(after) == 1
