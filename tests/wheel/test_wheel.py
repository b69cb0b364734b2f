"""`sage_wheels.wheel.wheel`: a wheel that does not hold together cannot be opened."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.errors import FileOperationFailed, WheelRefused
from sage_wheels.wheel.wheel import FileName, Wheel, parse_file_name
from support.wheels import make_wheel, record_row

FILES: dict[str, str | bytes] = {"pkg/__init__.py": "x = 1\n", "pkg/data.bin": b"\0\1"}
METADATA = "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def test_a_good_wheel(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "My.Pkg", "1.0", FILES, entry_points={"tool": "pkg:main"}, requires_python=">=3.8")
    with Wheel(str(path)) as wheel:
        assert (wheel.name, wheel.version, wheel.canonical_name) == ("My.Pkg", "1.0", "my-pkg")
        assert wheel.dist_info == "My_Pkg-1.0.dist-info"
        assert wheel.root_scheme == "purelib"
        assert wheel.metadata["requires-python"] == [">=3.8"]
        assert wheel.read_text("entry_points.txt") == "[console_scripts]\ntool = pkg:main\n\n"
        assert wheel.read_text("top_level.txt") is None
        assert wheel.rows.keys() == wheel.archive.members.keys()


def test_schemes(tmp_path: Path) -> None:
    data = {"scripts/a": "", "data/share/b": "", "headers/c.h": "", "platlib/d.py": "", "purelib/e/f.py": ""}
    path = make_wheel(tmp_path, "pkg", "1.0", FILES, data=data, root_is_purelib=False)
    with Wheel(str(path)) as wheel:
        schemes = {
            name: wheel.scheme_and_path(name) for name in wheel.archive.members if not name.startswith("pkg-1.0.dist")
        }
    assert schemes == {
        "pkg/__init__.py": ("platlib", "pkg/__init__.py"),
        "pkg/data.bin": ("platlib", "pkg/data.bin"),
        "pkg-1.0.data/scripts/a": ("scripts", "a"),
        "pkg-1.0.data/data/share/b": ("data", "share/b"),
        "pkg-1.0.data/headers/c.h": ("headers", "c.h"),
        "pkg-1.0.data/platlib/d.py": ("platlib", "d.py"),
        "pkg-1.0.data/purelib/e/f.py": ("purelib", "e/f.py"),
    }


@pytest.mark.parametrize(
    "spelling",
    [
        {"file_name": "PKG-1.0-py3-none-any.whl"},
        {"file_name": "pkg-1.0.0-py3-none-any.whl"},
        {"file_name": "pkg-1.0-PY3-None-Any.whl"},
        {"wheel_text": WHEEL.replace("py3-none", "Py3-NONE")},
        {"file_name": "pkg-1.0-7local-py3-none-any.whl"},
        {"metadata_text": "Metadata-Version: 9.9\nName: Pkg\nVersion: 1.0\nNews: everything\n"},
        {"wheel_text": WHEEL.replace("1.0", "1.99")},
        {"wheel_text": WHEEL.replace("1.0", "0.1")},
        {"extra_rows": [record_row("pkg/data.bin", b"\0\1")]},
        {"extra_rows": [record_row("pkg/data.bin", b"\0\1").replace(",2", "=,")]},
        {"extra_rows": ["pkg-1.0.dist-info/RECORD,,"]},
        {"extra_rows": ["pkg-1.0.dist-info/RECORD.jws,,"]},
        {"unlisted": {"pkg-1.0.dist-info/RECORD.jws": "{}", "pkg-1.0.dist-info/RECORD.p7s": "x"}},
        {"extra_rows": ["pkg/,,"]},
        {"metadata_text": METADATA.replace("\n", "\r\n"), "wheel_text": WHEEL.replace("\n", "\r\n")},
        {"rows": {"pkg/data.bin": "pkg/data.bin,sha512=" + "A" * 86 + ",2"}},
        {"rows": {"pkg/data.bin": record_row("pkg/data.bin", b"\0\1").rpartition(",")[0] + ","}},
        {"rows": {"pkg/data.bin": record_row("pkg/data.bin", b"\0\1").replace(",2", "=,2")}},
    ],
    ids=[
        *("file name in capitals", "file name with the version spelt otherwise", "tags of the file name in capitals"),
        *("tags in capitals", "build tag", "metadata of the future"),
        *(
            "newer minor version",
            "older major version",
            "row twice",
            "row twice, spelt otherwise",
            "row of RECORD twice",
        ),
        *("row of a signature", "signatures", "row of a directory", "CRLF", "sha512"),
        *("no size", "padded hash"),
    ],
)
def test_what_is_unusual_but_right_is_taken(tmp_path: Path, spelling: dict[str, Any]) -> None:
    with Wheel(str(make_wheel(tmp_path, "pkg", "1.0", FILES, **spelling))) as wheel:
        assert wheel.canonical_name == "pkg"


def test_a_local_version_and_an_old_spelling(tmp_path: Path) -> None:
    with Wheel(str(make_wheel(tmp_path, "pkg", "1.0+cpu.1", FILES))) as wheel:
        assert wheel.version == "1.0+cpu.1"
    old = make_wheel(tmp_path, "pkg", "1.0_cpu", FILES, metadata_text=METADATA.replace("1.0", "1.0+cpu"))
    with Wheel(str(old)) as wheel:
        assert wheel.version == "1.0+cpu"


def test_a_data_directory_with_another_name(tmp_path: Path) -> None:
    """To pip, each directory with such an ending is one: some backends spell the name otherwise in it."""
    files = {"Pkg-1.0.0.data/scripts/a": "", ".data/data/b": "", "pkg/x.data/scripts/c": "", "d.data": ""}
    with Wheel(str(make_wheel(tmp_path, "pkg", "1.0", files))) as wheel:
        assert {wheel.scheme_and_path(name) for name in wheel.archive.members if "dist-info" not in name} == {
            *[("scripts", "a"), ("data", "b"), ("purelib", "pkg/x.data/scripts/c"), ("purelib", "d.data")]
        }
        assert [each.head for each in wheel.groups if wheel.is_script(each)] == ["Pkg-1.0.0.data/scripts"]


def test_a_dist_info_with_a_dash_in_its_name(tmp_path: Path) -> None:
    """To pip, it is one of another project, with a version that is none; it could not uninstall it."""
    good = make_wheel(tmp_path / "good", "foo_bar", "1", {"foo.py": ""})
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(tmp_path / good.name, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b"foo_bar-1.dist-info", b"foo-bar-1.dist-info")
            new.writestr(name.replace("foo_bar-1.dist-info", "foo-bar-1.dist-info"), content)
    with pytest.raises(WheelRefused, match="its dist-info says foo bar-1, its file name something else"):
        Wheel(str(tmp_path / good.name))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # Python's email, and so pip, reads no field behind such a line
    "METADATA after a byte-order mark": ({"metadata_text": f"\ufeff{METADATA}"}, "METADATA says '' '', which is no"),
    "METADATA with a line that is no field": (
        {"metadata_text": METADATA.replace("Version: 1.0", "the second line of a summary\nVersion: 1.0")},
        "METADATA says 'pkg' '', which is no name and version",
    ),
    "member without row": ({"unlisted": {"pkg/evil.py": ""}}, "'pkg/evil.py' is not listed in its RECORD"),
    "row without member": ({"leave_out": ["pkg/data.bin"]}, "RECORD lists 'pkg/data.bin', which is not in it"),
    "phantom row": ({"extra_rows": ["pkg/x.py,sha256=abc,3"]}, "RECORD lists 'pkg/x.py', which is not in it"),
    "phantom row outside": (
        {"extra_rows": ["../../../etc/passwd,,"]},
        "RECORD lists '../../../etc/passwd', which is not",
    ),
    "phantom absolute row": ({"extra_rows": ["/etc/passwd,,"]}, "RECORD lists '/etc/passwd', which is not in it"),
    "row twice with two hashes": ({"extra_rows": ["pkg/data.bin,sha256=abc,2"]}, "lists a file twice, and differently"),
    "row twice, once without a hash": ({"extra_rows": ["pkg/data.bin,,"]}, "lists a file twice, and differently"),
    "row twice with two sizes": (
        {"extra_rows": [record_row("pkg/data.bin", b"\0\1").replace(",2", ",3")]},
        "lists a file twice, and differently",
    ),
    "row with dot": (
        {"rows": {"pkg/data.bin": "./" + record_row("pkg/data.bin", b"\0\1")}},
        "RECORD lists './pkg/data.bin', which is not in it",
    ),
    "no RECORD": ({"leave_out": ["pkg-1.0.dist-info/RECORD"]}, "it has no pkg-1.0.dist-info/RECORD"),
    "empty RECORD": ({"record_text": ""}, "is not listed in its RECORD"),
    "RECORD is binary": ({"record_text": b"\xff\xfe\0"}, "RECORD cannot be read: 'utf-8' codec"),
    "RECORD with open quote": ({"record_text": '"pkg'}, "RECORD cannot be read: line 1 is not CSV"),
    "RECORD with four columns": ({"record_text": "a,b,1,c\n"}, "RECORD cannot be read: line 1 is no row of path"),
    "RECORD with a size that is none": ({"record_text": "a,b,-1\n"}, "RECORD cannot be read: line 1 has no number"),
    "wrong size": (
        {"rows": {"pkg/data.bin": record_row("pkg/data.bin", b"\0\1").replace(",2", ",3")}},
        "'pkg/data.bin' has 2 bytes, but 3 in its RECORD",
    ),
    "no hash": ({"rows": {"pkg/data.bin": "pkg/data.bin,,2"}}, "RECORD has no hash for 'pkg/data.bin'"),
    "md5": ({"rows": {"pkg/data.bin": "pkg/data.bin,md5=abc,2"}}, "has the hash 'md5=abc', which is weak or unknown"),
    "sha1": (
        {"rows": {"pkg/data.bin": "pkg/data.bin,sha1=abc,2"}},
        "has the hash 'sha1=abc', which is weak or unknown",
    ),
    "shake": ({"rows": {"pkg/data.bin": "pkg/data.bin,shake_128=a,2"}}, "which is weak or unknown"),
    "hash without algorithm": ({"rows": {"pkg/data.bin": "pkg/data.bin,abc,2"}}, "'abc', which is weak or unknown"),
    "empty hash": ({"rows": {"pkg/data.bin": "pkg/data.bin,sha256=,2"}}, "which is weak or unknown"),
    "no METADATA": ({"leave_out": ["pkg-1.0.dist-info/METADATA"]}, "it has no pkg-1.0.dist-info/METADATA"),
    "METADATA without name": (
        {"metadata_text": "Version: 1.0\n"},
        "its METADATA says '' '1.0', which is no name and version",
    ),
    "METADATA of another name": ({"metadata_text": METADATA.replace("pkg", "six")}, "METADATA says six 1.0"),
    "METADATA of another version": ({"metadata_text": METADATA.replace("1.0", "1.1")}, "METADATA says pkg 1.1"),
    "METADATA is binary": ({"metadata_text": b"\x80\x81"}, "METADATA is not UTF-8"),
    "no WHEEL": ({"leave_out": ["pkg-1.0.dist-info/WHEEL"]}, "it has no pkg-1.0.dist-info/WHEEL"),
    "WHEEL of the future": (
        {"wheel_text": WHEEL.replace("1.0", "2.0")},
        "it has Wheel-Version 2, and only 0.x and 1.x are known",
    ),
    "WHEEL without version": ({"wheel_text": "Root-Is-Purelib: true\n"}, "it has Wheel-Version none"),
    "WHEEL is binary": ({"wheel_text": b"\xff"}, "WHEEL is not UTF-8"),
    "two dist-infos": ({"unlisted": {"six-1.0.dist-info/METADATA": METADATA}}, "it has 2 .dist-info directories"),
    "file name of another name": (
        {"file_name": "six-1.0-py3-none-any.whl"},
        "says pkg 1.0, its file name something else",
    ),
    "file name of another version": (
        {"file_name": "pkg-1.1-py3-none-any.whl"},
        "says pkg 1.0, its file name something",
    ),
    "unknown scheme": ({"data": {"lib/a.py": ""}}, "'lib' is none of data, headers, platlib, purelib, scripts"),
    "scheme in capitals": ({"data": {"Scripts/a": ""}}, "'Scripts' is none of"),
    "file in place of a scheme": ({"data": {"scripts": ""}}, "'scripts' is none of"),
    "symbolic link": ({"symlinks": {"pkg/link": "/etc/passwd"}}, "is a link, a device or something else"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_hold_together_is_refused(tmp_path: Path, name: str) -> None:
    spoiling, reason = REFUSED[name]
    path = make_wheel(tmp_path, "pkg", "1.0", FILES, **spoiling)
    with pytest.raises(WheelRefused) as caught:
        Wheel(str(path))
    message = str(caught.value)
    assert reason in message
    assert str(path) in message
    assert caught.value.advice
    assert "\n" not in message


def test_no_dist_info_at_all(tmp_path: Path) -> None:
    dist_info = "pkg-1.0.dist-info"
    left_out = [f"{dist_info}/{each}" for each in ("METADATA", "WHEEL", "RECORD")]
    with pytest.raises(WheelRefused, match=r"it has 0 \.dist-info directories instead of one"):
        Wheel(str(make_wheel(tmp_path, "pkg", "1.0", FILES, leave_out=left_out)))


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("six-1.16.0-py2.py3-none-any.whl", FileName("six", "1.16.0", "py2.py3-none-any")),
        ("/a-b/c-d/a_b-1!2+x-0-cp311-cp311-linux_x86_64.whl", FileName("a_b", "1!2+x", "cp311-cp311-linux_x86_64")),
    ],
)
def test_file_names(name: str, parsed: FileName) -> None:
    assert parse_file_name(name) == parsed


@pytest.mark.parametrize(
    "name",
    [
        *("six.whl", "six-1.0.whl", "six-1.0-py3-none-any.zip", "six-1.0-py3-none-any", "six--py3-none-any.whl"),
        *(
            "-1.0-py3-none-any.whl",
            "six-1.0-a-py3-none-any.whl",
            "a-b-1.0-1-py3-none-any.whl",
            ".whl",
            "six-1.0-py3-none-.whl",
        ),
    ],
)
def test_file_names_that_are_none(name: str) -> None:
    with pytest.raises(WheelRefused) as caught:
        parse_file_name(f"/w/{name}")
    assert f"/w/{name}" in str(caught.value)


def test_a_wheel_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "six-1.0-py3-none-any.whl"
    with pytest.raises(FileOperationFailed, match=re.escape(str(path))):
        Wheel(str(path))
    path.mkdir()
    with pytest.raises(FileOperationFailed, match="opening the wheel failed"):
        Wheel(str(path))
