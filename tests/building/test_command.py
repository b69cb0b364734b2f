"""`sage-wheels build` as a process: standard output is for programs, everything else for people."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.run import names
from support.trees import make_prefix

MakeProject = Callable[..., Path]
MAIN = "import sys; from sage_wheels.cli import main; sys.exit(main())"
Command = Callable[..., "subprocess.CompletedProcess[str]"]
CommandLine = Callable[..., list[str]]


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    def line(*arguments: object) -> list[str]:
        options = ["--cache-dir", tmp_path / "cache", "--wheel-dir", tmp_path / "dist"]
        return [sys.executable, "-c", MAIN, "build", *map(str, [*options, *arguments])]

    return line


@pytest.fixture
def command(command_line: CommandLine, tmp_path: Path) -> Command:
    def run(*arguments: object, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        line = command_line(*arguments)
        return subprocess.run(line, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=tmp_path)

    return run


def test_one_path_a_line(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    result = command(make_project("one"), make_project("two"))
    assert result.stdout == "".join(f"{tmp_path}/dist/{name}-1.0-py3-none-any.whl\n" for name in ("one", "two"))
    assert result.returncode == 0
    *events, last = result.stderr.splitlines()  # one line for each event, and how it ended
    assert {each for each in events if "begins" in each} == {"one 1.0: begins", "two 1.0: begins"}
    assert last.endswith(" s: 2 built")


def test_json_has_phases_in_seconds(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    (report,) = json.loads(command("--json", make_project()).stdout)
    assert report["path"] == f"{tmp_path}/dist/hello-1.0-py3-none-any.whl"
    assert list(report["phases"]) == ["source", "look-up", "environment", "get_requires", "build", "store"]
    assert report["direct_url"]["dir_info"] == {}


def test_the_advice_about_another_python_can_be_followed(
    command: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    tree, prefix = make_project(), make_prefix(tmp_path)
    backend, head = tree / "backend/tiny.py", "Name: {name}\\n"
    backend.write_text(backend.read_text().replace(head, f"{head}Requires-Python: <3\\n"))
    done = command("--prefix", prefix, tree)
    assert (done.returncode, done.stdout) == (1, "")
    assert "requires Python <3, and" in done.stderr
    assert "--ignore-requires-python" in done.stderr
    assert command("--prefix", prefix, "--ignore-requires-python", tree).returncode == 0
    line = ["install", "--cache-dir", tmp_path / "cache", "--prefix", prefix, "--ignore-requires-python", tree]
    done = subprocess.run([sys.executable, "-c", MAIN, *map(str, line)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "note: hello 1.0 needs Python <3, not " in done.stderr
    assert names(prefix) == ["hello 1.0"]


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


def test_a_failure_for_want_of_a_module_says_what_to_declare(command: Command, make_project: MakeProject) -> None:
    result = command(make_project(hook="import not_declared"))
    first = result.stderr.partition("\n")[0]
    assert (
        "; declare the project that has the module not_declared in build-system.requires, or correct the error at"
        in first
    )


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


def test_a_note_is_said_once_where_the_log_is_shown(
    command: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    """In the logs of sage-spkg, standard output and standard error are one file."""
    hook = "import sys\nif sys.prefix.endswith('/build/hello/env'): sys.exit('not isolated, please')\n"
    tree = make_project(hook=hook)
    options = ("--fallback-no-isolation", "--skip-dependency-check", "--show-log", "--log", tmp_path / "log")
    result = command(*options, tree, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("is built without isolation, because") == 1
    assert "--- build_wheel in " in result.stdout
    assert (tmp_path / "log").read_text().count("--- hello is built without isolation, because") == 1


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


def test_a_live_line_on_a_terminal(command_line: CommandLine, make_project: MakeProject, tmp_path: Path) -> None:
    """Each hook waits until the line that tells of it has been seen."""
    seen = tmp_path / "seen"
    wait = (
        f"limit = time.monotonic() + 60\nwhile not os.path.exists({str(seen)!r} + hook) and time.monotonic() < limit:"
    )
    tree = make_project(hook=f"import os, time\n{wait}\n    time.sleep(0.01)")
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("4H", 24, 500, 0, 0))  # else a long path is shortened
    with subprocess.Popen(command_line(tree), stdout=subprocess.DEVNULL, stderr=writer, cwd=tmp_path) as process:
        os.close(writer)
        said = ""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
            while text := os.read(reader, 10_000).decode():
                said += text
                for phase, hook in (("get_requires", "get_requires_for_build_wheel"), ("build", "build_wheel")):
                    if f"{tree}: {phase} " in said:
                        Path(f"{seen}{hook}").touch()
    os.close(reader)
    assert process.returncode == 0
    assert said.index(f"{tree}: get_requires ") < said.index(f"{tree}: build ")
    assert said.endswith("\r\x1b[K"), "the line is gone at the end"


def test_a_log_that_is_named_gets_everything(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    command("--log", tmp_path / "log", make_project(hook="print('said')"))
    text = (tmp_path / "log").read_text()
    assert text.startswith("before\n")
    assert "said" in text


def test_help_explains_isolation(command: Command) -> None:
    text = " ".join(command("--help").stdout.split())
    for words in ("build-system.requires", "--find-links", "--no-isolation", "none is downloaded"):
        assert words in text


@pytest.fixture
def command_of_ordinary(tmp_path: Path, ordinary: list[str]) -> Command:
    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        line = [*ordinary, sys.executable, "-c", MAIN, "build", "-w", f"{tmp_path}/dist", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **variables})

    return run


def test_what_cannot_be_read_is_named_in_one_line_and_no_failure(
    command_of_ordinary: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    tree = make_project()
    for name in ("key", "strange\nname"):
        (tree / name).touch()
        (tree / name).chmod(0)
    result = command_of_ordinary(f"--cache-dir={tmp_path}/cache", tree)
    assert result.returncode == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("sage-wheels: these cannot be read, so they are not in the copy that is built: ")
    assert f"{tree}/key" in line
    assert f"{tree}/strange\\nname" in line


def test_a_crowd_that_cannot_be_read_is_one_line_too(
    command_of_ordinary: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    tree = make_project()
    for number in range(100):
        (tree / f"key{number}").touch()
        (tree / f"key{number}").chmod(0)
    (line,) = command_of_ordinary(f"--cache-dir={tmp_path}/cache", tree).stderr.splitlines()
    assert line.endswith(" and 90 more")


def test_a_build_that_fails_for_want_of_what_cannot_be_read(
    command_of_ordinary: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    tree = make_project(hook="open('key').read()")
    (tree / "key").touch()
    (tree / "key").chmod(0)
    result = command_of_ordinary(f"--cache-dir={tmp_path}/cache", tree)
    assert result.returncode == 1
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("sage-wheels: error:")]
    assert f"perhaps it needs {tree}/key, which cannot be read" in sentence
    assert "prefix" not in sentence


def test_a_tree_that_cannot_be_read_at_all(
    command_of_ordinary: Command, make_project: MakeProject, tmp_path: Path
) -> None:
    tree = make_project()
    tree.chmod(0o111)
    result = command_of_ordinary(f"--cache-dir={tmp_path}/cache", tree)
    tree.chmod(0o755)
    assert (result.returncode, result.stdout) == (1, "")
    assert str(tree) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("home", ["{shelter}", "{shelter}/not/there", "/dev/null"])
def test_without_a_home_it_works_or_names_the_option(
    command_of_ordinary: Command, make_project: MakeProject, tmp_path: Path, home: str
) -> None:
    """As package builders have it: HOME=/homeless-shelter."""
    shelter = tmp_path / "shelter"
    shelter.mkdir()
    shelter.chmod(0o555)
    (tmp_path / "tmp").mkdir()
    variables = {"HOME": home.format(shelter=shelter), "XDG_CACHE_HOME": "", "TMPDIR": f"{tmp_path}/tmp"}
    result = command_of_ordinary(make_project(), **variables)
    assert result.returncode == 0 or "--cache-dir" in result.stderr
    assert "owns the prefix" not in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(shelter) == []


def test_nobody_else_can_read_what_is_private(command: Command, make_project: MakeProject, tmp_path: Path) -> None:
    """Neither while it is built, nor what a failed build leaves behind."""
    hook = "import os; print('modes', *(oct(os.stat(up).st_mode & 0o7) for up in ('.', '..', '../../../../..'))); 1/0"
    tree = make_project(hook=hook)
    (tree / "keys").mkdir(mode=0o700)
    (tree / "keys" / "key").write_text("secret")
    (tree / "keys" / "key").chmod(0o600)
    result = command(tree)
    assert "modes 0o5 0o5 0o0" in result.stderr
    build_directory = tmp_path / "cache" / "build" / "hello"
    assert list(build_directory.rglob("key"))
    assert build_directory.stat().st_mode & 0o077 == 0
