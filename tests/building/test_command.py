"""`sage-wheels build` as a process: standard output is for programs, everything else for people."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeProject = Callable[..., Path]
MAIN = "import sys; from sage_wheels.cli import main; sys.exit(main())"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(*arguments: object, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        options = ["--cache-dir", tmp_path / "cache", "--wheel-dir", tmp_path / "dist"]
        line = [sys.executable, "-c", MAIN, "build", *map(str, [*options, *arguments])]
        return subprocess.run(line, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=tmp_path)

    return run


def test_one_path_a_line(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    result = command(make_project("one"), make_project("two"))
    assert result.stdout == "".join(f"{tmp_path}/dist/{name}-1.0-py3-none-any.whl\n" for name in ("one", "two"))
    assert (result.returncode, result.stderr) == (0, "")


def test_json_has_phases_in_seconds(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    (report,) = json.loads(command("--json", make_project()).stdout)
    assert report["path"] == f"{tmp_path}/dist/hello-1.0-py3-none-any.whl"
    assert list(report["phases"]) == ["source", "environment", "get_requires", "build", "store"]
    assert report["direct_url"]["dir_info"] == {}


def test_a_failure_shows_the_end_of_the_log_and_where_it_is(
    command: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    tree = make_project(hook="print('the last words'); raise SystemExit(1)")
    result = command(tree)
    assert (result.returncode, result.stdout) == (1, "")
    first, *rest = result.stderr.splitlines()
    log = tmp_path / "cache" / "build" / "hello" / "build.log"
    assert first.startswith("sage-wheels: error: building hello: ")
    assert str(log) in first
    assert log.exists()
    assert "the last words" in rest
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [["-C", "nonsense"], [], ["--show-log", "."], ["--max-sdist-size", "many", "."], ["--nonsense", "."]]
)
def test_wrong_usage(command: Command, arguments: list[str]) -> None:
    result = command(*arguments, *(["."] if arguments[:1] == ["-C"] else []))
    assert (result.returncode, result.stdout) == (2, "")


def test_settings_reach_the_backend(command: Command, make_project: MakeProject) -> None:
    tree = make_project(hook="print('settings', settings); 1/0")
    result = command("-C", "a=1", "--config-setting=b=x", "--config-settings", "b=y=z", tree)
    assert "settings {'a': '1', 'b': ['x', 'y=z']}" in result.stderr


@pytest.fixture
def command_of_nobody(place_of_nobody: Path, nobody: dict[str, Any]) -> Command:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        options = ["--cache-dir", place_of_nobody / "cache", "--wheel-dir", place_of_nobody / "dist"]
        line = [sys.executable, "-c", MAIN, "build", *map(str, [*options, *arguments])]
        return subprocess.run(line, capture_output=True, text=True, cwd=place_of_nobody, **nobody)

    return run


@pytest.mark.parametrize("options", [[], ["--sdist-then-wheel"]])
def test_directories_that_may_not_be_written_are_no_obstacle_to_the_fallback(
    place_of_nobody: Path, command_of_nobody: Command, make_project: MakeProject, options: list[str]
) -> None:
    hook = (
        "import os, sys\n"
        "if hook == 'build_wheel':\n"
        " os.mkdir('x'); open('x/y', 'w').close(); os.chmod('x', 0o555)\n"
        " if sys.prefix.endswith('/build/hello/env'): sys.exit('not isolated, please')\n"
    )
    tree = make_project(at=place_of_nobody / "tree", hook=hook)
    result = command_of_nobody("--fallback-no-isolation", *options, tree)
    assert result.stdout == f"{place_of_nobody}/dist/hello-1.0-py3-none-any.whl\n", result.stderr
    assert os.listdir(place_of_nobody / "cache" / "build") == ["hello.lock"]


def test_directories_that_may_not_be_written_are_no_obstacle_to_a_new_environment(
    place_of_nobody: Path,
    command_of_nobody: Command,
    make_project: MakeProject,
    make_wheel: Callable[..., Path],
    wheelhouse: Path,
) -> None:
    """What the second round asks for overthrows a choice of the first."""
    for version in ("1.0", "2.0"):
        make_wheel("helper", version)
    shutil.copytree(wheelhouse, place_of_nobody / "wheelhouse")
    hook = (
        "import os, sys\n"
        "if hook != 'build_wheel': os.mkdir(x := f'{sys.prefix}/x'); open(f'{x}/y', 'w').close(); os.chmod(x, 0o555)\n"
    )
    tree = make_project(at=place_of_nobody / "tree", requires=["tiny", "helper"], hook=hook, more=["helper<2"])
    result = command_of_nobody("--find-links", place_of_nobody / "wheelhouse", tree)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_live_line_on_a_terminal(command: Command, make_project: MakeProject) -> None:
    tree = make_project(hook="import time; time.sleep(0.6)")
    reader, writer = pty.openpty()
    result = command(tree, stderr=writer)
    os.close(writer)
    said = os.read(reader, 10_000).decode()
    os.close(reader)
    assert result.returncode == 0
    assert f"{tree}: get_requires" in said
    assert f"{tree}: build" in said
    assert said.endswith("\r\x1b[K"), "the line is gone at the end"


def test_a_log_that_is_named_gets_everything(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    command("--log", tmp_path / "log", make_project(hook="print('said')"))
    text = (tmp_path / "log").read_text()
    assert text.startswith("before\n")
    assert "said" in text


def test_help_explains_isolation(command: Command) -> None:
    text = " ".join(command("--help").stdout.split())
    for words in ("build-system.requires", "--find-links", "--no-isolation", "nothing is downloaded"):
        assert words in text
