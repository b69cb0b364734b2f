"""`sage_wheels.installed.unchanged`: what was not touched is not hashed, and an edited file is never lost.

The size and the time of the last modification of every file that is edited here are put back, so that nothing but the
time of its last change tells.

Promise 4.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.errors import LockTimeout
from sage_wheels.installed import files, unchanged
from sage_wheels.installed.record import digest_of
from sage_wheels.installed.unchanged import UnchangedFiles, clock_of
from sage_wheels.prefix import find_prefix, lock, memo
from sage_wheels.transaction import planner
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions
from sage_wheels.transaction.stage import LOCK
from support.run import install, uninstall
from support.trees import STATE, make_prefix, set_aside, site_packages
from support.wheels import make_wheel

FILES = {f"pkg/sub{n % 5}/m{n}.txt": f"what was installed {n:02}\n" for n in range(60)}
# Those that are renamed by themselves, and what the wheel does not bring.
HASHED = {"single.txt", "tool", "one.txt", "INSTALLER", "REQUESTED", "direct_url.json"}
ALL = {os.path.basename(name) for name in FILES} | HASHED | {"METADATA", "WHEEL"}
EDITED = "pkg/sub3/m13.txt"
OLD, NEW = b"what was installed 13\n", b"what somebody wrote!!\n"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix in which `pkg` is installed, and remembered."""
    prefix = make_prefix(tmp_path)
    if clock_of(find_prefix(prefix)._replace(root=str(tmp_path))) is None and not known_here(prefix):
        pytest.skip("the tests are on a file system on which everything is hashed")
    install_remembered(prefix, wheel(tmp_path, "1"))
    assert (prefix / STATE / "cache/pkg.stats").is_file()
    return prefix


def install_remembered(prefix: Path, wheel: Path) -> None:
    """Install, and let the clock tick before the plan is made, so that every file is remembered."""
    install(prefix, wheel, compile_bytecode=False, check=lambda distributions: time.sleep(0.02))


def known_here(prefix: Path) -> bool:
    (prefix / STATE).mkdir(parents=True)
    return clock_of(find_prefix(prefix)) is not None


def wheel(tmp_path: Path, version: str) -> Path:
    data = {"scripts/tool": "#!/bin/sh\n", "data/share/one.txt": "x"}
    return make_wheel(tmp_path / "wheels", "pkg", version, {**FILES, "single.txt": "x" * 22}, data=data)


@contextlib.contextmanager
def hashed() -> Iterator[list[str]]:
    """The names of the files that are hashed meanwhile."""
    found: list[str] = []
    usual = files.digest_of

    def noted(path: str, algorithm: str, size: int) -> bytes:
        found.append(os.path.basename(path))
        return usual(path, algorithm, size)

    files.digest_of = noted
    try:
        yield found
    finally:
        files.digest_of = usual


def keeping_times(path: Path, edit: Callable[[Path], object]) -> None:
    before = path.stat()
    edit(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert path.read_bytes() == NEW
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def in_place(path: Path) -> None:
    with open(path, "r+b") as f:
        f.write(NEW)


def by_mapping(path: Path) -> None:
    with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as mapping:
        assert mapping[:] == OLD  # the page is there before it is written
        mapping[:] = NEW


def by_hard_link(path: Path) -> None:
    other = path.parents[4] / "another-name"
    os.link(path, other)
    in_place(other)
    other.unlink()


def by_rename(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(NEW)
    other.rename(path)


def by_rename_of_a_neighbour(path: Path) -> None:
    """One that was installed, and remembered, too."""
    other = path.with_name("m18.txt")
    in_place(other)
    other.rename(path)


def from_backup(path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        backup = Path(directory, path.name)
        backup.write_bytes(NEW)
        before = path.stat()
        os.utime(backup, ns=(before.st_atime_ns, before.st_mtime_ns))
        subprocess.run(["cp", "-a", str(backup), str(path)], check=True)


def from_backup_anew(path: Path) -> None:
    path.unlink()
    from_backup_of(path)


def from_backup_of(path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        backup = Path(directory, path.name)
        backup.write_bytes(NEW)
        with tarfile.open(f"{directory}/t.tar", "w") as archive:
            archive.add(backup, path.name)
        subprocess.run(["tar", "-C", str(path.parent), "-xpf", f"{directory}/t.tar"], check=True)


EDITS = [
    *(in_place, by_mapping, by_hard_link, by_rename, by_rename_of_a_neighbour),
    *(from_backup, from_backup_anew, from_backup_of),
]


def test_what_was_not_touched_is_not_hashed(prefix: Path) -> None:
    with hashed() as found:
        uninstall(prefix, "pkg")
    assert set(found) <= HASHED
    assert set_aside(prefix) == {}
    assert not (prefix / STATE / "cache/pkg.stats").exists()


def test_an_upgrade_hashes_nothing_else_either(prefix: Path, tmp_path: Path) -> None:
    for version in ("2", "3"):
        with hashed() as found:
            install_remembered(prefix, wheel(tmp_path, version))
        assert set(found) <= HASHED
    assert set_aside(prefix) == {}


@pytest.mark.parametrize("goes", ["removed", "upgraded", "replaced by a directory of others"])
@pytest.mark.parametrize("edit", EDITS, ids=lambda each: each.__name__)
def test_an_edited_file_is_kept(prefix: Path, tmp_path: Path, edit: Callable[[Path], object], goes: str) -> None:
    path = site_packages(prefix) / EDITED
    keeping_times(path, edit)
    if goes == "removed":
        uninstall(prefix, "pkg")
    elif goes == "upgraded":
        install(prefix, wheel(tmp_path, "2"))
    else:
        path.with_name("somebody.txt").write_text("of nobody")  # the directory is gone through entry by entry
        uninstall(prefix, "pkg")
    assert set_aside(prefix)[str(path.relative_to(prefix))] == NEW


def test_an_edit_in_the_instant_of_the_commit_is_kept(tmp_path: Path) -> None:
    """Of every file, and before the lock is given back: some are edited in the tick in which they were written."""
    prefix = make_prefix(tmp_path)

    def edit_all() -> None:
        for name in FILES:
            keeping_times(site_packages(prefix) / name, in_place)

    for number in range(5):
        path = str(wheel(tmp_path, str(number)))
        sage_wheels.install([path], prefix, InstallOptions(compile_bytecode=False), CommitOptions(on_commit=edit_all))
        uninstall(prefix, "pkg")
        kept = {path for path, content in set_aside(prefix).items() if content == NEW}
        assert kept == {str((site_packages(prefix) / name).relative_to(prefix)) for name in FILES}
        shutil.rmtree(prefix / STATE / "set-aside")


@pytest.mark.parametrize("place", [f"lib/{EDITED}", "single.txt", "bin/tool"])
def test_an_edit_between_plan_and_commit_is_kept(prefix: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    path = prefix / place if place.startswith("bin") else site_packages(prefix) / place.removeprefix("lib/")
    usual = planner.make_plan
    new = b"#!/new/sh\n" if place.startswith("bin") else NEW

    def edited_after(*arguments: Any, **options: Any) -> Any:
        plan = usual(*arguments, **options)
        if path.exists() and path.read_bytes() != new:
            before = path.stat()
            path.write_bytes(new[: before.st_size].ljust(before.st_size))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            edited.append(path.read_bytes())
        return plan

    edited: list[bytes] = []
    monkeypatch.setattr(planner, "make_plan", edited_after)
    uninstall(prefix, "pkg")
    assert set_aside(prefix)[str(path.relative_to(prefix))] == edited[-1]


@pytest.mark.parametrize("place", ["bin/tool", f"lib/{EDITED}"])
def test_what_was_changed_just_now_is_compared_when_its_next_change_shows(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Its next change may come in the same tick of the clock, and leave the same ctime."""
    path = prefix / place if place.startswith("bin") else site_packages(prefix) / EDITED
    usual_plan, usual_state = planner.make_plan, files.state_of
    compared: list[bool] = []

    def touched(*arguments: Any, **options: Any) -> Any:
        os.utime(path)
        return usual_plan(*arguments, **options)

    def state_of(where: Any, found: str, row: Any, *more: Any) -> str:
        if where.path(found) == str(path):
            compared.append(unchanged.is_recent(path.stat()))
        return usual_state(where, found, row, *more)

    monkeypatch.setattr(planner, "make_plan", touched)
    monkeypatch.setattr(files, "state_of", state_of)
    uninstall(prefix, "pkg")
    assert compared == [False]


def test_what_came_just_now_is_older_than_the_plan(prefix: Path, tmp_path: Path) -> None:
    """What is as new as the plan, or newer, was edited: nothing is set aside because it came in the same tick."""
    for version in range(5):
        install(prefix, wheel(tmp_path, str(version)), compile_bytecode=False)
        uninstall(prefix, "pkg")
    assert set_aside(prefix) == {}


@pytest.mark.parametrize("how", ["cp -a", "mv"])
def test_a_copied_or_moved_prefix(prefix: Path, tmp_path: Path, how: str) -> None:
    keeping_times(site_packages(prefix) / EDITED, in_place)
    other = tmp_path / "other"
    subprocess.run([*how.split(), str(prefix), str(other)], check=True)
    with hashed() as found:
        uninstall(other, "pkg")
    if how == "cp -a":
        assert set(found) == ALL
    else:
        assert set(found) <= HASHED | {os.path.basename(EDITED)}
    assert list(set_aside(other)) == [str((site_packages(other) / EDITED).relative_to(other))]


@pytest.mark.parametrize("what", ["deleted", "cut off", "garbage", "a directory", "of another version", "all of it"])
def test_without_what_is_remembered_everything_is_hashed(prefix: Path, what: str) -> None:
    memory = prefix / STATE / "cache/pkg.stats"
    whole = memory.read_bytes()
    memory.unlink()
    if what == "cut off":
        memory.write_bytes(whole[:-1])
    elif what == "garbage":
        memory.write_bytes(os.urandom(len(whole)))
    elif what == "a directory":
        memory.mkdir()
    elif what == "of another version":
        body = memo.read(find_prefix(prefix), "pkg.stats") or b""
        memo.write(find_prefix(prefix), "pkg.stats", body.replace(b"stats 1", b"stats 2"))
    elif what == "all of it":
        shutil.rmtree(memory.parent)
    keeping_times(site_packages(prefix) / EDITED, in_place)
    with hashed() as found:
        uninstall(prefix, "pkg")
    assert set(found) == ALL
    assert len(set_aside(prefix)) == 1


def test_damage_of_any_byte_is_seen(prefix: Path) -> None:
    where = find_prefix(prefix)
    assert UnchangedFiles(where, ["pkg"]).known
    memory = prefix / STATE / "cache/pkg.stats"
    whole = memory.read_bytes()
    for at in range(len(whole)):
        memory.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        assert not UnchangedFiles(where, ["pkg"]).known, at


def test_what_was_remembered_of_another_installation_does_not_count(prefix: Path, tmp_path: Path) -> None:
    """A process that was killed after its commit leaves what it found."""
    memory = prefix / STATE / "cache/pkg.stats"
    before = memory.read_bytes()
    install(prefix, wheel(tmp_path, "2"), compile_bytecode=False)
    memory.write_bytes(before)
    keeping_times(site_packages(prefix) / EDITED, in_place)
    with hashed() as found:
        uninstall(prefix, "pkg")
    assert set(found) == ALL
    assert len(set_aside(prefix)) == 1


def test_a_record_that_was_rewritten_is_what_counts(prefix: Path) -> None:
    """Whoever edits a file and its RECORD has it as it should be; whoever edits the RECORD alone has not."""
    record = site_packages(prefix) / "pkg-1.dist-info/RECORD"
    record.write_text(record.read_text().replace(digest_of(OLD), digest_of(NEW)))
    uninstall(prefix, "pkg")
    assert set_aside(prefix)[str((site_packages(prefix) / EDITED).relative_to(prefix))] == OLD


def test_it_is_written_when_the_lock_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = make_prefix(tmp_path)
    usual = unchanged.store
    stored: list[str] = []

    def noted(where: Any, entries: dict[str, bytes], *arguments: Any) -> None:
        with contextlib.suppress(LockTimeout), lock.hold(where.path(LOCK), timeout=0):
            stored.extend(entries)
        usual(where, entries, *arguments)

    monkeypatch.setattr(unchanged, "store", noted)
    install(prefix, wheel(tmp_path, "1"))
    assert stored == ["pkg"]


def test_a_failure_to_remember_is_none(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    (prefix / STATE).mkdir(parents=True)
    (prefix / STATE / "cache").write_text("in the way")
    assert install(prefix, wheel(tmp_path, "1")).changes
    assert uninstall(prefix, "pkg").changes


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs here")
def test_where_the_ctime_may_not_be_kept_everything_is_hashed(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        prefix = make_prefix(directory)
        install_remembered(prefix, wheel(tmp_path, "1"))
        with hashed() as found:
            uninstall(prefix, "pkg")
        assert set(found) == ALL


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs here")
def test_an_edit_by_a_mapping_on_a_tmpfs_is_kept(tmp_path: Path) -> None:
    """There it changes no time at all, so there is none to be put back."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        prefix = make_prefix(directory)
        install_remembered(prefix, wheel(tmp_path, "1"))
        path = site_packages(prefix) / EDITED
        by_mapping(path)
        uninstall(prefix, "pkg")
        assert set_aside(prefix)[str(path.relative_to(prefix))] == NEW


def test_a_file_with_another_name_is_not_remembered(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_bytes(OLD)
    assert unchanged.entry(os.stat(one), digest_of(OLD))
    assert unchanged.entry(os.stat(one), digest_of(OLD) + "=") == unchanged.entry(os.stat(one), digest_of(OLD))
    for digest in ("", "md5=XUFAkrxLKna5cZ2REBfFkg", "sha256=", "sha256=\N{SNOWMAN}" * 43, f"sha512={'x' * 86}"):
        assert unchanged.entry(os.stat(one), digest) == b""
    os.link(one, tmp_path / "two")
    assert unchanged.entry(os.stat(one), digest_of(OLD)) == b""


def test_what_was_written_in_the_tick_of_the_plan_does_not_count(prefix: Path) -> None:
    path = site_packages(prefix) / EDITED
    status = path.stat()
    entries = unchanged.entry(status, digest_of(OLD)) * 40
    where = find_prefix(prefix)
    for began, counts in ((status.st_ctime_ns - 1, False), (status.st_ctime_ns, False), (status.st_ctime_ns + 1, True)):
        unchanged.store(where, {"pkg": entries}, began)
        assert UnchangedFiles(where, ["pkg"]).holds(status, digest_of(OLD)) is counts
    assert not UnchangedFiles(where, ["pkg"]).holds(status, digest_of(NEW))
    assert not UnchangedFiles(where, ["other"]).holds(status, digest_of(OLD))


@pytest.mark.parametrize("name", ["../../../x", "a/b", "", "nul\0", "x" * 300])
def test_a_name_that_can_be_none_is_no_path(prefix: Path, name: str) -> None:
    where = find_prefix(prefix)
    unchanged.store(where, {name: b""}, 1)
    unchanged.forget(where, [name])
    assert not UnchangedFiles(where, [name]).known
    assert os.listdir(prefix / STATE / "cache") == ["pkg.stats"]
