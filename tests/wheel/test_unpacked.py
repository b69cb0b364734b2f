"""Unpacked wheels in the store: what is installed from them is what is installed without, and a changed one is noticed.

With links everywhere; with shared blocks on loop-mounted file systems, where that may be done.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.errors import UsageError
from sage_wheels.fs import copies
from sage_wheels.installed import record, unchanged
from sage_wheels.prefix import find_prefix
from sage_wheels.store import eviction
from support.run import install, python, tool, tool_environment, uninstall
from support.trees import difference, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel

FILES: dict[str, str | bytes] = {
    "pkg/__init__.py": "VALUE = 1\n",
    "pkg/run.py": "def main():\n    print('ran')\n",
    "pkg/tool.sh": "#!/bin/sh\n",
    "pkg/sub/data.txt": "data\n" * 1000,
    "pkg/empty.txt": "",
    "single.py": "SINGLE = 1\n",
}
DATA: dict[str, str | bytes] = {
    "scripts/script": "#!python\nprint('script')\n",
    "data/share/x.txt": "x",
    "headers/x.h": "/* x */\n",
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(
        *(tmp_path / "wheels", "pkg", "1.0", FILES),
        data=DATA,
        entry_points={"run": "pkg.run:main"},
        executable=["pkg/tool.sh"],
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def compiling(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def put(prefix: Path, store: Path, *wheels: Path, **options: Any) -> Path:
    install(prefix, *wheels, **{"link_mode": "hardlink", "cache_dir": str(store), **options})
    return prefix


def trees(store: Path) -> list[Path]:
    return sorted((store / "trees").glob("*/*")) if (store / "trees").is_dir() else []


def inodes(directory: Path) -> set[int]:
    return {each.stat().st_ino for each in directory.rglob("*") if each.is_file() and not each.is_symlink()}


def without_prefix(prefix: Path) -> dict[str, object]:
    """What stands there, wherever that is; without byte-code, which has times in it."""
    name = os.fsencode(prefix)
    return {
        path: (kind, mode, what.replace(name, b"PREFIX") if isinstance(what, bytes) else what)
        for path, (kind, mode, what) in snapshot(prefix).items()
        if not path.endswith((".pyc", "/RECORD"))  # its hashes of scripts depend on the prefix
    }


def test_what_is_linked_is_what_is_written(tmp_path: Path, store: Path, wheel: Path, compiling: bool) -> None:
    written = make_prefix(tmp_path, "written")
    install(written, wheel, store=False, compile_bytecode=compiling)
    for number in range(3):
        prefix = put(make_prefix(tmp_path, f"linked{number}"), store, wheel, compile_bytecode=compiling)
        assert without_prefix(prefix) == without_prefix(written)
        assert sorted(snapshot(prefix)) == sorted(snapshot(written))
        assert sage_wheels.verify("pkg", prefix) == []
        assert python(prefix, "import pkg.run; pkg.run.main(); print(pkg.__spec__.cached is None)") == "ran\nFalse"
        assert subprocess.check_output([prefix / "bin/script"], text=True) == "script\n"
        rows = (site_packages(prefix) / "pkg-1.0.dist-info/RECORD").read_text().splitlines()
        assert len(rows) == len((site_packages(written) / "pkg-1.0.dist-info/RECORD").read_text().splitlines())
    [tree] = trees(store)
    linked = inodes(tree / "tree")
    for number in range(3):
        site = site_packages(tmp_path / f"linked{number}")
        assert (site / "pkg/sub/data.txt").stat().st_ino in linked
        assert (site / "pkg/tool.sh").stat().st_ino in linked
        # what depends on the prefix, and what moves by itself and is recognised by its inode
        for each in ("bin/script", "bin/run"):
            assert (tmp_path / f"linked{number}" / each).stat().st_ino not in linked
        for each in ("single.py", "pkg-1.0.dist-info/RECORD", "pkg-1.0.dist-info/INSTALLER"):
            assert (site / each).stat().st_nlink == 1
    if compiling:
        for name in ("linked1", "written"):
            check = "import sys, importlib.util, marshal; d = open(importlib.util.cache_from_source(sys.argv[1]), 'rb')"
            where = site_packages(tmp_path / name) / "pkg/run.py"
            code = f"{check}; d.seek(16); print(marshal.load(d).co_filename)"
            assert python(tmp_path / name, code, str(where)) == str(where)


def test_byte_code_of_a_link_is_not_old(tmp_path: Path, store: Path, wheel: Path) -> None:
    """Its time is that of the linked source: the interpreter takes it, and writes none of its own."""
    for number in range(2):
        prefix = put(make_prefix(tmp_path, f"p{number}"), store, wheel)
        before = snapshot(prefix)
        done = subprocess.run(
            [prefix / "bin/python", "-v", "-c", "import pkg.run"], capture_output=True, text=True, check=True
        )
        assert snapshot(prefix) == before
        assert "matches" in done.stderr
        assert "wrote" not in "".join(line for line in done.stderr.splitlines() if "pkg" in line)


def rewrite(path: Path) -> None:
    path.write_text("VALUE = 6\n" * 2)


def rewrite_with_as_many_bytes(path: Path) -> None:
    path.write_text("VALUE = 6\n")


def change_the_mode(path: Path) -> None:
    path.chmod(0o600)


@pytest.mark.parametrize("change", [rewrite, rewrite_with_as_many_bytes, change_the_mode])
@pytest.mark.parametrize("what", ["pkg/__init__.py", "pkg/tool.sh"])
def test_what_was_changed_through_a_link_is_not_taken(
    tmp_path: Path, store: Path, wheel: Path, change: object, what: str
) -> None:
    first = put(make_prefix(tmp_path, "first"), store, wheel)
    good = without_prefix(first)
    change(site_packages(first) / what)  # type: ignore[operator]
    for number in range(3):
        prefix = put(make_prefix(tmp_path, f"later{number}"), store, wheel)
        assert without_prefix(prefix) == good
    [tree] = trees(store)  # made again
    assert (site_packages(prefix) / "pkg/sub/data.txt").stat().st_ino in inodes(tree / "tree")


@pytest.mark.parametrize("damage", ["file", "about", "size", "cut", "gone", "tree gone", "other's"])
def test_what_is_damaged_is_made_again(tmp_path: Path, store: Path, wheel: Path, damage: str) -> None:
    good = without_prefix(put(make_prefix(tmp_path, "first"), store, wheel))
    [tree] = trees(store)
    one = next(each for each in (tree / "tree").iterdir() if each.read_text() == FILES["pkg/sub/data.txt"])
    if damage == "file":
        one.unlink()
        one.write_text("evil\n" * 1000)
    elif damage == "cut":
        one.unlink()
        one.write_text("data\n")
    elif damage == "gone":
        one.unlink()
    elif damage == "tree gone":
        shutil.rmtree(tree / "tree")
    elif damage == "other's":
        (tree / "about").chmod(0o666)
    else:
        whole = (tree / damage).read_bytes()
        (tree / damage).write_bytes(whole[:40] + b"?" + whole[41:])
    for number in range(3):
        prefix = put(make_prefix(tmp_path, f"later{number}"), store, wheel)
        assert without_prefix(prefix) == good
    [tree] = trees(store)
    assert (site_packages(prefix) / "pkg/sub/data.txt").stat().st_ino in inodes(tree / "tree")


def test_every_byte_of_what_is_known_is_checked(tmp_path: Path, store: Path, wheel: Path) -> None:
    good = without_prefix(put(make_prefix(tmp_path), store, wheel))
    [tree] = trees(store)
    whole = (tree / "about").read_bytes()
    for offset in range(0, len(whole), 7):
        [tree] = trees(store)
        (tree / "about").write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        shutil.rmtree(tmp_path / "prefix")
        assert without_prefix(put(make_prefix(tmp_path), store, wheel)) == good


def test_a_wheel_with_one_other_byte_is_another_wheel(tmp_path: Path, store: Path, wheel: Path) -> None:
    """The key is the SHA-256 of the wheel: a damaged one is refused, whatever is in the store."""
    put(make_prefix(tmp_path, "first"), store, wheel)
    data = wheel.read_bytes()
    at = data.index(b"pkg/sub/data.txt") + 40
    wheel.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(sage_wheels.SageWheelsError, match=r"damaged|hash"):
        put(make_prefix(tmp_path, "second"), store, wheel)


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_the_umask_is_that_of_each_installation(tmp_path: Path, store: Path, wheel: Path, umask: int) -> None:
    put(make_prefix(tmp_path, "first"), store, wheel)
    old = os.umask(umask)
    try:
        written = make_prefix(tmp_path, "written")
        install(written, wheel, store=False)
        prefix = put(make_prefix(tmp_path, "linked"), store, wheel)
    finally:
        os.umask(old)
    assert without_prefix(prefix) == without_prefix(written)


@pytest.mark.parametrize("first", [0o002, 0o077])
def test_no_file_that_others_may_write_is_in_the_store(tmp_path: Path, store: Path, wheel: Path, first: int) -> None:
    old = os.umask(first)
    try:
        put(make_prefix(tmp_path, "first"), store, wheel)
    finally:
        os.umask(old)
    assert not [path for path in store.rglob("*") if path.stat().st_mode & 0o022]


def test_what_is_done_to_a_prefix_is_not_done_to_the_store(tmp_path: Path, store: Path, wheel: Path) -> None:
    """Reinstalling, upgrading, undoing, removing: the tool itself never writes through a link."""
    newer = make_wheel(tmp_path / "wheels", "pkg", "2.0", {**FILES, "pkg/run.py": "new = 1\n"})
    prefix = put(make_prefix(tmp_path), store, wheel)
    good = without_prefix(prefix)
    states = []
    for wheels, more in (((wheel,), {"reinstall": True}), ((newer,), {}), ((wheel,), {}), ((newer,), {})):
        put(prefix, store, *wheels, **more)
        states.append(snapshot(prefix))
        assert sage_wheels.verify("pkg", prefix) == []
    for number in (4, 3, 2, 5, 2, 4):  # the first installation is the change with number 1
        sage_wheels.undo(prefix=prefix, to=number)
        assert difference(snapshot(prefix), states[number - 2]) == []
    sage_wheels.undo(prefix=prefix, to=1)
    assert without_prefix(prefix) == good
    uninstall(prefix, "pkg")
    assert not (site_packages(prefix) / "pkg").exists()
    assert set_aside(prefix) == {}
    assert len(trees(store)) == 2
    assert without_prefix(put(make_prefix(tmp_path, "other"), store, wheel)) == good
    assert len(trees(store)) == 2


def test_a_group_of_one_prefix_is_not_that_of_another(tmp_path: Path, store: Path, wheel: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, who may give files to any group")
    put(make_prefix(tmp_path, "first"), store, wheel)
    shared = make_prefix(tmp_path, "shared")
    for each in (shared, *(each for each in shared.rglob("*") if each.is_dir())):
        os.chown(each, -1, 4242)
        each.chmod(0o2755)
    put(shared, store, wheel)
    for each in site_packages(shared).rglob("*"):
        assert each.stat().st_gid == 4242
    assert {path.stat().st_gid for path in site_packages(tmp_path / "first").rglob("*")} == {os.getegid()}
    assert {path.stat().st_gid for path in store.rglob("*")} == {os.getegid()}


def test_the_time_of_a_source_that_stays_is_not_given_to_the_store(tmp_path: Path, store: Path) -> None:
    """Two distributions own a file: the second comes with byte-code for the first one's source, and its time."""
    one = make_wheel(tmp_path / "wheels", "one", "1.0", {"ns/common.py": "x = 1\n", "ns/one.py": ""})
    two = make_wheel(tmp_path / "wheels", "two", "1.0", {"ns/common.py": "x = 1\n", "ns/two.py": ""})
    put(make_prefix(tmp_path, "first"), store, two)
    times = {path: path.stat().st_mtime_ns for path in store.rglob("tree/*")}
    prefix = make_prefix(tmp_path, "second")
    install(prefix, one, store=False)
    put(prefix, store, two)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("tree/*")} == times
    assert python(prefix, "import ns.common; print(ns.common.x)") == "1"


def test_what_is_remembered_of_links_is_size_and_time(tmp_path: Path, store: Path) -> None:
    """Each new link has changed the ctime; nothing need be read again for that. An edit that leaves both: the price."""
    files = {f"many/m{number}.py": f"x = {number}\n" for number in range(40)}
    wheel = make_wheel(tmp_path / "wheels", "many", "1.0", files)
    prefix = put(make_prefix(tmp_path, "first"), store, wheel)
    put(make_prefix(tmp_path, "second"), store, wheel)
    found = find_prefix(str(prefix))
    if unchanged.clock_of(found) is None:
        pytest.skip("on this file system nothing is remembered")
    remembered = unchanged.UnchangedFiles(found, ["many"])
    path = site_packages(prefix) / "many/m7.py"
    rows = (site_packages(prefix) / "many-1.0.dist-info/RECORD").read_text().splitlines()
    row = next(line for line in rows if "m7.py," in line)
    digest = row.split(",")[1]
    assert path.stat().st_nlink == 3
    assert remembered.holds(path.stat(), digest)
    path.write_text("x = 8\n")
    assert not remembered.holds(path.stat(), digest)
    [problem] = sage_wheels.verify("many", prefix)
    assert problem.path == str(path)


def test_nothing_is_remembered_of_links_if_that_is_damaged(tmp_path: Path, store: Path) -> None:
    """What the store says of the files of a wheel has a checksum, and nothing else depends on it."""
    files = {f"many/m{number}.py": f"x = {number}\n" for number in range(40)}
    wheel = make_wheel(tmp_path / "wheels", "many", "1.0", files)
    good = without_prefix(put(make_prefix(tmp_path, "first"), store, wheel))
    [tree] = trees(store)
    whole = (tree / "entries").read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2], b"", None):
        (tree / "entries").unlink()
        if damaged is not None:
            (tree / "entries").write_bytes(damaged)
        shutil.rmtree(tmp_path / "second", ignore_errors=True)
        prefix = put(make_prefix(tmp_path, "second"), store, wheel)
        assert without_prefix(prefix) == good
        digest = record.digest_of((site_packages(prefix) / "many/m39.py").read_bytes())
        remembered = unchanged.UnchangedFiles(find_prefix(str(prefix)), ["many"])
        assert not remembered.holds((site_packages(prefix) / "many/m39.py").stat(), digest)
        (tree / "entries").write_bytes(whole)


def test_what_cannot_be_linked_is_written_and_said(tmp_path: Path, wheel: Path) -> None:
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as store:
        for name in ("one", "two"):
            done = tool(
                *("install", "--prefix", make_prefix(tmp_path, name), "--cache-dir", store),
                *("--link-mode", "hardlink", wheel),
            )
            assert done.returncode == 0
            assert done.stderr.count("no file can be linked from") == 1
    assert without_prefix(tmp_path / "one") == without_prefix(tmp_path / "two")


def test_without_being_told_nothing_is_linked_nor_stored_twice(tmp_path: Path, store: Path, wheel: Path) -> None:
    if not _shares_blocks(tmp_path):
        for number in range(3):
            put(make_prefix(tmp_path, f"p{number}"), store, wheel, link_mode="")
        assert trees(store) == []
    put(make_prefix(tmp_path, "linked"), store, wheel)
    prefix = put(make_prefix(tmp_path, "last"), store, wheel, link_mode="auto")
    assert all(path.stat().st_nlink == 1 for path in site_packages(prefix).rglob("*") if path.is_file())


def test_nothing_is_tried_where_nothing_can_be_shared(tmp_path: Path, store: Path, wheel: Path) -> None:
    """On a file system without shared blocks, an installation leaves the store alone, and writes no file to try it."""
    if _shares_blocks(tmp_path):
        pytest.skip("this file system shares blocks")
    opened: list[str] = []
    listening = False
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if listening and event == "open" else None)
    prefixes = [make_prefix(tmp_path, f"p{number}") for number in range(2)]
    listening = True
    for prefix in prefixes:
        put(prefix, store, wheel, link_mode="auto", compile_bytecode=False)
    listening = False
    assert [each for each in opened if each.startswith(f"{store}/") or each.endswith("/probe")] == []
    assert str(wheel) in opened


def test_the_variable_says_it_too(tmp_path: Path, store: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_WHEELS_LINK_MODE", "hardlink")
    prefix = put(make_prefix(tmp_path, "one"), store, wheel, link_mode="")
    assert (site_packages(prefix) / "pkg/__init__.py").stat().st_nlink == 2
    done = tool("install", "--prefix", make_prefix(tmp_path, "two"), "--cache-dir", store, wheel)
    assert done.returncode == 0
    assert (site_packages(prefix) / "pkg/__init__.py").stat().st_nlink == 3
    monkeypatch.setenv("SAGE_WHEELS_LINK_MODE", "symlink")
    with pytest.raises(UsageError, match="symlink"):
        put(make_prefix(tmp_path, "three"), store, wheel, link_mode="")


def test_a_file_of_a_project_may_not_say_it(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "sage-wheels.toml").write_text('link-mode = "hardlink"\n')
    done = tool("install", "--prefix", make_prefix(tmp_path), wheel, cwd=tmp_path)
    assert done.returncode == 2
    assert "only the user's own configuration may" in done.stderr


def test_without_a_store_there_is_none(tmp_path: Path, store: Path, wheel: Path) -> None:
    install(make_prefix(tmp_path), wheel, link_mode="hardlink", cache_dir=str(store), store=False)
    assert not store.exists()


def test_a_store_of_others_is_refused(tmp_path: Path, store: Path, wheel: Path) -> None:
    store.mkdir()
    store.chmod(0o777)
    with pytest.raises(sage_wheels.SageWheelsError, match="write in"):
        put(make_prefix(tmp_path), store, wheel)


@pytest.mark.parametrize("in_the_way", ["trees", "staging"])
def test_what_stands_in_the_way_is_no_error(tmp_path: Path, store: Path, wheel: Path, in_the_way: str) -> None:
    store.mkdir(mode=0o700)
    (store / in_the_way).write_text("a file")
    good = without_prefix(put(make_prefix(tmp_path, "one"), tmp_path / "good", wheel))
    for name in ("two", "three"):
        assert without_prefix(put(make_prefix(tmp_path, name), store, wheel)) == good


def test_the_store_may_go_at_any_time(tmp_path: Path, store: Path, wheel: Path) -> None:
    """Somebody deletes it, over and over, while ten prefixes are filled from it."""
    program = (
        "import shutil, sys, time\n"
        "while True:\n    shutil.rmtree(sys.argv[1] + '/trees', ignore_errors=True); time.sleep(0.003)\n"
    )
    deleting = subprocess.Popen([sys.executable, "-c", program, str(store)])
    try:
        good = without_prefix(put(make_prefix(tmp_path, "good"), tmp_path / "other", wheel))
        for number in range(10):
            assert without_prefix(put(make_prefix(tmp_path, f"p{number}"), store, wheel)) == good
    finally:
        deleting.kill()
        deleting.wait()


def test_many_at_once_make_one(tmp_path: Path, store: Path, wheel: Path) -> None:
    prefixes = [make_prefix(tmp_path, f"p{number}") for number in range(8)]
    command = [sys.executable, "-m", "sage_wheels", "install", "--link-mode", "hardlink", "--cache-dir", str(store)]
    running = [
        subprocess.Popen(
            [*command, "--prefix", each, str(wheel)], env=tool_environment(), stderr=subprocess.PIPE, text=True
        )
        for each in prefixes
    ]
    said = [each.communicate()[1] for each in running]
    assert [each.returncode for each in running] == [0] * len(running), said
    assert len({str(sorted(without_prefix(each).items())) for each in prefixes}) == 1
    assert len(trees(store)) == 1
    assert os.listdir(store / "staging") == []


def test_they_are_counted_and_go_with_the_rest(tmp_path: Path, store: Path, wheel: Path) -> None:
    put(make_prefix(tmp_path), store, wheel)
    [entry] = [each for each in eviction.entries(str(store)) if each.kind == "trees"]
    assert entry.size > 5000
    assert eviction.clear(str(store)) >= entry.size
    assert trees(store) == []
    assert sage_wheels.verify("pkg", tmp_path / "prefix") == []


def test_a_build_environment_has_files_of_its_own(tmp_path: Path, store: Path) -> None:
    """What a backend changes in its environment changes no prefix, and no unpacked wheel."""
    from sage_wheels.building import BuildOptions, build_wheel, parse_source
    from support.projects import COPYING

    house = tmp_path / "house"
    backend = COPYING + "open(__file__.replace('tiny.py', 'tinydata/x.txt'), 'w').write('changed')\n"
    tiny = make_wheel(house, "tiny", "1", {"tiny.py": backend, "tinydata/x.txt": "as it was"})
    prefix = put(make_prefix(tmp_path, "first"), store, tiny)
    tree = tmp_path / "tree"
    make_wheel(tree, "made", "1", {"made.py": ""})
    (tree / "pyproject.toml").write_text('[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n')
    options = BuildOptions(find_links=(str(house),), cache_dir=str(store), cache_system="tests")
    built = build_wheel(parse_source(f"{tree}/"), wheel_dir=tmp_path / "dist", options=options)
    assert not built.is_stored
    assert (site_packages(prefix) / "tinydata/x.txt").read_text() == "as it was"
    second = put(make_prefix(tmp_path, "second"), store, tiny)
    assert (site_packages(second) / "tinydata/x.txt").read_text() == "as it was"


# --- file systems that share blocks ---


def _shares_blocks(directory: Path) -> bool:
    one, other = directory / "one", directory / "other"
    one.write_text("x")
    shared = copies.clone(str(one), str(other))
    for each in (one, other):
        each.unlink(missing_ok=True)
    return shared


@functools.cache
def _why_not(kind: str) -> str:
    if not shutil.which(f"mkfs.{kind}"):
        return f"there is no mkfs.{kind} here"
    try:
        done = subprocess.run(["unshare", "--mount", "true"], capture_output=True)
    except FileNotFoundError:
        return "there is no unshare here"
    return "" if done.returncode == 0 and os.geteuid() == 0 else "only root may mount"


_ON_THE_FILE_SYSTEM = """
import os, subprocess, sys
from pathlib import Path
from wheel.test_unpacked import put, trees, without_prefix
from support.trees import make_prefix, site_packages
import sage_wheels
mount, wheel, outside = map(Path, sys.argv[1:])
store = mount / "store"

def used():
    subprocess.run(["sync", "-f", mount], check=True)
    found = os.statvfs(mount)
    return (found.f_blocks - found.f_bfree) * found.f_frsize

def fill(name, where=mount, **more):
    before = used()
    prefix = put(make_prefix(where, name), store, wheel, link_mode="", **more)
    assert sage_wheels.verify("pkg", prefix) == []
    assert all(p.stat().st_nlink == 1 for p in prefix.rglob("*") if p.is_file() and not p.is_symlink())
    return without_prefix(prefix), used() - before

good, first = fill("first")
assert first > 20 << 20, first
assert trees(store) == []  # the first time leaves a note
second = fill("second")
assert second[0] == good
[tree] = trees(store)
third = fill("third")
assert third[0] == good
assert third[1] < 5 << 20, third  # it has no blocks of its own

# into another file system: copied
assert fill("copied", outside)[0] == good

# what is changed in a prefix is changed nowhere else
(site_packages(mount / "third") / "pkg/sub/data.txt").write_text("edited")
fourth = fill("fourth")
assert fourth[0] == good
assert fourth[1] < 5 << 20, fourth
assert trees(store) == [tree]

# a stored file that is changed is noticed, even if size, time and inode are as they were
one = next(each for each in (tree / "tree").iterdir() if each.stat().st_size == 5000)
status = one.stat()
one.write_text("evil\\n" * 1000)
os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
for name in ("fifth", "sixth", "seventh"):
    last = fill(name)
    assert last[0] == good, name
assert last[1] < 5 << 20
[tree] = trees(store)
print("done")
"""


@pytest.mark.once
@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_blocks_are_shared(tmp_path: Path, kind: str) -> None:
    if why := _why_not(kind):
        pytest.skip(why)
    wheel = make_wheel(
        *(tmp_path / "wheels", "pkg", "1.0", {**FILES, "pkg/large.bin": os.urandom(25 << 20)}),
        data=DATA,
        entry_points={"run": "pkg.run:main"},
        executable=["pkg/tool.sh"],
    )
    image, mount, outside = tmp_path / "image", tmp_path / "mount", tmp_path / "outside"
    for each in (mount, outside):
        each.mkdir()
    with open(image, "wb") as f:
        f.truncate(512 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    program = shlex.join([sys.executable, "-c", _ON_THE_FILE_SYSTEM, str(mount), str(wheel), str(outside)])
    script = f"mount -o loop {shlex.quote(str(image))} {shlex.quote(str(mount))} && chmod 700 {mount} && {program}"
    path = os.pathsep.join([tool_environment()["PYTHONPATH"], str(Path(__file__).parent.parent)])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=tool_environment(PYTHONPATH=path, SAGE_WHEELS_CACHE=str(mount / "store")),
    )
    if done.returncode and "mount:" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stdout == "done\n", done.stderr
