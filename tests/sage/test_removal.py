"""Uninstalling a package of Sage without its own script, where that does no more than remove wheels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_wheels.sage import removal
from support.run import install, names, tool, tool_environment
from support.trees import make_prefix
from support.wheels import make_wheel

WRAPPER = '#!/usr/bin/env bash\nexport PKG_BASE="pkg"\nif [ $? -ne 0 ]; then\n    exit 1\nfi\n\n'
REMOVES = 'sdh_pip_uninstall -r "$SAGE_SPKG_SCRIPTS/$PKG_BASE/spkg-requirements.txt"\n'


class Package:
    """The package `pkg`, recorded in `tree` and installed in `venv`; the genuine script says what it was told."""

    def __init__(self, directory: Path, tree: Path, venv: Path) -> None:
        self.tree, self.venv = tree, venv
        sage = tree / "var/lib/sage"
        wheel = make_wheel(sage / "wheels", "pkg", "1.0", {"pkg.py": ""})
        self.scripts = sage / "scripts/pkg"
        self.scripts.mkdir(parents=True)
        (self.scripts / "spkg-requirements.txt").write_text(f"pkg @ file://{wheel}\n")
        (self.scripts / "spkg-piprm").write_text(WRAPPER + REMOVES)
        self.files = [str(path.relative_to(tree)) for path in (wheel, self.scripts / "spkg-requirements.txt")]
        self.stamp = sage / "installed/pkg-1.0"
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        self.write_stamp()
        self.build = directory / "build"
        (self.build / "sage_bootstrap").mkdir(parents=True)
        genuine = "import sys\ndef run():\n    print('genuine', sys.argv[1:])\n"
        (self.build / "sage_bootstrap/uninstall.py").write_text(genuine)
        install(venv, wheel)

    def write_stamp(self, *more: str) -> None:
        self.stamp.write_text(json.dumps({"files": [*self.files, *more]}))

    def uninstall(self, *options: str, **variables: str) -> str:
        command = ["spkg-uninstall", str(self.build), *options, "pkg", str(self.tree)]
        done = tool(*command, env=tool_environment(**variables))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["in the virtual environment", "in SAGE_LOCAL"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Package:
    local = tmp_path / "local"
    venv = make_prefix(local / "var/lib/sage", "venv-python3.13")
    return Package(tmp_path, local if "LOCAL" in request.param else venv, venv)


def test_nothing_of_it_is_left(package: Package) -> None:
    """sagemath/sage#36737: what names its wheels is itself one of its files, and has to be read before that goes."""
    assert package.uninstall() == f"Removing stamp file {package.stamp}\n"
    assert names(package.venv) == []
    left = [path for path in package.tree.rglob("*pkg*") if "/lib/sage-wheels/" not in str(path)]
    assert left == []
    assert package.uninstall() == f"genuine ['pkg', '{package.tree}']\n"  # it says what it says of what is not there


@pytest.mark.parametrize("script", ["spkg-prerm", "spkg-postrm"])
def test_scripts_of_the_package_are_left_to_the_genuine_command(package: Package, script: str) -> None:
    (package.scripts / script).write_text("exit 1\n")
    assert package.uninstall().startswith("genuine")
    assert names(package.venv) == ["pkg 1.0"]


@pytest.mark.parametrize("line", ["rm -rf $SAGE_LOCAL/share/pkg\n", "sdh_pip_uninstall other\n"])
def test_a_script_that_does_more_is_left_to_the_genuine_command(package: Package, line: str) -> None:
    (package.scripts / "spkg-piprm").write_text(WRAPPER + REMOVES + line)
    assert package.uninstall().startswith("genuine")


@pytest.mark.parametrize("path", ["bin/tool", "var/lib/sage/scripts/../../../../bin/tool", "lib/pkg.so"])
def test_a_package_that_brought_more_is_left_to_the_genuine_command(package: Package, path: str) -> None:
    package.write_stamp(path)
    assert package.uninstall().startswith("genuine")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"files": 1}', '{"files": [1]}', '{"files": []}'])
def test_a_record_that_is_not_understood_is_left_to_the_genuine_command(package: Package, text: str) -> None:
    package.stamp.write_text(text)
    assert package.uninstall().startswith("genuine")
    assert names(package.venv) == ["pkg 1.0"]


@pytest.mark.parametrize("option", ["--keep-files", "-k", "--verbose", "--help"])
def test_options_are_the_genuine_ones(package: Package, option: str) -> None:
    assert package.uninstall(option) == f"genuine {[option, 'pkg', str(package.tree)]}\n"
    assert names(package.venv) == ["pkg 1.0"]


def test_in_the_course_of_an_upgrade_it_stays_until_the_new_one_comes(package: Package) -> None:
    package.uninstall(SAGE_DESTDIR="/x")
    assert names(package.venv) == ["pkg 1.0"]
    note = package.venv / "var/lib/sage-wheels/superseded/pkg"
    assert note.read_text().startswith("pkg @ file://")
    assert not package.stamp.exists()
    package.uninstall()  # the upgrade failed, and `make pkg-clean` follows
    assert names(package.venv) == []
    assert not note.exists()


def test_what_is_asked_for() -> None:
    assert removal.parse(["pkg", "/tree"], "") == removal.RemovalRequest("pkg", "/tree", True)
    assert removal.parse(["pkg"], "/local") == removal.RemovalRequest("pkg", "/local", True)
    assert removal.parse(["--log-directory", "/log", "-v", "pkg"], "/local") == removal.RemovalRequest(
        "pkg", "/local", False
    )
    assert removal.parse([], "/local") is None
    assert removal.parse(["pkg"], "") is None
