from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building.directory import build_directory
from sage_wheels.errors import BuildFailed, FileOperationFailed


def test_it_is_empty_always_the_same_and_gone_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with build_directory(str(tmp_path), "foo") as directory:
            assert directory == str(tmp_path / "foo")
            assert os.listdir(directory) == []
            Path(directory, "file").touch()
        assert not os.path.exists(directory)


def test_it_is_kept_if_asked_for(tmp_path: Path) -> None:
    with build_directory(str(tmp_path), "foo", keep=True) as directory:
        pass
    assert os.path.isdir(directory)


@pytest.mark.parametrize(("error", "kept"), [(BuildFailed("no"), True), (KeyboardInterrupt(), False)])
def test_it_is_kept_if_the_build_failed(tmp_path: Path, error: BaseException, kept: bool) -> None:
    with pytest.raises(type(error)), build_directory(str(tmp_path), "foo"):
        raise error
    assert os.path.isdir(tmp_path / "foo") is kept
    with build_directory(str(tmp_path), "foo") as directory:
        assert os.listdir(directory) == []


HOLD = """
import sys
from sage_wheels.building.directory import build_directory
with build_directory(sys.argv[1], "foo", on_wait=lambda text: print(text, flush=True)) as directory:
    open(directory + "/file", "x").close()
    print("have it", flush=True)
    sys.stdin.read()
"""


def hold(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(root)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_second_builder_waits_and_says_so(tmp_path: Path) -> None:
    first = hold(tmp_path)
    assert line(first) == "have it"
    second = hold(tmp_path)
    assert line(second).startswith(f"waiting for {tmp_path / 'foo.lock'}, held by process {first.pid} ")
    first.communicate("")
    assert line(second) == "have it"
    second.communicate("")
    assert (first.returncode, second.returncode) == (0, 0)
    assert os.listdir(tmp_path) == ["foo.lock"], "the lock file is never deleted"


def test_a_killed_builder_blocks_nobody(tmp_path: Path) -> None:
    first = hold(tmp_path)
    assert line(first) == "have it"
    first.kill()
    first.communicate()
    with build_directory(str(tmp_path), "foo") as directory:
        assert os.listdir(directory) == []


def test_other_packages_do_not_wait(tmp_path: Path) -> None:
    waited: list[str] = []
    with build_directory(str(tmp_path), "foo"), build_directory(str(tmp_path), "bar", on_wait=waited.append):
        assert waited == []


LEAVE_UNWRITABLE = """
import contextlib, os, sys
from sage_wheels.building.directory import build_directory
from sage_wheels.errors import BuildFailed
with contextlib.suppress(BuildFailed), build_directory(sys.argv[1], "foo") as directory:
    print(os.listdir(directory))
    os.makedirs(directory + "/modules/one")
    open(directory + "/modules/one/file", "x").close()
    os.chmod(directory + "/modules/one", 0o555)
    os.chmod(directory + "/modules", 0o555)
    if sys.argv[2] == "fail":
        raise BuildFailed("no")
"""


def test_directories_that_may_not_be_written_are_no_obstacle(place_of_nobody: Path, nobody: dict[str, Any]) -> None:
    """As in the module cache of Go."""
    for how in ("succeed", "fail", "succeed"):
        command = [sys.executable, "-c", LEAVE_UNWRITABLE, str(place_of_nobody), how]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place_of_nobody, **nobody)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert os.listdir(place_of_nobody) == ["foo.lock"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileOperationFailed, match="building in"), build_directory(str(tmp_path / "file"), "foo"):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_enter_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with contextlib.suppress(BuildFailed), build_directory(str(tmp_path), "foo") as directory:
            assert os.stat(directory).st_mode & 0o777 == 0o700
            raise BuildFailed("no")
    finally:
        os.umask(before)
    assert os.stat(tmp_path / "foo").st_mode & 0o777 == 0o700
