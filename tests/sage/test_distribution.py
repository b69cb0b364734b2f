"""What packages of the distribution have brought, and what becomes of it when a user changes it with pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.cli import main
from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed import find
from sage_wheels.prefix import find_prefix
from sage_wheels.sage.distribution import Part, parts, state
from support.run import install, names, python
from support.trees import Tree, difference, faded, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts
from .test_dist_helpers import Spkg, everything, sources
from .test_make import Packages

Pip = Callable[..., str]
STAMPS = "var/lib/sage-wheels/stamps"
SPKG_SCRIPTS = "var/lib/sage/scripts"

# A wheel with everything in it that an installer changes, adds or puts elsewhere.
FILES = {
    "lib_/__init__.py": "version = 1\n",
    "lib_/vendor/other-1.dist-info/RECORD": "other.py,,\n",
    "lib_/table, of contents.txt": "",
}
DATA = {
    "scripts/tool": "#!python\nprint(1)\n",
    "data/share/lib/table": "1",
    "headers/lib.h": "",
    "platlib/lib_plat.py": "",
}


@pytest.fixture(scope="session")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Pip:
    """pip, run as a user runs it: `pip(prefix, "install", ...)`; what it says."""
    venv = tmp_path_factory.mktemp("with pip") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)

    def run(prefix: Path, command: str, *arguments: str | Path) -> str:
        usual = ("--isolated", "--disable-pip-version-check", "--python", prefix / "bin/python", command)
        more = ("--no-index", "--no-deps") if command == "install" else ("--yes",)
        line = [venv / "bin/python", "-m", "pip", *usual, *more, *arguments]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


class House:
    """A prefix whose packages have left records, and a directory of wheels that stands for the index."""

    def __init__(self, directory: Path, prefix: Path) -> None:
        self.prefix = prefix
        self.wheels = directory / "wheelhouse"
        self.index = directory / "index"
        self.stamps = prefix / STAMPS
        self.stamps.mkdir(parents=True)
        self.index.mkdir()

    def package(self, name: str, *wheels: Path) -> None:
        """What the package `name` brings: installed as its script does it, and recorded."""
        lines = [f"{wheel.name.split('-')[0]} @ file://{wheel}\n" for wheel in wheels]
        (self.stamps / name).write_text("".join(lines))
        assert main(["pip-install", "--quiet", "--prefix", str(self.prefix), "-r", str(self.stamps / name)]) == 0

    def wheel(self, name: str = "lib", version: str = "1.0", **more: str) -> Path:
        files = {each: content for each, content in FILES.items() if name == "lib"} | {f"{name}_only.py": "", **more}
        data = DATA if name == "lib" else None
        return make_wheel(self.wheels, name, version, files, data=data, entry_points={f"run-{name}": f"{name}_:f"})

    def user(self, name: str = "lib", version: str = "1.0", **more: str) -> Path:
        """A wheel in the index."""
        return make_wheel(self.index, name, version, {f"{name}_only.py": "user = True\n", "user.txt": "", **more})

    def state(self, name: str = "lib") -> str:
        where = find_prefix(self.prefix)
        [part] = [part for part in parts(where, {}).values() if part.name == name]
        there = find(where, name)
        return state(where, part, there[0] if there else None)

    def tree(self) -> Tree:
        return faded(snapshot(self.prefix))


@pytest.fixture
def house(tmp_path: Path, prefix: Path) -> House:
    return House(tmp_path, prefix)


# --- records ---


def record(prefix: Path, place: str, text: str | bytes) -> Path:
    file = prefix / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def of_sage(prefix: Path, package: str, text: str) -> None:
    record(prefix, f"{SPKG_SCRIPTS}/{package}/spkg-requirements.txt", text)
    record(prefix, f"{SPKG_SCRIPTS}/{package}/spkg-piprm", "sdh_pip_uninstall ...\n")


def test_a_plain_prefix_has_no_packages(prefix: Path) -> None:
    assert parts(find_prefix(prefix), {}) == {}
    assert not (prefix / "var").exists()


def test_records_of_sage_and_of_the_make_rules(prefix: Path) -> None:
    of_sage(prefix, "python_build", "build @ file:///w/build-1.2.1-py3-none-any.whl\n")
    record(prefix, f"{STAMPS}/zope", "Zope.Event @ file:///w/a.whl\nzope_interface@file://localhost/w/b.whl # why")
    record(prefix, "var/lib/sage-wheels/superseded/old", "old @ file:///w/old-1.0-py3-none-any.whl\n")
    record(prefix, f"{STAMPS}/.half.123", "half @ file:///w/half.whl\n")
    found = parts(find_prefix(prefix), {})
    line = "build @ file:///w/build-1.2.1-py3-none-any.whl"
    assert found["build"] == Part("build", "python_build", line, "/w/build-1.2.1-py3-none-any.whl")
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
    [part] = parts(find_prefix(prefix), {}).values()
    assert (part.name, part.source, part.is_editable) == ("sagemath-standard", "/tree", True)


def test_what_is_damaged_is_skipped(prefix: Path) -> None:
    record(prefix, f"{STAMPS}/binary", bytes(range(256)) * 9)
    record(
        prefix, f"{STAMPS}/lines", "\n# comment\nsix==1.0\n-r x\n@ file:///x\n../x @ file:///x\na @ https://x/y\nb\n"
    )
    record(prefix, f"{STAMPS}/latin", b"caf\xe9 @ file:///x.whl\nok @ file:///caf\xe9/ok-1-py3-none-any.whl\n")
    record(prefix, f"{STAMPS}/empty", "")
    record(prefix, f"{STAMPS}/new\nline", "no @ file:///x.whl\n")
    (prefix / STAMPS / "directory").mkdir()
    (prefix / STAMPS / "link").symlink_to("nowhere")
    (prefix / STAMPS / "loop").symlink_to("loop")
    record(prefix, SPKG_SCRIPTS, "a file where directories should be")
    assert list(parts(find_prefix(prefix), {})) == ["ok"]


def test_paths_quoted_or_not(prefix: Path, tmp_path: Path) -> None:
    with_percent = record(tmp_path, "100%25/a-1-py3-none-any.whl", "")
    text = (
        f"a @ file://{with_percent}\nb @ file:///w%20h/b%2B.whl#sha256=0\nc @ file:///w h/c.whl\nd @ file:/d/.//d.whl"
    )
    record(prefix, f"{STAMPS}/p", text)
    found = parts(find_prefix(prefix), {})
    assert [part.source for part in found.values()] == [str(with_percent), "/w h/b+.whl", "/w h/c.whl", "/d/d.whl"]


def test_the_records_of_another_tree_are_not_this_prefix_s(prefix: Path, tmp_path: Path) -> None:
    of_sage(prefix, "here", "here @ file:///here.whl\n")
    other = tmp_path / "local"
    of_sage(other, "there", "there @ file:///there.whl\n")
    elsewhere = {"SAGE_SPKG_SCRIPTS": str(other / SPKG_SCRIPTS)}
    assert set(parts(find_prefix(prefix), elsewhere)) == {"here"}
    assert set(parts(find_prefix(prefix), {**elsewhere, "SAGE_VENV": str(prefix)})) == {"here", "there"}
    of_sage(prefix / "sub", "own", "own @ file:///own.whl\n")
    assert set(parts(find_prefix(prefix), {"SAGE_SPKG_SCRIPTS": f"{prefix}/sub/{SPKG_SCRIPTS}"})) == {"here", "own"}


def test_records_that_cannot_be_read_are_an_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a package of the distribution would be taken for a user's."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "denied", str(house.stamps))

    house.package("lib", house.wheel())
    where = find_prefix(house.prefix)
    for function in ("os.listdir", "builtins.open"):
        with monkeypatch.context() as patch:
            patch.setattr(function, refuse)
            with pytest.raises(FileOperationFailed, match="reading the records of the packages failed"):
                parts(where, {})


# --- states ---


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
    sources(tree)
    record = house.stamps / "tree"
    line = ["pip-install", "--prefix", str(house.prefix), "--record", str(record), "-e", str(tree)]
    assert main(line) == 0
    assert parts(find_prefix(house.prefix), {})["tree"].source == str(tree)
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


# --- restore ---


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
        said
        == f"sage-wheels: all that packages of the distribution bring is in {house.prefix}, and nothing was changed\n"
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
    said = "sage-wheels: base 1.0 is what package the_package has brought, and nothing was changed\n"
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
    name, advice = "lib", "build the package again: make the_package-clean, then make the_package"
    if gone == "wheel":
        wheel.unlink()
        sentence = f"{wheel}, the wheel of lib, is gone; {advice}"
    elif gone == "record":
        (house.stamps / "the_package").unlink()
        sentence = f"no package of the distribution has brought lib into {house.prefix}; "
        sentence += "'sage-wheels list' tells what they have brought"
    elif gone == "editable":
        (house.stamps / "the_package").write_text(f"lib @ file://{tmp_path}\n")
        sentence = f"package the_package brings lib as a source tree, not as a wheel; {advice}"
    else:
        name, sentence = (
            "bas",
            f"no package of the distribution has brought bas into {house.prefix}; did you mean base?",
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
    line = "sage-wheels: one 2.0, which somebody installed in place of the distribution's 1.0, is removed as well\n"
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
    assert f"sage-wheels: one changed from 2.0 to 1.0 in {packages.prefix}\n" in packages.make("one")
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
    line = "sage-wheels: pkg 2.0, which somebody installed in place of the distribution's 1.0, is removed as well\n"
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
    assert state(where, parts(where, {})["pkg"], find(where, "pkg")[0]) == "same"


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
