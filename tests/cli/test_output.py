"""Standard output and standard error that nobody reads, or that cannot be written: the status says what was done.

0: the change was made. Anything else: nothing was changed, or what was to be told could not be.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.twins")

from support.projects import make_tree  # noqa: E402
from support.run import install, names, tool_environment  # noqa: E402
from support.trees import make_prefix, snapshot  # noqa: E402
from support.twins import environment, make_prefix_with_pip, our_command  # noqa: E402
from support.wheels import make_wheel  # noqa: E402

WHICH = ("out", "err", "both")


@pytest.fixture
def broken() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full() -> Iterator[int]:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    fd = os.open("/dev/full", os.O_WRONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "own", "1", {"own.py": ""})


def run(line: list[str], fd: int, which: str) -> tuple[int, str]:
    """The exit status with `fd` in the place of one or both, and what was said on the other one."""
    done = subprocess.run(
        [sys.executable, "-m", "sage_wheels", *line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if which == "err" else fd,
        stderr=subprocess.PIPE if which == "out" else fd,
        text=True,
        env=tool_environment(),
        cwd="/",
    )
    return done.returncode, (done.stdout or "") + (done.stderr or "")


@pytest.mark.parametrize("how", ["broken", "full"])
@pytest.mark.parametrize("which", WHICH)
def test_a_change_that_was_made(
    tmp_path: Path, wheel: Path, request: pytest.FixtureRequest, how: str, which: str
) -> None:
    fd = request.getfixturevalue(how)
    prefix = make_prefix(tmp_path)
    for json in ([], ["--json"]):
        status, said = run(["install", *json, "--prefix", str(prefix), str(wheel)], fd, which)
        assert (status, names(prefix)) == (0, ["own 1"]), said
        assert ("cannot be written" in said) == (how == "full" and which == "out" and bool(json)), said
        status, said = run(["uninstall", *json, "--prefix", str(prefix), "own"], fd, which)
        assert (status, names(prefix)) == (0, []), said
        assert "Traceback" not in said


@pytest.mark.parametrize("which", WHICH)
def test_a_build(tmp_path: Path, broken: int, which: str) -> None:
    trees = [make_tree(tmp_path / name, name, "1.0") for name in ("one", "other")]
    destination = tmp_path / "destination"
    line = ["build", "--cache-dir", str(tmp_path / "cache"), "-w", str(destination), *map(str, trees)]
    status, said = run(line, broken, which)
    assert status == 0, said
    assert len(list(destination.iterdir())) == 2


@pytest.mark.parametrize("line", ["list", "files own", "show own", "list --json", "--help", "install --help"])
def test_what_only_tells_something_fails(tmp_path: Path, wheel: Path, broken: int, full: int, line: str) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, wheel)
    words = [*line.split(), *([] if "--help" in line else ["--prefix", str(prefix)])]
    assert run(words, broken, "out") == (1, "")
    status, said = run(words, full, "out")
    assert status == 1
    assert said.count("\n") == 1
    assert "standard output cannot be written (No space left on device); nothing was changed" in said


@pytest.mark.parametrize("which", WHICH)
def test_a_refusal_stays_one(tmp_path: Path, wheel: Path, broken: int, which: str) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    status, said = run(["install", "--prefix", str(prefix), f"{wheel}.gone-1-py3-none-any.whl"], broken, which)
    assert status == 1, said
    assert snapshot(prefix) == before


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_from_the_beginning(tmp_path: Path, wheel: Path, closed: str) -> None:
    prefix = make_prefix(tmp_path)
    for line in (f"install --prefix {prefix} {wheel}", f"uninstall --prefix {prefix} own"):
        command = ["sh", "-c", f'exec "$0" -m sage_wheels {line} {closed}', sys.executable]
        done = subprocess.run(command, env=tool_environment(), cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert names(prefix) == (["own 1"] if line.startswith("install") else [])


@pytest.mark.parametrize("how", ["broken", "full"])
@pytest.mark.parametrize("which", WHICH)
def test_pip(tmp_path: Path, wheel: Path, request: pytest.FixtureRequest, how: str, which: str) -> None:
    """What pip says before the change may end pip; what it says afterwards ends nothing."""
    fd = request.getfixturevalue(how)
    prefix = make_prefix_with_pip(tmp_path)
    pip = names(prefix)
    for line in (["install", "-q", "--no-index", str(wheel)], ["uninstall", "-y", "own"]):
        done = subprocess.run(
            our_command(prefix, *line),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if which == "err" else fd,
            stderr=subprocess.PIPE if which == "out" else fd,
            env=environment(tmp_path / "home"),
            cwd="/",
        )
        changed = names(prefix) == sorted(["own 1", *pip]) if line[0] == "install" else names(prefix) == pip
        assert changed
        assert done.returncode == 0, done


def test_pip_that_cannot_tell_of_its_success(tmp_path: Path, wheel: Path) -> None:
    """Its reader goes away with the first line: there is more to say after the transaction."""
    prefix = make_prefix_with_pip(tmp_path)
    process = subprocess.Popen(
        our_command(prefix, "install", "--no-index", str(wheel)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path / "home", PYTHONUNBUFFERED="1"),
        cwd="/",
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Installing collected packages"):
            break
    process.stdout.close()
    assert process.stderr
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait() == 0) == ("own 1" in names(prefix)), said
