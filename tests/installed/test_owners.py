"""`sage_wheels.installed.owners`: who owns a path, and a cache that is never believed more than the RECORDs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sage_wheels.installed import find_all
from sage_wheels.installed.owners import Owners, area
from sage_wheels.prefix import find_prefix
from sage_wheels.prefix.places import landmarks
from support.run import install, uninstall
from support.trees import STATE, make_prefix, site_packages
from support.wheels import make_wheel

LIBRARY = "lib/python{}.{}/site-packages".format(*sys.version_info)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    one = make_wheel(tmp_path, "one", "1", {"ns/one.py": "", "same.txt": "x"}, data={"data/share/doc/one": ""})
    two = make_wheel(tmp_path, "two", "1", {"ns/two.py": "", "same.txt": "x"}, data={"data/share/doc/two": ""})
    install(prefix, one, two)
    return prefix


def owners(prefix: Path, place: str) -> list[str]:
    where = find_prefix(prefix)
    return [each.name for each in Owners(where, find_all(where)).owners(place)]


def assert_right(prefix: Path) -> None:
    assert owners(prefix, f"{LIBRARY}/ns/one.py") == ["one"]
    assert owners(prefix, f"{LIBRARY}/ns/two.py") == ["two"]
    assert owners(prefix, f"{LIBRARY}/same.txt") == ["one", "two"]
    assert owners(prefix, "share/doc/one") == ["one"]
    assert owners(prefix, f"{LIBRARY}/ns/three.py") == []
    assert owners(prefix, f"{LIBRARY}/ns") == []


def cache(prefix: Path) -> Path:
    return prefix / STATE / "cache" / "areas.json"


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
    cache(prefix).write_text(garbage.replace("%s", f"{LIBRARY}/one-1.dist-info"))
    assert_right(prefix)


@pytest.mark.parametrize("name", ["nul\0", "x/" * 5000, "../..", "/"])
def test_the_cache_may_name_what_cannot_be(prefix: Path, name: str) -> None:
    assert_right(prefix)
    content = json.loads(cache(prefix).read_text())
    for _, ways, areas in content.values():
        ways[name] = None
        areas.clear()
    cache(prefix).write_text(json.dumps(content))
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


def test_the_cache_says_what_it_is_for(prefix: Path) -> None:
    assert_right(prefix)
    content = json.loads(cache(prefix).read_text())
    assert content.keys() == {f"{LIBRARY}/{name}-1.dist-info" for name in ("one", "two")}


@pytest.mark.parametrize("name", ["share", "share/doc", LIBRARY, f"{LIBRARY}/ns"])
def test_a_directory_that_was_moved_behind_a_link_is_seen(prefix: Path, name: str) -> None:
    assert_right(prefix)
    (prefix / name).rename(prefix / "moved")
    (prefix / name).symlink_to(prefix / "moved")
    place = f"{LIBRARY}/ns/one.py" if name.startswith("lib") else "share/doc/one"
    assert owners(prefix, f"moved{place.removeprefix(name)}") == ["one"]
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
    ("place", "where"),
    [
        (f"{LIBRARY}/pkg/a/b.py", f"{LIBRARY}/pkg"),
        (f"{LIBRARY}/mod.py", f"{LIBRARY}/mod.py"),
        ("bin/tool", "bin/tool"),
        ("share/a/b/c/d", "share/a/b"),
        ("lib/x", "lib/x"),
    ],
)
def test_areas(prefix: Path, place: str, where: str) -> None:
    assert area(landmarks(find_prefix(prefix)).libraries, place) == where
