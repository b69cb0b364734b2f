"""What is large is hashed and written beside inflating it, in a process of its own; the result is the same."""

from __future__ import annotations

import errno
import os
import random
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_wheels.errors import FileOperationFailed, SageWheelsError, WheelRefused
from sage_wheels.wheel import workers, writer
from support.attacks import wheel
from support.run import install
from support.trees import leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel
from support.zips import Entry

SIZE = writer.LARGE + (1 << 20)
CONTENT = random.Random(1).randbytes(1 << 20) + bytes(SIZE - (1 << 20))


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """How many children were made for one member each, by whichever process."""
    list_of_children = tmp_path / "children"
    real = workers.apart

    def counted(function: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        with open(list_of_children, "a") as f:
            f.write("x")
        return real(function, otherwise)

    monkeypatch.setattr(workers, "apart", counted)
    return lambda: list_of_children.stat().st_size if list_of_children.exists() else 0


def large(directory: Path, compression: int = zipfile.ZIP_DEFLATED, version: str = "1", **more: Any) -> Path:
    files: dict[str, str | bytes] = {"big/a.bin": CONTENT, "big/small.py": f"x = {version}\n"}
    return make_wheel(directory, "big", version, files, compression=compression, **more)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED], ids=["deflated", "stored"])
@pytest.mark.parametrize("how", ["apart", "no child", "one process"])
def test_what_arrives_is_what_was_packed(
    inflater: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[], int],
    compression: int,
    how: str,
) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    prefix, path = make_prefix(tmp_path), large(tmp_path, compression, executable=["big/a.bin"])
    if how == "no child":
        monkeypatch.setattr(os, "fork", refuse)
    install(prefix, path, processes=1 if how == "one process" else 2, inflater=inflater)
    assert made() == (0 if how == "one process" else 1)
    file = site_packages(prefix) / "big/a.bin"
    assert file.read_bytes() == CONTENT
    assert file.stat().st_mode & 0o111


def test_members_that_keep_all_processes_busy_have_one_thread_each(
    inflater: ModuleType, tmp_path: Path, made: Callable[[], int]
) -> None:
    """Two threads for a member take more processor time than one, so only what would be left over is split."""
    prefix = make_prefix(tmp_path)
    files: dict[str, str | bytes] = {f"big/{name}.bin": CONTENT for name in "abc"}
    path = make_wheel(tmp_path, "big", "1", files, compression=zipfile.ZIP_DEFLATED)
    install(prefix, path, processes=2, inflater=inflater)
    assert made() == 0
    install(prefix, path, processes=4, inflater=inflater, reinstall=True)
    assert made() == 3
    assert {(site_packages(prefix) / name).read_bytes() for name in files} == {CONTENT}


def threads() -> set[object]:
    """The threads of this process, as Python and as the system sees them; those that run tests have some."""
    tasks = "/proc/self/task"
    return {*threading.enumerate(), *(os.listdir(tasks) if os.path.isdir(tasks) else ())}


def test_no_thread_is_left_where_the_next_fork_is_made(
    inflater: ModuleType, tmp_path: Path, made: Callable[[], int]
) -> None:
    """Python 3.12 warns of a fork where there are threads, and the tests take warnings for errors."""
    prefix, before = make_prefix(tmp_path), threads()
    for version in ("1", "2", "3"):
        install(prefix, large(tmp_path, version=version), processes=2, inflater=inflater)
        assert threads() <= before  # one that an earlier test has left may end meanwhile
    assert made() == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("big/a.bin,sha256=" + "A" * 43 + f",{SIZE}", "does not have the hash in its RECORD"),
        (f"big/a.bin,sha512={'A' * 86},{SIZE}", "does not have the hash in its RECORD"),
    ],
    ids=["sha256", "sha512"],
)
def test_the_hash_counts(inflater: ModuleType, tmp_path: Path, made: Callable[[], int], row: str, reason: str) -> None:
    prefix, path = make_prefix(tmp_path), large(tmp_path, rows={"big/a.bin": row})
    before = snapshot(prefix)
    with pytest.raises(WheelRefused, match=reason):
        install(prefix, path, processes=2, inflater=inflater)
    assert (snapshot(prefix), leftovers(prefix), made()) == (before, [], 1)


DAMAGES: dict[str, tuple[Any, str]] = {
    "check sum": (Entry("big.bin", CONTENT, local={"crc": 1}, central={"crc": 1}), "fails its CRC check"),
    "garbage": (Entry("big.bin", CONTENT, raw=b"\xff" * 100_000), "cannot be inflated"),
    "trailing": (lambda good: Entry("big.bin", CONTENT, raw=good + b"x"), "is followed by other data"),
    "cut off": (lambda good: Entry("big.bin", CONTENT, raw=good[:-9]), "is cut off"),
    "too long": (
        Entry("big.bin", CONTENT, local={"size": SIZE - 9}, central={"size": SIZE - 9}),
        f"does not have the {SIZE - 9} bytes|but {SIZE} in its RECORD",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused(inflater: ModuleType, tmp_path: Path, damage: str) -> None:
    import zlib

    entry, reason = DAMAGES[damage]
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    good = deflater.compress(CONTENT) + deflater.flush()
    prefix, path = make_prefix(tmp_path), tmp_path / "evil-1-py3-none-any.whl"
    path.write_bytes(wheel(entry(good) if callable(entry) else entry))
    before = snapshot(prefix)
    with pytest.raises(WheelRefused, match=reason):
        install(prefix, path, processes=2, inflater=inflater)
    assert (snapshot(prefix), leftovers(prefix)) == (before, [])


@pytest.mark.parametrize("how", ["disk full", "killed"])
def test_what_fails_in_the_child_fails_the_command(
    inflater: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    real, me = writer.write_all, os.getpid()

    def spoilt(fd: int, data: bytes) -> int:
        if os.getpid() != me:
            if how == "killed":
                os.kill(os.getpid(), 9)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    prefix, path = make_prefix(tmp_path), large(tmp_path)
    before = snapshot(prefix)
    monkeypatch.setattr(writer, "write_all", spoilt)
    expected = FileOperationFailed if how == "disk full" else SageWheelsError
    with pytest.raises(expected, match="No space left" if how == "disk full" else "was killed; free some memory"):
        install(prefix, path, processes=2, inflater=inflater)
    assert (snapshot(prefix), leftovers(prefix)) == (before, [])
