"""What Sage's own people reported, and ours does right: the number of each report in sagemath/sage leads to its tests.

30956, 36743: `direct_url.json` named a directory that is gone; a wheel was installed before the package's other files
    tests/sage/test_reported.py: test_a_wheel_is_installed_last_and_from_where_it_stays
36524: people told the backend by its short name of the build directory that they wanted to keep
    tests/sage/test_ninja.py: test_a_package_that_names_its_build_directory_is_built_there
36536, 38399: --enable-system-site-packages: the system's pip was too old for `-C`, or there was no `build`
    tests/sage/test_reported.py: test_neither_pip_nor_build_of_the_environment_is_run
36737: `make PKG-uninstall` removed the list of what to uninstall before pip had read it
    tests/sage/test_removal.py: test_nothing_of_it_is_left
    tests/sage/genuine/test_reported.py: test_uninstalling
37263: --enable-system-site-packages: the system hides modules of an editable package
    tests/sage/test_pip_scripts.py: test_editable_modules_that_the_systems_hide_are_named
    tests/integration/test_editable_finders.py: test_what_the_system_hides_is_what_is_said
    tests/sage/genuine/test_configured.py: test_an_editable_module_that_the_systems_hides_is_named
37395: a package of the type pip wants other versions than Sage has
    tests/sage/test_reported.py: test_a_pip_package_does_not_replace_what_sage_has
38190: --enable-system-site-packages: what is only built and stored found no build requirement
    tests/sage/test_reported.py: test_what_is_only_stored_is_built_against_the_systems_packages
38253, 38293, 38304: `configure --disable-editable`: sagelib was built, not installed, and nothing said so
    tests/sage/test_dist_helpers.py: test_sagelib_hides_the_tree_from_its_build
    tests/sage/test_reported.py: test_an_installation_that_cannot_be_written_down_fails
    tests/sage/genuine/test_reported.py: test_sagelib_that_is_not_editable
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from support.pythons import make_installation
from support.run import install, names
from support.trees import make_prefix, site_packages, snapshot
from support.twins import make_prefix_with_pip
from support.wheels import make_wheel

from .conftest import Scripts
from .test_dist_helpers import Spkg, sources, state


def test_each_report_is_named_by_its_tests(checkout: Path) -> None:
    assert __doc__
    found = re.findall(r"^(\d[\d, ]*): .+\n((?:    .+\n)+)", __doc__, re.MULTILINE)
    assert len(found) == len(re.findall(r"^\d", __doc__, re.MULTILINE))
    for numbers, tests in found:
        named = ""
        for file, test in re.findall(r"    (\S+): (\w+)\n", tests):
            functions = ast.walk(ast.parse((checkout / file).read_text()))
            [each] = [each for each in functions if isinstance(each, ast.FunctionDef) and each.name == test]
            named += ast.get_docstring(each) or ""
        assert set(numbers.split(", ")) <= set(re.findall(r"#(\d+)", named)), numbers


@pytest.fixture
def sees_system(tmp_path: Path) -> Path:
    """A virtual environment that sees the packages of a system whose pip and build are of no use."""
    python = make_installation(tmp_path / "system")
    venv = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", "--without-pip", "--system-site-packages", venv], check=True)
    for name in ("pip", "build"):
        write_module(venv, name, "raise SystemExit('no such option: -C')\n")
    return venv


def write_module(venv: Path, name: str, text: str) -> None:
    """Put a module, with its metadata, where the system has its packages."""
    [system] = (venv.parent / "system").glob("lib/python*/site-packages")
    (system / f"{name}.py").write_text(text)
    info = system / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


@pytest.mark.parametrize("sudo", [False, True], ids=["", "SAGE_SUDO"])
def test_a_wheel_is_installed_last_and_from_where_it_stays(scripts: Scripts, tmp_path: Path, sudo: bool) -> None:
    """sagemath/sage#30956, #36743: by spkg-pipinst, once the files of DESTDIR are in place; from the wheelhouse."""
    venv = make_prefix(tmp_path, "venv")
    spkg = Spkg(scripts, venv)
    if sudo:
        program = tmp_path / "sudo"
        program.write_text('#!/bin/sh\nexec "$@"\n')
        program.chmod(0o755)
        spkg.sudo = str(program)
    spkg.prepare()
    make_wheel(spkg.build / "dist", "pkg", "1.0", {"pkg.py": ""})
    destdir = spkg.build / "inst"
    assert spkg.bash("sdh_store_and_pip_install_wheel .", spkg.build, SAGE_DESTDIR=str(destdir)) == 0, spkg.log
    assert names(venv) == []
    assert not list(destdir.rglob("*.whl"))
    assert spkg.bash((spkg.build / "spkg-pipinst").read_text(), spkg.build) == 0, spkg.log
    origin = json.loads((site_packages(venv) / "pkg-1.0.dist-info/direct_url.json").read_text())
    wheel = venv / "var/lib/sage/wheels/pkg-1.0-py3-none-any.whl"
    assert (origin["url"], wheel.exists()) == (f"file://{wheel}", True)


@pytest.mark.parametrize("environment", ["no pip and no build", "a pip and a build that fail"])
def test_neither_pip_nor_build_of_the_environment_is_run(
    scripts: Scripts, tmp_path: Path, environment: str, request: pytest.FixtureRequest
) -> None:
    """sagemath/sage#36536, #38399"""
    fails = environment != "no pip and no build"
    venv: Path = request.getfixturevalue("sees_system") if fails else make_prefix(tmp_path, "venv")
    imported = subprocess.run([venv / "bin/python3", "-c", "import pip, build"], capture_output=True, text=True)
    assert imported.returncode == 1
    assert ("no such option" if fails else "No module named") in imported.stderr
    spkg = Spkg(scripts, venv, "tree")
    spkg.prepare()
    sources(spkg.build / "src")
    assert spkg.install("sdh_pip_install -C one=two .", "src") == 0, spkg.log
    assert "{'one': 'two'}" in next(venv.glob("lib/python*/site-packages/tree.py")).read_text()
    spkg.uninstall()
    assert names(venv) == []


def test_what_is_only_stored_is_built_against_the_systems_packages(scripts: Scripts, sees_system: Path) -> None:
    """sagemath/sage#38190: the wheelhouse is empty, and the system has what the build requires."""
    spkg = Spkg(scripts, sees_system, "tree")
    spkg.prepare()
    sources(spkg.build / "src", requires='"of_the_system"')
    write_module(sees_system, "of_the_system", "")
    (spkg.build / "src/hook.py").write_text("if hook == 'build_wheel': import of_the_system\n")
    assert spkg.install("sdh_build_and_store_wheel .", "src") == 0, spkg.log
    assert state(spkg) == [
        *("installed/tree-1.0", "scripts/tree/spkg-requirements.txt", "wheels/tree-1.0-py3-none-any.whl")
    ]
    assert names(sees_system) == []


@pytest.mark.parametrize("function", ["sdh_pip_install", "sdh_pip_editable_install"])
def test_an_installation_that_cannot_be_written_down_fails(scripts: Scripts, tmp_path: Path, function: str) -> None:
    """sagemath/sage#38304: sagelib hid the places for records, too, and succeeded without being installed."""
    venv = make_prefix(tmp_path, "venv")
    spkg = Spkg(scripts, venv, "tree")
    spkg.prepare()
    sources(spkg.build / "src")
    (tmp_path / "file").touch()
    hidden = f"export SAGE_BUILD_DIR='{tmp_path}/file/x' SAGE_SPKG_SCRIPTS='{tmp_path}/file/x'; "
    status = spkg.bash(f"{hidden}{function} . || exit", spkg.build / "src", SAGE_DESTDIR=str(spkg.build / "inst"))
    assert status != 0, spkg.log
    assert "Error" in spkg.log


def test_a_pip_package_does_not_replace_what_sage_has(scripts: Scripts, tmp_path: Path) -> None:
    """sagemath/sage#37395: mathics 6 wanted another sympy; with the lines of make for a package of the type pip."""
    venv, index = make_prefix_with_pip(tmp_path, "venv"), tmp_path / "index"
    make_wheel(index, "mathics", "6.0", {"mathics.py": ""}, requires=["sympy<1.11", "scanner"])
    make_wheel(index, "sympy", "1.10", {"sympy.py": ""})
    make_wheel(index, "scanner", "1.0", {"scanner.py": ""})
    own = make_wheel(venv / "var/lib/sage/wheels", "sympy", "1.13", {"sympy.py": "new = True\n"})
    record = venv / "var/lib/sage/scripts/sympy/spkg-requirements.txt"
    record.parent.mkdir(parents=True)
    record.write_text(f"sympy @ file://{own}\n")
    record.with_name("spkg-piprm").touch()
    install(venv, own)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("mathics\n")
    before = snapshot(venv)
    command: tuple[str | Path, ...] = ("install", "--no-index", "--find-links", index, "-r", requirements)
    done = scripts.run("sage-pip", *command, env={"SAGE_VENV": str(venv)})
    assert done.returncode == 1
    assert "what packages have installed stays as it is" in done.stderr
    assert snapshot(venv) == before
    make_wheel(index, "mathics", "7.0", {"mathics.py": ""}, requires=["sympy>=1.11"])
    done = scripts.run("sage-pip", *command, env={"SAGE_VENV": str(venv)})
    assert done.returncode == 0, done.stderr
    assert {"mathics 7.0", "sympy 1.13"} <= set(names(venv))
    command = ("uninstall", "--isolated", "--yes", "--no-input", "-r", requirements)
    done = scripts.run("sage-pip", *command, env={"SAGE_VENV": str(venv)})
    assert done.returncode == 0, done.stderr
    assert snapshot(venv) == before
