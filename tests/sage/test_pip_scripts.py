"""sage-pip-install and sage-pip-uninstall: pip's command lines, our installations."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, parse_source
from sage_wheels.prefix import find_prefix
from sage_wheels.sage.wheelhouse import stored
from support.projects import WRITING
from support.run import install, names
from support.sandboxes import no_sandbox
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts

PIP_OPTIONS = ("--verbose", "--no-index", "--disable-pip-version-check", "--isolated", "--no-cache-dir")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a build backend of its own, of the project `tree`."""
    tree = tmp_path / "source tree"
    (tree / "code").mkdir(parents=True)
    (tree / "code" / "tree.py").write_text("in_place = True\n")
    (tree / "backend.py").write_text(WRITING)
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tree"\nversion = "1.0"\n'
    )
    return tree


def test_the_command_line_of_package_scripts(scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path) -> None:
    before = snapshot(prefix)
    wheel = make_wheel(wheelhouse, "Foo.Bar", "1.0", {"foo.py": ""})
    requirements = tmp_path / "spkg-requirements.txt"
    requirements.write_text(f"Foo_Bar @ file://{wheel}\n")
    find_links = f"--find-links={wheelhouse}"
    done = scripts.run("sage-pip-install", *PIP_OPTIONS, find_links, "--no-deps", "-r", requirements)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert names(prefix) == ["Foo_Bar 1.0"]
    origin = json.loads((site_packages(prefix) / "Foo_Bar-1.0.dist-info/direct_url.json").read_text())
    assert origin["url"] == f"file://{wheel}"
    options = ("--isolated", "--disable-pip-version-check", "--yes", "--no-input")
    done = scripts.run("sage-pip-uninstall", *options, "-r", requirements)
    assert (done.returncode, done.stdout) == (0, "")
    assert snapshot(prefix) == before


@pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "there is a sandbox")
def test_a_source_tree_is_built_in_a_sandbox(scripts: Scripts, prefix: Path, tree: Path, tmp_path: Path) -> None:
    (tree / "hook.py").write_text("import os\ncontent['told.py'] = f'place = {os.getcwd()!r}'\n")
    env = {"PATH": f"{os.environ['PATH']}:{os.path.dirname(shutil.which('bwrap') or '')}"}
    done = scripts.run("sage-pip-install", "--sandbox", "--sandbox-read", tmp_path, tree, env=env)
    assert done.returncode == 0, done.stderr
    assert (site_packages(prefix) / "told.py").read_text().startswith("place = '/sage-wheels/build/")
    done = scripts.run("sage-pip-install", "--sandbox", "-e", tree, env=env)
    assert (done.returncode, "cannot be in a sandbox" in done.stderr) == (2, True)


def test_a_name_stands_for_its_newest_wheel_in_the_wheelhouse(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    for version in ("1.0", "1.9", "1.10", "2.0rc1"):
        make_wheel(wheelhouse, "pkg", version, {"pkg.py": ""})
    make_wheel(wheelhouse, "pkg", "3.0", {"pkg.py": ""}, tag="cp27-cp27m-win32")
    assert scripts.run("sage-pip-install", "pkg").returncode == 0
    assert names(prefix) == ["pkg 1.10"]
    assert scripts.run("sage-pip-install", "pkg<1.10").returncode == 0
    assert names(prefix) == ["pkg 1.9"]
    done = scripts.run("sage-pip-install", "other")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"no wheel of other is in {wheelhouse}" in done.stderr


def test_a_damaged_wheel_is_named_and_no_older_one_is_taken(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    for version in ("1.0", "2.0", "3.0"):
        wheel = make_wheel(wheelhouse, "pkg", version, {"pkg.py": ""})
        if version != "1.0":
            wheel.write_bytes(wheel.read_bytes()[:-30])
    options = BuildOptions(find_links=(str(wheelhouse),))
    assert stored(parse_source("pkg"), "pkg", find_prefix(prefix), options) == str(wheel)
    done = scripts.run("sage-pip-install", "pkg")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{wheel} is damaged" in done.stderr
    assert names(prefix) == []


def test_another_build_of_the_same_version_replaces_it(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    """sagemath #32659: patches and local changes do not bump the version."""
    for text in ("patched = False\n", "patched = True\n"):
        make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": text})
        assert scripts.run("sage-pip-install", "pkg").returncode == 0
        assert (site_packages(prefix) / "pkg.py").read_text() == text


def test_installing_again_mends_what_was_edited_or_cannot_be_read(
    scripts: Scripts, prefix: Path, wheelhouse: Path
) -> None:
    """`make PKG-no-deps`: an edit that keeps the size, and files that were installed with a umask of 077."""
    wheel = make_wheel(wheelhouse, "foo", "1.0", {"foo.py": "value = 1\n", "bar.py": ""})
    assert scripts.run("sage-pip-install", wheel).returncode == 0
    foo, bar = site_packages(prefix) / "foo.py", site_packages(prefix) / "bar.py"
    foo.write_text("value = 2\n")
    assert "already" not in scripts.run("sage-pip-install", wheel).stderr
    assert foo.read_text() == "value = 1\n"
    bar.chmod(0o600)
    assert "already" not in scripts.run("sage-pip-install", wheel).stderr
    assert stat.S_IMODE(bar.stat().st_mode) == 0o644
    assert "already, and nothing was changed" in scripts.run("sage-pip-install", wheel).stderr


def test_missing_requirements_are_a_note(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "docs", "1.0", {"docs.py": ""}, requires=["sphinx<8", "six>=2"])
    make_wheel(wheelhouse, "sphinx", "8.1", {"sphinx.py": ""})
    assert scripts.run("sage-pip-install", "sphinx").returncode == 0
    done = scripts.run("sage-pip-install", "docs")
    assert done.returncode == 0
    assert "docs 1.0 needs sphinx<8, but 8.1 is installed\n" in done.stderr
    assert "docs 1.0 needs six>=2, which is not installed\n" in done.stderr
    assert names(prefix) == ["docs 1.0", "sphinx 8.1"]


@pytest.mark.parametrize("name", ["six/seven", "six seven", "six=1"])
def test_uninstalling_what_is_no_name_removes_nothing(scripts: Scripts, prefix: Path, name: str) -> None:
    done = scripts.run("sage-pip-uninstall", name)
    assert done.returncode == 2
    assert f"{name!r} is no name of a distribution" in done.stderr


@pytest.mark.parametrize("item", ["six-1.17.0.tar.gz", "{tree}"])
def test_uninstalling_what_tells_no_name_removes_nothing(
    scripts: Scripts, prefix: Path, tmp_path: Path, item: str
) -> None:
    (tmp_path / "pyproject.toml").touch()
    item = item.replace("{tree}", str(tmp_path))
    done = scripts.run("sage-pip-uninstall", item)
    assert done.returncode == 2
    assert f"{item!r} does not contain the name of a distribution" in done.stderr


def test_uninstalling_what_is_not_there_says_nothing(scripts: Scripts, prefix: Path, tmp_path: Path) -> None:
    for arguments in (["six"], ["-r", tmp_path / "missing.txt"], ["-r", tmp_path / "missing.txt", "six"]):
        done = scripts.run("sage-pip-uninstall", "--yes", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_was_superseded_goes_in_the_same_transaction(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    make_wheel(wheelhouse, "old_name", "1", {"code.py": "old = True\n"})
    make_wheel(wheelhouse, "extra", "1", {"extra.py": ""})
    assert scripts.run("sage-pip-install", "old_name", "extra").returncode == 0
    make_wheel(wheelhouse, "new_name", "2", {"code.py": "old = False\n"})  # the same file: no conflict
    note = tmp_path / "note"
    for _ in range(2):  # also if the new one was installed before
        note.write_text("old-name @ file:///gone.whl\nextra\nnew_name\n")
        done = scripts.run("sage-pip-install", "--superseded", note, "new_name")
        assert done.returncode == 0, done.stderr
        assert names(prefix) == ["new_name 2"]
        assert not note.exists()
        assert scripts.run("sage-pip-install", "extra").returncode == 0


def test_leftovers_of_other_tools_make_room_and_are_kept(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    """pip --ignore-installed, with which the stock scripts retried, leaves files that no record names."""
    make_wheel(wheelhouse, "pkg", "1", {"pkg/__init__.py": "", "pkg/mod.py": "new\n"})
    make_wheel(wheelhouse, "other", "1", {"pkg/mod.py": "other\n"})
    (site_packages(prefix) / "pkg").mkdir()
    (site_packages(prefix) / "pkg/mod.py").write_text("left behind\n")
    done = scripts.run("sage-pip-install", "pkg")
    assert done.returncode == 0
    assert (site_packages(prefix) / "pkg/mod.py").read_text() == "new\n"
    [kept] = prefix.glob("var/lib/sage-wheels/set-aside/**/mod.py")
    assert kept.read_text() == "left behind\n"
    assert str(kept) in done.stderr
    done = scripts.run("sage-pip-install", "other")  # but what somebody owns does not
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_a_manifest_is_written_and_followed_to_the_end(scripts: Scripts, prefix: Path, tmp_path: Path) -> None:
    """As the make rules do it; the path has a blank and a percent sign in it."""
    before = snapshot(prefix)
    wheel = make_wheel(tmp_path / "the 100%25", "Foo.Bar", "1.0", {"foo.py": ""})
    manifest = tmp_path / "manifest"
    for _ in range(2):
        assert scripts.run("sage-pip-install", "--record", manifest, wheel).returncode == 0
    assert manifest.read_text() == f"Foo_Bar @ file://{tmp_path}/the%20100%2525/{wheel.name}\n"
    done = scripts.run("sage-pip-uninstall", "--dry-run", "--manifest", manifest)
    assert (done.returncode, manifest.exists(), wheel.exists()) == (0, True, True)
    manifest.write_text("\ufeff" + manifest.read_text())  # what uninstalls and what deletes the wheels read it alike
    done = scripts.run("sage-pip-uninstall", "--manifest", manifest)
    assert (done.returncode, manifest.exists(), wheel.exists()) == (0, False, False), done.stderr
    assert snapshot(prefix) == before


def test_editable(scripts: Scripts, prefix: Path, tree: Path, tmp_path: Path) -> None:
    before = snapshot(prefix)
    record = tmp_path / "scripts" / "tree" / "spkg-requirements.txt"
    for _ in range(2):
        done = scripts.run("sage-pip-install", "--record", record, "-e", ".", cwd=tree)
        assert done.returncode == 0, done.stderr
    origin = json.loads((site_packages(prefix) / "tree-1.0.dist-info/direct_url.json").read_text())
    assert origin["dir_info"] == {"editable": True}
    assert (site_packages(prefix) / "tree.pth").read_text() == f"{tree}/code\n"
    url = f"file://{tree}".replace(" ", "%20")
    assert record.read_text() == f"tree @ {url}\n"
    assert scripts.run("sage-pip-uninstall", "-r", record).returncode == 0
    assert snapshot(prefix) == before


def test_a_wheel_that_is_stored_besides_replaced_nothing(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tree: Path, tmp_path: Path
) -> None:
    """sagelib with SAGE_EDITABLE and SAGE_WHEELS: the manifest names the source tree and a wheel."""
    manifest = tmp_path / "manifest"
    done = scripts.run("sage-pip-install", "--record", manifest, "-e", tree)
    assert done.returncode == 0, done.stderr
    wheel = make_wheel(wheelhouse, "tree", "1.0", {"tree.py": ""})
    assert scripts.run("sage-pip-install", "--record", manifest, "--record-only", wheel).returncode == 0
    assert len(manifest.read_text().splitlines()) == 2
    done = scripts.run("sage-pip-uninstall", "-r", manifest)
    assert (done.returncode, done.stderr) == (0, f"sage-wheels: tree 1.0 uninstalled from {prefix}\n")


def test_an_editable_wheel_that_somebody_built_before(
    scripts: Scripts, prefix: Path, tree: Path, tmp_path: Path
) -> None:
    assert scripts.run("sage-pip-install", "--record", tmp_path / "one", "-e", tree).returncode == 0
    installed = snapshot(prefix)
    assert scripts.run("sage-pip-uninstall", "tree").returncode == 0
    build = ("build", "--no-isolation", "-e", "-w", tmp_path / "built", f"{tree}/")
    [wheel] = scripts.run("sage-wheels", *build).stdout.splitlines()
    (tree / "backend.py").unlink()  # nothing is built again
    done = scripts.run("sage-pip-install", "--record", tmp_path / "two", "-e", tree, "--built", wheel)
    assert done.returncode == 0, done.stderr
    assert snapshot(prefix) == installed
    assert (tmp_path / "two").read_text() == (tmp_path / "one").read_text()
    for others in ([], ["-e", ".", "-e", "."], ["-e", ".", wheel]):
        done = scripts.run("sage-pip-install", "--built", wheel, *others, cwd=tree)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


SETUPTOOLS = "MAPPING: dict[str, str] = {'tree': '/tree', 'own': '/own'}\n"
EDITABLES = """from editables.redirector import RedirectingFinder as F
F.install()
F.map_module('own', '/own/__init__.py')
F.map_module('tree', '/tree/__init__.py')
"""


@pytest.mark.parametrize(
    ("name", "finder"),
    [("__editable___tree_1_0_finder.py", SETUPTOOLS), ("_editable_impl_tree.py", EDITABLES)],
    ids=["setuptools", "editables"],
)
def test_editable_modules_that_the_systems_hide_are_named(
    scripts: Scripts, prefix: Path, tree: Path, tmp_path: Path, name: str, finder: str
) -> None:
    """sagemath/sage#37263: these finders come after the directories of the system."""
    wheel = make_wheel(tmp_path / "built", "tree", "1.0", {name: finder})
    base = tmp_path / "system/lib" / site_packages(prefix).parent.name / "site-packages"
    base.mkdir(parents=True)
    (base / "tree.py").write_text("")
    (tmp_path / "system/bin").mkdir()
    settings = prefix / "pyvenv.cfg"
    lines = settings.read_text().splitlines()
    home = [f"home = {tmp_path}/system/bin", "include-system-site-packages = true"]
    said = {}
    for sees_system in (False, True):
        text = [*home, *lines[2:]] if sees_system else lines
        settings.write_text("\n".join(text) + "\n")
        done = scripts.run("sage-pip-install", "-e", tree, "--built", wheel)
        assert done.returncode == 0, done.stderr
        said[sees_system] = [line for line in done.stderr.splitlines() if "hides" in line]
    [line] = said[True]
    assert line.endswith(f"hides tree by {base}/tree.py")
    assert said[False] == []


def test_a_source_tree_is_built(scripts: Scripts, prefix: Path, wheelhouse: Path, tree: Path) -> None:
    assert scripts.run("sage-pip-install", "-C", "a=b", ".", cwd=tree).returncode == 0
    assert (site_packages(prefix) / "tree.py").read_text() == "version = '1.0'\nsettings = {'a': 'b'}\n"


@pytest.mark.parametrize("option", ["--root=/tmp/x", "--user", "--target"])
def test_nothing_is_installed_elsewhere(scripts: Scripts, prefix: Path, option: str) -> None:
    done = scripts.run("sage-pip-install", option, "six")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["sage-pip-install", "sage-pip-uninstall", "sage-move-tree"])
def test_usage(scripts: Scripts, prefix: Path, name: str) -> None:
    done = scripts.run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name} ")
    assert scripts.run(name).returncode == 2


def test_an_empty_requirements_file_names_nothing_to_install(scripts: Scripts, prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing \\\n\n--no-index\n")
    done = scripts.run("sage-pip-install", "-r", tmp_path / "empty.txt")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "empty.txt names nothing to install" in done.stderr


@pytest.mark.parametrize("line", ["", "-r missing.txt", "-r mis\0sing.txt"])
def test_a_requirements_file_that_is_not_there_is_named(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path, line: str
) -> None:
    make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": ""})
    file = tmp_path / "file.txt"
    if line:
        file.write_text(f"pkg\n{line}\n")
    done = scripts.run("sage-pip-install", "-r", file)
    assert (done.returncode, done.stderr.count("\n"), names(prefix)) == (1, 1, [])
    assert f"{'sing.txt' if line else file} is not there" in done.stderr


def test_a_requirement_whose_marker_does_not_hold_is_skipped(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    wheels = {name: make_wheel(wheelhouse, name, "1.0", {f"{name}.py": ""}) for name in ("one", "two", "old")}
    assert scripts.run("sage-pip-install", "old").returncode == 0
    file, note = tmp_path / "file.txt", tmp_path / "note"
    file.write_text(f"one @ file://{wheels['one']} ; sys_platform == 'nowhere'\n")
    arguments: list[str | Path] = ["-r", file, 'two; python_version<"3"', 'two; extra == "x"']
    done = scripts.run("sage-pip-install", *arguments)
    assert (done.returncode, done.stdout, names(prefix)) == (0, "", ["old 1.0"])
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert 'two is skipped, because python_version < "3" does not hold for the target interpreter' in lines[0]
    note.write_text("old\n")
    done = scripts.run("sage-pip-install", "--superseded", note, *arguments)
    assert (done.returncode, names(prefix), note.exists()) == (0, [], False)
    file.write_text(f"one @ file://{wheels['one']} ; sys_platform != 'nowhere'\ntwo; python_version>='3'\n")
    done = scripts.run("sage-pip-install", "-r", file)
    assert (done.returncode, names(prefix)) == (0, ["one 1.0", "two 1.0"]), done.stderr
    done = scripts.run("sage-pip-install", 'one; os_name ~= "x"')
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_what_a_requirements_file_includes_is_installed_and_uninstalled(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        make_wheel(wheelhouse, name, "1.0", {f"{name}.py": ""})
    (tmp_path / "more").mkdir()
    file = tmp_path / "file.txt"
    file.write_text("# all of it \\\none\n--no-index --find-links=x\n-f y\n--prefer-binary\n-r more/file.txt\n")
    (tmp_path / "more/file.txt").write_text("two \\\n  >= 1\n--requirement ../file.txt\n-rlast.txt\n")
    (tmp_path / "more/last.txt").write_text("three # two\n")
    done = scripts.run("sage-pip-install", "-r", file)
    assert (done.returncode, names(prefix)) == (0, ["one 1.0", "three 1.0", "two 1.0"]), done.stderr
    done = scripts.run("sage-pip-uninstall", "-r", file)
    assert (done.returncode, names(prefix)) == (0, []), done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-e tree", "'tree' in line 2 of {file} does not contain the name of a distribution"),
        ("--bogus", "line 2 of {file} has --bogus, which is no option"),
        ("-r missing.txt", "missing.txt is not there"),
        ("six=1", "'six=1' in line 2 of {file} is no name of a distribution"),
        ("wh${X}eel", "'wh${X}eel' in line 2 of {file} is no name of a distribution"),
        ("-r a.txt -r b.txt", "line 2 of {file} has -r and -r"),
        ("pkg --pre", "line 2 of {file} has --pre after a requirement"),
        ("--pre pkg", "line 2 of {file} has 'pkg' after an option"),
    ],
)
def test_no_line_is_passed_over_in_silence(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path, line: str, said: str
) -> None:
    """By none of the commands that uninstall what a file names."""
    make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": ""})
    assert scripts.run("sage-pip-install", "pkg").returncode == 0
    file = tmp_path / "file.txt"
    file.write_text(f"pkg\n{line}\n")
    for command in (("sage-pip-uninstall",), ("sage-wheels", "uninstall")):
        done = scripts.run(*command, "-r", file)
        assert done.returncode != 0
        assert (done.stderr.count("\n"), names(prefix)) == (1, ["pkg 1.0"])
        assert said.replace("{file}", str(file)) in done.stderr


def test_both_commands_read_a_file_in_the_same_way(scripts: Scripts, prefix: Path, tmp_path: Path) -> None:
    """With a byte order mark the one removed six, and the other nothing; with ${X}, too."""
    file = tmp_path / "file.txt"
    file.write_bytes(b"\xef\xbb\xbfs${X}x\r\n")
    for command in (("sage-pip-uninstall",), ("sage-wheels", "uninstall")):
        install(prefix, make_wheel(tmp_path, "six", "1.0", {"six.py": ""}))
        done = scripts.run(*command, "-r", file, env={"X": "i"})
        assert (done.returncode, names(prefix)) == (0, []), done.stderr


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("-e tree", "-e"),
        ("--bogus", "--bogus"),
        ("--no-index -f x --bogus", "--bogus"),
        ("-c constraints.txt", "-c"),
        ("--index-url=https://me:secret@example.org", "--index-url"),
        ("pkg==1.0 --hash=sha256:00", "--hash"),
        ("pkg --global-option=x", "--global-option"),
    ],
)
def test_what_a_requirements_file_asks_for_in_vain_is_refused(
    scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path, line: str, option: str
) -> None:
    make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": ""})
    file = tmp_path / "file.txt"
    file.write_text(f"pkg \\\n>= 1\n{line}\n")
    done = scripts.run("sage-pip-install", "-r", file)
    assert (done.returncode, done.stderr.count("\n"), names(prefix)) == (1, 1, [])
    assert f"line 3 of {file} has {option}, which" in done.stderr


def test_a_wheel_for_another_python_is_passed_over(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": ""})
    make_wheel(wheelhouse, "pkg", "0.9", {"pkg.py": ""}, metadata_text="is not looked at")
    make_wheel(wheelhouse, "pkg", "2.0", {"pkg.py": ""}, requires_python=">=3.20")
    done = scripts.run("sage-pip-install", "pkg")
    assert (done.returncode, names(prefix)) == (0, ["pkg 1.0"]), done.stderr
    done = scripts.run("sage-pip-install", "--ignore-requires-python", "pkg")
    assert (done.returncode, names(prefix)) == (0, ["pkg 2.0"])
    assert f"note: pkg 2.0 needs Python >=3.20, not {platform.python_version()}\n" in done.stderr
    make_wheel(wheelhouse, "pkg", "1.1", {"pkg.py": ""}, requires_python=">=3.19")
    assert scripts.run("sage-pip-uninstall", "pkg").returncode == 0
    assert scripts.run("sage-pip-install", "pkg>1.0").returncode == 0
    assert names(prefix) == ["pkg 2.0"]  # none fits
    make_wheel(wheelhouse, "pkg", "3.0rc1", {"pkg.py": ""})
    assert scripts.run("sage-pip-install", "pkg>1.0").returncode == 0  # as pip: nothing else fits
    assert names(prefix) == ["pkg 3.0rc1"]


def test_without_sage_venv_a_prefix_must_be_named(scripts: Scripts, tmp_path: Path) -> None:
    done = scripts.run("sage-pip-uninstall", "six")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    other = make_prefix(tmp_path)
    assert scripts.run("sage-pip-uninstall", "--prefix", other, "six").returncode == 0


def test_an_empty_file_that_nobody_owns_makes_room(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    """sagelib's script makes an empty `bin/sage` before its wheel is installed; nothing is lost with that."""
    wheel = make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": "version = 1\n"}, data={"scripts/sage": "#!python\n1\n"})
    (prefix / "bin/sage").touch()
    (site_packages(prefix) / "pkg.py").write_text("something\n")
    done = scripts.run("sage-pip-install", wheel)
    assert done.returncode == 0, done.stderr
    kept = [path for path in (prefix / "var/lib/sage-wheels/set-aside").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["pkg.py"]
    assert (prefix / "bin/sage").read_text().endswith("1\n")


def test_a_file_of_a_distribution_that_somebody_emptied_is_an_edit(
    scripts: Scripts, prefix: Path, wheelhouse: Path
) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(wheelhouse, "pkg", version, {"pkg.py": f"version = {version}\n"})
    assert scripts.run("sage-pip-install", "pkg==1.0").returncode == 0
    (site_packages(prefix) / "pkg.py").write_text("")
    done = scripts.run("sage-pip-install", "pkg==2.0")
    assert done.returncode == 0, done.stderr
    assert "kept a file that somebody edited" in done.stderr
