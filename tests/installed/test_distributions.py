"""`sage_wheels.installed.distributions`: what there is, whoever installed it. Promise 7."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.installed import find, find_all
from sage_wheels.installed.distributions import libraries, read_metadata, read_record, read_text
from sage_wheels.prefix import find_prefix
from support.run import install, names, tool, uninstall
from support.trees import difference, make_prefix, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def record_at(prefix: Path, name: str, metadata: str | None = None, file: str = "METADATA") -> None:
    path = site_packages(prefix) / name
    path.mkdir()
    if metadata is not None:
        (path / file).write_text(metadata)


def test_kinds(prefix: Path, tmp_path: Path) -> None:
    install(prefix, make_wheel(tmp_path, "wheeled", "1", {"w.py": ""}))
    library = site_packages(prefix)
    record_at(prefix, "Old.Pip-2.0-py3.11.egg-info", "Name: Old.Pip\nVersion: 2.0\n", "PKG-INFO")
    (library / "disty-3.0.egg-info").write_text("Name: disty\nVersion: 3.0\n")
    (library / "develop.egg-link").write_text("/src/develop\n.")
    record_at(prefix, "egg-4.0-py3.11-linux-x86_64.egg")
    record_at(prefix, "bare.egg-info", "Name: Bare\nVersion: 5\n", "PKG-INFO")
    record_at(prefix, "noname.dist-info")
    for other in ("six.py", "~heeled-1.dist-info", ".dist-info", "x.dist-info.bak"):
        (library / other).mkdir()
    found = {(each.name, each.version, each.kind) for each in find_all(find_prefix(prefix))}
    assert found == {
        ("wheeled", "1", ".dist-info"),
        ("Old.Pip", "2.0", ".egg-info"),
        ("disty", "3.0", ".egg-info"),
        ("develop", "", ".egg-link"),
        ("egg", "4.0", ".egg"),
        ("Bare", "5", ".egg-info"),
        ("noname", "", ".dist-info"),
    }


def test_find_takes_any_spelling_and_finds_all(prefix: Path) -> None:
    record_at(prefix, "My_Pkg-1.dist-info", "")
    record_at(prefix, "my.pkg-2.dist-info", "")
    assert [str(each) for each in find(find_prefix(prefix), "MY-pkg")] == ["My_Pkg 1", "my.pkg 2"]
    assert find(find_prefix(prefix), "my") == []


def test_sorted_by_name(prefix: Path) -> None:
    for name in ("b-1", "A-2", "a_b-1", "A-10"):
        record_at(prefix, f"{name}.dist-info", "")
    assert names(prefix) == ["A 10", "A 2", "a_b 1", "b 1"]


def test_a_library_that_is_not_there_is_empty(prefix: Path) -> None:
    site_packages(prefix).rmdir()
    assert find_all(find_prefix(prefix)) == []
    site_packages(prefix).write_text("a file")
    assert find_all(find_prefix(prefix)) == []


def test_one_library_if_platlib_is_the_same_place(prefix: Path) -> None:
    found = find_prefix(prefix)
    assert libraries(found) == [found.scheme.purelib]
    (prefix / "lib64").symlink_to("lib")
    linked = found._replace(scheme=found.scheme._replace(platlib=found.scheme.purelib.replace("lib/", "lib64/", 1)))
    assert libraries(linked) == [found.scheme.purelib]
    other = found._replace(scheme=found.scheme._replace(platlib="lib65"))
    assert libraries(other) == [found.scheme.purelib, "lib65"]


@pytest.mark.parametrize(
    ("name", "file"), [("a-1.dist-info", "METADATA"), ("a-1.egg-info", "PKG-INFO"), ("a-1.egg-info", "")]
)
def test_metadata(prefix: Path, name: str, file: str) -> None:
    text = "Name: a\nVersion: 1\nSummary: ünïcode\n"
    if file:
        record_at(prefix, name, text, file)
    else:
        (site_packages(prefix) / name).write_text(text)
    found = find_prefix(prefix)
    assert read_metadata(found, find_all(found)[0])["summary"] == ["ünïcode"]


def test_metadata_that_cannot_be_read_is_none(prefix: Path) -> None:
    record_at(prefix, "a-1.dist-info")
    found = find_prefix(prefix)
    assert read_metadata(found, find_all(found)[0]) == {}


EGG_INFOS = {
    "directory": {"probe.egg-info/PKG-INFO": "", "probe.egg-info/top_level.txt": "probe\n"},
    "with-version": {"probe-1.0-py3.11.egg-info/PKG-INFO": ""},
    "file": {"probe-1.0.egg-info": ""},
    "of-another-name": {"probe_of_old-0.9.egg-info/PKG-INFO": "Name: probe-of-old\nVersion: 0.9\n"},
    "quoted": {"probe,1.egg-info/PKG-INFO": "Name: probe\nVersion: 1\n"},
    "with-a-quote": {'pro"be.egg-info/PKG-INFO': ""},
    "two": {"probe.egg-info/PKG-INFO": "", "probe_sub.egg-info/PKG-INFO": "Name: probe_sub\n"},
    "link": {"probe.egg-link": "/src/probe\n."},
    "egg": {"probe-1.0-py3.11.egg/EGG-INFO/PKG-INFO": "", "probe-1.0-py3.11.egg/probe.py": ""},
}


@pytest.mark.parametrize("files", EGG_INFOS.values(), ids=EGG_INFOS)
def test_an_egg_info_that_a_wheel_brings_is_part_of_it(prefix: Path, tmp_path: Path, files: dict[str, str]) -> None:
    before = snapshot(prefix)
    texts = {path: text or "Metadata-Version: 1.0\nName: probe\nVersion: 1.0\n" for path, text in files.items()}
    wheel = make_wheel(tmp_path, "probe", "1.0", {"probe/__init__.py": "", **texts})
    install(prefix, make_wheel(tmp_path, "beside", "1", {"beside.py": ""}))
    beside = snapshot(prefix)
    install(prefix, wheel)
    assert names(prefix) == ["beside 1", "probe 1.0"]
    assert [str(each) for each in find(find_prefix(prefix), "probe")] == ["probe 1.0"]
    assert install(prefix, wheel).unchanged == (("probe", "1.0"),)
    assert sage_wheels.verify("probe", prefix) == []
    report = install(prefix, make_wheel(tmp_path, "probe", "2.0", {"probe/__init__.py": ""}))
    assert [tuple(each) for each in report.changes] == [("probe", "1.0", "2.0")]
    assert not list(site_packages(prefix).glob("*.egg*"))
    uninstall(prefix, "probe")
    assert difference(beside, snapshot(prefix)) == []
    uninstall(prefix, "beside")
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("spelled", ["./{name}", "pkg/../{name}", "{library}/{name}", "\ufeff{name}"])
def test_however_its_row_is_spelled(prefix: Path, tmp_path: Path, spelled: str) -> None:
    name, library = "a.egg-info/PKG-INFO", site_packages(prefix)
    wheel = make_wheel(tmp_path, "probe", "1.0", {name: "Name: a\n", "probe.py": ""})
    install(prefix, wheel, compile_bytecode=False)
    record = library / "probe-1.0.dist-info/RECORD"
    assert record.read_text().startswith(f"{name},")
    record.write_text(record.read_text().replace(name, spelled.format(name=name, library=library), 1))
    assert names(prefix) == ["probe 1.0"]


def test_an_egg_info_beside_a_wheel_that_does_not_list_it_is_another_one(prefix: Path, tmp_path: Path) -> None:
    install(prefix, make_wheel(tmp_path, "probe", "1.0", {"probe.py": "", "data/probe.egg-info/PKG-INFO": ""}))
    record_at(prefix, "probe.egg-info", "Name: probe\nVersion: 0.9\n", "PKG-INFO")
    record_at(prefix, "obe.egg-info", "Name: obe\nVersion: 0.9\n", "PKG-INFO")
    assert names(prefix) == ["obe 0.9", "probe 0.9", "probe 1.0"]


def test_listed_as_the_metadata_spell_it(prefix: Path) -> None:
    record_at(prefix, "ruamel_yaml_clib-1.0_1.dist-info", "Name: ruamel.yaml-clib\nVersion: 1.0-1\n")
    record_at(prefix, "liar-1.dist-info", "Name: pip\nVersion: \x1b[1m\n")
    record_at(prefix, "Old_Name-1.egg-info", "Name: old.name\nVersion: 1.0\n", "PKG-INFO")
    done = tool("list", "--prefix", prefix)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["liar", "1"],
        ["old.name", "1.0"],
        ["ruamel.yaml-clib", "1.0-1"],
    ]
    assert tool("show", "--prefix", prefix, "Old.Name").stdout.startswith("name: old.name\nversion: 1.0\n")


def test_reading_asks_for_no_more_memory_than_there_is_to_read(prefix: Path, tmp_path: Path) -> None:
    """Where memory is limited, a buffer for the largest file that makes sense is too much."""
    files = {f"m{number}.py": f"x = {number}\n" for number in range(600)}
    install(prefix, make_wheel(tmp_path, "probe", "1", files))
    where = find_prefix(prefix)
    [probe] = find(where, "probe")
    for read in (
        lambda: read_record(where, probe),
        lambda: read_metadata(where, probe),
        lambda: read_text(where, f"{probe.path}/RECORD"),
    ):
        read()
        tracemalloc.start()
        read()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 << 20
