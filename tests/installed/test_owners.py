"""`sage_wheels.installed.owners`: who owns a path, and a cache that is never believed more than the RECORDs.

Promise 7.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.installed import find_all
from sage_wheels.installed.owners import Owners, area
from sage_wheels.installed.unchanged import clock_of
from sage_wheels.prefix import find_prefix, memo
from sage_wheels.prefix.locator import landmarks
from support.run import install, uninstall
from support.trees import STATE, make_prefix, site_packages
from support.wheels import make_wheel

LIBRARY = "lib/python{}.{}/site-packages".format(*sys.version_info)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return filled(make_prefix(tmp_path), tmp_path)


def filled(prefix: Path, tmp_path: Path) -> Path:
    one = make_wheel(tmp_path, "one", "1", {"ns/one.py": "", "same.txt": "x"}, data={"data/share/doc/one": ""})
    two = make_wheel(tmp_path, "two", "1", {"ns/two.py": "", "same.txt": "x"}, data={"data/share/doc/two": ""})
    install(prefix, one, two)
    return prefix


def owners(prefix: Path, target: str) -> list[str]:
    where = find_prefix(prefix)
    return [each.name for each in Owners(where, find_all(where)).owners(target)]


def assert_right(prefix: Path) -> None:
    assert owners(prefix, f"{LIBRARY}/ns/one.py") == ["one"]
    assert owners(prefix, f"{LIBRARY}/ns/two.py") == ["two"]
    assert owners(prefix, f"{LIBRARY}/same.txt") == ["one", "two"]
    assert owners(prefix, "share/doc/one") == ["one"]
    assert owners(prefix, f"{LIBRARY}/ns/three.py") == []
    assert owners(prefix, f"{LIBRARY}/ns") == []


def cache(prefix: Path) -> Path:
    return prefix / STATE / "cache" / "areas.json"


def remembered(prefix: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(memo.read(find_prefix(prefix), "areas.json") or b"")
    return content


def test_owners(prefix: Path) -> None:
    assert_right(prefix)
    where = find_prefix(prefix)
    found = Owners(where, find_all(where)).claimed([f"{LIBRARY}/ns/one.py", f"{LIBRARY}/ns/x.py", "bin/x"])
    assert found == {f"{LIBRARY}/ns/one.py"}


def test_the_cache_may_be_deleted(prefix: Path) -> None:
    assert_right(prefix)
    assert cache(prefix).is_file()
    cache(prefix).unlink()
    assert_right(prefix)
    assert cache(prefix).is_file()


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "[]", "null", "7", '{"x": 1}', '{"%s": [[1, 2, 3], ["bin"]]}', '{"%s": null}', '{"%s": [[], 5, 6]}'],
)
def test_the_cache_may_be_garbage(prefix: Path, garbage: str) -> None:
    assert_right(prefix)
    text = garbage.replace("%s", f"{LIBRARY}/one-1.dist-info")
    cache(prefix).write_text(text)
    assert_right(prefix)
    memo.write(find_prefix(prefix), "areas.json", text.encode())
    assert_right(prefix)


@pytest.mark.parametrize("name", ["nul\0", "x/" * 5000, "../..", "/"])
def test_the_cache_may_name_what_cannot_be(prefix: Path, name: str) -> None:
    assert_right(prefix)
    content = remembered(prefix)
    for _, _, ways, areas in content.values():
        ways[name] = None
        areas.clear()
    memo.write(find_prefix(prefix), "areas.json", json.dumps(content).encode())
    assert_right(prefix)


@pytest.mark.parametrize("change", ["areas", "area", "ways", "way", "identity", "one more"])
def test_the_cache_may_have_another_shape(prefix: Path, change: str) -> None:
    assert_right(prefix)
    content = remembered(prefix)
    for entry in content.values():
        identity, digest, ways, areas = entry
        entry[:] = {
            "areas": [identity, digest, ways, 5],
            "area": [identity, digest, ways, [areas]],
            "ways": [identity, digest, list(ways.items()), areas],
            "way": [identity, digest, {"lib": [5]}, areas],
            "identity": ["", digest, ways, []],
            "one more": [*entry, 1],
        }[change]
    memo.write(find_prefix(prefix), "areas.json", json.dumps(content).encode())
    assert_right(prefix)


def test_the_cache_may_be_a_directory_or_not_writable(prefix: Path) -> None:
    cache(prefix).unlink(missing_ok=True)
    cache(prefix).mkdir(parents=True)
    assert_right(prefix)


def test_what_another_tool_did_is_seen(prefix: Path, tmp_path: Path) -> None:
    assert_right(prefix)
    record = site_packages(prefix) / "one-1.dist-info/RECORD"
    record.write_text(record.read_text().replace("ns/one.py", "elsewhere/one.py"))
    assert owners(prefix, f"{LIBRARY}/ns/one.py") == []
    assert owners(prefix, f"{LIBRARY}/elsewhere/one.py") == ["one"]
    record.unlink()
    assert owners(prefix, f"{LIBRARY}/elsewhere/one.py") == []
    uninstall(prefix, "two")
    assert owners(prefix, f"{LIBRARY}/ns/two.py") == []
    install(prefix, make_wheel(tmp_path, "three", "1", {"ns/three.py": ""}))
    assert owners(prefix, f"{LIBRARY}/ns/three.py") == ["three"]


def test_a_record_replaced_by_one_of_the_same_size_and_time_is_seen(prefix: Path) -> None:
    assert_right(prefix)
    record = site_packages(prefix) / "one-1.dist-info/RECORD"
    before = record.stat()
    other = record.with_name("RECORD.new")
    other.write_text(record.read_text().replace("ns/one.py", "xy/one.py"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, record)
    assert owners(prefix, f"{LIBRARY}/xy/one.py") == ["one"]


def rewrite(record: Path, old: str, new: str) -> None:
    """Write into a RECORD in place, and put back its time."""
    before = record.stat()
    with open(record, "r+") as f:
        f.write(record.read_text().replace(old, new))
    os.utime(record, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (record.stat().st_size, record.stat().st_ino) == (before.st_size, before.st_ino)


@pytest.fixture(params=["ctime is kept", "ctime may not be kept"])
def any_prefix(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """On the file system of the tests, and on a tmpfs, where a file that is mapped may change unnoticed."""
    if request.param == "ctime is kept":
        yield filled(make_prefix(tmp_path), tmp_path)
    elif not os.path.isdir("/dev/shm"):
        pytest.skip("no tmpfs here")
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            yield filled(make_prefix(directory), tmp_path)


@pytest.mark.parametrize("settled", [True, False], ids=["later", "in the same instant"])
def test_a_record_rewritten_with_size_and_time_kept_is_seen(any_prefix: Path, settled: bool) -> None:
    prefix = any_prefix
    record = site_packages(prefix) / "one-1.dist-info/RECORD"
    for number in range(6):  # each time it is remembered first
        if settled:
            time.sleep(0.02)
        old, new = ("ns/one.py", "xy/one.py") if number % 2 == 0 else ("xy/one.py", "ns/one.py")
        assert owners(prefix, f"{LIBRARY}/{old}") == ["one"]
        rewrite(record, old, new)
        if settled:
            time.sleep(0.02)
        assert owners(prefix, f"{LIBRARY}/{new}") == ["one"]
        assert owners(prefix, f"{LIBRARY}/{old}") == []


def test_a_record_is_read_again_only_if_it_may_be_another(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(0.02)
    assert_right(prefix)
    read: list[str] = []

    def noted(content: bytes) -> str:
        read.append(content.decode())
        return ""

    monkeypatch.setattr("sage_wheels.installed.owners.digest_of", noted)
    assert owners(prefix, f"{LIBRARY}/nobody/x") == []
    if clock_of(find_prefix(prefix)):
        assert read == []


def test_damage_of_any_byte_of_the_cache_is_seen(prefix: Path) -> None:
    assert_right(prefix)
    whole = cache(prefix).read_bytes()
    for at in range(len(whole)):
        cache(prefix).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert memo.read(find_prefix(prefix), "areas.json") is None
        cache(prefix).write_bytes(whole[:at])
        assert memo.read(find_prefix(prefix), "areas.json") is None


def test_the_cache_says_what_it_is_for(prefix: Path) -> None:
    assert_right(prefix)
    assert remembered(prefix).keys() == {f"{LIBRARY}/{name}-1.dist-info" for name in ("one", "two")}


@pytest.mark.parametrize("name", ["share", "share/doc", LIBRARY, f"{LIBRARY}/ns"])
def test_a_directory_that_was_moved_behind_a_link_is_seen(prefix: Path, name: str) -> None:
    assert_right(prefix)
    (prefix / name).rename(prefix / "moved")
    (prefix / name).symlink_to(prefix / "moved")
    target = f"{LIBRARY}/ns/one.py" if name.startswith("lib") else "share/doc/one"
    assert owners(prefix, f"moved{target.removeprefix(name)}") == ["one"]
    (prefix / name).unlink()
    (prefix / "moved").rename(prefix / name)
    assert_right(prefix)


def test_a_directory_that_comes_back_into_the_prefix_is_seen(prefix: Path, tmp_path: Path) -> None:
    (prefix / "share").rename(tmp_path / "outside")
    (prefix / "share").symlink_to(tmp_path / "outside")
    assert owners(prefix, "share/doc/one") == []
    (prefix / "share").unlink()
    (tmp_path / "outside").rename(prefix / "share")
    assert owners(prefix, "share/doc/one") == ["one"]


def test_a_shared_file_behind_a_new_link_stays(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    aa, bb = (make_wheel(tmp_path, name, "1", {}, data={"data/share/doc/x/f": "same"}) for name in ("aa", "bb"))
    install(prefix, aa)
    install(prefix, bb)
    install(prefix, aa, reinstall=True)
    assert cache(prefix).is_file()
    (prefix / "share").rename(prefix / "usrshare")
    (prefix / "share").symlink_to("usrshare")
    uninstall(prefix, "aa")
    assert (prefix / "share/doc/x/f").read_text() == "same"
    uninstall(prefix, "bb")
    assert not (prefix / "usrshare/doc").exists()


@pytest.mark.parametrize(
    ("target", "where"),
    [
        (f"{LIBRARY}/pkg/a/b.py", f"{LIBRARY}/pkg"),
        (f"{LIBRARY}/mod.py", f"{LIBRARY}/mod.py"),
        ("bin/tool", "bin/tool"),
        ("share/a/b/c/d", "share/a/b"),
        ("lib/x", "lib/x"),
    ],
)
def test_areas(prefix: Path, target: str, where: str) -> None:
    assert area(landmarks(find_prefix(prefix)).libraries, target) == where
