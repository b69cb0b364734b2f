"""What somebody has replaced or removed is put back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.cli import main
from support.house import House, Pip
from support.run import install, names
from support.trees import difference, site_packages
from support.wheels import make_wheel


def restore(house: House, *arguments: str, status: int = 0) -> None:
    assert main(["restore", "--prefix", str(house.prefix), *arguments]) == status


def leave_behind(house: House) -> None:
    library = site_packages(house.prefix)
    shutil.rmtree(library / "lib-1.0.dist-info")
    (library / "lib_only.py").write_text("left = 'behind'\n")


CHANGES: dict[str, Callable[[House, Pip], object]] = {
    "another version": lambda house, pip: pip(house.prefix, "install", house.user(version="2.0")),
    "an older version": lambda house, pip: pip(house.prefix, "install", house.user(version="0.9")),
    "the same version": lambda house, pip: pip(house.prefix, "install", "--force-reinstall", house.user()),
    "the same files": lambda house, pip: pip(
        house.prefix, "install", "--force-reinstall", "--find-links", house.wheels, "lib"
    ),
    "uninstalled": lambda house, pip: pip(house.prefix, "uninstall", "lib"),
    "uninstalled by us": lambda house, pip: main(["uninstall", "--prefix", str(house.prefix), "lib"]),
    "files that are gone": lambda house, pip: shutil.rmtree(site_packages(house.prefix) / "lib_"),
    "files without a record": lambda house, pip: leave_behind(house),
    "two of them": lambda house, pip: pip(
        house.prefix, "install", "--ignore-installed", make_wheel(house.index, "lib", "2.0", {"user.txt": ""})
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_restore_makes_it_what_it_was(house: House, pip: Pip, change: str) -> None:
    house.package("base", house.wheel("base"))
    house.package("the_package", house.wheel())
    before = house.tree()
    CHANGES[change](house, pip)
    assert difference(before, house.tree())
    restore(house, "the-package" if change == "another version" else "Lib")
    assert difference(before, house.tree()) == []
    assert house.state() == "same"
    assert subprocess.run([house.prefix / "bin/tool"], capture_output=True, text=True).stdout == "1\n"


def test_a_wheel_whose_requires_python_was_ignored_comes_back(house: House) -> None:
    wheel = make_wheel(house.wheels, "older", "1.0", {"older.py": ""}, requires_python="<3")
    house.package("the_package", wheel)
    before = house.tree()
    assert main(["uninstall", "--prefix", str(house.prefix), "older"]) == 0
    restore(house, "--all")
    assert difference(before, house.tree()) == []


def test_it_is_in_the_history(house: House) -> None:
    house.package("the_package", house.wheel())
    main(["uninstall", "--prefix", str(house.prefix), "lib"])
    before = house.tree()
    restore(house, "lib")
    last = sage_wheels.history(house.prefix)[-1]
    assert (last.kind, [each.name for each in last.changes], last.can_be_undone) == ("install", ["lib"], True)
    assert main(["undo", "--prefix", str(house.prefix)]) == 0
    assert difference(before, house.tree()) == []


def test_restore_all_is_one_transaction_for_what_is_not_as_it_was(
    house: House, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("lib", "base", "third"):
        house.package(name, house.wheel(name))
    install(house.prefix, make_wheel(house.index, "own", "1", {"own.py": ""}))
    before = house.tree()
    pip(house.prefix, "install", house.user(version="2.0"))
    pip(house.prefix, "uninstall", "base")
    changed = house.tree()
    capsys.readouterr()
    restore(house, "--all", "--dry-run")
    said = capsys.readouterr().err
    assert f"sage-wheels: lib would be changed from 2.0 to 1.0 in {house.prefix}\n" in said
    assert f"sage-wheels: base 1.0 would be installed into {house.prefix}\n" in said
    assert difference(changed, house.tree()) == []
    third = (house.wheels / "third-1.0-py3-none-any.whl").read_bytes()
    (house.wheels / "third-1.0-py3-none-any.whl").write_bytes(b"")  # nobody asked for it
    wheel = house.wheels / "base-1.0-py3-none-any.whl"
    wheel.write_bytes((good := wheel.read_bytes())[:-1])
    restore(house, "--all", status=1)
    assert difference(changed, house.tree()) == [], "one cannot be installed, and so none is"
    wheel.write_bytes(good)
    capsys.readouterr()
    restore(house, "--all")
    assert capsys.readouterr().err.splitlines() == [
        f"sage-wheels: base 1.0 installed into {house.prefix}",
        f"sage-wheels: lib changed from 2.0 to 1.0 in {house.prefix}",
    ]
    (house.wheels / "third-1.0-py3-none-any.whl").write_bytes(third)
    assert difference(before, house.tree()) == []
    restore(house, "--all")
    said = capsys.readouterr().err
    assert (
        said == f"sage-wheels: everything that packages had installed is in {house.prefix}, and nothing was changed\n"
    )


def test_restore_leaves_alone_what_the_user_has_beside_it(house: House, pip: Pip) -> None:
    house.package("both", house.wheel(), house.wheel("base"))
    before = house.tree()
    pip(house.prefix, "install", house.user(version="2.0"), house.user("base", "2.0"))
    own = make_wheel(house.index, "own", "1", {"own.py": "", "lib_/plugin.py": ""})
    pip(house.prefix, "install", own)
    restore(house, "lib")
    assert names(house.prefix) == ["base 2.0", "lib 1.0", "own 1"]
    restore(house, "both")
    assert main(["uninstall", "--prefix", str(house.prefix), "own"]) == 0
    assert difference(before, house.tree()) == []


def test_what_is_as_it_was_is_said(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.package("the_package", house.wheel("base"))
    before = house.tree()
    capsys.readouterr()
    restore(house, "base", "the_package")
    said = "sage-wheels: base 1.0 is what package the_package had installed, and nothing was changed\n"
    assert capsys.readouterr().err == said
    restore(house, "--quiet", "base")
    assert capsys.readouterr().err == ""
    assert difference(before, house.tree()) == []


@pytest.mark.parametrize("gone", ["wheel", "record", "never there", "editable"])
def test_what_cannot_be_restored_is_one_sentence(
    house: House, gone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = house.wheel()
    house.package("the_package", wheel)
    house.package("base", house.wheel("base"))
    name, advice = "lib", "build package the_package again"
    if gone == "wheel":
        wheel.unlink()
        sentence = f"{wheel}, the wheel of lib, is gone; {advice}"
    elif gone == "record":
        (house.manifests / "the_package").unlink()
        sentence = f"no package has installed lib into {house.prefix}; "
        sentence += f"'sage-wheels list --prefix {house.prefix}' shows what they have installed"
    elif gone == "editable":
        (house.manifests / "the_package").write_text(f"lib @ file://{tmp_path}\n")
        sentence = f"package the_package had installed lib as a source tree, not as a wheel; {advice}"
    else:
        name, sentence = (
            "bas",
            f"no package has installed bas into {house.prefix}; did you mean base?",
        )
    assert main(["uninstall", "-q", "--prefix", str(house.prefix), "base"]) == 0
    before = house.tree()
    capsys.readouterr()
    restore(house, "base", name, status=1)
    assert capsys.readouterr().err == f"sage-wheels: error: {sentence}\n"
    assert difference(before, house.tree()) == []
    if gone == "editable":  # those that can be are restored, and the others named
        restore(house, "--all", status=1)
        assert f"sage-wheels: {sentence}\n" in capsys.readouterr().err
        assert "base 1.0" in names(house.prefix)


def test_restore_wants_names_or_all(house: House) -> None:
    restore(house, status=2)
    restore(house, "--all", "lib", status=2)
