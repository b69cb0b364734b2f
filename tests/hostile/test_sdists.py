"""Sdists that mean harm: refused whole, in one sentence, with nothing touched outside the build directory and nothing
left behind; or unpacked, and harmless.

Every archive is made here, in memory, and goes the whole way: `sage_wheels.build` unpacks it into its build directory.

Promise 5.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.archive.sdist_members import SdistLimits
from sage_wheels.archive.unpack import unpack_sdist
from sage_wheels.building import BuildOptions
from sage_wheels.errors import BuildFailed, SageWheelsError, SourceError
from support.run import tool_environment
from support.trees import Tree, difference, snapshot
from support.zips import STORED, Entry, zip_bytes

TOP = "evil-1.0"
PROJECT = f"{TOP}/pyproject.toml"
BLANKS = bytes(8 << 20)
# Small enough for a test, larger than everything here that is meant to be unpacked.
LIMITS = SdistLimits(size=4 << 20, members=300)


class Tar:
    """A tar file, header by header; `header` writes one that may lie."""

    def __init__(self) -> None:
        self._out = io.BytesIO()

    def add(self, name: str, content: bytes = b"", **fields: object) -> Tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for key, value in fields.items():
            setattr(info, key, value)
        self._out.write(info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512))
        return self

    def header(self, name: str, kind: bytes, size: bytes = b"0", content: bytes = b"", **fields: bytes) -> Tar:
        """A raw ustar header (POSIX.1-1988); numbers are given as they stand in it."""
        parts = {"mode": b"0000644", "mtime": b"0", "linkname": b"", **fields}
        head = struct.pack(
            "100s8s8s8s12s12s8sc100s255s",
            *(name.encode(), parts["mode"], b"0", b"0", size, parts["mtime"], b" " * 8, kind, parts["linkname"]),
            b"ustar\x0000",
        )
        head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
        self._out.write(head + content + bytes(-len(content) % 512))
        return self

    def pax(self, **records: str) -> Tar:
        """An extended header (pax(1)) for what comes next."""
        body = b""
        for key, value in records.items():
            text = f" {key}={value}\n".encode()
            size = len(text) + 1
            while len(str(size)) + len(text) != size:
                size = len(str(size)) + len(text)
            body += str(size).encode() + text
        return self.header("pax", b"x", b"%o" % len(body), body)

    def plain(self, end: bytes = bytes(1024)) -> bytes:
        return self._out.getvalue() + end

    def gz(self, end: bytes = bytes(1024)) -> bytes:
        return gzip.compress(self.plain(end), 1, mtime=0)


def tar() -> Tar:
    return Tar().add(PROJECT, b"[project]\n")


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    return tar().add(f"{TOP}/{name}", linkname=target, type=kind).gz()


def special(kind: bytes) -> bytes:
    return tar().add(f"{TOP}/special", type=kind, devmajor=1, devminor=3).gz()


def archive(*entries: Entry, **zip: Any) -> bytes:
    return zip_bytes([Entry(PROJECT, b"[project]\n"), *entries], **zip)


def many(count: int) -> Tar:
    out = tar()
    for number in range(count):
        out.add(f"{TOP}/{number}")
    return out


def chained(count: int) -> Tar:
    out = tar()
    for _ in range(count):
        out.pax(comment="x")
    return out.add(f"{TOP}/x")


def deep(count: int) -> Tar:
    """Few members, each with 98 directories of its own."""
    out = tar()
    for number in range(count):
        out.add(f"{TOP}/{number}/" + "d/" * 97 + "x")
    return out


def chain(count: int) -> Tar:
    """Links of which each leads to the next, and the last to a file."""
    out = tar()
    for number in range(count):
        destination = f"l{number + 1}" if number + 1 < count else "pyproject.toml"
        out.add(f"{TOP}/l{number}", type=tarfile.SYMTYPE, linkname=destination)
    return out


def hard_links(count: int) -> Tar:
    out = tar().add(f"{TOP}/x", BLANKS[: LIMITS.size // 4])
    for number in range(count):
        out.add(f"{TOP}/{number}", type=tarfile.LNKTYPE, linkname=f"{TOP}/x")
    return out


NAMES = {
    "parent": "../outside/evil",
    "far parent": f"{TOP}/../../../../../outside/evil",
    "parent in the middle": f"{TOP}/a/../../../outside/evil",
    "only a parent": "..",
    "absolute": "/outside/evil",
    "two slashes": "//outside/evil",
    "backslash": f"{TOP}\\..\\..\\evil",
    "drive": "C:\\evil",
    "unc": "\\\\host\\share\\evil",
    "newline": f"{TOP}/evil\nx",
    "escape": f"{TOP}/evil\x1b[2J",
    "delete": f"{TOP}/evil\x7f",
    "far too long": f"{TOP}/" + "e" * 5000,
    "one component too long": f"{TOP}/" + "e" * 256,
    "far too deep": f"{TOP}/" + "e/" * 1500 + "x",
}

TARS: dict[str, bytes | Callable[[], bytes]] = {
    **{f"name: {what}": tar().add(name, b"evil").gz() for what, name in NAMES.items()},
    **{f"directory: {what}": tar().add(name, type=tarfile.DIRTYPE).gz() for what, name in NAMES.items()},
    **{f"link: {what}": link("l", name) for what, name in NAMES.items() if what in ("parent", "absolute", "newline")},
    "link: to a target far too long": link("l", "x/" * 3000),
    "link: to nothing": tar().header(f"{TOP}/l", b"2").gz(),
    "link: nul in the target": tar().pax(linkpath="a\0b").header(f"{TOP}/l", b"2", linkname=b"x").gz(),
    "link: out by way of another": tar()
    .add(f"{TOP}/here", type=tarfile.SYMTYPE, linkname=".")
    .add(f"{TOP}/l", type=tarfile.SYMTYPE, linkname="here/here/../../..")
    .gz(),
    "link: the project directory itself": Tar().add(TOP, type=tarfile.SYMTYPE, linkname="../../outside").gz(),
    "link: a file through it": tar()
    .add(f"{TOP}/l", type=tarfile.SYMTYPE, linkname="../../../../outside")
    .add(f"{TOP}/l/evil", b"evil")
    .gz(),
    "link: over a file": tar().add(f"{TOP}/f").add(f"{TOP}/f", type=tarfile.SYMTYPE, linkname="/etc/passwd").gz(),
    "link: a file over it": tar().add(f"{TOP}/f", type=tarfile.SYMTYPE, linkname="/outside").add(f"{TOP}/f", b"x").gz(),
    "link: a directory over it": tar()
    .add(f"{TOP}/d", type=tarfile.SYMTYPE, linkname="../..")
    .add(f"{TOP}/d", type=tarfile.DIRTYPE)
    .add(f"{TOP}/d/x")
    .gz(),
    "link: out at the end of a chain": chain(60).add(f"{TOP}/l60", type=tarfile.SYMTYPE, linkname="../..").gz(),
    "link: out at the beginning of a circle": link("l", "../../outside/l"),
    "hard link: out": link("l", "../../outside/precious", tarfile.LNKTYPE),
    "hard link: absolute": link("l", "/etc/passwd", tarfile.LNKTYPE),
    "hard link: to a link": tar()
    .add(f"{TOP}/a", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    .add(f"{TOP}/b", type=tarfile.LNKTYPE, linkname=f"{TOP}/a")
    .gz(),
    "hard link: to what comes later": link("l", f"{TOP}/later", tarfile.LNKTYPE),
    "hard link: to itself": link("l", f"{TOP}/l", tarfile.LNKTYPE),
    "member: fifo": special(tarfile.FIFOTYPE),
    "member: character device": special(tarfile.CHRTYPE),
    "member: block device": special(tarfile.BLKTYPE),
    "member: twice": tar().add(f"{TOP}/x", b"good").add(f"{TOP}/x", b"evil").gz(),
    "member: file, then directory": tar().add(f"{TOP}/x").add(f"{TOP}/x/y").gz(),
    "member: directory, then file": tar().add(f"{TOP}/x/y").add(f"{TOP}/x").gz(),
    "member: negative size": tar().header(f"{TOP}/x", b"0", b"\xff" * 12).gz(),
    "member: negative size of a directory": tar().header(f"{TOP}/x", b"5", b"\xff" * 11 + b"\x00").gz(),
    "member: negative size in an extended header": tar().pax(size="-512").header(f"{TOP}/x", b"0").gz(),
    "member: size that is no number": tar().header(f"{TOP}/x", b"0", b"zzzz").gz(),
    "member: longer than the archive": tar().header(f"{TOP}/x", b"0", b"7777777").gz(),
    "member: parent in an extended header": tar().pax(path="../../outside/evil").header("x", b"0").gz(),
    "bomb: size": lambda: tar().add(f"{TOP}/bomb", BLANKS).gz(),
    "bomb: a size that nobody has": tar().header(f"{TOP}/x", b"0", b"\x80" + b"\x7f" * 11).gz(),
    "bomb: hidden in a directory": lambda: tar().add(f"{TOP}/d", BLANKS, type=tarfile.DIRTYPE).gz(),
    "bomb: hard links": lambda: hard_links(5).gz(),
    "bomb: count": many(LIMITS.members).gz(),
    "bomb: directories": deep(4).gz(),
    "bomb: an extended header": lambda: tar().header("x", b"x", b"%o" % len(BLANKS), BLANKS).gz(),
    "bomb: a long name": lambda: tar().header("x", b"L", b"%o" % len(BLANKS), BLANKS).gz(),
    "bomb: a chain of extended headers": chained(3000).gz(),
    "bomb: sparse": tar().pax(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": "9" * 15}).header(f"{TOP}/x", b"0").gz(),
    "archive: empty": b"",
    "archive: no gzip": tar().plain(),
    "archive: a zip": archive(),
    "archive: no members": Tar().gz(),
    "archive: cut off": tar().add(f"{TOP}/x", os.urandom(4096)).gz()[:-2000],
    "archive: without its check sum": tar().gz()[:-8],
    "archive: wrong check sum": tar().gz()[:-8] + bytes(8),
    "archive: data behind the tar": tar().gz(bytes(1024) + b"evil"),
    "archive: a second tar behind the first": tar().gz() + tar().gz(),
    "archive: data behind the gzip": tar().gz() + b"evil",
    "archive: a zip behind": tar().gz() + archive(),
    "archive: a header that breaks off the rest": tar().gz(b"x" * 512 + tar().plain()),
    "archive: two directories": tar().add("good-1.0/pyproject.toml").gz(),
    "archive: no directory, and nothing to build": Tar().add("README").gz(),
    "archive: no project": Tar().add(f"{TOP}/README").gz(),
    "archive: a right-to-left override beside": tar().add("\u202elive").gz(),
}

ZIPS: dict[str, bytes | Callable[[], bytes]] = {
    **{f"name: {what}": archive(Entry(name, b"evil")) for what, name in NAMES.items()},
    **{f"directory: {what}": archive(Entry(f"{name}/")) for what, name in NAMES.items()},
    "name: nul": archive(Entry(f"{TOP}/x\0.txt")),
    "name: not UTF-8": archive(Entry(b"evil-1.0/\xff")),
    "link": archive(Entry(f"{TOP}/l", b"/etc/passwd", STORED, stat.S_IFLNK | 0o777)),
    "member: fifo": archive(Entry(f"{TOP}/x", mode=stat.S_IFIFO | 0o644)),
    "member: device": archive(Entry(f"{TOP}/x", mode=stat.S_IFBLK | 0o644)),
    "member: encrypted": archive(Entry(f"{TOP}/x", flags=0x801)),
    "member: unknown compression": archive(Entry(f"{TOP}/x", method=99)),
    "member: twice": archive(Entry(f"{TOP}/x", b"good"), Entry(f"{TOP}/x", b"evil")),
    "member: file and directory": archive(Entry(f"{TOP}/x"), Entry(f"{TOP}/x/y")),
    "member: overlaps another": archive(Entry(f"{TOP}/x", b"x" * 99, STORED, central={"offset": 0})),
    "member: local header of another name": archive(Entry(f"{TOP}/x", local={"name": b"evil-1.0/y"})),
    "member: wrong crc": archive(Entry(f"{TOP}/x", b"x", local={"crc": 7}, central={"crc": 7})),
    "member: cut off": archive(Entry(f"{TOP}/x", b"x" * 99, raw=b"\x4b")),
    "member: longer than it says": archive(Entry(f"{TOP}/x", b"x" * 99, local={"size": 9}, central={"size": 9})),
    "bomb: size": lambda: archive(Entry(f"{TOP}/bomb", BLANKS)),
    "bomb: a small size that is a lie": lambda: archive(
        Entry(f"{TOP}/bomb", BLANKS, local={"size": 9}, central={"size": 9})
    ),
    "bomb: count": archive(*(Entry(f"{TOP}/{number}") for number in range(LIMITS.members))),
    "bomb: directories": archive(*(Entry(f"{TOP}/{number}/" + "d/" * 97 + "x") for number in range(4))),
    "archive: empty": b"",
    "archive: a tar": tar().gz(),
    "archive: a zip that is also a tar": tar().plain() + archive(),
    "archive: a zip that is also a tar.gz": tar().gz() + archive(),
    "archive: data before": archive(before=b"#!/bin/sh\n"),
    "archive: data behind": archive(after=b"evil"),
    "archive: cut off": archive()[:-30],
    "archive: hidden members": archive(Entry(f"{TOP}/x"), end={"here": 3, "count": 3}),
    "archive: zip64 lie": archive(zip64={"start": 0}),
    "archive: two directories": archive(Entry("good-1.0/pyproject.toml")),
    "archive: no directory, and nothing to build": zip_bytes([Entry("README")]),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("precious")
    return tmp_path


def surroundings(place: Path) -> Tree:
    """All but the lock file of the build directory, and what the store keeps of the interpreter and of file digests."""
    kept = ("cache/added", "cache/build/evil.lock", "cache/content", "cache/results", "cache/pythons", "cache/digests")
    tree = snapshot(place)
    return {path: tree[path] for path in tree if not path.startswith(kept) and path != "cache/staging"}


@pytest.mark.parametrize(
    ("kind", "attack"), [*(("tar.gz", attack) for attack in TARS), *(("zip", attack) for attack in ZIPS)]
)
def test_refused(place: Path, attack: str, kind: str) -> None:
    data = (TARS if kind == "tar.gz" else ZIPS)[attack]
    sdist = place / f"{TOP}.{kind}"
    sdist.write_bytes(data() if callable(data) else data)
    (place / "cache/build").mkdir(parents=True)
    before = surroundings(place)
    options = BuildOptions(cache_dir=str(place / "cache"), max_sdist_size=LIMITS.size, max_sdist_members=LIMITS.members)
    with pytest.raises(SageWheelsError) as caught:
        sage_wheels.build([str(sdist)], place / "wheels", options)
    error = caught.value
    assert isinstance(error, SourceError), repr(error)
    assert error.exit_status == 1
    assert str(error).isprintable()
    assert len(str(error)) < 400 + len(str(sdist))
    assert str(sdist) in str(error)
    assert error.advice
    assert difference(before, surroundings(place)) == []


HARMLESS: dict[str, bytes] = {
    "set-user-id and world-writable": tar().add(f"{TOP}/x", b"x", mode=0o6777).gz(),
    "world-writable directory": tar().add(f"{TOP}/d", type=tarfile.DIRTYPE, mode=0o1777).add(f"{TOP}/d/x").gz(),
    "directory that nobody may enter": tar().add(f"{TOP}/d", type=tarfile.DIRTYPE, mode=0).add(f"{TOP}/d/x").gz(),
    "another owner": tar().add(f"{TOP}/x", uid=12345, gid=0, uname="nobody").gz(),
    "no time": tar().pax(mtime="nan").header(f"{TOP}/x", b"0").gz(),
    "a time without end": tar().pax(mtime="inf").header(f"{TOP}/x", b"0").gz(),
    "a time before all others": tar().pax(mtime="-1e300").header(f"{TOP}/x", b"0").gz(),
    "a time that no system knows": tar().header(f"{TOP}/x", b"0", mtime=b"\x80" + b"\x7f" * 11).gz(),
    "no end": tar().gz(b""),
    "names of options": tar().add(f"{TOP}/-rf").add(f"{TOP}/--help").gz(),
    "home and variables": tar().add(f"{TOP}/~root/x").add(f"{TOP}/$HOME/x").gz(),
    "a link in a circle": tar().add(f"{TOP}/l", type=tarfile.SYMTYPE, linkname="l").gz(),
    "a chain of links": chain(280).gz(),
    "a link to nothing": tar().add(f"{TOP}/l", type=tarfile.SYMTYPE, linkname="nothing").gz(),
    "a name that is not UTF-8": tar().add(f"{TOP}/\udcff").gz(),
    "attributes": tar()
    .pax(**{"SCHILY.xattr.user.x": "y", "LIBARCHIVE.xattr.security.capability": "AQAAA"})
    .add(f"{TOP}/x")
    .gz(),
}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("case", HARMLESS)
def test_harmless(place: Path, case: str, umask: int) -> None:
    sdist, destination = place / f"{TOP}.tar.gz", place / "destination"
    sdist.write_bytes(HARMLESS[case])
    destination.mkdir()
    before = surroundings(place)
    old = os.umask(umask)
    try:
        assert unpack_sdist(str(sdist), str(destination), LIMITS) == str(destination / TOP)
    finally:
        os.umask(old)
    after = surroundings(place)
    new = after.keys() - before.keys()
    assert all(path.startswith(f"destination/{TOP}") for path in new)
    assert {path: after[path] for path in before} == before
    for path in new:
        kind, mode, _ = after[path]
        assert mode in {"directory": {0o755}, "file": {0o644, 0o755}, "link": {0}}[kind], path
        assert os.lstat(place / path).st_uid == os.geteuid()


@pytest.mark.parametrize("date", [0, 0x000F, 0x01E0, 0xFFFF])
@pytest.mark.parametrize("time", [0, 0xFFFF])
def test_a_zip_without_a_time_that_makes_sense(place: Path, date: int, time: int) -> None:
    """Many writers leave zeros there."""
    sdist, destination = place / f"{TOP}.zip", place / "destination"
    sdist.write_bytes(archive().replace(struct.pack("<2H", 0, 0x5021), struct.pack("<2H", time, date)))
    destination.mkdir()
    assert unpack_sdist(str(sdist), str(destination), LIMITS) == str(destination / TOP)


def test_headers_of_one_member_are_bounded_together(place: Path) -> None:
    """tarfile reads a long header by one `read` or by many: that is not what decides."""
    sdist = place / f"{TOP}.tar.gz"
    sdist.write_bytes(tar().pax(comment="x" * (3 << 20)).pax(comment="x" * (3 << 20)).add(f"{TOP}/x").gz())
    (place / "destination").mkdir()
    with pytest.raises(SourceError, match="one of its headers is unreasonably large"):
        unpack_sdist(str(sdist), str(place / "destination"))


def test_headers_of_many_members_are_not_added_up(place: Path) -> None:
    """No `seek` is between members without content."""
    sdist, destination = place / f"{TOP}.tar.gz", place / "destination"
    made = tar()
    for number in range(3000):
        made.pax(comment="x" * 1600).add(f"{TOP}/{number}", type=tarfile.DIRTYPE)
    sdist.write_bytes(made.gz())
    destination.mkdir()
    assert len(os.listdir(unpack_sdist(str(sdist), str(destination)))) == 3001


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("reading", ["unpack_sdist(*sys.argv[1:])", "read_files(sys.argv[1], ['PKG-INFO'], 1 << 20)"])
def test_memory_is_bounded(place: Path, reading: str) -> None:
    """A header of 256 MiB in a megabyte: tarfile would read it in one piece."""
    script = (
        "import sys\n"
        "from sage_wheels.archive.sdist_members import read_files\n"
        "from sage_wheels.archive.unpack import unpack_sdist\n"
        "from sage_wheels.errors import SourceError\n"
        f"try:\n    {reading}\n"
        "except SourceError as error:\n    print(error)\n"
        # not ru_maxrss, which remembers the size of the process that forked this one
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')))\n"
    )
    sdist = place / f"{TOP}.tar.gz"
    size = 256 << 20
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with open(sdist, "wb") as f:
        f.write(packer.compress(tar().header("x", b"x", b"%o" % size).plain(b"")))
        for _ in range(size >> 20):
            f.write(packer.compress(BLANKS[: 1 << 20]))
        f.write(packer.flush())
    (place / "destination").mkdir()
    command = [sys.executable, "-c", script, str(sdist), str(place / "destination")]
    done = subprocess.run(command, env=tool_environment(), capture_output=True, text=True, check=True)
    sentence, peak = done.stdout.splitlines()
    assert "one of its headers is unreasonably large" in sentence
    assert int(peak) < 100 << 10  # kilobytes


@pytest.mark.parametrize(
    "nested", ["[" * 100_000, 'requires = ["x; ' + "(" * 5000 + "os_name=='a'" + ")" * 5000 + '"]']
)
def test_a_project_of_brackets_in_brackets(place: Path, nested: str) -> None:
    """No parser's recursion ends in a traceback."""
    sdist = place / f"{TOP}.tar.gz"
    sdist.write_bytes(Tar().add(PROJECT, f'[build-system]\nbuild-backend = "x"\n{nested}'.encode()).gz())
    with pytest.raises(SageWheelsError) as caught:
        sage_wheels.build([str(sdist)], place / "wheels", BuildOptions(cache_dir=str(place / "cache")))
    assert isinstance(caught.value, (SourceError, BuildFailed))
    assert "evil" in str(caught.value)
