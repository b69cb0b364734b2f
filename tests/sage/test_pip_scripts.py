"""sage-pip-install and sage-pip-uninstall: pip's command lines, our installations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.run import names
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts

PIP_OPTIONS = ("--verbose", "--no-index", "--disable-pip-version-check", "--isolated", "--no-cache-dir")

BACKEND = """
import base64, hashlib, zipfile

def _row(name, text):
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(text)}\\n"

def _write(directory, files):
    name = "tree-1.0-py3-none-any.whl"
    info = {"METADATA": "Metadata-Version: 2.1\\nName: tree\\nVersion: 1.0\\n",
            "WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
    files = {**files, **{f"tree-1.0.dist-info/{name}": text for name, text in info.items()}}
    record = "tree-1.0.dist-info/RECORD"
    files[record] = "".join(_row(each, text) for each, text in files.items()) + f"{record},,\\n"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as archive:
        for each, text in files.items():
            archive.writestr(zipfile.ZipInfo(each), text)
    return name

def build_wheel(directory, settings=None, metadata=None):
    return _write(directory, {"tree.py": f"settings = {settings!r}\\n"})

def build_editable(directory, settings=None, metadata=None):
    import os
    return _write(directory, {"tree.pth": os.getcwd() + "/code\\n"})
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a build backend of its own, of the project `tree`."""
    tree = tmp_path / "source tree"
    (tree / "code").mkdir(parents=True)
    (tree / "code" / "tree.py").write_text("in_place = True\n")
    (tree / "backend.py").write_text(BACKEND)
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "tree"\n'
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


def test_another_build_of_the_same_version_replaces_it(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    """sagemath #32659: patches and local changes do not bump the version."""
    for text in ("patched = False\n", "patched = True\n"):
        make_wheel(wheelhouse, "pkg", "1.0", {"pkg.py": text})
        assert scripts.run("sage-pip-install", "pkg").returncode == 0
        assert (site_packages(prefix) / "pkg.py").read_text() == text


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
    assert f"{item!r} does not tell the name of a distribution" in done.stderr


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


def test_a_source_tree_is_built(scripts: Scripts, prefix: Path, wheelhouse: Path, tree: Path) -> None:
    assert scripts.run("sage-pip-install", "-C", "a=b", ".", cwd=tree).returncode == 0
    assert (site_packages(prefix) / "tree.py").read_text() == "settings = {'a': 'b'}\n"


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
    assert f'two is skipped, for python_version < "3" does not hold for the Python of {prefix}' in lines[0]
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
    file.write_text(file.read_text() + "-e tree\n--bogus\n-r missing.txt\n")
    done = scripts.run("sage-pip-uninstall", "-r", file)
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
    new = make_wheel(wheelhouse, "pkg", "2.0", {"pkg.py": ""}, requires_python=">=3.20")
    done = scripts.run("sage-pip-install", "pkg")
    assert (done.returncode, names(prefix)) == (0, ["pkg 1.0"]), done.stderr
    assert scripts.run("sage-pip-install", "--ignore-requires-python", "pkg").returncode == 0
    assert names(prefix) == ["pkg 2.0"]
    make_wheel(wheelhouse, "pkg", "1.1", {"pkg.py": ""}, requires_python=">=3.19")
    done = scripts.run("sage-pip-install", "pkg>1.0")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{new} wants Python >=3.20" in done.stderr
    make_wheel(wheelhouse, "pkg", "3.0rc1", {"pkg.py": ""})
    assert scripts.run("sage-pip-install", "pkg>1.0").returncode == 0  # as pip: nothing else fits
    assert names(prefix) == ["pkg 3.0rc1"]


def test_without_sage_venv_a_prefix_must_be_named(scripts: Scripts, tmp_path: Path) -> None:
    done = scripts.run("sage-pip-uninstall", "six")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    other = make_prefix(tmp_path)
    assert scripts.run("sage-pip-uninstall", "--prefix", other, "six").returncode == 0
