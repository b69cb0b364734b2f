"""Attacks, made in code: wheels, and rows for the RECORD of something that is installed.

The tests see what sage-wheels does about them, and `python benchmarks hostile` what others do about the same files.
This needs nothing but the standard library.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from support.wheels import record_row
from support.zips import STORED, Entry, zip_bytes

DIST_INFO = "evil-1.dist-info"
NAME = "evil-1-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: evil\nVersion: 1\n"
WHEEL = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LINK, FIFO, FOLDER = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFDIR | 0o755
BLANKS = bytes(64 << 20)
BLANK_LINE = " " * (1 << 20)
MANY_TAGS = b".".join(b"x%d" % n for n in range(20_000))


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


BOM = b"\xef\xbb\xbf"
ROWS = [record_row(f"{DIST_INFO}/{name}", text) for name, text in (("METADATA", METADATA), ("WHEEL", WHEEL))]
RECORD = "\n".join([record_row("evil.py", b""), *ROWS, f"{DIST_INFO}/RECORD,,\n"]).encode()
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
    "member: between the others, in no directory": wheel(Entry("good.py", padding=zip_bytes([Entry("evil.py")])[:-75])),
    "member: a directory with content": wheel(Entry("evil/", b"evil", mode=FOLDER), rows=ROWS),
    "member: a directory that is a file by its local header": wheel(
        Entry("evil/", mode=FOLDER, local={"name": b"evil."}), rows=ROWS
    ),
    "member: another name beside its own": wheel(
        Entry("good.py", central={"extra": struct.pack("<2HBL", 0x7075, 12, 1, zlib.crc32(b"good.py")) + b"evil.py"})
    ),
    "member: a name that does not say that it is UTF-8": wheel(Entry("\u00e9vil.py", flags=0)),
    "member: local ZIP64 size": wheel(
        Entry("evil.py", b"x" * 9, STORED, local={"size": 0xFFFFFFFF, "extra": struct.pack("<2HQ", 1, 8, 1)})
    ),
    "archive: zip64 end that says something else": wheel(zip64={}, end={"here": 9, "count": 9}),
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
        Entry("evil.bin", BLANKS, local={"size": 10}, central={"size": 10}), rows=["evil.bin,sha256=x,10", *ROWS]
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
    "RECORD: NUL": wheel(Entry("evil.py"), more=["evil\0.py,,"]),
    "RECORD: line separator": wheel(Entry("evil.py"), more=["evil.py,,\N{LINE SEPARATOR}/etc/passwd,,"]),
    "RECORD: all right but for a BOM": wheel(Entry("evil.py"), record=BOM + RECORD),
    "RECORD: md5": wheel(Entry("evil.py"), rows=["evil.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,0", *ROWS]),
    "RECORD: sha1": wheel(Entry("evil.py"), rows=["evil.py,sha1=2jmj7l5rSw0yVb_vlWAYkK_YBwk,0", *ROWS]),
    "RECORD: no algorithm": wheel(
        Entry("evil.py"), rows=["evil.py,47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0", *ROWS]
    ),
    "RECORD: unknown algorithm": wheel(Entry("evil.py"), rows=["evil.py,shake_128=x,0", *ROWS]),
    "RECORD: no hash": wheel(Entry("evil.py"), rows=["evil.py,,", *ROWS]),
    "RECORD: empty hash": wheel(Entry("evil.py"), rows=["evil.py,sha256=,", *ROWS]),
    "RECORD: size that is none": wheel(Entry("evil.py"), rows=[f"{record_row('evil.py', b'')[:-1]}-1", *ROWS]),
    "RECORD: row of this directory": wheel(Entry("evil.py"), more=["./evil.py,,"]),
    "RECORD: row that is spelt otherwise": wheel(Entry("evil.py"), rows=["x/../" + record_row("evil.py", b""), *ROWS]),
    "RECORD: missing": zip_bytes([Entry(f"{DIST_INFO}/METADATA", METADATA), Entry(f"{DIST_INFO}/WHEEL", WHEEL)]),
    "RECORD: huge": lambda: wheel(Entry("evil.py"), record=bytes(65 << 20)),
    "description: no METADATA": zip_bytes([Entry(f"{DIST_INFO}/WHEEL", WHEEL), Entry(f"{DIST_INFO}/RECORD")]),
    "description: no WHEEL": zip_bytes([Entry(f"{DIST_INFO}/METADATA", METADATA), Entry(f"{DIST_INFO}/RECORD")]),
    "description: no dist-info": zip_bytes([Entry("evil.py")]),
    "description: dist-info of another name": zip_bytes(
        [Entry("good-1.dist-info/METADATA", METADATA), Entry("good-1.dist-info/WHEEL", WHEEL)]
    ),
    "description: binary WHEEL": described(about=b"\x00\xff" * 100),
    "description: huge WHEEL": lambda: described(about=WHEEL + b"Tag: x-y-z\n" * (6 << 20)),
    "description: version with an escape sequence": described(METADATA.replace(b"1\n", b"1\x1b[2J\n")),
    "tags: another Python in WHEEL": described(about=WHEEL.replace(b"py3", b"cp27")),
    "tags: another ABI in WHEEL": described(about=WHEEL.replace(b"none", b"cp311")),
    "tags: none that is one": described(about=WHEEL.replace(b"py3-none-any", b"py3")),
    "message: escape sequence in the name of what is encrypted": wheel(Entry("evil\x1b[2J.py", flags=0x801)),
    "message: another direction in the name of what is cut off": wheel(Entry("\u202elive", b"x" * 99, raw=b"\x4b")),
    "message: line separator in the name of what is cut off": wheel(Entry("evil\u2028x", b"x" * 99, raw=b"\x4b")),
    "message: far too long a name of what is encrypted": wheel(Entry("e" * 5000, flags=0x801)),
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
    "scheme: out of it by another": wheel(Entry("evil-1.data/data/../purelib/x.py")),
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
    "scheme: same destination twice": wheel(Entry("x.py", b"1"), Entry("evil-1.data/purelib/x.py", b"2")),
    "scheme: file and directory": wheel(Entry("x", b"1"), Entry("evil-1.data/purelib/x/y", b"2")),
    "scheme: file of another distribution": wheel(Entry("owned.py", b"evil")),
    "scheme: dist-info of another distribution": wheel(Entry("evil-1.data/purelib/owner-1.dist-info/RECORD", b"evil")),
    "scheme: dist-info of what is not installed": wheel(
        Entry("evil-1.data/purelib/good-1.dist-info/METADATA", b"evil")
    ),
    "scheme: dist-info by way of the prefix": wheel(
        Entry("evil-1.data/data/lib/python{}.{}/site-packages/good-1.dist-info/RECORD".format(*sys.version_info), b"")
    ),
    "entry point: a local header of another size": wheel(
        Entry(f"{DIST_INFO}/entry_points.txt", b"[console_scripts]\nx=evil:x\n", local={"size": 3})
    ),
    "RECORD: a row that fills the screen": wheel(Entry("evil.py"), more=["e" * 100_000 + ",,"]),
    "description: a name that fills the screen": described(METADATA.replace(b"evil", b"evil" * 10_000)),
    "entry point: escapes": entry_points("[console_scripts]\n../../evil = evil:main\n"),
    "entry point: an option": entry_points("[console_scripts]\n-rf = evil:main\n"),
    "entry point: line separator": entry_points("[console_scripts]\nx\u2028y = evil:main\n"),
    "entry point: NUL": entry_points("[console_scripts]\nx\0y = evil:main\n"),
    "entry point: drive": entry_points("[gui_scripts]\nC:\\evil = evil:main\n"),
    "entry point: dot": entry_points("[console_scripts]\n.. = evil:main\n"),
    "entry point: twice": entry_points("[console_scripts]\nx = evil:a\nx = evil:b\n"),
    "entry point: in the place of a script": wheel(
        Entry(f"{DIST_INFO}/entry_points.txt", b"[console_scripts]\nowned = evil:main\n"),
    ),
    "entry point: absolute": entry_points("[console_scripts]\n/tmp/evil = evil:main\n"),
    "entry point: python": entry_points("[console_scripts]\npython3 = evil:main\n"),
    "entry point: python in gui": entry_points("[gui_scripts]\npython = evil:main\n"),
    "entry point: code in the reference": entry_points("[console_scripts]\nx = evil:main\x3bimport os\n"),
    "entry point: code in the module": entry_points("[console_scripts]\nx = os, sys:main\n"),
    "entry point: continued line": entry_points("[console_scripts]\nx = evil:main\n  import os\n"),
    "entry point: escape sequence": entry_points("[console_scripts]\nx\x1b[2J = evil:main\n"),
    "entry point: interpolation": entry_points("[console_scripts]\nx = %(x)s:main\n"),
    "entry point: no section": entry_points("x_scripts = evil:main\n"),
    "entry point: a section twice": entry_points("[console_scripts]\nx = evil:a\n[console_scripts]\ny = evil:b\n"),
    "entry point: far too long a name": entry_points(f"[console_scripts]\n{'x' * 5000} = evil:main\n"),
    # what takes hours where a pattern tries every way of reading it, or where everything is multiplied out
    "endless: blanks behind an entry point": lambda: entry_points(f"[console_scripts]\nx=evil:a{BLANK_LINE}!\n"),
    "endless: blanks in an entry point without value": lambda: entry_points(f"[console_scripts]\nx{BLANK_LINE}y\n"),
    "endless: entry points that multiply": lambda: entry_points(
        "[console_scripts]\nx0 = evil:a\n" + "".join(f"x{n + 1} = {f'%(x{n})s' * 30}\n" for n in range(9))
    ),
    "endless: tags that multiply": lambda: described(about=WHEEL.replace(b"py3-none", b"-".join([MANY_TAGS] * 2))),
}

# Not refused, and harmless.
HARMLESS: dict[str, bytes | Callable[[], bytes]] = {
    "brackets in brackets in a requirement": described(
        METADATA + b"Requires-Dist: x; " + b"(" * 5000 + b"os_name == 'a'" + b")" * 5000 + b"\n"
    ),
    "a million continued lines": lambda: described(METADATA + b"Summary: x\n" + b" y\n" * (1 << 20)),
    "thousands of directories": wheel(*(Entry(f"{n}/" + "d/" * 97, mode=FOLDER) for n in range(50)), rows=ROWS),
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
    "schemes in schemes": wheel(
        *(Entry(f"evil-1.data/{each}/evil-1.data/scripts/python", b"x") for each in ("purelib", "data")),
        Entry("good-1.data/scripts/good", b"x"),
    ),
    "pip as a script": wheel(Entry("evil-1.data/scripts/pip", b"#!python\n")),
}

# A row in the RECORD of the distribution `evil`: {outside} is a directory beside the prefix, {prefix} the prefix,
# {python} the name of the directory of its standard library, {tag} that of its byte-code.
PYTHON = "python{}.{}".format(*sys.version_info)
RECORD_ROWS = {
    "parent": "../../../../outside/precious,,",
    "sibling whose name begins alike": "../../../../prefix-sibling/precious,,",
    "absolute": "{outside}/precious,,",
    "absolute sibling": "{prefix}-sibling/precious,,",
    "passwd": "/etc/passwd,,",
    "here": "./,,",
    "dot": ".,,",
    "library": "../site-packages/,,",
    "library without slash": "../site-packages,,",
    "lib": "../..,,",
    "prefix": "../../..,,",
    "root": "/,,",
    "empty component": "..//..//..//,,",
    "interpreter": "../../../bin/python,,",
    "interpreter by version": f"../../../bin/{PYTHON},,",
    "pyvenv.cfg": "../../../pyvenv.cfg,,",
    "standard library": "../os.py,,",
    "our lock": "../../../var/lib/sage-wheels/lock,,",
    "our state": "../../../var,,",
    "through a link out": "out/precious,,",
    "through a link out and back": "out/../../../../outside/precious,,",
    "the link's target as a directory": "out/,,",
    "package directory of another": "owned,,",
    "package directory of another with slash": "owned/,,",
    "scripts directory": "../../../bin,,",
    "file of another": "owned/__init__.py,,",
    "file of another, spelt otherwise": "x/../owned/./__init__.py,,",
    "file of another by another way": "../../../lib64/{python}/site-packages/owned/__init__.py,,",
    "metadata of another": "owner-1.dist-info/METADATA,,",
    "RECORD of another": "owner-1.dist-info/RECORD,,",
    "line feed in a row": '"x\n../../../../outside/precious",,',
    "U+2028 in a row": "x\N{LINE SEPARATOR}../../../../outside/precious,,",
    "quotes": '"../../../../outside/precious",,',
    "byte order mark": "\ufeffevil.py,,",
    "byte order mark before a path outside": "\ufeff../../../../outside/precious,,",
    "nul": "evil\0,,",
    "wrong hash for a file of another": "owned/__init__.py,sha256=abc,3",
    "far too long": "x" * 5000 + ",,",
    "far too deep": "x/" * 3000 + "y,,",
    "lone byte-code": "owned/__pycache__/__init__.{tag}.pyc,,",
    "foreign file below the prefix": "../../../share/foreign,,",
}


def cell(text: str) -> str:
    """`text` such that a cell of a markdown table shows it as it is."""
    return re.sub(r"([\\|*_<`])", r"\\\1", text)


def sentence_cell(sentence: str, wheel: str) -> str:
    """What a tool said of the file `wheel`, whatever Python and directories it was tried with; the middle of long
    ones left out."""
    text = re.sub(r"/\S*/prefix\b", "PREFIX", sentence.replace(wheel, os.path.basename(wheel)))
    text = text.replace(PYTHON, "python3.X")
    return cell(text if len(text) <= 300 else f"{text[:150]}...{text[-100:]}")
