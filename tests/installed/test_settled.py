"""`sage_wheels.installed.settled`: differences are reported, and what others are just changing is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.errors import PrefixError
from sage_wheels.installed import files, settled
from sage_wheels.prefix import find_prefix, lock
from support.run import install, tool, tool_environment, uninstall
from support.trees import STATE, make_prefix, site_packages
from support.wheels import make_wheel

FILES = {f"pkg/m{n}.txt": f"{n}\n" for n in range(30)}


def wheel(tmp_path: Path, version: str) -> Path:
    files = {name: text + version for name, text in FILES.items()}
    return make_wheel(tmp_path, "pkg", version, {**files, f"pkg/only-{version}.txt": ""})


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    install(prefix, wheel(tmp_path, "1"))
    return prefix


def beside(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object], *, times: int = 1) -> None:
    """Let `change` happen while files are compared: after the record was read, and before the first look at a file."""
    usual = files.owned
    left = [times]

    def owned(*arguments: Any) -> Any:
        found = usual(*arguments)
        if left[0] and sys._getframe(1).f_code.co_name == "verify":
            left[0] -= 1
            change()
        return found

    monkeypatch.setattr(files, "owned", owned)


def verify(prefix: Path) -> list[tuple[str, str]]:
    problems = sage_wheels.verify("pkg", prefix)
    return [(each.state, os.path.relpath(each.path, site_packages(prefix))) for each in problems]


def test_removed_meanwhile(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside(monkeypatch, lambda: uninstall(prefix, "pkg"))
    assert verify(prefix) == []


@pytest.mark.parametrize("times", [1, 4])
def test_replaced_meanwhile(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    versions = iter("2345")
    beside(monkeypatch, lambda: install(prefix, wheel(tmp_path, next(versions))), times=times)
    assert verify(prefix) == []


def test_a_difference_of_the_version_that_came_meanwhile(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is at a path at which there was none before."""

    def change() -> None:
        install(prefix, wheel(tmp_path, "2"))
        (site_packages(prefix) / "pkg/only-2.txt").write_text("edited")

    beside(monkeypatch, change)
    assert verify(prefix) == [("changed", "pkg/only-2.txt")]


def test_a_file_of_a_distribution_that_came_meanwhile(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside(monkeypatch, lambda: install(prefix, make_wheel(tmp_path, "other", "1", {"pkg/other.txt": ""})))
    assert verify(prefix) == []


def test_a_prefix_that_never_comes_to_rest(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site_packages(prefix) / "pkg/m7.txt"
    numbers = iter(range(10_000))
    beside(monkeypatch, lambda: path.write_text(f"edited {next(numbers)}"), times=-1)
    with pytest.raises(PrefixError, match="changes faster than it can be verified"):
        sage_wheels.verify("pkg", prefix)


def test_the_lock_is_held_for_a_piece_at_a_time(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = lock.keep_out
    held: list[float] = []

    def noted(path: str, timeout: float) -> Any:
        held.append(timeout)
        return usual(path, timeout)

    for name in FILES:
        (site_packages(prefix) / name).unlink()
    monkeypatch.setattr(lock, "keep_out", noted)
    assert len(verify(prefix)) == len(FILES)
    assert len(held) == 1
    [found] = settled.verify_settled(
        find_prefix(prefix), frozenset({"pkg"}), print, settled.VerifyPace(held=0, piece=10)
    )
    assert len(found.problems) == len(FILES)
    assert len(held) == 1 + 3


def test_no_file_is_read_with_the_lock_held(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site_packages(prefix) / "pkg/m7.txt").write_text("x\n1")
    usual = files.state_of

    def state_of(*arguments: Any) -> Any:
        with lock.hold(f"{prefix}/{STATE}/lock", timeout=0):
            return usual(*arguments)

    monkeypatch.setattr(files, "state_of", state_of)
    assert verify(prefix) == [("changed", "pkg/m7.txt")]


def test_somebody_who_holds_the_lock_is_not_waited_for(prefix: Path) -> None:
    said: list[str] = []

    def problems() -> list[Any]:
        pace = settled.VerifyPace(patience=0.01)
        return settled.verify_settled(find_prefix(prefix), None, said.append, pace)[0].problems

    with lock.hold(f"{prefix}/{STATE}/lock"):
        assert problems() == []
        assert said == []
        (site_packages(prefix) / "pkg/m7.txt").unlink()
        assert len(problems()) == 1
    assert said == [f"{prefix} could not be locked, so differences may be changes under way; run the command again"]


def test_verifying_writes_nothing(prefix: Path) -> None:
    """Not even the name of the holder into the lock; and where there is no lock, none is made."""
    (site_packages(prefix) / "pkg/m7.txt").unlink()
    path = prefix / STATE / "lock"
    before = path.read_bytes()
    assert len(verify(prefix)) == 1
    assert path.read_bytes() == before
    path.unlink()
    assert len(verify(prefix)) == 1
    assert not path.exists()


def test_beside_another_process(prefix: Path, tmp_path: Path) -> None:
    wheels = [str(wheel(tmp_path, version)) for version in "12"]
    program = "\n".join(
        (
            "import sage_wheels, sys",
            "for number in range(15):",
            "    sage_wheels.install([sys.argv[2 + number % 2]], sys.argv[1])",
            "    sage_wheels.uninstall(['pkg'], sys.argv[1])",
        )
    )
    command = [sys.executable, "-c", program, str(prefix), *wheels]
    with subprocess.Popen(command, env=tool_environment(), cwd="/") as other:
        while other.poll() is None:
            assert sage_wheels.verify("pkg", prefix) == []
    assert other.returncode == 0


def test_the_command_names_what_is_gone(prefix: Path) -> None:
    assert tool("verify", "--prefix", prefix, "pkg").returncode == 0
    uninstall(prefix, "pkg")
    done = tool("verify", "--prefix", prefix, "pkg")
    assert done.returncode == 1
    assert "pkg is not installed in" in done.stderr
