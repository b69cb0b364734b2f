"""A dozen packages in the genuine tree of Sage 10.7, with build/overlay: `nox -s sage` sets that tree up."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import GENUINE, OURS, Sage

pytestmark = GENUINE


@pytest.fixture(scope="module")
def sage(tree: Sage) -> Sage:
    tree.overlay()
    return tree


def test_many_packages_side_by_side(sage: Sage) -> None:
    """Wheels, isolated sdists, one that is built only against what is installed; at -j8, without a retry flag."""
    said = sage.make("hatchling", "python_build", "setuptools_scm", "pexpect", "cycler", "kiwisolver", "six", jobs=8)
    assert "error" not in said
    assert sage.python("import pexpect, cycler, kiwisolver, six, hatchling; print('all')") == "all"
    [note] = {line for line in sage.spkg_log("kiwisolver").splitlines() if "sage-wheels: kiwisolver is built" in line}
    assert "cppy>=1.3.0" in note


def test_the_record_is_what_sage_spkg_writes(sage: Sage) -> None:
    sage.make("six")
    [stamp] = sage.venv.glob("var/lib/sage/installed/six-*")
    files = json.loads(stamp.read_text())["files"]
    assert [Path(path).suffix for path in files] == [".txt", ".whl"]
    assert all((sage.venv / path).is_file() for path in files)
    [installer] = sage.venv.glob("lib/python3*/site-packages/six-*.dist-info/INSTALLER")
    assert installer.read_text() == "sage-wheels\n"


def test_without_isolation(sage: Sage) -> None:
    if not (shutil.which("ninja") and shutil.which("patchelf")):
        pytest.skip("ninja and patchelf are not installed, and Sage would build them")
    sage.make("meson_python")
    assert "without isolation, because" not in sage.spkg_log("meson_python")
    assert sage.python("import mesonpy; print('it')") == "it"


def test_config_settings_reach_the_backend(sage: Sage) -> None:
    """setuptools puts a build number into the wheel if it is told to."""
    sage.make("cycler")
    script = sage.root / "build/pkgs/cycler/spkg-install.in"
    genuine = script.read_text()
    script.write_text(genuine.replace("sdh_pip_install .", "sdh_pip_install -C --build-option=--build-number=7 ."))
    assert script.read_text() != genuine
    try:
        sage.make("cycler-no-deps")
    finally:
        script.write_text(genuine)
    [wheel] = sage.venv.glob("var/lib/sage/wheels/cycler-*.whl")
    assert re.fullmatch(r"cycler-[\d.]+-7-py3-none-any\.whl", wheel.name)
    [about] = sage.library.glob("cycler-*.dist-info/WHEEL")
    assert "Build: 7" in about.read_text().splitlines()
    sage.make("cycler-no-deps")
    assert "Build:" not in about.read_text()


def test_clean_leaves_nothing_and_says_nothing_alarming(sage: Sage) -> None:
    sage.make("six-clean")
    before = sage.state()
    sage.make("six")
    assert sage.state() != before
    said = sage.make("six-clean")
    assert sage.state() == before
    assert "arning" not in said
    assert "rror" not in sage.make("six-clean")


def test_what_the_stock_scripts_installed_is_upgraded_and_cleaned(sage: Sage) -> None:
    sage.make("six-clean", "cycler-clean")
    before = sage.state()
    sage.overlay("--undo")
    sage.make("six", "cycler")
    sage.overlay()
    said = sage.make("six-no-deps")
    assert "rror" not in said
    assert "stays until the new version takes its place" in sage.spkg_log("six")
    said = sage.make("six-clean", "cycler-clean")
    assert "arning" not in said
    assert sage.state() == before


def test_what_went_through_destdir_is_upgraded_and_cleaned(sage: Sage, destdir_way: str) -> None:
    """The stock sage-spkg lists every file of such a package in its record; byte-code may be made later."""
    sage.make("python_build", "setuptools", "wheel")
    before = sage.state()
    install = {
        "by sdh_pip_install": "cd src && sdh_pip_install --no-build-isolation .",
        "by pip": 'cd src && python3 -m pip install --no-index --no-deps --no-build-isolation --root="$SAGE_DESTDIR" .',
        "by setup.py": 'cd src && python3 setup.py install --single-version-externally-managed --root="$SAGE_DESTDIR"',
    }[destdir_way]
    for upgraded in (False, True):
        sage.overlay("--undo")
        write_package(sage, "1.0", ["same", "old"], install)
        # with SAGE_SUDO the stock functions still install into DESTDIR
        sage_spkg(sage, "1.0", SAGE_SUDO="env" if destdir_way == "by sdh_pip_install" else "")
        [stamp] = sage.venv.glob(f"var/lib/sage/installed/{OURS}destdir-*")
        listed = json.loads(stamp.read_text())["files"]
        assert any(path.endswith("destdir_trial/old.py") for path in listed)
        assert any(re.search(r"\.(dist|egg)-info/", path) for path in listed)
        package = sage.library / "destdir_trial"
        sage.python(f"import compileall; compileall.compile_dir({str(package)!r}, optimize=[0, 1], quiet=1)")
        sage.overlay()
        if upgraded:
            write_package(sage, "2.0", ["same", "new"], "cd src && sdh_pip_install --no-build-isolation .")
            sage_spkg(sage, "2.0")
            modules = sorted(path.name for path in package.glob("*.py"))
            assert modules == ["__init__.py", "new.py", "same.py"]
            assert not list(package.glob("__pycache__/old.*"))
            [about] = sage.library.glob("destdir_trial-*")
            assert about.name == "destdir_trial-2.0.dist-info"
            [stamp] = sage.venv.glob(f"var/lib/sage/installed/{OURS}destdir-*")
            assert [Path(path).suffix for path in json.loads(stamp.read_text())["files"]] == [".txt", ".whl"]
        done = sage.run("sage-spkg-uninstall", f"{OURS}destdir", sage.venv)
        assert done.returncode == 0, done.stdout
        assert sage.state() == before


def test_an_editable_package_is_recorded_and_cleaned(sage: Sage) -> None:
    sage.make("sage_conf-SAGE_VENV-uninstall")
    before = sage.state()
    sage.make("sage_conf-SAGE_VENV-no-deps", SAGE_EDITABLE="yes")
    assert sage.python("import sage_conf; print(sage_conf.__file__)").startswith(str(sage.root))
    sage.make("sage_conf-SAGE_VENV-uninstall")
    assert sage.state() == before


def test_what_is_installed_as_sagelib_is_recorded_and_cleaned(sage: Sage) -> None:
    """Its script hides the tree from its build, and lets setuptools develop it in place."""
    sage.make("setuptools", "sage_conf-SAGE_VENV-uninstall")
    before = sage.state()
    script = (sage.root / "build/pkgs/sagelib/spkg-install.in").read_text()
    hiding = re.findall(r"^ *(export SAGE_\w+=/doesnotexist|unset SAGE_\w+|export SETUPTOOLS_.*)", script, re.MULTILINE)
    assert {"export SAGE_ROOT=/doesnotexist", "export SETUPTOOLS_ENABLE_FEATURES=legacy-editable"} <= set(hiding)
    install = "\n".join([*hiding, "sdh_pip_editable_install ."])
    try:
        write_package(sage, "1.0", ["same"], f"cd src\n{install}")
        for _ in range(2):
            sage_spkg(sage, "1.0")
            code = sage.python("import destdir_trial; print(destdir_trial.__file__)")
            assert code.startswith(str(sage.root / "build/pkgs"))
            listed = sage.run("sage-wheels", "list").stdout
            assert re.search(
                rf"^destdir-trial +- +- +editable: \S+/src; package {OURS}destdir$", listed, re.MULTILINE
            ), listed
        done = sage.run("sage-spkg-uninstall", f"{OURS}destdir", sage.venv)
        assert (done.returncode, "uninstalled" in done.stdout) == (0, True), done.stdout
    finally:
        sage.remove_packages()
    assert sage.state() == before


@pytest.fixture(params=["by sdh_pip_install", "by pip", "by setup.py"])
def destdir_way(sage: Sage, request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    sage.remove_packages()


def write_package(sage: Sage, version: str, modules: list[str], install: str) -> None:
    """A package of Sage with a distribution `destdir_trial`."""
    source = sage.add_package("destdir", version, install)
    shutil.rmtree(source)
    (source / "destdir_trial").mkdir(parents=True)
    for module in ("__init__", *modules):
        (source / f"destdir_trial/{module}.py").write_text(f"version = {version!r}\n")
    (source / "setup.py").write_text(
        f"from setuptools import setup\nsetup(name='destdir_trial', version={version!r}, packages=['destdir_trial'])\n"
    )


def sage_spkg(sage: Sage, version: str, **environment: str) -> None:
    done = sage.run("sage-spkg", f"{OURS}destdir-{version}", sage.venv, env=environment)
    assert done.returncode == 0, done.stdout
