"""What tools before wheels left: removed where that is exact, else refused with a reason. Promise 4."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import Conflict, NotRemovable
from sage_wheels.installed import find_all
from sage_wheels.installed.owners import Owners
from sage_wheels.prefix import find_prefix
from support.run import install, names, tool, uninstall
from support.trees import difference, make_prefix, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_egg_info_with_a_list_of_files(prefix: Path) -> None:
    """As `setup.py install --single-version-externally-managed --record` under an old pip left it."""
    library = site_packages(prefix)
    write(library, {"keep.py": "", "ns/keep.py": ""})
    before = snapshot(prefix)
    write(library, {"old/__init__.py": "", "old/a.py": "", "ns/old.py": "", "old/__pycache__/a.cpython-399.pyc": ""})
    write(prefix, {"bin/old": "#!/bin/sh\n"})
    listing = (
        "../old/__init__.py\n../old/a.py\n../old/__pycache__/a.cpython-399.pyc\n../ns/old.py\n../../../../bin/old\n./\n"
    )
    listing += "PKG-INFO\ninstalled-files.txt\n../../../../../outside\n"
    write(library, {f"old-1.egg-info/{name}": "Name: old\n" for name in ("PKG-INFO", "SOURCES.txt", "top_level.txt")})
    write(library, {"old-1.egg-info/installed-files.txt": listing})
    write(prefix.parent, {"outside": "precious"})
    assert names(prefix) == ["old 1"]
    report = uninstall(prefix, "old")
    assert report.ignored == ("old 1: ../../../../../outside",)
    assert difference(before, snapshot(prefix)) == []
    assert (prefix.parent / "outside").read_text() == "precious"


def test_a_list_is_believed_no_more_than_a_record(prefix: Path) -> None:
    library = site_packages(prefix)
    write(library, {"../os.py": "", "old-1.egg-info/PKG-INFO": "Name: old\nVersion: 1\n", "old.py": ""})
    rows = ["../../os.py", "../../../../bin/python", "../../../../pyvenv.cfg"]
    write(library, {"old-1.egg-info/installed-files.txt": "\n".join([*rows, "../old.py"])})
    before = snapshot(prefix)
    report = uninstall(prefix, "old")
    assert report.ignored == tuple(f"old 1: {row}" for row in rows)
    after = snapshot(prefix)
    gone = ("old.py", "old-1.egg-info", "old-1.egg-info/PKG-INFO", "old-1.egg-info/installed-files.txt")
    assert {library / path for path in gone} == {prefix / path for path in before.keys() - after.keys()}
    assert after.keys() <= before.keys()


def test_what_a_list_claims_stays(prefix: Path, tmp_path: Path) -> None:
    library = site_packages(prefix)
    write(library, {"ns/__init__.py": "same\n", "ns/a.py": "", "aa-1.egg-info/PKG-INFO": "Name: aa\nVersion: 1\n"})
    listing = "../ns/__init__.py\n../ns/a.py\n"
    write(library, {"aa-1.egg-info/installed-files.txt": listing})
    before = snapshot(prefix)
    install(
        prefix, make_wheel(tmp_path, "bb", "1", {"ns/__init__.py": "same\n", "ns/b.py": ""}), compile_bytecode=False
    )
    with pytest.raises(Conflict, match="belongs to aa 1"):
        install(prefix, make_wheel(tmp_path, "cc", "1", {"ns/a.py": "other"}))
    uninstall(prefix, "bb")
    assert difference(before, snapshot(prefix)) == []
    where = find_prefix(prefix)
    assert Owners(where, find_all(where)).areas().keys() == {f"{library.relative_to(prefix)}/aa-1.egg-info"}
    write(library, {"aa-1.egg-info/installed-files.txt": f"{listing}../new.py\n"})  # the cache sees that
    owners = Owners(where, find_all(where)).owners(f"{library.relative_to(prefix)}/new.py")
    assert [str(each) for each in owners] == ["aa 1"]


@pytest.mark.parametrize("directory", ["old-1.egg-info", "old-1-py3.11.egg"])
def test_what_leads_out_of_the_prefix_is_not_believed(prefix: Path, tmp_path: Path, directory: str) -> None:
    library = site_packages(prefix)
    outside = tmp_path / "outside"
    library.rename(outside)
    library.symlink_to(outside)
    write(library, {f"{directory}/PKG-INFO": "Name: old\nVersion: 1\n", f"{directory}/installed-files.txt": ""})
    before = snapshot(outside)
    with pytest.raises(NotRemovable, match=f"{directory} leads out of the prefix by a link"):
        uninstall(prefix, "old")
    assert difference(before, snapshot(outside)) == []


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_egg_info_without_a_list_is_refused(prefix: Path, kind: str) -> None:
    library = site_packages(prefix)
    record = library / "old-1-py3.11.egg-info"
    write(library, {f"{record.name}/PKG-INFO" if kind == "directory" else record.name: "Name: old\nVersion: 1\n"})
    before = snapshot(prefix)
    with pytest.raises(NotRemovable) as caught:
        uninstall(prefix, "old")
    assert f"what belongs to old 1 is not known: {record} was left by" in str(caught.value)
    assert caught.value.advice
    assert snapshot(prefix) == before


@pytest.mark.parametrize("others", ["", "/src/other\n"], ids=["alone", "beside others"])
def test_egg_link(prefix: Path, tmp_path: Path, others: str) -> None:
    library = site_packages(prefix)
    source = tmp_path / "src"
    write(source, {"dev.py": "", "dev.egg-info/PKG-INFO": "Name: dev\nVersion: 1\n"})
    if others:
        write(library, {"easy-install.pth": others, "other.egg-link": "/src/other\n."})
    before, source_before = snapshot(prefix), snapshot(source)
    write(library, {"dev.egg-link": f"{source}\n.", "easy-install.pth": f"{source}\n{others}"})
    write(prefix, {"bin/dev": "#!/p\n# EASY-INSTALL-ENTRY-SCRIPT: 'dev','console_scripts','dev'\n"})
    write(prefix, {"bin/dev2": "#!/p\n# EASY-INSTALL-DEV-SCRIPT: 'dev==1','dev2'\n"})
    uninstall(prefix, "dev")
    assert difference(before, snapshot(prefix)) == []
    assert snapshot(source) == source_before


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "file"])
def test_egg(prefix: Path, zipped: bool) -> None:
    library = site_packages(prefix)
    write(library, {"easy-install.pth": "./other-1-py3.11.egg\n", "keep.py": ""})
    before = snapshot(prefix)
    egg = "old-1-py3.11.egg"
    write(library, {egg: "zip"} if zipped else {f"{egg}/old/a.py": "", f"{egg}/EGG-INFO/PKG-INFO": "Name: old\n"})
    write(library, {"easy-install.pth": f"./other-1-py3.11.egg\n./{egg}\n"})
    write(prefix, {"bin/old": "#!/p\n# EASY-INSTALL-SCRIPT: 'old==1','old'\n", "bin/other": "#!/bin/sh\n"})
    uninstall(prefix, "old")
    (prefix / "bin/other").unlink()
    assert difference(before, snapshot(prefix)) == []


def test_an_egg_beside_a_script_that_is_not_utf8(prefix: Path) -> None:
    write(site_packages(prefix), {"old-1-py3.11.egg": "zip"})
    (prefix / "bin/x").write_bytes(b"#!/bin/sh\n# EASY-INSTALL-SCRIPT: '\xe9old==1','x'\n")
    uninstall(prefix, "old")
    assert os.listdir(site_packages(prefix)) == []
    assert (prefix / "bin/x").exists()


def test_an_egg_in_a_prefix_without_scripts(prefix: Path) -> None:
    write(site_packages(prefix), {"old-1-py3.11.egg": "zip"})
    shutil.rmtree(prefix / "bin")
    uninstall(prefix, "old")
    assert os.listdir(site_packages(prefix)) == []


def test_easy_install_pth_that_becomes_empty_goes(prefix: Path, tmp_path: Path) -> None:
    before = snapshot(prefix)
    write(site_packages(prefix), {"dev.egg-link": f"{tmp_path}/src\n.", "easy-install.pth": f"{tmp_path}/src\n"})
    uninstall(prefix, "dev")
    assert difference(before, snapshot(prefix)) == []


def test_what_has_no_version_is_uninstalled_in_a_sentence_that_says_so(prefix: Path) -> None:
    write(site_packages(prefix), {"dev.egg-link": "/src\n."})
    done = tool("uninstall", "--prefix", prefix, "dev")
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, f"sage-wheels: dev uninstalled from {prefix}")


@pytest.mark.parametrize("others", ["", "/src/other\n"], ids=["alone", "beside others"])
def test_egg_links_that_go_together(prefix: Path, others: str) -> None:
    library = site_packages(prefix)
    if others:
        write(library, {"easy-install.pth": others})
    before = snapshot(prefix)
    write(library, {"one.egg-link": "/src/one\n.", "two-1-py3.11.egg": "zip"})
    write(library, {"easy-install.pth": f"/src/one\n{others}./two-1-py3.11.egg\n"})
    uninstall(prefix, "one", "two")
    assert difference(before, snapshot(prefix)) == []


def test_a_wheel_replaces_an_egg_and_an_egg_link(prefix: Path, tmp_path: Path) -> None:
    """As `setup.py develop` over an egg leaves it."""
    write(site_packages(prefix), {"old-1-py3.11.egg": "zip", "old.egg-link": "/src/old\n."})
    report = install(prefix, make_wheel(tmp_path, "old", "2", {"old.py": ""}))
    assert [tuple(each) for each in report.changes] == [("old", "1", "2")]
    assert names(prefix) == ["old 2"]


def test_a_wheel_replaces_an_egg_info_with_a_list(prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "old", "2", {"old/__init__.py": "x = 2\n"})
    library = site_packages(prefix)
    write(library, {"old/__init__.py": "", "old/gone.py": "", "old-1.egg-info/PKG-INFO": "Name: old\nVersion: 1\n"})
    write(library, {"old-1.egg-info/installed-files.txt": "../old/__init__.py\n../old/gone.py\nPKG-INFO\n"})
    report = install(prefix, wheel)
    assert [tuple(each) for each in report.changes] == [("old", "1", "2")]
    assert names(prefix) == ["old 2"]
    assert not (library / "old/gone.py").exists()


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_wheel_replaces_an_egg_info_without_a_list(prefix: Path, tmp_path: Path, kind: str) -> None:
    wheel = make_wheel(tmp_path, "old", "2", {"old.py": "x = 2\n"})
    library = site_packages(prefix)
    record = library / "old-1-py3.11.egg-info"
    write(library, {f"{record.name}/PKG-INFO" if kind == "directory" else record.name: "Name: old\nVersion: 1\n"})
    write(library, {"old.py": "x = 1\n", "kept.py": ""})
    with pytest.raises(Conflict, match=r"old\.py, which belongs to no distribution, or to old 1, whose list"):
        install(prefix, wheel)
    report = install(prefix, wheel, overwrite=True)
    assert [Path(path).read_text() for path in report.set_aside] == ["x = 1\n"]
    assert names(prefix) == ["old 2"]
    uninstall(prefix, "old")
    assert os.listdir(library) == ["kept.py"]


def test_editable_dist_info_of_today(prefix: Path, tmp_path: Path) -> None:
    """An editable installation is a wheel with a .pth: nothing special."""
    before = snapshot(prefix)
    wheel = make_wheel(tmp_path, "edit", "1", {"__editable__.edit-1.pth": f"{tmp_path}/src\n"})
    install(prefix, wheel)
    uninstall(prefix, "edit")
    assert difference(before, snapshot(prefix)) == []


def as_setuptools_left_it(prefix: Path) -> None:
    """`setup.py install --single-version-externally-managed` without --record: Debian's way, and for long Sage's."""
    library, info = site_packages(prefix), "old_of_it-1.0-py3.11.egg-info"
    write(library, {"oldpkg/__init__.py": "", "oldpkg/sub/data.txt": "", "oldpkg/__pycache__/x.cpython-399.pyc": ""})
    write(
        library, {"oldmodule.py": "", "oldmodule.pyc": "", "oldc.cpython-311-x86_64-linux-gnu.so": "", "oldabi.so": ""}
    )
    (library / "oldpkg/link").symlink_to("sub")
    write(library, {f"{info[:-9]}-nspkg.pth": "import types\n"})
    write(library, {f"{info}/PKG-INFO": "Metadata-Version: 1.0\nName: old.of-it\nVersion: 1.0\n"})
    write(library, {"oldspace/mine/a.py": "", "oldspace/mine_too.py": ""})
    tops = "oldpkg\noldmodule\noldc\noldabi\noldspace\n\n../oldout\nnot_there\noldspace/mine\noldspace/mine_too\n"
    write(library, {f"{info}/top_level.txt": f"{tops}oldspace/..\noldspace/.\noldspace/\n/oldspace\n.\n..\n"})
    write(library, {f"{info}/namespace_packages.txt": "oldspace\n", f"{info}/scripts/old-script": ""})
    write(library, {f"{info}/entry_points.txt": "[console_scripts]\nold = oldpkg:main\n../old = x:y\n[other]\no = x\n"})
    write(prefix, {"bin/old": "", "bin/old-script": ""})


def keep_what_is_others(prefix: Path) -> None:
    write(site_packages(prefix), {"oldspace/other.py": "", "oldpkg_too.py": "", "oldpkg2/a.py": "", "../oldout.py": ""})
    write(prefix, {"bin/o": "", "old": ""})


def test_egg_info_with_the_names_of_its_modules(prefix: Path) -> None:
    keep_what_is_others(prefix)
    before = snapshot(prefix)
    as_setuptools_left_it(prefix)
    assert names(prefix) == ["old.of-it 1.0"]
    assert tool("list", "--prefix", prefix).stdout.split()[:2] == ["old.of-it", "1.0"]
    assert [str(each) for each in sage_wheels.distributions(prefix)] == ["old.of-it 1.0"]
    uninstall(prefix, "Old_Of_It")
    assert difference(before, snapshot(prefix)) == []


def test_what_others_own_of_such_a_package_stays(prefix: Path, tmp_path: Path) -> None:
    install(prefix, make_wheel(tmp_path, "plugin", "1", {"oldpkg/plugin.py": ""}), compile_bytecode=False)
    keep_what_is_others(prefix)
    before = snapshot(prefix)
    as_setuptools_left_it(prefix)
    uninstall(prefix, "old.of-it")
    assert difference(before, snapshot(prefix)) == []


def test_a_wheel_takes_the_place_of_such_an_egg_info(prefix: Path, tmp_path: Path) -> None:
    keep_what_is_others(prefix)
    before = snapshot(prefix)
    as_setuptools_left_it(prefix)
    report = install(prefix, make_wheel(tmp_path, "old-of-it", "2.0", {"oldmodule.py": "x = 2\n"}))
    assert [tuple(each) for each in report.changes] == [("old-of-it", "1.0", "2.0")]
    assert names(prefix) == ["old_of_it 2.0"]
    uninstall(prefix, "old-of-it")
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("content", ["", "\n", "namespace\n"])
def test_a_file_of_names_that_names_nothing_of_its_own_takes_nothing(prefix: Path, content: str) -> None:
    write(site_packages(prefix), {"namespace/other.py": "", "old-1.egg-info/PKG-INFO": "Name: old\nVersion: 1\n"})
    write(site_packages(prefix), {"old-1.egg-info/top_level.txt": content})
    write(site_packages(prefix), {"old-1.egg-info/namespace_packages.txt": "namespace\n"})
    uninstall(prefix, "old")
    assert os.listdir(site_packages(prefix)) == ["namespace"]
    assert os.listdir(site_packages(prefix) / "namespace") == ["other.py"]
