"""However a hostile file is made, what is done about it is bounded: by its size, or by a limit that can be named.

No clock is asked. Counted are the bytes that come out of an archive, the members that are looked at, and the calls of
functions, Python's and C's: for an input of four times the size there may be four times as many, not sixteen. What a
single call could make endless is among the attacks of `test_wheels`; `python benchmarks hostile` prints the seconds.

Promise 5.
"""

from __future__ import annotations

import contextlib
import gzip
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_wheels.archive import sdist_members, strict_zip, unpack
from sage_wheels.archive.strict_zip import Damaged, TooLarge, WheelLimits
from sage_wheels.errors import SageWheelsError
from sage_wheels.installed import record
from sage_wheels.metadata import headers
from sage_wheels.prefix.locator import Locator
from sage_wheels.transaction import journal
from sage_wheels.transaction.journal import Journal, Step
from sage_wheels.wheel import scripts
from sage_wheels.wheel.wheel import Wheel
from support.attacks import METADATA, NAME, REFUSED, described, entry_points, wheel
from support.run import install
from support.trees import make_prefix
from support.zips import Entry, zip_bytes

from .test_sdists import LIMITS, TARS, TOP, ZIPS, Tar, chain, tar

CHUNK = 1 << 20


class Counted:
    """Counts the bytes that come out of a zip file, or of one that gzip made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str = "zip", module: Any = zlib) -> None:
        self.bytes = 0
        count = self

        class Inflater:
            def __init__(self, wbits: int) -> None:
                self._real = real(wbits)

            def decompress(self, data: bytes, most: int = 0) -> bytes:
                result: bytes = self._real.decompress(data, most)
                count.bytes += len(result)
                return result

            def __getattr__(self, name: str) -> Any:
                return getattr(self._real, name)

        class File(gzip.GzipFile):
            def read(self, size: int | None = -1) -> bytes:
                result = super().read(size)
                count.bytes += len(result)
                return result

        real = module.decompressobj
        if kind == "zip":
            monkeypatch.setattr(module, "decompressobj", Inflater)
        else:
            monkeypatch.setattr(gzip, "GzipFile", File)


@pytest.mark.parametrize("attack", REFUSED)
def test_bytes_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, inflater: ModuleType) -> None:
    """What claims to be larger than its limits is not inflated at all; what lies about its size, not beyond that."""
    prefix = make_prefix(tmp_path)
    data = REFUSED[attack]
    path = tmp_path / NAME
    path.write_bytes(data() if callable(data) else data)
    counted = Counted(monkeypatch, module=inflater)
    with contextlib.suppress(SageWheelsError):
        install(prefix, path, inflater=inflater, compile_bytecode=False)
    assert counted.bytes <= 4 * path.stat().st_size + CHUNK


@pytest.mark.parametrize(("kind", "attack"), [*(("tar.gz", each) for each in TARS), *(("zip", each) for each in ZIPS)])
def test_bytes_and_members_of_an_sdist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, attack: str) -> None:
    data = (TARS if kind == "tar.gz" else ZIPS)[attack]
    path = tmp_path / f"{TOP}.{kind}"
    path.write_bytes(data() if callable(data) else data)
    members = []
    check = sdist_members.checked_name

    def checked(archive: str, name: str) -> str:
        members.append(name)
        return check(archive, name)

    monkeypatch.setattr(sdist_members, "checked_name", checked)
    counted = Counted(monkeypatch, kind)
    (tmp_path / "destination").mkdir()
    with pytest.raises(SageWheelsError):
        unpack.unpack_sdist(str(path), str(tmp_path / "destination"), LIMITS)
    assert counted.bytes <= LIMITS.size + 4096 * (LIMITS.members + 1) + 2 * sdist_members.MAX_READ
    assert len(members) <= 2 * LIMITS.members + 1  # a link has two names


def test_members_of_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No more entries are read than the end of the archive says, and that may be no more than the limit."""
    read = []
    entry = strict_zip.central_entry

    def counted(data: bytes, at: int, *, links: bool) -> tuple[strict_zip.Member, int]:
        read.append(at)
        return entry(data, at, links=links)

    monkeypatch.setattr(strict_zip, "central_entry", counted)
    path = tmp_path / NAME
    path.write_bytes(zip_bytes([Entry(str(number)) for number in range(500)], end={"here": 7, "count": 7}))
    with pytest.raises(Damaged, match="it has more members than the 7 that its end record says"):
        strict_zip.Archive(str(path))
    assert len(read) == 8
    path.write_bytes(zip_bytes([Entry(str(number)) for number in range(500)]))
    with pytest.raises(TooLarge):
        strict_zip.Archive(str(path), WheelLimits(members=499))
    assert len(read) == 8


def test_directories_of_a_wheel(tmp_path: Path) -> None:
    """A member may need ninety-nine directories: they are counted while they are made, not afterwards."""
    path = tmp_path / NAME
    path.write_bytes(zip_bytes([Entry(f"{number}/" + "d/" * 97 + "x") for number in range(300)]))
    names = 0

    def count(frame: object, event: str, argument: Any) -> None:
        nonlocal names
        names += event == "c_call" and argument.__name__ == "rpartition"

    sys.setprofile(count)
    try:
        with pytest.raises(TooLarge):
            strict_zip.Archive(str(path), WheelLimits(members=1000))
    finally:
        sys.setprofile(None)
    assert 900 < names <= 1100


def test_a_central_directory_of_any_size(tmp_path: Path) -> None:
    """It is refused before it is read; most of this file is a hole."""
    path, size = tmp_path / NAME, strict_zip.MAX_DIRECTORY + 1
    with open(path, "wb") as f:
        f.seek(size)
        f.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0))
    with pytest.raises(
        Damaged, match=f"its central directory has {size} bytes, more than the {size - 1} that are allowed"
    ):
        strict_zip.Archive(str(path))


# --- four times as much takes four times as long ---


def opened(data: bytes, directory: Path) -> None:
    path = directory / NAME
    path.write_bytes(data)
    with Wheel(str(path)) as one:
        list(scripts.entry_points(one, (3, 11)))


def unpacked(out: Tar, directory: Path) -> None:
    path = directory / f"{TOP}.tar.gz"
    path.write_bytes(out.gz())
    destination = directory / "destination" / str(sum(1 for _ in (directory / "destination").iterdir()))
    destination.mkdir()
    unpack.unpack_sdist(str(path), str(destination))


def files(count: int) -> Tar:
    out = tar()
    for number in range(count):
        out.add(f"{TOP}/{number}")
    return out


def requiring(count: int) -> bytes:
    return described(METADATA + b"".join(b"Requires-Dist: p%d>=1\n" % number for number in range(count)))


def located(count: int) -> None:
    locator = Locator("/nowhere")
    for number in range(count):
        locator.locate("lib", f"{number}/" + "d/" * 100 + "x")


CASES: dict[str, Callable[[int, Path], Callable[[], Any]]] = {
    "rows of RECORD": lambda n, _: lambda: record.parse(b"a/b.py,sha256=abc,1\n" * n * 50),
    "quotes in RECORD": lambda n, _: lambda: record.parse(b'"' + b'""' * n * 50 + b'",,\n'),
    "fields": lambda n, _: lambda: headers("X: y\n" * n * 20),
    "continued lines": lambda n, _: lambda: headers("X: y\n" + " z\n" * n * 20),
    "places": lambda n, _: lambda: located(n),
    "steps of a journal": lambda n, _: (lambda data: lambda: journal.from_bytes(data))(
        Journal("var/s", [Step("place", f"lib/{each}", f"s/{each}") for each in range(n * 10)]).to_bytes()
    ),
    "members": lambda n, where: lambda: opened(wheel(*(Entry(f"e/{each}") for each in range(n * 5))), where),
    "deep members": lambda n, where: (
        lambda: opened(wheel(*(Entry(f"{e}/" + "d/" * 90 + "x") for e in range(n))), where)
    ),
    "nested members": lambda n, where: (
        lambda: opened(wheel(*(Entry("d/" * (e % 98) + f"x{e}") for e in range(n))), where)
    ),
    "requirements": lambda n, where: lambda: opened(requiring(n * 10), where),
    "entry points": lambda n, where: (
        lambda: opened(entry_points("[console_scripts]\n" + "".join(f"x{each} = evil:x\n" for each in range(n))), where)
    ),
    "sections": lambda n, where: (
        lambda: opened(entry_points("".join(f"[s{each}]\na_scripts = b\n" for each in range(n * 10))), where)
    ),
    "files of an sdist": lambda n, where: lambda: unpacked(files(n), where),
    "a chain of links": lambda n, where: lambda: unpacked(chain(n * 4), where),
}


@pytest.mark.parametrize("case", CASES)
def test_four_times_as_much_takes_four_times_as_many_calls(tmp_path: Path, case: str) -> None:
    (tmp_path / "destination").mkdir()
    counts = []
    for number in (100, 100, 400):  # the first one imports what is needed
        counts.append(calls(CASES[case](number, tmp_path)))
    assert counts[2] <= 4.5 * counts[1], counts


@pytest.mark.parametrize(
    "character", ["e", "\0", "\N{RIGHT-TO-LEFT OVERRIDE}", "\udc80", "\N{LANGUAGE TAG}"], ids=ascii
)
def test_a_sentence_is_short_whatever_it_quotes(character: str) -> None:
    """Also where each character of a file is ten on the screen."""
    sentence = str(SageWheelsError(f"{NAME}: it has Wheel-Version {character * 5000}", "rebuild it"))
    assert len(sentence) <= 1000
    assert sentence.isprintable()
    assert sentence.startswith(NAME)
    assert sentence.endswith("; rebuild it")


def calls(action: Callable[[], Any]) -> int:
    """How many functions `action` calls."""
    count = 0

    def event(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(event)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count
