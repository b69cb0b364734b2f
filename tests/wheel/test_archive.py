"""`sage_wheels.wheel.archive`: what real writers write is read, what has two meanings is not."""

from __future__ import annotations

import io
import os
import random
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_wheels.wheel.archive import Archive, Damaged, Limits, TooLarge
from support.zips import DEFLATED, STORED, Entry, zip_bytes

MEGABYTE = 1 << 20
CONTENT = b"content\n" * 10


def read_all(path: Path) -> dict[str, bytes]:
    """Every member, as installing reads them."""
    with Archive(str(path)) as opened:
        return {name: b"".join(opened.chunks(member)) for name, member in opened.members.items()}


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize(
    "content",
    [b"", b"x", CONTENT, noise(MEGABYTE), noise(MEGABYTE + 1), b"\0" * (3 * MEGABYTE), noise(2 * MEGABYTE + 7)],
    ids=["empty", "byte", "small", "megabyte", "megabyte+1", "zeros", "long-noise"],
)
def test_what_zipfile_writes_is_read(tmp_path: Path, method: int, content: bytes) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as writer:
        writer.writestr("first.txt", "first")
        writer.writestr("pkg/data.bin", content)
        writer.mkdir("pkg/empty") if hasattr(writer, "mkdir") else writer.writestr("pkg/empty/", "")
        writer.writestr("ünïcode/\N{LINE SEPARATOR}.txt", "last")
    found = read_all(path)
    assert found == {"first.txt": b"first", "pkg/data.bin": content, "ünïcode/\N{LINE SEPARATOR}.txt": b"last"}


def test_what_zipfile_writes_to_a_pipe_is_read(tmp_path: Path) -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("a.txt", CONTENT)
        writer.writestr("b.txt", b"")
    assert read_all(save(tmp_path / "a.zip", out.data)) == {"a.txt": CONTENT, "b.txt": b""}


def test_zip64_members_and_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as writer, writer.open("a.txt", "w", force_zip64=True) as member:
        member.write(CONTENT)
    assert read_all(path) == {"a.txt": CONTENT}
    assert read_all(save(path, zip_bytes([Entry("b.txt", CONTENT)], zip64={}))) == {"b.txt": CONTENT}
    extra = struct.pack("<2H2Q", 1, 16, len(CONTENT), len(CONTENT))
    central = {"extra": b"\x99\x99\x01\x00x" + extra, "size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF}
    assert read_all(save(path, zip_bytes([Entry("c.txt", CONTENT, STORED, central=central)]))) == {"c.txt": CONTENT}


def test_only_the_executable_bit_of_the_mode_counts(tmp_path: Path) -> None:
    modes = {"a": 0o755, "b": 0o644, "c": 0o4711, "d": 0o666, "e": 0o001}
    entries = [Entry(name, mode=stat.S_IFREG | mode) for name, mode in modes.items()]
    entries.append(Entry("dos", mode=0))
    with Archive(str(save(tmp_path / "a.zip", zip_bytes(entries)))) as opened:
        found = {name: member.executable for name, member in opened.members.items()}
    assert found == {"a": True, "b": False, "c": True, "d": False, "e": True, "dos": False}


def test_read_takes_no_more_than_makes_sense(tmp_path: Path) -> None:
    with Archive(str(save(tmp_path / "a.zip", zip_bytes([Entry("a", CONTENT)])))) as opened:
        assert opened.read("a", len(CONTENT)) == CONTENT
        with pytest.raises(Damaged, match="a has 80 bytes, more than the 79 that make sense"):
            opened.read("a", len(CONTENT) - 1)


def test_an_archive_comment_is_allowed(tmp_path: Path) -> None:
    assert read_all(save(tmp_path / "a.zip", zip_bytes([Entry("a", CONTENT)], comment=b"hello"))) == {"a": CONTENT}


def test_an_empty_archive_has_no_members(tmp_path: Path) -> None:
    assert read_all(save(tmp_path / "a.zip", zip_bytes([]))) == {}


def test_the_file_is_closed_again(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    good = save(tmp_path / "good.zip", zip_bytes([Entry("a")]))
    bad = save(tmp_path / "bad.zip", b"no zip")
    before = os.listdir("/proc/self/fd")
    read_all(good)
    with pytest.raises(Damaged):
        Archive(str(bad))
    assert os.listdir("/proc/self/fd") == before


ONE = Entry("a.txt", CONTENT)
LONG: dict[str, object] = {"compressed": len(CONTENT), "size": len(CONTENT)}
LONG64: dict[str, object] = {"compressed": 0xFFFFFFFF, "size": 0xFFFFFFFF}
RIGHT64 = struct.pack("<2H2Q", 1, 16, len(CONTENT), len(CONTENT))
OTHER_NAME = struct.pack("<2HBL", 0x7075, 9, 1, zlib.crc32(b"a")) + b"evil"
FOLDER = stat.S_IFDIR | 0o755
HIDDEN = zip_bytes([Entry("evil", b"evil", STORED)]).partition(b"PK\1\2")[0]  # with no central directory
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "no zip archive"),
    "no zip": (b"x" * 1000, "no zip archive"),
    "end cut off": (zip_bytes([ONE])[:-1], "no zip archive, or its end is cut off"),
    "first half only": (zip_bytes([ONE])[:60], "no zip archive"),
    "junk behind": (zip_bytes([ONE], after=b"x"), "something stands behind the archive"),
    "junk before": (zip_bytes([ONE], before=b"#!/bin/sh\n"), "something stands before the archive"),
    "junk before, offsets not adjusted": (
        zip_bytes([ONE], before=b"junk", shift=-4),
        "something stands before or inside",
    ),
    "junk inside": (zip_bytes([ONE], between=b"junk", end={"start": 50}), "something stands before or inside"),
    "another archive before": (zip_bytes([ONE], before=zip_bytes([ONE])), "something stands before the archive"),
    "two archives": (zip_bytes([ONE]) + zip_bytes([ONE]), "something stands before or inside"),
    "comment too long": (zip_bytes([ONE], end={"comment": 5}), "something stands behind the archive"),
    "several disks": (zip_bytes([ONE], end={"disk": 1}), "several parts"),
    "directory on another disk": (zip_bytes([ONE], end={"first": 1}), "several parts"),
    "part of the members here": (zip_bytes([ONE], end={"here": 0}), "several parts"),
    "more members than there are": (
        zip_bytes([ONE], end={"here": 2, "count": 2}),
        "it has 1 members where its end says 2",
    ),
    "fewer members than there are": (
        zip_bytes([ONE, Entry("b")], end={"here": 1, "count": 1}),
        "has more members than the 1 that",
    ),
    "directory too long": (zip_bytes([ONE], end={"size": 40}), "something stands before or inside"),
    "zip64 without locator": (zip_bytes([ONE], end={"here": 0xFFFF}), "ZIP64 end records make no sense"),
    "zip64 locator elsewhere": (zip_bytes([ONE], zip64={"at": 0}), "ZIP64 end records make no sense"),
    "zip64 of another length": (zip_bytes([ONE], zip64={"length": 45}), "ZIP64 end records make no sense"),
    "zip64 with too many members": (
        zip_bytes([ONE], zip64={"here": 10**6, "count": 10**6}),
        "more than 400000 members",
    ),
    "zip64 sizes without extra": (zip_bytes([Entry("a", central={"size": 0xFFFFFFFF})]), "ZIP64 sizes of a make no"),
    "zip64 extra too short": (
        zip_bytes([Entry("a", central={"size": 0xFFFFFFFF, "extra": struct.pack("<2HL", 1, 4, 5)})]),
        "ZIP64 sizes of a make no sense",
    ),
    "zip64 locator that the end does not speak of": (
        zip_bytes([ONE, Entry("b", central={"comment": zip_bytes([ONE], zip64={})[-98:-22]})]),
        "ZIP64 end records make no sense",
    ),
    "zip64 end that says something else": (
        zip_bytes([ONE], zip64={}, end={"here": 2, "count": 2}),
        "ZIP64 end records make no sense",
    ),
    "local zip64 size": (
        zip_bytes([Entry("a", CONTENT, STORED, local=LONG64 | {"extra": struct.pack("<2H2Q", 1, 16, 7, 7)})]),
        "the local header of a says something else",
    ),
    "local zip64 size that is not there": (
        zip_bytes([Entry("a", CONTENT, STORED, local=LONG64)]),
        "the ZIP64 sizes of a make no sense",
    ),
    "local zip64 crc": (
        zip_bytes([Entry("a", CONTENT, STORED, local=LONG64 | {"extra": RIGHT64, "crc": 7})]),
        "the local header of a says something else",
    ),
    "another name": (zip_bytes([Entry("a", central={"extra": OTHER_NAME})]), "a has another name beside this one"),
    "another local name": (zip_bytes([Entry("a", local={"extra": OTHER_NAME})]), "a has another name beside this one"),
    "name in an unknown encoding": (zip_bytes([Entry("\u00e9", flags=0)]), "is not UTF-8, or does not say so"),
    "member between the members": (
        zip_bytes([Entry("a", padding=HIDDEN), Entry("b")]),
        "something stands behind a that does not belong to it",
    ),
    "member behind the members": (zip_bytes([Entry("a", padding=HIDDEN)]), "something stands behind a that"),
    "member in the place of sizes": (
        zip_bytes([Entry("a", flags=0x808, padding=HIDDEN)]),
        "something stands behind a that",
    ),
    "directory with content": (zip_bytes([Entry("a/", CONTENT, mode=FOLDER)]), "a/ is a directory with content"),
    "directory that is a file to others": (
        zip_bytes([Entry("a/", mode=FOLDER, local={"name": b"a."})]),
        "the local header of a/ says something else",
    ),
    "member behind a directory": (zip_bytes([Entry("a/", mode=FOLDER, padding=HIDDEN)]), "something stands behind a/"),
    "central magic": (zip_bytes([Entry("a", central={"magic": b"PK\1\7"})]), "central directory makes no sense"),
    "member on another disk": (zip_bytes([Entry("a", central={"disk": 2})]), "central directory makes no sense"),
    "local magic": (zip_bytes([Entry("a", local={"magic": b"PK\3\7"})]), "the local header of a says something else"),
    "local name": (zip_bytes([Entry("a", local={"name": b"b"})]), "the local header of a says something else"),
    "local size": (zip_bytes([Entry("a", CONTENT, local={"size": 7})]), "the local header of a says something else"),
    "local crc": (zip_bytes([Entry("a", CONTENT, local={"crc": 7})]), "the local header of a says something else"),
    "local method": (
        zip_bytes([Entry("a", CONTENT, local={"method": 0})]),
        "the local header of a says something else",
    ),
    "local flags": (zip_bytes([Entry("a", CONTENT, local={"flags": 1})]), "the local header of a says something else"),
    "encrypted": (zip_bytes([Entry("a", CONTENT, flags=0x801)]), "a is encrypted"),
    "strongly encrypted": (zip_bytes([Entry("a", CONTENT, flags=0x840)]), "a is encrypted"),
    "bzip2": (zip_bytes([Entry("a", CONTENT, method=12)]), "a is compressed by method 12"),
    "lzma": (zip_bytes([Entry("a", CONTENT, method=14)]), "a is compressed by method 14"),
    "zstandard": (zip_bytes([Entry("a", CONTENT, method=93)]), "a is compressed by method 93"),
    "stored with two sizes": (
        zip_bytes([Entry("a", CONTENT, STORED, central={"size": 81})]),
        "a is stored, but has two",
    ),
    "size too small": (zip_bytes([Entry("a", CONTENT, local={"size": 79}, central={"size": 79})]), "79 bytes|cut off"),
    "size too large": (
        zip_bytes([Entry("a", CONTENT, local={"size": 81}, central={"size": 81})]),
        "a does not have the 81",
    ),
    "wrong crc": (zip_bytes([Entry("a", CONTENT, local={"crc": 1}, central={"crc": 1})]), "a fails its CRC check"),
    "wrong crc, stored": (
        zip_bytes([Entry("a", CONTENT, STORED, local={"crc": 1}, central={"crc": 1})]),
        "a fails its CRC check",
    ),
    "not deflated": (zip_bytes([Entry("a", CONTENT, raw=b"\xff" * 80)]), "a cannot be inflated"),
    "deflated data cut off": (zip_bytes([Entry("a", noise(99), raw=zlib.compress(noise(99))[2:50])]), "a "),
    "deflated data with something behind": (
        zip_bytes([Entry("a", b"", raw=b"\x03\x00hidden")]),
        "a is cut off, longer than its header says, or has something behind it",
    ),
    "reaches into the next": (
        zip_bytes([Entry("a", CONTENT, STORED, central={"compressed": 999, "size": 999}), Entry("b")]),
        "a reaches into what follows it",
    ),
    "reaches into the directory": (
        zip_bytes([Entry("a", CONTENT, STORED, central={"compressed": 99, "size": 99})]),
        "a reaches into what follows it",
    ),
    "two members share their data": (
        zip_bytes([Entry("a", CONTENT), Entry("a2", CONTENT, central={"offset": 0})]),
        "a2? reaches into what follows it",
    ),
    "local extra reaches into the next": (
        zip_bytes([Entry("a", CONTENT, STORED, raw=CONTENT[:-9], local=LONG | {"extra": b"x" * 9}, central=LONG)]),
        "a reaches into what follows it",
    ),
    "twice": (zip_bytes([Entry("a"), Entry("b"), Entry("a")]), "it has a twice"),
    "file and directory": (zip_bytes([Entry("a/b"), Entry("a")]), "a is both a file and a directory"),
    "file and directory entry": (
        zip_bytes([Entry("a"), Entry("a/", mode=stat.S_IFDIR | 0o755)]),
        "a is both a file and a directory",
    ),
    "symbolic link": (
        zip_bytes([Entry("a", b"/etc", mode=stat.S_IFLNK | 0o777)]),
        "'a' is a link, a device or something",
    ),
    "fifo": (zip_bytes([Entry("a", mode=stat.S_IFIFO | 0o644)]), "'a' is a link, a device or something"),
    "character device": (zip_bytes([Entry("a", mode=stat.S_IFCHR | 0o644)]), "'a' is a link, a device or something"),
    "block device": (zip_bytes([Entry("a", mode=stat.S_IFBLK | 0o644)]), "'a' is a link, a device or something"),
    "socket": (zip_bytes([Entry("a", mode=stat.S_IFSOCK | 0o644)]), "'a' is a link, a device or something"),
    "file that says directory": (zip_bytes([Entry("a", mode=stat.S_IFDIR | 0o755)]), "'a' is a link, a device or"),
    "directory that says file": (zip_bytes([Entry("a/", mode=stat.S_IFREG | 0o755)]), "'a/' is a link, a device or"),
    "name is not UTF-8": (zip_bytes([Entry(b"\xff\xfe")]), "the member name .* is not UTF-8"),
    "bomb by ratio": (
        zip_bytes([Entry("a", b"", raw=b"x", local={"size": 1 << 30}, central={"size": 1 << 30})]),
        "it unpacks to more than 250 times its size in a",
    ),
    "bomb in truth": (zip_bytes([Entry("a", bytes(20 << 20))]), "it unpacks to more than 250 times its size in a"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_has_no_single_meaning_is_damaged(tmp_path: Path, name: str) -> None:
    data, reason = DAMAGED[name]
    with pytest.raises(Damaged) as caught:
        read_all(save(tmp_path / "a.zip", data))
    assert re.search(reason, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


UNSAFE_NAMES = [
    *(
        "",
        "/",
        "/a",
        "//a",
        "../a",
        "a/../../b",
        "a/..",
        "..",
        ".",
        "./a",
        "a/./b",
        "a//b",
        "a\\b",
        "..\\a",
        "C:a",
        "C:/a",
    ),
    *("C:\\a", "\\\\host\\share", "a\0b", "a\nb", "a\rb", "a\x1bb", "a\x7fb", "a\tb"),
]


@pytest.mark.parametrize("name", UNSAFE_NAMES, ids=repr)
@pytest.mark.parametrize("ending", ["", "/"], ids=["file", "directory"])
def test_unsafe_names(tmp_path: Path, name: str, ending: str) -> None:
    mode = stat.S_IFDIR | 0o755 if (name + ending).endswith("/") else stat.S_IFREG | 0o644
    data = zip_bytes([Entry("first"), Entry(name + ending, b"", STORED, mode)])
    with pytest.raises(Damaged, match=r"is no plain path inside the archive|is both a file and a directory"):
        read_all(save(tmp_path / "a.zip", data))


@pytest.mark.parametrize(
    "name", ["e" * 256, "\u00e9" * 128, "a/" * 100 + "b", "a/b" + "/" + "cd/" * 340 + "e", "x/" * 5000 + "y"]
)
def test_names_too_long_for_a_file_system(tmp_path: Path, name: str) -> None:
    with pytest.raises(Damaged, match=r"is longer or deeper than a file system takes") as caught:
        read_all(save(tmp_path / "a.zip", zip_bytes([Entry(name)])))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["e" * 255, "\u00e9" * 127, "a/" * 99 + "b"])
def test_names_just_short_enough(tmp_path: Path, name: str) -> None:
    assert read_all(save(tmp_path / "a.zip", zip_bytes([Entry(name, b"x")]))) == {name: b"x"}


@pytest.mark.parametrize(
    ("limits", "names", "says"),
    [
        (Limits(size=159), ["a", "b"], "159 bytes"),
        (Limits(members=1), ["a", "b"], "1 members"),
        (Limits(members=4), ["a/b/c/d/e"], "4 members"),  # the directories that a path needs are counted, too
    ],
)
def test_too_large_in_all(tmp_path: Path, limits: Limits, names: list[str], says: str) -> None:
    path = save(tmp_path / "a.zip", zip_bytes([Entry(name, CONTENT) for name in names]))
    with pytest.raises(TooLarge, match=f"it unpacks to more than {says}"):
        Archive(str(path), limits)
    with Archive(str(path), Limits(size=160, members=5)) as opened:
        assert list(opened.members) == names


def test_memory_stays_bounded_whatever_the_header_says(tmp_path: Path) -> None:
    """A member that says it is small and inflates to much is dropped after a megabyte."""
    lie = {"size": 100}
    path = save(tmp_path / "a.zip", zip_bytes([Entry("a", bytes(64 << 20), DEFLATED, local=lie, central=lie)]))
    seen = 0
    with Archive(str(path)) as opened, pytest.raises(Damaged):  # noqa: PT012
        for chunk in opened.chunks(opened.members["a"]):
            seen += len(chunk)
    assert seen <= 2 * MEGABYTE


def spoil(data: bytes, position: int, value: int) -> bytes:
    changed = bytearray(data)
    changed[position % len(changed)] ^= value
    return bytes(changed)


def cut(data: bytes, position: int, _: int) -> bytes:
    return data[: position % len(data)]


def insert(data: bytes, position: int, value: int) -> bytes:
    position %= len(data)
    return data[:position] + bytes([value]) + data[position:]


@given(st.sampled_from([spoil, cut, insert]), st.integers(0, 1 << 16), st.integers(1, 255))
def test_a_spoilt_archive_never_reads_as_something_else(
    tmp_path_factory: pytest.TempPathFactory, how: Callable[[bytes, int, int], bytes], position: int, value: int
) -> None:
    """Whatever byte changes: the same members with the same contents, or `Damaged`, never another exception."""
    content = {"pkg/__init__.py": CONTENT, "pkg/data.bin": noise(300), "z-1.dist-info/RECORD": b"a,b,c\n"}
    good = zip_bytes([Entry(name, data) for name, data in content.items()])
    path = tmp_path_factory.getbasetemp() / "spoilt.zip"
    try:
        found = read_all(save(path, how(good, position, value)))
    except Damaged:
        return
    assert sorted(found.values()) == sorted(content.values())  # names have no check sum of their own
