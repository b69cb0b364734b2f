"""Builds where the tree stands: nothing is copied, and one build at a time for each build directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

import sage_wheels
from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, in_place, parse_source
from sage_wheels.errors import FileOperationFailed, SourceError, UsageError
from support import trees

MakeProject = Callable[..., Path]
ReadWheel = Callable[[str], dict[str, bytes]]
Build = Callable[..., BuiltWheel]


@pytest.fixture
def build(tmp_path: Path, options: BuildOptions) -> Build:
    def run(source: object, **more: object) -> BuiltWheel:
        changed = options._replace(in_place=True, **more)  # type: ignore[arg-type]
        return build_wheel(parse_source(str(source)), wheel_dir=tmp_path / "dist", options=changed)

    return run


@pytest.mark.parametrize("editable", [False, True])
def test_the_backend_works_in_the_tree(
    build: Build, make_project: MakeProject, read_wheel: ReadWheel, editable: bool
) -> None:
    tree = make_project(hook="import os; open('was-here', 'a').write(hook + ' '); content['seen'] = os.getcwd()")
    built = build(tree, editable=editable)
    assert read_wheel(built.path)["seen"] == str(tree).encode()
    built_by = "build_editable" if editable else "build_wheel"
    assert (tree / "was-here").read_text().split() == ["get_requires_for_build_wheel", built_by]
    assert built.direct_url == {"dir_info": {"editable": True} if editable else {}, "url": f"file://{tree}"}


def test_what_is_installed_may_be_built_in_place(make_project: MakeProject, tmp_path: Path) -> None:
    tree = make_project(hook="open('was-here', 'w')")
    prefix = trees.make_prefix(tmp_path)
    options = BuildOptions(cache_dir=str(tmp_path / "cache"), in_place=True)
    sage_wheels.install([str(tree)], prefix, build_options=options)
    assert (tree / "was-here").exists()
    assert (trees.site_packages(prefix) / "hello.py").exists()


def test_the_commands_have_the_option(make_project: MakeProject, tmp_path: Path) -> None:
    tree = make_project(hook="open('was-here', 'w'); print(settings)")
    prefix = trees.make_prefix(tmp_path)
    more = ["--in-place", "-C", "build-dir=build/x", f"--cache-dir={tmp_path}/cache", str(tree)]
    for command in (["build", "-w", f"{tmp_path}/dist"], ["install", f"--prefix={prefix}"]):
        subprocess.run([sys.executable, "-m", "sage_wheels", *command, *more], check=True, capture_output=True)
        (tree / "was-here").unlink()
    assert (tree / "build/x").is_dir()


def test_only_a_tree_is_built_in_place(build: Build, tmp_path: Path, make_project: MakeProject) -> None:
    (tmp_path / "x-1.0.tar.gz").touch()
    with pytest.raises(SourceError, match="only a source tree can be built in place"):
        build(tmp_path / "x-1.0.tar.gz")
    tree = make_project()
    with pytest.raises(UsageError, match="leave out one"):
        build(tree, sdist_then_wheel=True)
    with pytest.raises(UsageError, match="cannot use the build directory build/x"):
        build(tree, sdist_then_wheel=True, config_settings={"build-dir": "build/x"})
    prefix = trees.make_prefix(tmp_path)
    with pytest.raises(UsageError, match="only a source tree can be built in place"):
        sage_wheels.install(["six==1.16"], prefix, build_options=BuildOptions(in_place=True))


pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

HOLD = """
import sys
from sage_wheels.building.in_place import one_at_a_time

tree, cache, *settings = sys.argv[1:]
with one_at_a_time(tree, dict(each.split("=") for each in settings), cache, lambda text: print(text, flush=True)):
    print("have it", flush=True)
    sys.stdin.readline()
"""


def hold(tree: Path, cache: Path, *settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(tree), str(cache), *settings]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        ("build-dir=build/a", "build-dir=build/a", True),
        ("build-dir=build/a", "builddir=./build/../build/a/", True),
        ("build-dir=build/a", "build-dir=link", True),
        ("build-dir=build/a", "build-dir={tree}/build/a", True),
        ("build-dir=build/a", "build-dir=build/b", False),
        ("build-dir=build/a", "other=1", False),
        ("other=1", "other=2", True),
        ("other=1", "build-dir=.", True),
        ("build-dir=build/{{wheel_tag}}", "other=1", True),
    ],
)
def test_one_build_at_a_time_in_each_build_directory(tmp_path: Path, first: str, second: str, waits: bool) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    (tree / "build" / "a").mkdir(parents=True)
    (tree / "link").symlink_to("build/a")
    before = trees.snapshot(tree)
    one = hold(tree, cache, first.format(tree=tree))
    assert line(one) == "have it"
    other = hold(tree, cache, second.format(tree=tree))
    said = line(other)
    if waits:
        assert said.startswith("another build uses ")
        assert f"held by process {one.pid} " in said
    one.communicate("\n")
    assert (line(other) if waits else said) == "have it"
    other.communicate("\n")
    assert (one.returncode, other.returncode) == (0, 0)
    assert {*trees.snapshot(tree)} - {*before} <= {"build/b"}, "the lock is not in the tree"


def test_a_build_directory_that_was_made_anew_has_another_lock(tmp_path: Path) -> None:
    """As after "make clean": who waited for the old one must not build in the new one beside another."""
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    (tree / "b").mkdir(parents=True)
    one = hold(tree, cache, "build-dir=b")
    assert line(one) == "have it"
    other = hold(tree, cache, "build-dir=b")
    assert line(other).startswith("another build uses")
    (tree / "b").rename(tree / "old")
    third = hold(tree, cache, "build-dir=b")
    assert line(third) == "have it"
    one.communicate("\n")
    assert f"held by process {third.pid} " in line(other)
    third.communicate("\n")
    assert line(other) == "have it"
    other.communicate("\n")


def test_a_killed_build_blocks_nobody(tmp_path: Path) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    tree.mkdir()
    one = hold(tree, cache)
    assert line(one) == "have it"
    one.kill()
    one.communicate()
    with in_place.one_at_a_time(str(tree), {}, str(cache)):
        pass
    status = os.stat(tree)
    assert os.listdir(cache / "in-place") == [f"{status.st_dev}-{status.st_ino}.lock"]


def test_a_build_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileOperationFailed, match="making the build directory"),
        in_place.one_at_a_time(str(tmp_path), {"build-dir": "file/b"}, str(tmp_path / "cache")),
    ):
        pass


MESON = """
project('hello', 'c', version: '1.0')
python = import('python').find_installation(pure: false)
python.extension_module('hello', 'hello.c', install: true)
"""
EXTENSION = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "hello", 0, -1, 0};
PyMODINIT_FUNC PyInit_hello(void) { return PyModule_Create(&module); }
"""


@pytest.mark.network
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a compiler")
def test_meson_compiles_only_once(tmp_path: Path, build: Build, index_environment: dict[str, str]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "meson.build").write_text(MESON)
    (tree / "hello.c").write_text(EXTENSION)
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["meson-python", "ninja"]\nbuild-backend = "mesonpy"\n'
        '[project]\nname = "hello"\nversion = "1.0"\n'
    )
    settings = {"build-dir": "build/mine"}
    for number, said in enumerate(("Compiling C object", "ninja: no work to do")):
        log = tmp_path / f"log{number}"
        build(tree, use_index=True, config_settings=settings, log=str(log))
        assert said in log.read_text()
    assert (tree / "build/mine/build.ninja").exists()


# A backend that keeps of a build directory what meson does, and goes on with it as meson would.
LIKE_MESON = """
import os
directory = os.path.abspath(settings["build-dir"])
state = os.path.join(directory, "meson-private")
os.makedirs(state, exist_ok=True)
new = not os.path.exists(os.path.join(state, "coredata.dat"))
with open("was-here", "a") as f:
    f.write("new " if new else "again ")
if new:
    for name in ("coredata.dat", "cmd_line.txt"):
        with open(os.path.join(state, name), "w") as f:
            f.write("[options]\\nx = 1\\n[properties]\\nnative_file = ['/etc/hosts', %r]\\n" % (
                os.path.join(directory, "meson-python-native-file.ini")))
content["seen"] = "x"
"""


class TestWhatMesonCannotGoOnWith:
    """The build directory of a meson that was killed, that was moved, or that is for another Python."""

    SETTINGS = MappingProxyType({"build-dir": "build/sage distro"})

    @pytest.fixture
    def tree(self, make_project: MakeProject) -> Path:
        return make_project(hook=f"if hook == 'build_wheel': exec({LIKE_MESON!r})")

    @pytest.fixture
    def say(self, build: Build) -> Callable[[Path], list[str]]:
        def run(tree: Path) -> list[str]:
            notes: list[str] = []
            build(tree, config_settings=self.SETTINGS, on_note=notes.append)
            return [each for each in notes if "configured again" in each]

        return run

    @pytest.mark.parametrize("left", ["", None, "[opti"])
    def test_killed_while_it_configured(self, tree: Path, say: Callable[[Path], list[str]], left: str | None) -> None:
        assert say(tree) == say(tree) == []
        options = tree / "build/sage distro/meson-private/cmd_line.txt"
        options.unlink() if left is None else options.write_text(left)
        compiled = tree / "build/sage distro/module.o"
        compiled.touch()
        [note] = say(tree)
        assert note == f"{tree}/build/sage distro is configured again: meson was ended while it configured that"
        assert say(tree) == []
        assert (tree / "was-here").read_text().split() == ["new", "again", "new", "again"]
        assert compiled.exists()

    @pytest.mark.parametrize("how", ["moved", "copied"])
    def test_moved(self, tree: Path, say: Callable[[Path], list[str]], tmp_path: Path, how: str) -> None:
        say(tree)
        new = tmp_path / "new place"
        shutil.move(tree, new) if how == "moved" else shutil.copytree(tree, new)
        [note] = say(new)
        assert note.endswith(f"is configured again: it was configured as {tree}/build/sage distro")
        assert say(new) == []

    def test_through_a_link_it_is_the_same_directory(
        self, tree: Path, say: Callable[[Path], list[str]], tmp_path: Path
    ) -> None:
        say(tree)
        (tmp_path / "link").symlink_to(tree)
        assert say(tmp_path / "link") == []

    def test_for_another_python(self, tree: Path, say: Callable[[Path], list[str]]) -> None:
        say(tree)
        [note] = (tree / "build/sage distro").glob(".sage-wheels-python")
        this = note.read_text()
        note.write_text("Python 3.9.1, /usr/bin/python3.9")
        [said] = say(tree)
        assert said.endswith("is configured again: it was configured for Python 3.9.1, /usr/bin/python3.9")
        assert note.read_text() == this
        note.unlink()  # configured by somebody else: nothing is known
        assert say(tree) == []
