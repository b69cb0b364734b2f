"""What a process finds out before it forks the processes that build, so that they need not: never more than is true."""

from __future__ import annotations

import time
from pathlib import Path

from sage_wheels.building.inputs import machine
from sage_wheels.store.remembered import remembered
from sage_wheels.store.store import Store


def _digest(directory: Path, store: Store) -> str:
    found = machine.system({"CPATH": str(directory)}, (), (), {}, store)
    return found[str(directory)]


def test_directory(tmp_path: Path) -> None:
    """What was found ahead is used for two seconds, and is what a build would have found; then a change is seen."""
    store = Store(str(tmp_path / "store"))
    directory = tmp_path / "include"
    directory.mkdir()
    (directory / "a.h").write_text("1")
    before = _digest(directory, store)
    machine.look_ahead(str(directory))
    seen = machine.looked_at[str(directory)]
    assert _digest(directory, store) == before == seen.digest
    (directory / "b.h").write_text("1")
    machine.looked_at[str(directory)] = seen._replace(time=time.monotonic() - 2.1, took=0.0)
    after = _digest(directory, store)
    assert after != before
    machine.look_ahead(str(directory))  # which looks again
    assert machine.looked_at.pop(str(directory)).digest == after


def test_without_looking_ahead(tmp_path: Path) -> None:
    """A process that does not look ahead sees every change at once."""
    store = Store(str(tmp_path / "store"))
    digests = set()
    for number in range(3):
        (tmp_path / "include").mkdir(exist_ok=True)
        (tmp_path / f"include/{number}.h").write_text("")
        digests.add(_digest(tmp_path / "include", store))
    assert len(digests) == 3


def test_too_many_files(tmp_path: Path) -> None:
    """A directory that is too large is no error for the process that looks ahead; each build reports it."""
    for number in range(3):
        (tmp_path / f"{number}.h").write_text("")
    machine.look_ahead(str(tmp_path), most=2)
    assert str(tmp_path) not in machine.looked_at


def test_remembered(tmp_path: Path) -> None:
    """An answer is asked for once for each value that it depends on, and once for each store."""
    asked: list[str] = []

    def answer(value: str, root: str = "one") -> str:
        def ask() -> str:
            asked.append(value)
            return f"{value}!"

        return str(remembered(Store(str(tmp_path / root)), "test", [value], str, ask))

    assert [answer("a"), answer("a"), answer("b"), answer("a", "other")] == ["a!", "a!", "b!", "a!"]
    assert asked == ["a", "b", "a"]
