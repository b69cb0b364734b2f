"""`sage_wheels.archive.strict_zip`: what real writers write is read, what has two meanings is not."""

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
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sage_wheels.archive.strict_zip import Archive, Damaged, TooLarge, WheelLimits, member_name
from support.zips import DEFLATED, STORED, Entry, zip_bytes

MEGABYTE = 1 << 20
CONTENT = b"content\n" * 10


def read_all(inflater: ModuleType, path: Path) -> dict[str, bytes]:
    """Every member, as installing reads them."""
    with Archive(str(path), inflater=inflater) as opened:
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
def test_what_zipfile_writes_is_read(inflater: ModuleType, tmp_path: Path, method: int, content: bytes) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as writer:
        writer.writestr("first.txt", "first")
        writer.writestr("pkg/data.bin", content)
        writer.mkdir("pkg/empty") if hasattr(writer, "mkdir") else writer.writestr("pkg/empty/", "")
        writer.writestr("ünïcode/\N{LINE SEPARATOR}.txt", "last")
    found = read_all(inflater, path)
    assert found == {"first.txt": b"first", "pkg/data.bin": content, "ünïcode/\N{LINE SEPARATOR}.txt": b"last"}


def test_what_zipfile_writes_to_a_pipe_is_read(inflater: ModuleType, tmp_path: Path) -> None:
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
    assert read_all(inflater, save(tmp_path / "a.zip", out.data)) == {"a.txt": CONTENT, "b.txt": b""}


def test_zip64_members_and_ends_are_read(inflater: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as writer, writer.open("a.txt", "w", force_zip64=True) as member:
        member.write(CONTENT)
    assert read_all(inflater, path) == {"a.txt": CONTENT}
    assert read_all(inflater, save(path, zip_bytes([Entry("b.txt", CONTENT)], zip64={}))) == {"b.txt": CONTENT}
    extra = struct.pack("<2H2Q", 1, 16, len(CONTENT), len(CONTENT))
    central = {"extra": b"\x99\x99\x01\x00x" + extra, "size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF}
    assert read_all(inflater, save(path, zip_bytes([Entry("c.txt", CONTENT, STORED, central=central)]))) == {
        "c.txt": CONTENT
    }


def test_only_the_executable_bit_of_the_mode_counts(inflater: ModuleType, tmp_path: Path) -> None:
    modes = {"a": 0o755, "b": 0o644, "c": 0o4711, "d": 0o666, "e": 0o001}
    entries = [Entry(name, mode=stat.S_IFREG | mode) for name, mode in modes.items()]
    entries.append(Entry("dos", mode=0))
    with Archive(str(save(tmp_path / "a.zip", zip_bytes(entries))), inflater=inflater) as opened:
        found = {name: member.executable for name, member in opened.members.items()}
    assert found == {"a": True, "b": False, "c": True, "d": False, "e": True, "dos": False}


def test_read_takes_no_more_than_makes_sense(inflater: ModuleType, tmp_path: Path) -> None:
    with Archive(str(save(tmp_path / "a.zip", zip_bytes([Entry("a", CONTENT)]))), inflater=inflater) as opened:
        assert opened.read("a", len(CONTENT)) == CONTENT
        with pytest.raises(Damaged, match="a has 80 bytes, more than the 79 that are allowed"):
            opened.read("a", len(CONTENT) - 1)


def test_an_archive_comment_is_allowed(inflater: ModuleType, tmp_path: Path) -> None:
    assert read_all(inflater, save(tmp_path / "a.zip", zip_bytes([Entry("a", CONTENT)], comment=b"hello"))) == {
        "a": CONTENT
    }


def test_an_empty_archive_has_no_members(inflater: ModuleType, tmp_path: Path) -> None:
    assert read_all(inflater, save(tmp_path / "a.zip", zip_bytes([]))) == {}


def test_the_file_is_closed_again(inflater: ModuleType, tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    good = save(tmp_path / "good.zip", zip_bytes([Entry("a")]))
    bad = save(tmp_path / "bad.zip", b"no zip")
    before = os.listdir("/proc/self/fd")
    read_all(inflater, good)
    with pytest.raises(Damaged):
        Archive(str(bad), inflater=inflater)
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
    "junk behind": (zip_bytes([ONE], after=b"x"), "other data follows the archive"),
    "junk before": (zip_bytes([ONE], before=b"#!/bin/sh\n"), "other data stands before the archive"),
    "junk before, offsets not adjusted": (
        zip_bytes([ONE], before=b"junk", shift=-4),
        "data that does not belong to the archive stands before or inside",
    ),
    "junk inside": (
        zip_bytes([ONE], between=b"junk", end={"start": 50}),
        "data that does not belong to the archive stands before or inside",
    ),
    "another archive before": (zip_bytes([ONE], before=zip_bytes([ONE])), "other data stands before the archive"),
    "two archives": (
        zip_bytes([ONE]) + zip_bytes([ONE]),
        "data that does not belong to the archive stands before or inside",
    ),
    "comment too long": (zip_bytes([ONE], end={"comment": 5}), "other data follows the archive"),
    "several disks": (zip_bytes([ONE], end={"disk": 1}), "several parts"),
    "directory on another disk": (zip_bytes([ONE], end={"first": 1}), "several parts"),
    "part of the members here": (zip_bytes([ONE], end={"here": 0}), "several parts"),
    "more members than there are": (
        zip_bytes([ONE], end={"here": 2, "count": 2}),
        "it has 1 members, but its end record says 2",
    ),
    "fewer members than there are": (
        zip_bytes([ONE, Entry("b")], end={"here": 1, "count": 1}),
        "has more members than the 1 that",
    ),
    "directory too long": (
        zip_bytes([ONE], end={"size": 40}),
        "data that does not belong to the archive stands before or inside",
    ),
    "zip64 without locator": (zip_bytes([ONE], end={"here": 0xFFFF}), "ZIP64 end records are invalid"),
    "zip64 locator elsewhere": (zip_bytes([ONE], zip64={"at": 0}), "ZIP64 end records are invalid"),
    "zip64 of another length": (zip_bytes([ONE], zip64={"length": 45}), "ZIP64 end records are invalid"),
    "zip64 with too many members": (
        zip_bytes([ONE], zip64={"here": 10**6, "count": 10**6}),
        "more than 400000 members",
    ),
    "zip64 sizes without extra": (
        zip_bytes([Entry("a", central={"size": 0xFFFFFFFF})]),
        "ZIP64 sizes of a are invalid",
    ),
    "zip64 extra too short": (
        zip_bytes([Entry("a", central={"size": 0xFFFFFFFF, "extra": struct.pack("<2HL", 1, 4, 5)})]),
        "ZIP64 sizes of a are invalid",
    ),
    "zip64 locator that the end does not speak of": (
        zip_bytes([ONE, Entry("b", central={"comment": zip_bytes([ONE], zip64={})[-98:-22]})]),
        "ZIP64 end records are invalid",
    ),
    "zip64 end that says something else": (
        zip_bytes([ONE], zip64={}, end={"here": 2, "count": 2}),
        "ZIP64 end records are invalid",
    ),
    "local zip64 size": (
        zip_bytes([Entry("a", CONTENT, STORED, local=LONG64 | {"extra": struct.pack("<2H2Q", 1, 16, 7, 7)})]),
        "the local header of a does not agree",
    ),
    "local zip64 size that is not there": (
        zip_bytes([Entry("a", CONTENT, STORED, local=LONG64)]),
        "the ZIP64 sizes of a are invalid",
    ),
    "local zip64 crc": (
        zip_bytes([Entry("a", CONTENT, STORED, local=LONG64 | {"extra": RIGHT64, "crc": 7})]),
        "the local header of a does not agree",
    ),
    "another name": (zip_bytes([Entry("a", central={"extra": OTHER_NAME})]), "a has a second, different name"),
    "another local name": (zip_bytes([Entry("a", local={"extra": OTHER_NAME})]), "a has a second, different name"),
    "name in an unknown encoding": (zip_bytes([Entry("\u00e9", flags=0)]), "is not UTF-8, or not marked as UTF-8"),
    "member between the members": (
        zip_bytes([Entry("a", padding=HIDDEN), Entry("b")]),
        "data that does not belong to it follows a",
    ),
    "member behind the members": (zip_bytes([Entry("a", padding=HIDDEN)]), "data that does not belong to it follows a"),
    "member in the place of sizes": (
        zip_bytes([Entry("a", flags=0x808, padding=HIDDEN)]),
        "data that does not belong to it follows a",
    ),
    "directory with content": (zip_bytes([Entry("a/", CONTENT, mode=FOLDER)]), "a/ is a directory with content"),
    "directory that is a file to others": (
        zip_bytes([Entry("a/", mode=FOLDER, local={"name": b"a."})]),
        "the local header of a/ does not agree",
    ),
    "member behind a directory": (
        zip_bytes([Entry("a/", mode=FOLDER, padding=HIDDEN)]),
        "data that does not belong to it follows a/",
    ),
    "central magic": (zip_bytes([Entry("a", central={"magic": b"PK\1\7"})]), "central directory is invalid"),
    "member on another disk": (zip_bytes([Entry("a", central={"disk": 2})]), "central directory is invalid"),
    "local magic": (zip_bytes([Entry("a", local={"magic": b"PK\3\7"})]), "the local header of a does not agree"),
    "local name": (zip_bytes([Entry("a", local={"name": b"b"})]), "the local header of a does not agree"),
    "local size": (zip_bytes([Entry("a", CONTENT, local={"size": 7})]), "the local header of a does not agree"),
    "local crc": (zip_bytes([Entry("a", CONTENT, local={"crc": 7})]), "the local header of a does not agree"),
    "local method": (
        zip_bytes([Entry("a", CONTENT, local={"method": 0})]),
        "the local header of a does not agree",
    ),
    "local flags": (zip_bytes([Entry("a", CONTENT, local={"flags": 1})]), "the local header of a does not agree"),
    "encrypted": (zip_bytes([Entry("a", CONTENT, flags=0x801)]), "a is encrypted"),
    "strongly encrypted": (zip_bytes([Entry("a", CONTENT, flags=0x840)]), "a is encrypted"),
    "bzip2": (zip_bytes([Entry("a", CONTENT, method=12)]), "a is compressed by method 12"),
    "lzma": (zip_bytes([Entry("a", CONTENT, method=14)]), "a is compressed by method 14"),
    "zstandard": (zip_bytes([Entry("a", CONTENT, method=93)]), "a is compressed by method 93"),
    "stored with two sizes": (
        zip_bytes([Entry("a", CONTENT, STORED, central={"size": 81})]),
        "a is stored, but its two",
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
        "a is cut off, is longer than its header says, or is followed by other data",
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
def test_what_has_no_single_meaning_is_damaged(inflater: ModuleType, tmp_path: Path, name: str) -> None:
    data, reason = DAMAGED[name]
    with pytest.raises(Damaged) as caught:
        read_all(inflater, save(tmp_path / "a.zip", data))
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
def test_unsafe_names(inflater: ModuleType, tmp_path: Path, name: str, ending: str) -> None:
    mode = stat.S_IFDIR | 0o755 if (name + ending).endswith("/") else stat.S_IFREG | 0o644
    data = zip_bytes([Entry("first"), Entry(name + ending, b"", STORED, mode)])
    with pytest.raises(Damaged, match=r"is no plain path inside the archive|is both a file and a directory"):
        read_all(inflater, save(tmp_path / "a.zip", data))


@pytest.mark.parametrize(
    "name", ["e" * 256, "\u00e9" * 128, "a/" * 100 + "b", "a/b" + "/" + "cd/" * 340 + "e", "x/" * 5000 + "y"]
)
def test_names_too_long_for_a_file_system(inflater: ModuleType, tmp_path: Path, name: str) -> None:
    with pytest.raises(Damaged, match=r"is longer or deeper than a file system takes") as caught:
        read_all(inflater, save(tmp_path / "a.zip", zip_bytes([Entry(name)])))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["e" * 255, "\u00e9" * 127, "a/" * 99 + "b"])
def test_names_just_short_enough(inflater: ModuleType, tmp_path: Path, name: str) -> None:
    assert read_all(inflater, save(tmp_path / "a.zip", zip_bytes([Entry(name, b"x")]))) == {name: b"x"}


@pytest.mark.parametrize(
    ("limits", "names", "says"),
    [
        (WheelLimits(size=159), ["a", "b"], "159 bytes"),
        (WheelLimits(members=1), ["a", "b"], "1 members"),
        (WheelLimits(members=4), ["a/b/c/d/e"], "4 members"),  # the directories that a path needs are counted, too
    ],
)
def test_too_large_in_all(
    inflater: ModuleType, tmp_path: Path, limits: WheelLimits, names: list[str], says: str
) -> None:
    path = save(tmp_path / "a.zip", zip_bytes([Entry(name, CONTENT) for name in names]))
    with pytest.raises(TooLarge, match=f"it unpacks to more than {says}"):
        Archive(str(path), limits, inflater=inflater)
    with Archive(str(path), WheelLimits(size=160, members=5), inflater=inflater) as opened:
        assert list(opened.members) == names


# --- deflate streams that are not what they should be ---

SIZES = [0, 1, 100, MEGABYTE - 1, MEGABYTE, MEGABYTE + 1, 2 * MEGABYTE, 5 * MEGABYTE // 2]


def deflated(content: bytes, level: int = 1) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


def member(inflater: ModuleType, path: Path, content: bytes, raw: bytes) -> bytes:
    return read_all(inflater, save(path, zip_bytes([Entry("a", content, raw=raw)])))["a"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", [bytes, noise], ids=["zeros", "noise"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_stream_of_any_length_is_read(
    inflater: ModuleType, tmp_path: Path, size: int, content: Callable[[int], bytes], level: int
) -> None:
    assert member(inflater, tmp_path / "a.zip", content(size), deflated(content(size), level)) == content(size)


@pytest.mark.parametrize("behind", [1, 4, 5000, 3 * MEGABYTE])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", [bytes, noise, lambda size: deflated(b"more")], ids=["zeros", "noise", "a stream"])
def test_what_stands_behind_the_end_of_a_stream_is_refused(
    inflater: ModuleType, tmp_path: Path, size: int, behind: int, what: Callable[[int], bytes]
) -> None:
    """And in a bounded time: zlib does not take it, however often it is offered."""
    with pytest.raises(Damaged, match="a is cut off, is longer than its header says, or is followed by other data"):
        member(inflater, tmp_path / "a.zip", noise(size), deflated(noise(size)) + what(behind))


def test_what_stands_behind_a_stream_that_fills_a_block_is_refused(inflater: ModuleType, tmp_path: Path) -> None:
    """The file is read a megabyte at a time: here all that follows the end of the stream is in the next one."""
    filling = MEGABYTE - 30 - len("a")  # what the local header leaves of the first
    [size] = [n for n in range(filling - 200, filling) if len(deflated(bytes(n), 0)) == filling]
    assert member(inflater, tmp_path / "a.zip", bytes(size), deflated(bytes(size), 0)) == bytes(size)
    with pytest.raises(Damaged, match="or is followed by other data"):
        member(inflater, tmp_path / "a.zip", bytes(size), deflated(bytes(size), 0) + b"x")


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("content", [bytes, noise], ids=["zeros", "noise"])
@pytest.mark.parametrize("left", [0, 1, 0.5, -1], ids=["nothing", "a byte", "half", "all but a byte"])
def test_a_stream_that_is_cut_off_is_refused(
    inflater: ModuleType, tmp_path: Path, size: int, content: Callable[[int], bytes], left: float
) -> None:
    whole = deflated(content(size))
    count = int(left * len(whole)) if left == 0.5 else int(left)
    with pytest.raises(Damaged):
        member(inflater, tmp_path / "a.zip", content(size), whole[:count])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("more", [-1, 1, MEGABYTE])
def test_a_stream_of_another_length_than_the_header_says_is_refused(
    inflater: ModuleType, tmp_path: Path, size: int, more: int
) -> None:
    with pytest.raises(Damaged):
        member(inflater, tmp_path / "a.zip", noise(size), deflated(noise(size + more) if size + more >= 0 else b"x"))


# Blocks with codes that make no sense, which not every library refuses (isal takes some of them).
STREAMS = {
    "a block of no type": "07",
    "a stored block with two lengths": "01050000006100",
    "codes that are not complete": "edfd0144000000002000000000000000000000000000000000000000000060000000000000000000",
    "a distance too far back": "4b4002224095230032c4568effbba378045cd9a10500",
    "too many codes": "fdff" + "00" * 40,
    "no end of a block": "e3a86c14ac0f1c01a4de180600",
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("size", [0, 10, 2 * MEGABYTE])
def test_a_stream_that_makes_no_sense_is_refused(inflater: ModuleType, tmp_path: Path, stream: str, size: int) -> None:
    with pytest.raises(Damaged):
        member(inflater, tmp_path / "a.zip", bytes(size), bytes.fromhex(STREAMS[stream]))


@pytest.mark.parametrize("seed", range(4))
def test_every_inflater_says_the_same(inflater: ModuleType, seed: int) -> None:
    """Of streams that are right, and that were spoilt anywhere, given in pieces of any size."""
    random_ = random.Random(seed)

    def outcome(module: Any, raw: bytes, step: int) -> bytes | None:
        stream, found = module.decompressobj(-zlib.MAX_WBITS), b""
        try:
            for at in range(0, len(raw), step):
                rest = raw[at : at + step]
                while rest and not stream.eof:
                    found += stream.decompress(rest, 1000)
                    rest = stream.unconsumed_tail
            while not stream.eof and (piece := stream.decompress(b"", 1000)):
                found += piece
        except module.error:
            return None
        return found if stream.eof and not stream.unused_data else None

    for _ in range(300):
        text = b"".join(
            random_.choice([b"spam", b"eggs " * 9, random_.randbytes(3)]) for _ in range(random_.randrange(400))
        )
        raw = bytearray(deflated(text, random_.randrange(10)))
        for _ in range(random_.randrange(3)):
            raw[random_.randrange(len(raw))] ^= 1 << random_.randrange(8)
        raw = raw[: random_.randrange(len(raw))] if random_.random() < 0.2 else raw
        step = random_.choice([1, 7, 100, 10_000])
        assert outcome(inflater, bytes(raw), step) == outcome(zlib, bytes(raw), step), (seed, raw.hex(), step)


def test_memory_stays_bounded_whatever_the_header_says(inflater: ModuleType, tmp_path: Path) -> None:
    """A member that says it is small and inflates to much is dropped after a megabyte."""
    lie = {"size": 100}
    path = save(tmp_path / "a.zip", zip_bytes([Entry("a", bytes(64 << 20), DEFLATED, local=lie, central=lie)]))
    seen = 0
    with Archive(str(path), inflater=inflater) as opened, pytest.raises(Damaged):  # noqa: PT012
        for chunk in opened.chunks(opened.members[member_name("a")]):
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([spoil, cut, insert]), st.integers(0, 1 << 16), st.integers(1, 255))
def test_a_spoilt_archive_never_reads_as_something_else(
    inflater: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    how: Callable[[bytes, int, int], bytes],
    position: int,
    value: int,
) -> None:
    """Whatever byte changes: the same members with the same contents, or `Damaged`, never another exception."""
    content = {"pkg/__init__.py": CONTENT, "pkg/data.bin": noise(300), "z-1.dist-info/RECORD": b"a,b,c\n"}
    good = zip_bytes([Entry(name, data) for name, data in content.items()])
    path = tmp_path_factory.getbasetemp() / "spoilt.zip"
    try:
        found = read_all(inflater, save(path, how(good, position, value)))
    except Damaged:
        return
    assert sorted(found.values()) == sorted(content.values())  # names have no check sum of their own
