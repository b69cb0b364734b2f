"""`sage_wheels.installed.distributions`: what there is, whoever installed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.installed import find, find_all
from sage_wheels.installed.distributions import libraries, read_metadata
from sage_wheels.prefix import find_prefix
from support.run import install, names
from support.trees import make_prefix, site_packages
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
