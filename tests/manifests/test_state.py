"""Whether what was brought is still what is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.cli import main
from sage_wheels.prefix import find_prefix
from support.house import DATA, FILES, House, Pip, entries
from support.projects import make_tree
from support.run import install
from support.trees import site_packages
from support.wheels import make_wheel


def test_what_was_brought_is_the_same_whoever_installed_it(house: House, pip: Pip) -> None:
    wheel = house.wheel(**{"lib_/__pycache__/__init__.cpython-311.pyc": "byte-code that the wheel brings"})
    house.package("lib", wheel)
    assert house.state() == "same"
    subprocess.run([house.prefix / "bin/python", "-O", "-c", "import lib_"], check=True)
    assert house.state() == "same"
    pip(house.prefix, "install", "--force-reinstall", wheel)
    assert house.state() == "same"
    pip(house.prefix, "uninstall", "lib")
    assert house.state() == "missing"
    pip(house.prefix, "install", "--no-compile", "--find-links", house.wheels, "lib")
    assert house.state() == "same"


@pytest.mark.once
@pytest.mark.parametrize(
    "member",
    [
        "lib_/__pycache__/__init__.cpython-399.pyc",
        "lib_/__pycache__/__init__.cpython-399.opt-1.pyc",
        "lib_/__pycache__/__init__.pypy310.pyc",
        "__pycache__/lib_only.cpython-39.pyc",
        "lib-1.0.data/platlib/__pycache__/lib_plat.cpython-39.pyc",
    ],
)
@pytest.mark.parametrize("compiling", [True, False])
def test_bytecode_of_another_python_that_the_wheel_brings_replaces_nothing(
    house: House, pip: Pip, member: str, compiling: bool
) -> None:
    """Who installs leaves it out, or not: it is not what the package is."""
    wheel = house.wheel(**{member: "byte-code"})
    how = () if compiling else ("--no-compile",)
    house.package("lib", wheel)
    pip(house.prefix, "uninstall", "lib")
    command = ["install", "-q", "--prefix", str(house.prefix), *how, str(wheel)]
    assert main(command) == 0
    assert house.state() == "same"
    assert main(["restore", "-q", "--all", "--prefix", str(house.prefix)]) == 0
    pip(house.prefix, "install", "--force-reinstall", *how, wheel)
    assert house.state() == "same"


def test_bytecode_without_a_source_is_what_the_package_is(house: House) -> None:
    member = "lib_/__pycache__/alone.cpython-399.pyc"
    wheel = house.wheel(**{member: "byte-code"})
    house.package("lib", wheel)
    assert house.state() == "same"
    install(
        house.prefix, make_wheel(house.index, "lib", "1.0", {"lib_only.py": "", **FILES}, data=DATA), reinstall=True
    )
    assert house.state() == "replaced"


@pytest.mark.parametrize(
    "what", ["version", "build", "one more", "one less", "data", "data content", "header", "RECORD", "egg-info"]
)
def test_what_was_replaced(house: House, pip: Pip, what: str) -> None:
    house.package("lib", house.wheel())
    files = {**FILES, "lib_only.py": ""}

    def like(files: dict[str, str], data: dict[str, str]) -> object:
        return make_wheel(house.index, "lib", "1.0", files, data=data, entry_points={"run-lib": "lib_:f"})

    other: dict[str, Callable[[], object]] = {
        "version": lambda: house.user(version="2.0"),
        "build": lambda: like({**files, "lib_only.py": "patched = True\n"}, DATA),
        "one more": lambda: like({**files, "x.py": ""}, DATA),
        "one less": lambda: like(FILES, DATA),
        "data": lambda: like(files, {**DATA, "data/y": ""}),
        "data content": lambda: like(files, {**DATA, "data/share/lib/table": "2"}),
        "header": lambda: like(files, {**DATA, "headers/lib.h": "patched"}),
    }
    library = site_packages(house.prefix)
    if what in other:
        other[what]()
        pip(house.prefix, "install", "--force-reinstall", "--find-links", house.index, "lib")
    elif what == "RECORD":
        (library / "lib-1.0.dist-info/RECORD").unlink()
    else:
        (library / "lib-1.0.dist-info").rename(library / "lib-1.0.egg-info")
    assert house.state() == "replaced"


def test_when_there_is_nothing_to_compare_with_the_version_counts(house: House) -> None:
    wheel = house.wheel()
    house.package("lib", wheel)
    good = wheel.read_bytes()
    for spoil in (b"", b"no wheel", good[:-30]):
        wheel.write_bytes(spoil)
        assert house.state() == "no wheel"
    wheel.unlink()
    assert house.state() == "no wheel"
    install(house.prefix, house.user(version="1.1"))
    assert house.state() == "replaced"


def test_an_editable_one_is_known_by_its_tree(house: House, pip: Pip, tmp_path: Path) -> None:
    tree = tmp_path / "source tree"
    make_tree(tree, "tree", "1.0")
    line = ["pip-install", "--prefix", str(house.prefix), "--record", str(house.manifests / "tree"), "-e", str(tree)]
    assert main(line) == 0
    assert entries(find_prefix(house.prefix))["tree"].source == str(tree)
    assert house.state("tree") == "same"
    assert main(["install", "--no-isolation", "--prefix", str(house.prefix), f"{tree}/"]) == 0
    assert house.state("tree") == "replaced"
    shutil.copytree(tree, tmp_path / "copy")
    assert main(["pip-install", "--prefix", str(house.prefix), "-e", str(tmp_path / "copy")]) == 0
    assert house.state("tree") == "replaced"
    pip(house.prefix, "install", "--force-reinstall", make_wheel(house.index, "tree", "1.0", {"tree.py": ""}))
    assert house.state("tree") == "replaced"
    assert main(line) == 0
    shutil.rmtree(tree)
    assert house.state("tree") == "no wheel"
