"""Wheels that mean harm: refused whole, in one sentence, with nothing touched and nothing left behind.

Every wheel is built here. An attack that is not refused must be harmless; those are in `HARMLESS`.
"""

from __future__ import annotations

import stat
import struct
import sys
import tarfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.errors import Conflict, SageWheelsError
from sage_wheels.prefix import find_prefix
from support.run import install, names, uninstall
from support.trees import Tree, difference, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel, record_row
from support.zips import STORED, Entry, zip_bytes

DIST_INFO = "evil-1.dist-info"
NAME = "evil-1-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: evil\nVersion: 1\n"
WHEEL = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LINK, FIFO = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644
BLANKS = bytes(64 << 20)


def wheel(
    *attack: Entry, rows: Iterable[str] | None = None, more: Iterable[str] = (), record: bytes | None = None, **zip: Any
) -> bytes:
    """A right wheel, apart from the members `attack`, which are listed as a right wheel would list them."""
    good = [Entry(f"{DIST_INFO}/METADATA", METADATA), Entry(f"{DIST_INFO}/WHEEL", WHEEL)]
    listed = [record_row(_text(each.name), each.content) for each in [*attack, *good]] if rows is None else [*rows]
    text = "".join(f"{row}\n" for row in [*listed, *more, f"{DIST_INFO}/RECORD,,"]).encode("utf-8", "surrogateescape")
    return zip_bytes([*attack, *good, Entry(f"{DIST_INFO}/RECORD", text if record is None else record)], **zip)


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def tar_and_zip() -> bytes:
    """A tar file with a wheel as its last member: both readers are content."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("harmless")
        info.size = 3
        tar.addfile(info, BytesIO(b"tar"))
    return out.getvalue() + wheel(Entry("evil.py"))


def entry_points(text: str) -> bytes:
    return wheel(Entry("evil.py"), Entry(f"{DIST_INFO}/entry_points.txt", text.encode()))


def described(metadata: bytes = METADATA, about: bytes = WHEEL) -> bytes:
    members = [Entry(f"{DIST_INFO}/METADATA", metadata), Entry(f"{DIST_INFO}/WHEEL", about)]
    rows = [record_row(_text(each.name), each.content) for each in members] + [f"{DIST_INFO}/RECORD,,"]
    return zip_bytes([*members, Entry(f"{DIST_INFO}/RECORD", "\n".join(rows).encode())])


UP = "../../../../"
NAMES = {
    "parent": "../evil.py",
    "far parent": f"{UP}outside/evil",
    "parent in the middle": "evil/../../../evil",
    "absolute": "/outside/evil",
    "two slashes": "//outside/evil",
    "drive": "C:/outside",
    "drive relative": "C:outside",
    "unc": "\\\\host\\share\\evil",
    "backslash parent": "..\\..\\evil",
    "backslash": "evil\\evil.py",
    "nul": "evil.py\0.txt",
    "newline": "evil\nx,,\n.py",
    "carriage return": "evil\r.py",
    "escape": "evil\x1b[2J.py",
    "delete": "evil\x7f.py",
    "dot": "./evil.py",
    "dots inside": "evil/./x.py",
    "empty component": "evil//x.py",
    "parent in data": "evil-1.data/data/../../outside/evil",
    "parent in scripts": "evil-1.data/scripts/../../../outside",
    "stream": "C:evil.py",
}
REFUSED: dict[str, bytes | Callable[[], bytes]] = {
    **{f"name: {what}": wheel(Entry(name, b"evil")) for what, name in NAMES.items()},
    "name: not UTF-8": wheel(Entry(b"evil\xff.py", b"evil"), record=b"x"),
    "name: far too long": wheel(Entry("e" * 5000 + ".py")),
    "name: too deep": wheel(Entry("e/" * 3000 + "x.py")),
    "member: symbolic link out": wheel(Entry("evil", b"/etc", STORED, LINK)),
    "member: symbolic link, then through it": wheel(Entry("evil", b"/tmp", STORED, LINK), Entry("evil/x", b"x")),
    "member: fifo": wheel(Entry("evil", mode=FIFO)),
    "member: device": wheel(Entry("evil", mode=stat.S_IFBLK | 0o666)),
    "member: twice": wheel(Entry("evil.py", b"good"), Entry("evil.py", b"evil")),
    "member: twice, once as a directory": wheel(Entry("evil", b"x"), Entry("evil/x.py", b"y")),
    "member: local header of another name": wheel(Entry("evil.py", local={"name": b"good.py"})),
    "member: local header of another size": wheel(
        Entry("evil.py", b"12345", STORED, local={"size": 3, "compressed": 3})
    ),
    "member: encrypted": wheel(Entry("evil.py", flags=0x801)),
    "member: unknown compression": wheel(Entry("evil.py", method=99)),
    "member: cut off": wheel(Entry("evil.py", b"x" * 99, raw=b"\x4b")),
    "member: wrong crc": wheel(Entry("evil.py", b"x", local={"crc": 7}, central={"crc": 7})),
    "member: hidden bytes behind its data": wheel(Entry("evil.py", b"", raw=b"\x03\x00#!/bin/sh")),
    "member: overlaps another": wheel(
        Entry("a", b"x" * 99, STORED), Entry("b", b"x" * 99, STORED, central={"offset": 0})
    ),
    "archive: data before": wheel(Entry("evil.py"), before=b"#!/bin/sh\nrm -rf /\n"),
    "archive: data behind": wheel(Entry("evil.py"), after=b"evil"),
    "archive: also a tar": tar_and_zip,
    "archive: two wheels in one file": wheel(Entry("good.py")) + wheel(Entry("evil.py")),
    "archive: hidden members": wheel(Entry("evil.py"), end={"here": 3, "count": 3}),
    "archive: zip64 lie": wheel(Entry("evil.py"), zip64={"start": 0}),
    "archive: zip64 count": wheel(Entry("evil.py"), zip64={"here": 1 << 40, "count": 1 << 40}),
    "archive: zip64 size of a member": wheel(
        Entry("evil", b"", central={"size": 0xFFFFFFFF, "extra": struct.pack("<2HQ", 1, 8, 1 << 60)})
    ),
    "bomb: ratio": lambda: wheel(Entry("evil.bin", BLANKS)),
    "bomb: a small size that is a lie": lambda: wheel(
        Entry("evil.bin", BLANKS, local={"size": 10}, central={"size": 10}), rows=["evil.bin,sha256=x,10"]
    ),
    "bomb: description": lambda: described(METADATA + BLANKS[: 15 << 20] * 5),
    "RECORD: missing row": wheel(Entry("evil.py"), rows=[]),
    "RECORD: wrong hash": wheel(
        Entry("evil.py", b"evil"),
        rows=[
            record_row("evil.py", b"good"),
            *(record_row(f"{DIST_INFO}/{name}", text) for name, text in (("METADATA", METADATA), ("WHEEL", WHEEL))),
        ],
    ),
    "RECORD: empty": wheel(Entry("evil.py"), record=b""),
    "RECORD: binary": wheel(Entry("evil.py"), record=b"\x80\x00"),
    "RECORD: BOM": wheel(Entry("evil.py"), record=b"\xef\xbb\xbfevil.py,,\n"),
    "RECORD: phantom": wheel(Entry("evil.py"), more=["phantom.py,,"]),
    "RECORD: outside": wheel(Entry("evil.py"), more=[f"{UP}outside/precious,,"]),
    "RECORD: absolute": wheel(Entry("evil.py"), more=["/etc/passwd,,"]),
    "RECORD: interpreter": wheel(Entry("evil.py"), more=["../../../bin/python,,"]),
    "RECORD: file of another distribution": wheel(Entry("evil.py"), more=["owned.py,,"]),
    "RECORD: row twice with two hashes": wheel(Entry("evil.py"), more=["evil.py,sha256=x,0"]),
    "RECORD: open quote": wheel(Entry("evil.py"), more=['"evil']),
    "RECORD: row that hides in quotes": wheel(Entry("evil.py"), more=['"x\n../../y",,']),
    "description: two dist-infos": wheel(Entry("good-1.dist-info/METADATA", METADATA)),
    "description: another name": described(METADATA.replace(b"evil", b"good")),
    "description: another version": described(METADATA.replace(b"1\n", b"2\n")),
    "description: name with a newline": described(METADATA.replace(b"evil", b"evil\n x")),
    "description: name that is a path": described(METADATA.replace(b"evil", b"../evil")),
    "description: no name": described(b"Version: 1\n"),
    "description: binary": described(b"\x00\xff" * 100),
    "description: future WHEEL": described(about=WHEEL.replace(b"1.0", b"2.0")),
    "scheme: unknown": wheel(Entry("evil-1.data/lib/x")),
    "scheme: none": wheel(Entry("evil-1.data/x")),
    "scheme: interpreter as script": wheel(Entry("evil-1.data/scripts/python", b"#!python\n")),
    "scheme: interpreter as data": wheel(Entry("evil-1.data/data/bin/python3", b"#!python\n")),
    "scheme: interpreter in capitals": wheel(Entry("evil-1.data/scripts/Python", b"#!python\n")),
    "scheme: pyvenv.cfg": wheel(Entry("evil-1.data/data/pyvenv.cfg", b"home = /evil\n")),
    "scheme: our journal": wheel(Entry("evil-1.data/data/var/lib/sage-wheels/journal", b"evil")),
    "scheme: our state": wheel(Entry("evil-1.data/data/var/lib/sage-wheels", b"evil")),
    "scheme: standard library": wheel(
        Entry("evil-1.data/data/lib/python{}.{}/os.py".format(*sys.version_info), b"evil")
    ),
    "scheme: file for the directory of scripts": wheel(Entry("evil-1.data/data/bin", b"evil")),
    "scheme: file for the library": wheel(
        Entry("evil-1.data/data/lib/python{}.{}/site-packages".format(*sys.version_info), b"evil")
    ),
    "scheme: same place twice": wheel(Entry("x.py", b"1"), Entry("evil-1.data/purelib/x.py", b"2")),
    "scheme: file and directory": wheel(Entry("x", b"1"), Entry("evil-1.data/purelib/x/y", b"2")),
    "scheme: file of another distribution": wheel(Entry("owned.py", b"evil")),
    "scheme: dist-info of another distribution": wheel(Entry("evil-1.data/purelib/owner-1.dist-info/RECORD", b"evil")),
    "entry point: escapes": entry_points("[console_scripts]\n../../evil = evil:main\n"),
    "entry point: absolute": entry_points("[console_scripts]\n/tmp/evil = evil:main\n"),
    "entry point: python": entry_points("[console_scripts]\npython3 = evil:main\n"),
    "entry point: python in gui": entry_points("[gui_scripts]\npython = evil:main\n"),
    "entry point: code in the reference": entry_points("[console_scripts]\nx = evil:main\x3bimport os\n"),
    "entry point: code in the module": entry_points("[console_scripts]\nx = os, sys:main\n"),
    "entry point: continued line": entry_points("[console_scripts]\nx = evil:main\n  import os\n"),
    "entry point: escape sequence": entry_points("[console_scripts]\nx\x1b[2J = evil:main\n"),
    "entry point: interpolation": entry_points("[console_scripts]\nx = %(x)s:main\n"),
    "entry point: no section": entry_points("x_scripts = evil:main\n"),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A prefix with a distribution in it, and precious things around it."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path / "w", "owner", "1", {"owned.py": "x = 1\n"}))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("precious")
    (tmp_path / "hostile").mkdir()
    return prefix


def surroundings(prefix: Path) -> Tree:
    return {path: what for path, what in snapshot(prefix.parent).items() if "/var" not in path}


def save(prefix: Path, data: bytes) -> Path:
    path = prefix.parent / "hostile" / NAME
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "overwriting"])
@pytest.mark.parametrize("attack", REFUSED)
def test_refused(place: Path, attack: str, overwrite: bool) -> None:
    data = REFUSED[attack]
    path = save(place, data() if callable(data) else data)
    before = surroundings(place)
    if overwrite and attack in ("scheme: file of another distribution", "scheme: dist-info of another distribution"):
        pytest.skip("that is what overwriting is for")
    with pytest.raises(SageWheelsError) as caught:
        install(place, path, overwrite=overwrite)
    message = str(caught.value)
    assert caught.value.exit_status == 1
    assert "\n" not in message
    assert message.isprintable(), message
    assert len(message) < 1000
    assert str(path) in message or isinstance(caught.value, Conflict)
    assert caught.value.advice
    assert difference(before, surroundings(place)) == []
    assert leftovers(place) == []


HARMLESS: dict[str, bytes] = {
    "line separator in a name": wheel(Entry("evil\N{LINE SEPARATOR}x.py", b"x = 1\n")),
    "next line in a name": wheel(Entry("evil\x85x.txt", b"x")),
    "quotes and commas in a name": wheel(
        Entry('evil",,.txt', b"x"),
        rows=[
            '"evil"",,.txt"' + record_row("x", b"x")[1:],
            *(record_row(f"{DIST_INFO}/{name}", text) for name, text in (("METADATA", METADATA), ("WHEEL", WHEEL))),
        ],
    ),
    "names that differ in case": wheel(Entry("Evil.txt", b"1"), Entry("evil.txt", b"2")),
    "names that differ in normalisation": wheel(Entry("\u00e9.txt", b"1"), Entry("e\u0301.txt", b"2")),
    "right-to-left override in a name": wheel(Entry("evil\u202e.txt", b"x")),
    "set-user-id and world-writable": wheel(Entry("evil", b"x", mode=stat.S_IFREG | 0o6777)),
    "starts with Python": wheel(Entry("evil.pth", b"# import evil\n"), Entry("sitecustomize.py", b"")),
    "byte-code of its own": wheel(Entry("__pycache__/os.cpython-311.pyc", b"evil")),
    "names of options": wheel(Entry("-rf", b"x"), Entry("evil-1.data/scripts/--help", b"#!/bin/sh\n")),
    "home and variables": wheel(Entry("~root", b"x"), Entry("$HOME/x", b"x"), Entry("%TEMP%/x", b"x")),
    "metadata of the future": described(METADATA.replace(b"2.1", b"99.9")),
    "pip as a script": wheel(Entry("evil-1.data/scripts/pip", b"#!python\n")),
}


@pytest.mark.parametrize("attack", HARMLESS)
def test_harmless(place: Path, attack: str) -> None:
    before = surroundings(place)
    install(place, save(place, HARMLESS[attack]))
    assert names(place) == ["evil 1", "owner 1"]
    after = surroundings(place)
    assert all(path.startswith(("prefix/", "hostile")) for path in after.keys() - before.keys())
    assert {path: after[path] for path in before} == before
    for path in after.keys() - before.keys():
        assert after[path][1] & 0o6002 == 0, "no set-id bits, nothing world-writable"
    uninstall(place, "evil")
    (place.parent / "hostile" / NAME).unlink()
    assert difference(before, surroundings(place)) == []


@pytest.mark.parametrize("link", ["bin", "share", "include", "site-packages/evil"])
def test_directories_that_lead_out_of_the_prefix_are_not_written_through(place: Path, link: str) -> None:
    outside = place.parent / "outside"
    goal = site_packages(place) / "evil" if link.startswith("site") else place / link
    if goal.exists():
        goal.rename(place.parent / "moved")
    goal.symlink_to(outside)
    before = surroundings(place)
    members = [
        Entry("evil/x.py"),
        *(Entry(f"evil-1.data/{each}", b"x") for each in ("scripts/x", "data/share/x", "headers/x")),
    ]
    with pytest.raises(Conflict, match="symbolic link that leads out of the prefix"):
        install(place, save(place, wheel(*members)), overwrite=True)
    after = surroundings(place)
    after.pop(f"hostile/{NAME}")
    assert difference(before, after) == []
    assert leftovers(place) == []
    assert find_prefix(place).root == str(place)
