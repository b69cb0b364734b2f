"""What the store knows about a wheel: it spares reading the archive, and decides nothing that the archive would not."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.archive.strict_zip import WheelLimits
from sage_wheels.errors import Conflict, WheelRefused
from sage_wheels.installed.unchanged import TICK_NS
from sage_wheels.store.store import Store
from sage_wheels.wheel.wheel import Wheel
from support.run import install, tool
from support.trees import difference, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

FILES: dict[str, str | bytes] = {
    f"pkg/{name}": f"{name}\n" for name in ("__init__.py", "a.py", "sub/b.py", "sub/c.txt")
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def put(prefix: Path, store: Store, *wheels: Path) -> Path:
    for each in wheels:
        _wait_for_the_clock(each)
    install(prefix, *wheels, link_mode="hardlink", cache_dir=store.root)
    return prefix


def _wait_for_the_clock(wheel: Path) -> None:
    """The digest of a file that was changed just now is not remembered."""
    while time.time_ns() - wheel.stat().st_ctime_ns <= 2 * TICK_NS:
        time.sleep(TICK_NS / 1e9)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "wheels", "pkg", "1.0", FILES, entry_points={"run": "pkg.a:main"})


def test_the_archive_of_a_known_wheel_is_not_read(tmp_path: Path, store: Store, wheel: Path) -> None:
    with Wheel(str(wheel), store=store) as opened:
        assert "members" in vars(opened.archive)
        groups, metadata, record = opened.groups, opened.metadata, opened.record
    put(make_prefix(tmp_path), store, wheel)
    with Wheel(str(wheel), store=store) as opened:
        assert opened.read_text("entry_points.txt")
        assert (opened.groups, opened.metadata) == (groups, metadata)
        assert "members" not in vars(opened.archive)
        assert opened.record == record  # from the archive, when it is needed


def test_a_changed_wheel_is_read(tmp_path: Path, store: Store, wheel: Path) -> None:
    """Even if it has the same size and time as before."""
    put(make_prefix(tmp_path), store, wheel)
    status, data = wheel.stat(), wheel.read_bytes()
    other = make_wheel(tmp_path / "other", "pkg", "1.0", {**FILES, "pkg/a.py": "b.py\n"}).read_bytes()
    wheel.write_bytes(other.ljust(len(data), b"?")[: len(data)])
    os.utime(wheel, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(WheelRefused, match="damaged"):
        Wheel(str(wheel), store=store)


def test_limits_and_names_count_for_a_known_wheel(tmp_path: Path, store: Store, wheel: Path) -> None:
    put(make_prefix(tmp_path), store, wheel)
    with Wheel(str(wheel), store=store) as opened:
        known = opened.index
    assert known
    assert known.allows(wheel.name, WheelLimits())
    assert not known.allows("other-1.0-py3-none-any.whl", WheelLimits())
    with pytest.raises(WheelRefused, match="more than 3 members"):
        Wheel(str(wheel), WheelLimits(members=3), store=store)


def test_conflicts_of_known_wheels_are_found(tmp_path: Path, store: Store) -> None:
    """In a directory that both have, and where one has a file and the other one a directory."""
    first = make_wheel(tmp_path / "wheels", "one", "1", {"shared/sub/a.txt": "1", "one.py": ""})
    same = make_wheel(tmp_path / "wheels", "same", "1", {"shared/sub/a.txt": "1", "shared/sub/b.txt": ""})
    other = make_wheel(tmp_path / "wheels", "other", "1", {"shared/sub/a.txt": "2"})
    clash = make_wheel(tmp_path / "wheels", "clash", "1", {"shared/sub": "a file"})
    for number, each in enumerate((first, same, other, clash)):
        put(make_prefix(tmp_path, f"alone{number}"), store, each)
    both = put(make_prefix(tmp_path, "both"), store, first, same)
    assert [sage_wheels.verify(name, both) for name in ("one", "same")] == [[], []]
    for each in (other, clash):
        for order in ((first, each), (each, first)):
            prefix = make_prefix(tmp_path, "refused")
            before = snapshot(prefix)
            with pytest.raises(Conflict, match="shared/sub"):
                put(prefix, store, *order)
            assert {path: what for path, what in snapshot(prefix).items() if path in before} == before
            assert not (site_packages(prefix) / "shared").exists()
            shutil.rmtree(prefix)


def test_a_copied_store_is_used(tmp_path: Path, store: Store, wheel: Path) -> None:
    """Its inodes are others, so that nothing is remembered of the files but what RECORD says."""
    put(make_prefix(tmp_path), store, wheel)
    shutil.copytree(store.root, tmp_path / "copy")
    shutil.rmtree(store.root)
    copy = Store(str(tmp_path / "copy"))
    prefix = put(make_prefix(tmp_path, "later"), copy, wheel)
    [tree] = (tmp_path / "copy/trees").glob("*/*")
    stored = {each.stat().st_ino for each in (tree / "tree").iterdir()}
    assert (site_packages(prefix) / "pkg/a.py").stat().st_ino in stored
    (site_packages(prefix) / "pkg/a.py").write_text("edited\n")
    report = sage_wheels.uninstall(["pkg"], prefix)
    assert [Path(each).name for each in report.set_aside] == ["a.py"]


def test_missing_requirements_are_found_out_again_after_a_change(tmp_path: Path, store: Store) -> None:
    requires = ["pkg>=2", "nobodys; python_version >= '3'"]
    needy = make_wheel(tmp_path / "wheels", "needy", "1", {"needy.py": ""}, requires=requires)
    olds = [make_wheel(tmp_path / "wheels", "pkg", version, {"pkg.py": version}) for version in ("1", "2")]
    expected = [
        ("needy 1 needs pkg>=2, which is not installed", "needy 1 needs nobodys, which is not installed"),
        ("needy 1 needs pkg>=2, but 1 is installed", "needy 1 needs nobodys, which is not installed"),
        ("needy 1 needs nobodys, which is not installed",),
    ]
    prefix = make_prefix(tmp_path)
    for there, unmet in zip((None, *olds), expected, strict=True):
        if there:
            install(prefix, there, cache_dir=store.root)
        for _ in range(2):
            assert install(prefix, needy, reinstall=True, cache_dir=store.root).unmet == unmet


def test_an_interpreter_is_asked_once_for_all_prefixes(tmp_path: Path, store: Store) -> None:
    count, home = tmp_path / "count", tmp_path / "home"
    home.mkdir()
    needy = make_wheel(tmp_path / "wheels", "needy", "1", {"needy.py": ""}, requires=["x; os_name == 'nt'"])
    for number, comment in enumerate(("", "", "", "# another one")):
        if number in (0, 3):
            (home / "python3").write_text(f'#!/bin/sh\necho run >> "{count}"\nexec "{sys.executable}" "$@" {comment}\n')
            (home / "python3").chmod(0o755)
        prefix = make_prefix(tmp_path, f"p{number}")
        version = "{}.{}".format(*sys.version_info[:2])
        (prefix / "pyvenv.cfg").write_text(f"home = {home}\nversion = {version}.99\n")
        # with requirements that are not the same each time, so that the answer about them is not remembered
        other = make_wheel(tmp_path / "wheels", f"n{number}", "1", {}, requires=[f"x{number}; os_name == 'nt'"])
        done = tool("install", "--prefix", prefix, "--no-compile", "--cache-dir", store.root, needy, other)
        assert done.returncode == 0, done.stderr
        assert count.read_text() == "run\n" * (1 + (number == 3))


@pytest.mark.parametrize("compiling", [True, False])
def test_known_wheels_are_completed_as_unknown_ones(tmp_path: Path, store: Store, wheel: Path, compiling: bool) -> None:
    """Of a wheel with nothing else that is made for each prefix, RECORD does not wait for the members: they are links,
    so many that several processes make them. But a script has another hash, and files of the wheel are overwritten."""
    many = {f"many/sub{number % 50}/m{number}.txt": f"{number}" for number in range(2100)}
    wheels = [
        wheel,
        make_wheel(tmp_path / "wheels", "many", "1", many),
        make_wheel(tmp_path / "wheels", "script", "1", {"script.py": ""}, data={"scripts/run2": "#!python\n"}),
        make_wheel(tmp_path / "wheels", "shares", "1", {**FILES, "shares/a.txt": "a"}),
        make_wheel(
            *(tmp_path / "wheels", "own", "1", {"own/a.txt": "a"}),
            dist_info_files={"INSTALLER": "evil\n", "REQUESTED": "x", "direct_url.json": "{}"},
        ),
        make_wheel(
            *(tmp_path / "wheels", "elsewhere", "1", {"elsewhere/a.txt": "a"}),
            data={"purelib/elsewhere-1.dist-info/INSTALLER": "evil\n"},
        ),
    ]
    for each in wheels:
        _wait_for_the_clock(each)
    trees = []
    prefix = make_prefix(tmp_path)
    for options in ({"store": False}, {"link_mode": "hardlink"}, {"link_mode": "hardlink"}):
        install(prefix, *wheels, cache_dir=store.root, compile_bytecode=compiling, processes=2, **options)
        assert [sage_wheels.verify(each.name.partition("-")[0], prefix) for each in wheels] == [[]] * len(wheels)
        trees.append({path: what for path, what in snapshot(prefix).items() if not path.endswith(".pyc")})
        shutil.rmtree(prefix)
        make_prefix(tmp_path)
    assert difference(trees[1], trees[0]) == []
    assert difference(trees[2], trees[0]) == []


def test_byte_code_is_found_again_when_the_wheel_is_known(tmp_path: Path, store: Store) -> None:
    """It is kept by the pieces of the wheel, which are the same whether its files are written or linked."""
    large = make_wheel(tmp_path / "wheels", "large", "1", {f"large/m{number}.py": "" for number in range(600)})
    kept = []
    for number in range(2):
        put(make_prefix(tmp_path, f"p{number}"), store, large)
        kept.append({each.name for each in Path(store.root, "content").rglob("*") if each.is_file()})
    assert len(kept[0]) == 3
    assert kept[0] == kept[1]
