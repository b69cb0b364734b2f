"""Where Sage keeps manifests, and what becomes of what they name when a user changes it with pip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sage_wheels.installed import find
from sage_wheels.manifests.entries import ManifestEntry
from sage_wheels.manifests.state import state
from sage_wheels.prefix import find_prefix
from support import house
from support.house import MANIFESTS, Pip, entries, record
from support.run import install, names, python, tool, uninstall
from support.trees import difference, faded, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts
from .test_dist_helpers import Spkg, everything
from .test_make import Packages

SPKG_SCRIPTS = "var/lib/sage/scripts"

pip, prefix = house.pip, house.prefix  # fixtures: here, SAGE_VENV means no prefix


def of_sage(prefix: Path, package: str, text: str) -> None:
    record(prefix, f"{SPKG_SCRIPTS}/{package}/spkg-requirements.txt", text)
    record(prefix, f"{SPKG_SCRIPTS}/{package}/spkg-piprm", "sdh_pip_uninstall ...\n")


def test_records_of_sage_and_of_the_make_rules(prefix: Path) -> None:
    of_sage(prefix, "python_build", "build @ file:///w/build-1.2.1-py3-none-any.whl\n")
    record(prefix, f"{MANIFESTS}/zope", "Zope.Event @ file:///w/a.whl\nzope_interface@file://localhost/w/b.whl # why")
    record(prefix, "var/lib/sage-wheels/superseded/old", "old @ file:///w/old-1.0-py3-none-any.whl\n")
    record(prefix, f"{MANIFESTS}/.half.123", "half @ file:///w/half.whl\n")
    found = entries(find_prefix(prefix))
    line = "build @ file:///w/build-1.2.1-py3-none-any.whl"
    rebuild = "make python_build-clean && make python_build"
    assert found["build"] == ManifestEntry("build", "python_build", line, "/w/build-1.2.1-py3-none-any.whl", rebuild)
    assert found["build"].version == "1.2.1"
    assert {name: (each.package, each.source) for name, each in found.items() if name != "build"} == {
        "zope-event": ("zope", "/w/a.whl"),
        "zope-interface": ("zope", "/w/b.whl"),
        "old": ("old", "/w/old-1.0-py3-none-any.whl"),
    }


def test_a_wheel_that_is_only_stored_was_not_brought(prefix: Path) -> None:
    """sagemath_objects and others: built for use in other places; what they hold is in the editable sagelib."""
    of_sage(prefix, "sagelib", "sagemath_standard @ file:///tree\nsagemath_standard @ file:///w/x-1-a-b-c.whl\n")
    of_sage(prefix, "sagemath_objects", "sagemath_objects @ file:///w/sagemath_objects-1-a-b-c.whl\n")
    (prefix / SPKG_SCRIPTS / "sagemath_objects/spkg-piprm").unlink()
    [entry] = entries(find_prefix(prefix)).values()
    assert (entry.name, entry.source, entry.is_editable) == ("sagemath-standard", "/tree", True)


def test_the_records_of_another_tree_are_not_this_prefix_s(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_sage(prefix, "here", "here @ file:///here.whl\n")
    other = tmp_path / "local"
    of_sage(other, "there", "there @ file:///there.whl\n")
    monkeypatch.setenv("SAGE_SPKG_SCRIPTS", str(other / SPKG_SCRIPTS))
    assert set(entries(find_prefix(prefix))) == {"here"}
    monkeypatch.setenv("SAGE_VENV", str(prefix))
    assert set(entries(find_prefix(prefix))) == {"here", "there"}
    of_sage(prefix / "sub", "own", "own @ file:///own.whl\n")
    monkeypatch.delenv("SAGE_VENV")
    monkeypatch.setenv("SAGE_SPKG_SCRIPTS", f"{prefix}/sub/{SPKG_SCRIPTS}")
    assert set(entries(find_prefix(prefix))) == {"here", "own"}


# --- X-clean, and X again ---


@pytest.fixture
def packages(scripts: Scripts, tmp_path: Path) -> Packages:
    """Two packages of the make rules: `two` depends on `one`."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    work = tmp_path / "work"
    work.mkdir()
    (work / "rules").symlink_to(scripts.root / "build/make")
    found = Packages(work, make_prefix(tmp_path))
    for name in ("one", "two"):
        make_wheel(work / "upstream", name, "1.0", {f"{name}.py": "version = 1\n"})
    found.list("one upstream/one-1.0-py3-none-any.whl\ntwo upstream/two-1.0-py3-none-any.whl : one\n")
    return found


def test_make_clean_removes_what_stands_in_its_place(packages: Packages, pip: Pip) -> None:
    before = snapshot(packages.prefix)
    packages.make("python-packages")
    pip(packages.prefix, "install", make_wheel(packages.directory, "one", "2.0", {"one/__init__.py": "", "own.py": ""}))
    said = packages.make("one-clean")
    assert f"sage-wheels: one 2.0 uninstalled from {packages.prefix}\n" in said
    line = "sage-wheels: one 2.0, which somebody installed in place of the package's 1.0, is removed as well\n"
    assert line in said
    assert "somebody" not in packages.make("python-packages-clean")
    assert difference(before, snapshot(packages.prefix)) == []


def test_make_again_puts_the_distribution_s_in_its_place(packages: Packages, pip: Pip) -> None:
    packages.make("python-packages")
    before = faded(snapshot(packages.prefix))
    pip(packages.prefix, "install", make_wheel(packages.directory, "one", "2.0", {"one/__init__.py": "version = 2\n"}))
    packages.make("python-packages")  # a user's choice is no reason to build anything
    os.utime(packages.directory / "upstream/two-1.0-py3-none-any.whl")
    assert "two" in packages.make("two")
    assert names(packages.prefix) == ["one 2.0", "two 1.0"], "only two's own are two's"
    os.utime(packages.directory / "upstream/one-1.0-py3-none-any.whl")
    assert "one: one changed from 2.0 to 1.0 (" in packages.make("one")
    assert difference(before, faded(snapshot(packages.prefix))) == []


def test_make_when_the_user_has_uninstalled_it(packages: Packages, pip: Pip) -> None:
    packages.make("python-packages")
    before = faded(snapshot(packages.prefix))
    pip(packages.prefix, "uninstall", "one")
    assert packages.make("-s", "one-clean") == ""
    packages.make("one")
    assert difference(before, faded(snapshot(packages.prefix))) == []


def test_make_clean_takes_only_what_the_package_has_brought(packages: Packages) -> None:
    """python_build brings `build`; somebody's own `python-build` is not its."""
    packages.list("python_two upstream/two-1.0-py3-none-any.whl\n")
    packages.make("python_two")
    install(packages.prefix, make_wheel(packages.directory, "python-two", "1", {"own.py": ""}))
    packages.make("python_two-clean")
    assert names(packages.prefix) == ["python_two 1"]


def spkg(scripts: Scripts, prefix: Path, version: str = "1.0") -> Spkg:
    """The package, installed in that version."""
    package = Spkg(scripts, prefix, version=version)
    package.prepare()
    make_wheel(package.build / "dist", "pkg", version, {"pkg/__init__.py": f"version = {version!r}\n"})
    assert package.install() == 0, package.log
    return package


@pytest.fixture
def sage_prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path, "venv")
    install(prefix, make_wheel(tmp_path / "index", "dep", "1", {"dep.py": ""}))
    return prefix


def test_sage_clean_removes_what_stands_in_its_place(
    scripts: Scripts, sage_prefix: Path, pip: Pip, tmp_path: Path
) -> None:
    before = everything(sage_prefix)
    package = spkg(scripts, sage_prefix)
    pip(sage_prefix, "install", make_wheel(tmp_path, "pkg", "2.0", {"pkg/__init__.py": "", "own.py": ""}))
    package.log = ""
    package.uninstall()
    line = "sage-wheels: pkg 2.0, which somebody installed in place of the package's 1.0, is removed as well\n"
    assert line in package.log
    assert everything(sage_prefix) == before


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_sage_again_puts_the_distribution_s_in_its_place(
    scripts: Scripts, sage_prefix: Path, pip: Pip, tmp_path: Path, version: str
) -> None:
    spkg(scripts, sage_prefix)
    pip(sage_prefix, "install", make_wheel(tmp_path, "pkg", "2.0", {"pkg/__init__.py": "", "own.py": ""}))
    pip(sage_prefix, "install", make_wheel(tmp_path, "dep", "2", {"dep.py": "", "more.py": ""}))
    package = spkg(scripts, sage_prefix, version)
    assert f"sage-wheels: pkg changed from 2.0 to {version} in {sage_prefix}\n" in package.log
    assert names(sage_prefix) == ["dep 2", f"pkg {version}"]
    assert python(sage_prefix, "import pkg; print(pkg.version)") == version
    assert not (site_packages(sage_prefix) / "own.py").exists()
    where = find_prefix(sage_prefix)
    assert state(where, entries(where)["pkg"], find(where, "pkg")[0]) == "same"


def test_sage_when_the_user_has_uninstalled_it(scripts: Scripts, sage_prefix: Path, pip: Pip) -> None:
    package = spkg(scripts, sage_prefix)
    before = faded(snapshot(sage_prefix / "lib"))
    pip(sage_prefix, "uninstall", "pkg")
    package = spkg(scripts, sage_prefix)
    assert difference(before, faded(snapshot(sage_prefix / "lib"))) == []
    pip(sage_prefix, "uninstall", "pkg")
    package.log = ""
    package.uninstall()
    assert package.log == ""
    assert names(sage_prefix) == ["dep 1"]


def test_what_is_recorded_in_sage_local_is_known_in_the_virtual_environment_below_it(tmp_path: Path) -> None:
    """Sage since 10.9 has packages that belong to SAGE_LOCAL and are installed into SAGE_VENV."""
    local = tmp_path / "local"
    venv = make_prefix(local / "var/lib/sage", "venv-python3.13")
    wheel = make_wheel(local / "var/lib/sage/wheels", "tomli_w", "1.0", {"tomli_w.py": ""})
    of_sage(local, "tomli_w", f"tomli_w @ file://{wheel}\n")
    install(venv, wheel)
    (tmp_path / "venv").symlink_to("local/var/lib/sage/venv-python3.13")  # as SAGE_ROOT has it
    for prefix in (venv, tmp_path / "venv"):
        assert [entry.package for entry in entries(find_prefix(prefix)).values()] == ["tomli_w"]
        assert "package tomli_w" in tool("list", "--prefix", prefix).stdout
    uninstall(venv, "tomli_w")
    assert tool("restore", "--prefix", venv, "tomli_w").returncode == 0
    assert names(venv) == ["tomli_w 1.0"]


def test_what_is_recorded_in_another_sage_local_counts_if_the_variables_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, venv = tmp_path / "local", make_prefix(tmp_path / "elsewhere")
    wheel = make_wheel(tmp_path, "tomli_w", "1.0", {"tomli_w.py": ""})
    of_sage(local, "tomli_w", f"tomli_w @ file://{wheel}\n")
    prefix = find_prefix(venv)
    assert set(entries(prefix)) == set()
    monkeypatch.setenv("SAGE_LOCAL", str(local))
    monkeypatch.setenv("SAGE_VENV", str(venv))
    assert set(entries(prefix)) == {"tomli-w"}
    monkeypatch.setenv("SAGE_VENV", str(tmp_path))
    assert set(entries(prefix)) == set()
