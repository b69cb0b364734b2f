"""Uninstalling what pip, uv or a hand installed with a hostile RECORD: nothing of anybody else's is touched.

Promise 4.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import sage_wheels
from support.attacks import PYTHON
from support.attacks import RECORD_ROWS as ROWS
from support.run import install, tool, uninstall
from support.trees import STATE, Tree, difference, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    library = site_packages(prefix)
    install(prefix, make_wheel(tmp_path / "w", "owner", "1", {"owned/__init__.py": "x = 1\n", "owned/a.py": ""}))
    for each in ("outside", "prefix-sibling"):
        (tmp_path / each).mkdir()
        (tmp_path / each / "precious").write_text("precious")
    (library / "out").symlink_to(tmp_path / "outside")
    (prefix / "lib64").symlink_to("lib")
    (library.parent / "os.py").write_text("standard library")
    return prefix


def hostile_distribution(prefix: Path, row: str) -> None:
    """A distribution that a hand made: one module, and a RECORD with one hostile row."""
    library = site_packages(prefix)
    (library / "evil.py").write_text("")
    dist_info = library / "evil-1.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text("Name: evil\nVersion: 1\n")
    spelt = row.replace("{outside}", str(prefix.parent / "outside")).replace("{prefix}", str(prefix))
    spelt = spelt.replace("{python}", PYTHON).replace("{tag}", str(sys.implementation.cache_tag))
    rows = ["evil.py,,", spelt, "evil-1.dist-info/METADATA,,", "evil-1.dist-info/RECORD,,"]
    (dist_info / "RECORD").write_text("".join(f"{each}\n" for each in rows), encoding="utf-8")


def surroundings(prefix: Path) -> Tree:
    return {path: what for path, what in snapshot(prefix.parent).items() if "/var" not in path and path[:1] != "w"}


@pytest.mark.parametrize("attack", ROWS)
def test_uninstalled_without_touching_anything_else(prefix: Path, attack: str) -> None:
    before = surroundings(prefix)
    hostile_distribution(prefix, ROWS[attack])
    if attack == "foreign file below the prefix":
        (prefix / "share").mkdir()
        (prefix / "share/foreign").write_text("claimed by evil alone, so it is evil's")
    report = uninstall(prefix, "evil")
    assert [change.name for change in report.changes] == ["evil"]
    assert difference(before, surroundings(prefix)) == []
    assert leftovers(prefix) == []


@pytest.mark.parametrize("attack", ROWS)
def test_listed_and_verified_without_changing_anything(prefix: Path, attack: str) -> None:
    """Reading commands get along with every one of them, and change nothing."""
    hostile_distribution(prefix, ROWS[attack])
    before = surroundings(prefix)
    assert {str(each) for each in sage_wheels.distributions(prefix)} == {"evil 1", "owner 1"}
    for state, _ in sage_wheels.verify("evil", prefix):
        assert state in {"missing", "changed", "foreign", "ignored"}
    assert [state for state, _ in sage_wheels.verify("owner", prefix)] == []
    assert surroundings(prefix) == before


@pytest.mark.parametrize("attack", ["parent", "here", "prefix", "file of another", "nul", "far too deep"])
def test_replaced_by_a_good_version(prefix: Path, tmp_path: Path, attack: str) -> None:
    good = make_wheel(tmp_path / "w", "evil", "2", {"evil.py": "good = 1\n"})
    before = surroundings(prefix)
    hostile_distribution(prefix, ROWS[attack])
    install(prefix, good)
    uninstall(prefix, "evil")
    assert difference(before, surroundings(prefix)) == []


@pytest.mark.parametrize("record", [b"\xff\xfe", b'"', b"a,b,c,d\n", b",,\n", None], ids=repr)
def test_a_record_that_is_none_is_refused_in_one_sentence(prefix: Path, record: bytes | None) -> None:
    hostile_distribution(prefix, "x,,")
    path = site_packages(prefix) / "evil-1.dist-info/RECORD"
    path.unlink()
    if record is not None:
        path.write_bytes(record)
    before = surroundings(prefix)
    done = tool("uninstall", "--prefix", prefix, "evil", "owner")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"what belongs to evil 1 is not known, because {path} cannot be read" in done.stderr
    assert surroundings(prefix) == before


def test_a_record_without_end(prefix: Path) -> None:
    """A hole of a terabyte costs the disk nothing; a number of a thousand digits no reader should try to read."""
    hostile_distribution(prefix, "x,," + "9" * 1000)
    path = site_packages(prefix) / "evil-1.dist-info/RECORD"
    for reason in ("line 2 has no number as size", "it has more than the 67108864 bytes that are allowed"):
        done = tool("uninstall", "--prefix", prefix, "evil")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{path} cannot be read ({reason})" in done.stderr
        os.truncate(path, 1 << 40)
    os.truncate(site_packages(prefix) / "evil-1.dist-info/METADATA", 1 << 40)
    done = tool("show", "--prefix", prefix, "evil")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_of_easy_install_in_the_place_of_the_interpreter(prefix: Path) -> None:
    script = "#!/bin/sh\n# EASY-INSTALL-SCRIPT: 'evil==1','evil'\n"
    (site_packages(prefix) / "evil-1.egg").mkdir()
    for name in ("python3", "evil"):
        (prefix / "bin" / name).unlink(missing_ok=True)
        (prefix / "bin" / name).write_text(script)
    uninstall(prefix, "evil")
    assert (prefix / "bin/python3").read_text() == script
    assert not (prefix / "bin/evil").exists()


@pytest.mark.parametrize("command", [["list"], ["uninstall", "evil"]], ids=" ".join)
def test_notes_of_brackets_in_brackets(prefix: Path, command: list[str]) -> None:
    hostile_distribution(prefix, "x,,")
    for name in ("lib/{}/site-packages/evil-1.dist-info/direct_url.json", f"{STATE}/cache/areas.json"):
        path = prefix / name.format(PYTHON)
        path.parent.mkdir(exist_ok=True)
        path.write_text("[" * 100_000)
    (prefix / STATE / "stamps").mkdir()
    (prefix / STATE / "stamps/evil").write_text("evil @ file:///tree\n")
    done = tool(command[0], "--prefix", prefix, *command[1:])
    assert done.returncode == 0, done


def test_a_package_directory_replaced_by_a_link_out(prefix: Path, tmp_path: Path) -> None:
    """Somebody moved the package elsewhere and left a link: what it points to is not ours."""
    library = site_packages(prefix)
    (library / "owned").rename(tmp_path / "outside/owned")
    (library / "owned").symlink_to(tmp_path / "outside/owned")
    outside = snapshot(tmp_path / "outside")
    uninstall(prefix, "owner")
    assert snapshot(tmp_path / "outside") == outside
    assert not (library / "owner-1.dist-info").exists()


def test_a_scheme_directory_replaced_by_a_link_out(prefix: Path, tmp_path: Path) -> None:
    install(
        prefix, make_wheel(tmp_path / "w", "tool", "1", {"t.py": ""}, data={"data/share/x/y": "", "data/etc/z": ""})
    )
    (prefix / "share").rename(tmp_path / "outside/share")
    (prefix / "share").symlink_to(tmp_path / "outside/share")
    outside = snapshot(tmp_path / "outside")
    report = uninstall(prefix, "tool")
    assert snapshot(tmp_path / "outside") == outside
    assert report.ignored == ("tool 1: ../../../share/x/y",)
    assert not (prefix / "etc").exists()


@pytest.mark.parametrize("target", ["/nowhere", "loop.dist-info"])
def test_a_dist_info_that_is_a_link(prefix: Path, target: str) -> None:
    (site_packages(prefix) / "loop.dist-info").symlink_to(target)
    before = surroundings(prefix)
    done = tool("uninstall", "--prefix", prefix, "loop")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert surroundings(prefix) == before


def test_a_dist_info_that_links_out_of_the_prefix(prefix: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside/evil"
    outside.mkdir()
    (outside / "METADATA").write_text("Name: evil\nVersion: 1\n")
    (outside / "RECORD").write_text("evil-1.dist-info/METADATA,,\nevil-1.dist-info/RECORD,,\n")
    (site_packages(prefix) / "evil-1.dist-info").symlink_to(outside)
    before = snapshot(tmp_path / "outside")
    done = tool("uninstall", "--prefix", prefix, "evil")
    assert done.returncode == 1
    assert "evil-1.dist-info leads out of the prefix by a link" in done.stderr
    assert snapshot(tmp_path / "outside") == before


def test_an_origin_of_brackets_in_brackets(prefix: Path) -> None:
    hostile_distribution(prefix, "x,,")
    (site_packages(prefix) / "evil-1.dist-info/direct_url.json").write_text("[" * 100_000)
    done = tool("show", "--prefix", prefix, "evil")
    assert (done.returncode, done.stderr) == (0, "")
    assert "origin: unknown: direct_url.json cannot be read\n" in done.stdout
