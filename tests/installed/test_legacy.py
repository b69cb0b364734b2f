"""What tools before wheels left: removed where that is exact, else refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.errors import NotRemovable
from support.run import install, names, uninstall
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
    uninstall(prefix, "old")
    assert difference(before, snapshot(prefix)) == []
    assert (prefix.parent / "outside").read_text() == "precious"


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


def test_easy_install_pth_that_becomes_empty_goes(prefix: Path, tmp_path: Path) -> None:
    before = snapshot(prefix)
    write(site_packages(prefix), {"dev.egg-link": f"{tmp_path}/src\n.", "easy-install.pth": f"{tmp_path}/src\n"})
    uninstall(prefix, "dev")
    assert difference(before, snapshot(prefix)) == []


def test_a_wheel_replaces_an_egg_info_with_a_list(prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "old", "2", {"old/__init__.py": "x = 2\n"})
    library = site_packages(prefix)
    write(library, {"old/__init__.py": "", "old/gone.py": "", "old-1.egg-info/PKG-INFO": "Name: old\nVersion: 1\n"})
    write(library, {"old-1.egg-info/installed-files.txt": "../old/__init__.py\n../old/gone.py\nPKG-INFO\n"})
    report = install(prefix, wheel)
    assert [tuple(each) for each in report.changes] == [("old", "1", "2")]
    assert names(prefix) == ["old 2"]
    assert not (library / "old/gone.py").exists()


def test_editable_dist_info_of_today(prefix: Path, tmp_path: Path) -> None:
    """An editable installation is a wheel with a .pth: nothing special."""
    before = snapshot(prefix)
    wheel = make_wheel(tmp_path, "edit", "1", {"__editable__.edit-1.pth": f"{tmp_path}/src\n"})
    install(prefix, wheel)
    uninstall(prefix, "edit")
    assert difference(before, snapshot(prefix)) == []
