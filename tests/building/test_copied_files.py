"""The files of a source tree in its copy: links, modes, holes, what is left out, and others who work there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.source.copied_files import CopiedFiles
from sage_wheels.errors import SourceError
from support.trees import snapshot


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    result = tmp_path / "tree"
    (result / "package").mkdir(parents=True)
    (result / "package" / "a.py").write_text("a")
    return result


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def run(tree: Path, copy: Path, *leave_out: Path) -> CopiedFiles:
    done = CopiedFiles(str(tree), str(copy), leave_out=map(str, leave_out))
    done.run()
    return done


def below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.mark.parametrize(
    ("mode", "copied"),
    [(0o700, 0o755), (0o654, 0o644), (0o660, 0o644), (0o400, 0o644), (0o555, 0o755), (0o4711, 0o755), (0o611, 0o644)],
)
def test_of_modes_the_executable_bit_of_the_owner_is_kept(tree: Path, copy: Path, mode: int, copied: int) -> None:
    (tree / "file").write_text("x")
    (tree / "file").chmod(mode)
    before = os.umask(0o077)
    try:
        run(tree, copy)
    finally:
        os.umask(before)
    assert (copy / "file").stat().st_mode & 0o7777 == copied
    assert (copy / "package").stat().st_mode & 0o7777 == 0o755


def test_times_are_kept_to_the_nanosecond(tree: Path, copy: Path) -> None:
    (tree / "link").symlink_to("package")
    for name in ("package/a.py", "link", "package", ""):
        os.utime(tree / name, ns=(10**18 + 1, 10**18 + 123_456_789), follow_symlinks=False)
    run(tree, copy)
    for name in ("package/a.py", "link", "package", ""):
        assert (copy / name).lstat().st_mtime_ns == 10**18 + 123_456_789


@pytest.mark.parametrize(
    "text",
    ["package/a.py", "..", "../..", "../outside", "/", "/etc/passwd", "nowhere", "itself", "package/../..", "a\nb"],
)
def test_a_link_is_copied_as_it_is(tree: Path, copy: Path, text: str) -> None:
    (tree.parent / "outside").mkdir()
    (tree / "itself").symlink_to(text)
    (tree / "package" / "inside").symlink_to(tree / "package")
    run(tree, copy)
    assert os.readlink(copy / "itself") == text
    assert os.readlink(copy / "package" / "inside") == str(tree / "package")


def test_links_in_a_circle(tree: Path, copy: Path) -> None:
    for one, other in (("one", "two"), ("two", "one")):
        (tree / one).mkdir()
        (tree / one / "link").symlink_to(f"../{other}")
    run(tree, copy)
    assert {"one/link", "two/link"} <= below(copy)


def test_where_links_lead_that_leave_the_tree(tree: Path, copy: Path) -> None:
    for name, text in {"a": "../x/y", "package/b": "../../../z", "package/c": "../a", "d": "..", "e": "/x"}.items():
        (tree / name).symlink_to(text)
    assert run(tree, copy).climbs == {(1, "x"), (2, "z"), (1, "")}


def test_what_would_be_too_long_in_the_copy_is_left_out_and_named(tree: Path, copy: Path) -> None:
    longest = os.pathconf("/", "PC_PATH_MAX") - 1
    deep = tree
    while len(bytes(deep)) + 202 < longest:
        deep /= "d" * min(200, longest - len(bytes(deep)) - 2)
    deep.mkdir(parents=True)
    file = deep / ("f" * (longest - len(bytes(deep)) - 1))
    file.write_text("x")
    (tree / "short").write_text("y")
    found = run(tree, copy / "much further" / ("down" * 10))
    assert found.unreadable == [str(file)]
    assert (copy / "much further" / ("down" * 10) / "short").read_text() == "y"
    found.bring(os.path.relpath(file, tree))
    assert run(tree, copy / "x").unreadable == ([] if len(bytes(copy)) + 2 <= len(bytes(tree)) else [str(file)])


def size_on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_holes_stay_holes(tree: Path, copy: Path) -> None:
    path = tree / "sparse"
    with open(path, "wb") as f:
        f.write(b"begin")
        f.seek(300 << 20)
        f.write(b"middle" * 30_000)
        f.truncate(700 << 20)
    if size_on_disk(path) > 10 << 20:
        pytest.skip("no holes here")
    (tree / "empty").write_bytes(b"")
    with open(tree / "nothing but a hole", "wb") as f:
        f.truncate(1 << 30)
    run(tree, copy)
    assert (copy / "sparse").stat().st_size == 700 << 20
    assert size_on_disk(copy / "sparse") < 1 << 20
    assert size_on_disk(copy / "nothing but a hole") < 1 << 20
    with open(copy / "sparse", "rb") as f:
        assert f.read(7) == b"begin\0\0"
        f.seek(300 << 20)
        assert f.read(6 * 30_000 + 1) == b"middle" * 30_000 + b"\0"


@pytest.mark.parametrize("size", [0, 1, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, (3 << 20) + 7])
def test_every_byte_is_copied(tree: Path, copy: Path, size: int) -> None:
    data = os.urandom(size)
    (tree / "file").write_bytes(data)
    run(tree, copy)
    assert (copy / "file").read_bytes() == data


def test_what_is_no_source_is_left_out(tree: Path, copy: Path) -> None:
    for name in (".tox", ".nox", "package/.tox", "cache"):
        (tree / name).mkdir()
    os.mkfifo(tree / "pipe")
    run(tree, copy, tree / "cache")
    assert below(copy) == {"package", "package/a.py", "package/.tox"}


def test_what_tools_keep_is_left_out(tree: Path, copy: Path) -> None:
    for name in ("__pycache__", "package/__pycache__", "package/.mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"):
        (tree / name).mkdir()
        (tree / name / "x").touch()
    (tree / ".venv" / "pyvenv.cfg").touch()
    (tree / "__pycache__.py").touch()
    run(tree, copy)
    assert below(copy) == {"package", "package/a.py", "__pycache__.py"}


def test_wheels_of_the_project_itself_are_left_out(tree: Path, copy: Path) -> None:
    """That of an earlier build, in the tree or in a directory that has nothing else; others may be part of it."""
    kept = {"other-1.0.whl", "package/deep/my_project-1.0-py3-none-any.whl", "wheels/other-1.0.whl"}
    own = {"My.Project-1.0-py3-none-any.whl", "wheels/my_project-1-py3-none-any.whl", "dist/my_project-1.0.whl"}
    for name in kept | own:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    files = CopiedFiles(str(tree), str(copy), name="my-project")
    files.run()
    assert below(copy) == {"package", "package/a.py", "package/deep", "wheels"} | kept
    assert files.left_out == own
    (tree / "pyproject.toml").write_text(IN_TREE)  # a backend of its own may want them
    files = CopiedFiles(str(tree), str(tree.parent / "again"), name="my-project")
    files.run()
    assert files.left_out == set()


SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "be"\nbackend-path = ["."]\n'
HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


@pytest.mark.parametrize("pyproject", [None, SETUPTOOLS, IN_TREE, "[project]\nname = 'x'\n"])
def test_what_setuptools_left_is_left_out(tree: Path, copy: Path, pyproject: str | None) -> None:
    if pyproject is None:
        (tree / "setup.py").touch()
    else:
        (tree / "pyproject.toml").write_text(pyproject)
    left = ("lib", "lib.linux-x86_64-cpython-311", "bdist.linux-x86_64", "temp.linux-x86_64-3.8", "scripts-3.11")
    ours = ("library", "bin", "libs", "meson")
    for name in (*left, *ours):
        (tree / "build" / name / "package").mkdir(parents=True)
    (tree / "package" / "build" / "lib").mkdir(parents=True)
    run(tree, copy)
    assert set(os.listdir(copy / "build")) == set(ours)
    assert (copy / "package" / "build" / "lib").is_dir()


def test_another_backend_may_have_its_sources_there(tree: Path, copy: Path) -> None:
    (tree / "pyproject.toml").write_text(HATCHLING)
    (tree / "build" / "lib").mkdir(parents=True)
    (tree / "build" / "lib" / "prepare.py").touch()
    run(tree, copy)
    if sys.version_info >= (3, 11):  # before, there is no reader of TOML that costs nothing
        assert (copy / "build" / "lib" / "prepare.py").exists()


def test_a_copy_into_the_tree_itself_ends(tree: Path) -> None:
    run(tree, tree / "cache" / "copy", tree / "cache")
    assert (tree / "cache" / "copy" / "package" / "a.py").exists()


def test_the_original_is_not_touched(tree: Path, copy: Path) -> None:
    before = snapshot(tree)
    run(tree, copy)
    assert snapshot(tree) == before


def test_a_tree_that_is_not_there(tree: Path, copy: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        run(tree / "gone", copy)


def test_what_cannot_be_written_is_an_error_and_what_cannot_be_read_is_none(
    tree: Path, tmp_path: Path, ordinary: list[str]
) -> None:
    for name in ("secret", "closed/file", "package/private", "listed/file"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    for name, mode in {"secret": 0, "closed": 0, "package/private": 0o200, "listed": 0o444}.items():
        (tree / name).chmod(mode)
    (tmp_path / "place").mkdir()
    program = (
        "import sys; from sage_wheels.building.source.copied_files import CopiedFiles;"
        "copy = CopiedFiles(sys.argv[1], sys.argv[2]); copy.run(); print(sorted(copy.unreadable))"
    )
    command = [*ordinary, sys.executable, "-c", program, str(tree)]
    done = subprocess.run([*command, str(tmp_path / "place" / "copy")], capture_output=True, text=True, check=True)
    names = ("closed", "listed/file", "package/private", "secret")
    assert done.stdout.strip() == repr([f"{tree}/{name}" for name in names])
    assert below(tmp_path / "place" / "copy") == {"listed", "package", "package/a.py"}
    (tmp_path / "place").chmod(0o555)
    failed = subprocess.run([*command, str(tmp_path / "place" / "other")], capture_output=True, text=True, check=False)
    assert "PermissionError" in failed.stderr
    for name in ("closed", "listed"):
        (tree / name).chmod(0o755)


# The tree changes exactly between two steps of the copy: audit events tell when a step begins (sys.audit).
_hooks: list[Callable[[str, tuple[object, ...]], None]] = []
sys.addaudithook(lambda event, arguments: [hook(event, arguments) for hook in _hooks] and None)


@pytest.fixture
def at_event() -> object:
    def install(event: str, path: Path, action: Callable[[], None], times: int = 1) -> None:
        left = [times]

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            if name == event and left[0] and arguments and arguments[0] == str(path):
                left[0] -= 1
                action()

        _hooks.append(hook)

    yield install
    _hooks.clear()


AtEvent = Callable[..., None]


def test_a_file_that_vanishes_is_left_out(tree: Path, copy: Path, at_event: AtEvent) -> None:
    (tree / "goes").touch()
    at_event("open", tree / "goes", (tree / "goes").unlink)
    done = run(tree, copy)
    assert below(copy) == {"package", "package/a.py"}
    assert done.unreadable == []


def test_a_directory_that_vanishes_is_left_out(tree: Path, copy: Path, at_event: AtEvent) -> None:
    (tree / "goes").mkdir()
    at_event("os.scandir", tree / "goes", (tree / "goes").rmdir)
    assert run(tree, copy).unreadable == []
    assert below(copy) == {"package", "package/a.py"}


def test_a_file_that_gets_another_name_is_found_under_it(tree: Path, copy: Path, at_event: AtEvent) -> None:
    for name in "abc":
        (tree / name).write_text(name)
    at_event("open", tree / "b", lambda: (tree / "b").rename(tree / "aa") and None)
    run(tree, copy)
    assert (copy / "aa").read_text() == "b"


def test_a_file_that_becomes_a_link_or_a_directory_is_copied_as_that(tree: Path, copy: Path, at_event: AtEvent) -> None:
    (tree / "one").write_text("x")
    (tree / "two").write_text("x")

    def to_link() -> None:
        (tree / "one").unlink()
        (tree / "one").symlink_to("package")

    def to_directory() -> None:
        (tree / "two").unlink()
        (tree / "two").mkdir()
        (tree / "two" / "file").touch()

    at_event("open", tree / "one", to_link)
    at_event("open", tree / "two", to_directory)
    run(tree, copy)
    assert os.readlink(copy / "one") == "package"
    assert (copy / "two" / "file").exists()


def test_a_file_that_changes_and_then_becomes_a_link(tree: Path, copy: Path, at_event: AtEvent) -> None:
    (tree / "file").write_text("x")

    def change() -> None:
        os.truncate(tree / "file", 5)

    def to_link() -> None:
        (tree / "file").unlink()
        (tree / "file").symlink_to("package")

    at_event("open", copy / "file", change)
    opened = []

    def second_time() -> None:
        opened.append(1)
        if len(opened) == 2:
            to_link()

    at_event("open", tree / "file", second_time, 2)
    run(tree, copy)
    assert os.readlink(copy / "file") == "package"


@pytest.mark.parametrize(("times", "copied"), [(1, "new 1"), (2, "new 2"), (9, "n")])
def test_what_changes_is_copied_again_three_times_at_most(
    tree: Path, copy: Path, at_event: AtEvent, times: int, copied: str
) -> None:
    """The change comes when the copy is written, that is, between the two looks at the original."""
    (tree / "file").write_text("old")
    count = [0]

    def change() -> None:
        count[0] += 1
        (tree / "file").write_text(f"new {count[0]}" + "x" * count[0])
        os.utime(tree / "file", (count[0], count[0]))

    at_event("open", copy / "file", change, times)
    run(tree, copy)
    assert count[0] == min(times, 3)
    assert (copy / "file").read_text().startswith(copied)


def test_files_come_and_go_all_the_time(tree: Path, copy: Path) -> None:
    for number in range(100):
        (tree / f"stays{number}").write_text("x")
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (tree / f"tmp{number % 7}").touch()
            (tree / f"dir{number % 5}" / "a").mkdir(parents=True)
            (tree / f"tmp{number % 7}").unlink()
            (tree / f"dir{number % 5}" / "a").rmdir()
            (tree / f"dir{number % 5}").rmdir()

    other = threading.Thread(target=work)
    other.start()
    try:
        for number in range(20):
            done = run(tree, copy / str(number))
            assert done.unreadable == []
            assert {f"stays{number}" for number in range(100)} <= below(copy / str(number))
    finally:
        stop.set()
        other.join()
