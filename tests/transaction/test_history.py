"""Promise 10: what the history says, what it does not say, and what becomes of it when it cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sage_wheels
from support.run import install, names, tool, tool_environment, uninstall
from support.trees import STATE, difference, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel

SECRET = "hunter2"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Three versions of one distribution."""
    return [
        make_wheel(tmp_path / "w", "demo", v, {"demo/__init__.py": f"v = {v}\n", "single.py": v, f"demo/m{v}.py": ""})
        for v in ("1.0", "2.0", "3.0")
    ]


def history(prefix: Path, *more: str) -> list[dict[str, object]]:
    done = tool("history", "--prefix", prefix, "--json", *more)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def kept(prefix: Path) -> list[str]:
    directory = prefix / STATE / "kept"
    return sorted(each.partition("-")[0] for each in os.listdir(directory)) if directory.is_dir() else []


def run(prefix: Path, *arguments: str | Path, **variables: str) -> str:
    done = tool(*arguments, "--prefix", prefix, env=tool_environment(**variables))
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_an_entry_says_what_was_done(prefix: Path, wheels: list[Path]) -> None:
    run(prefix, "install", wheels[0])
    run(prefix, "install", wheels[1])
    run(prefix, "uninstall", "demo")
    first, second, third = history(prefix)
    assert [each["number"] for each in (first, second, third)] == [1, 2, 3]
    assert second["command"][:2] == ["sage-wheels", "install"]  # type: ignore[index]
    assert second["kind"] == "install"
    change = second["changes"][0]  # type: ignore[index]
    import hashlib

    digest = hashlib.sha256(wheels[1].read_bytes()).hexdigest()
    assert change == {
        "name": "demo",
        "old": "1.0",
        "new": "2.0",
        "digest": f"sha256={digest}",
        "origin": wheels[1].as_uri(),
    }
    assert 0 < second["seconds"] < 60  # type: ignore[operator]
    assert third["changes"] == [{"name": "demo", "old": "2.0", "new": "", "digest": "", "origin": ""}]
    assert history(prefix, "other") == []
    shown = tool("history", "2", "--prefix", prefix).stdout
    assert "change: demo 1.0 -> 2.0" in shown
    assert digest in shown


def test_only_its_owner_can_read_it(prefix: Path, wheels: list[Path]) -> None:
    before = os.umask(0o022)
    try:
        install(prefix, wheels[0])
        install(prefix, wheels[1])
    finally:
        os.umask(before)
    entries = list((prefix / STATE / "history").iterdir())
    assert len(entries) == 2
    assert {stat.S_IMODE(each.stat().st_mode) for each in entries} == {0o600}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--find-links", f"https://me:{SECRET}@example.org/simple"],
        [f"--find-links=https://example.org/{SECRET}"],
        ["-C", f"key={SECRET}"],
        [f"-Ckey={SECRET}"],
        [f"--config-setting=key={SECRET}"],
        ["--log", f"https://example.org/?token={SECRET}"],
    ],
    ids=str,
)
def test_it_holds_no_secret(prefix: Path, wheels: list[Path], tmp_path: Path, arguments: list[str]) -> None:
    done = tool("install", *arguments, "--prefix", prefix, wheels[0], cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for each in (*(prefix / STATE / "history").iterdir(), prefix / STATE / "lock"):
        assert SECRET not in each.read_text()
    (entry,) = history(prefix)
    assert str(wheels[0]) in entry["command"]  # type: ignore[operator]


def test_variables_are_no_part_of_it(prefix: Path, wheels: list[Path]) -> None:
    run(prefix, "install", wheels[0], PIP_INDEX_URL=f"https://me:{SECRET}@example.org", SAGE_TOKEN=SECRET)
    (entry,) = (prefix / STATE / "history").iterdir()
    assert SECRET not in entry.read_text()


def test_without_a_directory_the_change_stands(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    shutil.rmtree(prefix / STATE / "history")
    (prefix / STATE / "history").write_text("in the way")
    install(prefix, wheels[1])
    assert names(prefix) == ["demo 2.0"]
    assert sorted(os.listdir(prefix / STATE / "stage")) == []
    assert kept(prefix) == []


def test_zero_keeps_nothing_and_writes_nothing(prefix: Path, wheels: list[Path]) -> None:
    for wheel in wheels[:2]:
        run(prefix, "install", wheel, SAGE_WHEELS_HISTORY="0")
    run(prefix, "install", "--history", "0", wheels[2])
    assert history(prefix) == []
    assert kept(prefix) == []
    assert leftovers(prefix) == []


def test_a_command_in_a_message_is_for_the_same_prefix(prefix: Path, wheels: list[Path], tmp_path: Path) -> None:
    """Whatever the variables name: the number of a change means another one in another prefix."""
    other = make_prefix(tmp_path, "other prefix")
    for named, variable, said in [
        (prefix, prefix, "undo 1"),
        (prefix, other, f"undo 1 --prefix {prefix}"),
        (other, prefix, f"undo 1 --prefix '{other}'"),
    ]:
        run(named, "install", "--reinstall", wheels[0])
        run(named, "install", "--reinstall", wheels[0])
        shown = tool("history", "1", "--prefix", named, env=tool_environment(VIRTUAL_ENV=str(variable)))
        assert f"\nundo: sage-wheels {said}\n" in shown.stdout


def test_a_name_without_changes(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    done = tool("history", "deno", "--prefix", prefix)
    said = f"sage-wheels: the history of {prefix} has no change of deno\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)


def test_a_number_that_makes_no_sense_is_refused(prefix: Path, wheels: list[Path]) -> None:
    done = tool("install", "--prefix", prefix, wheels[0], env=tool_environment(SAGE_WHEELS_HISTORY="many"))
    assert done.returncode == 2
    assert "SAGE_WHEELS_HISTORY" in done.stderr
    assert "'many'" in done.stderr


def test_who_reads_the_variables(prefix: Path, wheels: list[Path]) -> None:
    """A command that reads no configuration reads none of these, either; those of Sage read nothing else."""
    run(prefix, "install", "--no-config", wheels[0], SAGE_WHEELS_HISTORY="0")
    assert len(history(prefix)) == 1
    run(prefix, "pip-install", wheels[1], SAGE_WHEELS_HISTORY="0")
    assert len(history(prefix)) == 1
    done = tool("pip-install", "--prefix", prefix, wheels[2], env=tool_environment(SAGE_WHEELS_HISTORY_SIZE="1,5G"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "SAGE_WHEELS_HISTORY_SIZE is '1,5G'" in done.stderr


def test_the_oldest_files_go_first(prefix: Path, wheels: list[Path]) -> None:
    for number in range(6):
        run(prefix, "install", wheels[number % 3], SAGE_WHEELS_HISTORY="3")
    assert kept(prefix) == ["4", "5", "6"]  # the first installation kept nothing
    assert [each["undo"] for each in history(prefix)] == [True, False, False, True, True, True]
    assert leftovers(prefix) == []
    run(prefix, "install", wheels[0], SAGE_WHEELS_HISTORY_SIZE="0")
    assert kept(prefix) == []


def test_what_is_old_goes(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    install(prefix, wheels[1])
    (only,) = (prefix / STATE / "kept").iterdir()
    os.utime(only, (0, 0))
    install(prefix, wheels[2])
    assert kept(prefix) == ["3"]


def test_it_can_be_forgotten(prefix: Path, wheels: list[Path]) -> None:
    for wheel in wheels:
        install(prefix, wheel)
    run(prefix, "history", "--forget", "2")
    assert ([each["number"] for each in history(prefix)], kept(prefix)) == ([1, 3], ["3"])
    run(prefix, "history", "--forget", "all")
    assert (history(prefix), kept(prefix), leftovers(prefix)) == ([], [], [])
    install(prefix, wheels[0])
    assert [each["number"] for each in history(prefix)] == [4]


def test_a_number_is_counted_where_the_lock_file_does_not_tell(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    install(prefix, wheels[1])
    (prefix / STATE / "lock").write_text("somebody else's")
    install(prefix, wheels[2])
    assert [each["number"] for each in history(prefix)] == [1, 2, 3]


def test_a_damaged_entry_is_named(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    (entry,) = (prefix / STATE / "history").iterdir()
    entry.write_text("damaged")
    assert "checksum" in str(history(prefix)[0]["problem"])
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert "number 1 cannot be undone" in done.stderr
    assert names(prefix) == ["demo 1.0"]


# --- undo ------------------------------------------------------------------------------------------------------------


def test_an_edited_file_comes_back_and_its_copy_goes(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    (site_packages(prefix) / "single.py").write_text("mine")
    before = snapshot(prefix)
    install(prefix, wheels[1])
    assert set_aside(prefix)
    run(prefix, "undo")
    assert difference(before, snapshot(prefix)) == []
    assert set_aside(prefix) == {}


def test_a_copy_that_was_changed_stays_and_is_named(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    (site_packages(prefix) / "single.py").write_text("mine")
    install(prefix, wheels[1])
    (copy,) = (each for each in (prefix / STATE / "set-aside").rglob("*.py"))
    copy.write_text("mine, and more")
    assert str(copy) in run(prefix, "undo")
    assert copy.read_text() == "mine, and more"
    assert (site_packages(prefix) / "single.py").read_text() == "mine"


def test_what_was_edited_since_is_set_aside(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    before = snapshot(prefix)
    install(prefix, wheels[1])
    (site_packages(prefix) / "demo/__init__.py").write_text("edited since")
    said = run(prefix, "undo")
    assert difference(before, snapshot(prefix)) == []
    assert "demo/__init__.py" in said
    assert b"edited since" in set_aside(prefix).values()


def test_a_file_of_nobody_stays_where_it_is(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    before = snapshot(prefix)
    install(prefix, wheels[1])
    notes = site_packages(prefix) / "demo/notes.txt"
    notes.write_text("mine")
    run(prefix, "undo")
    assert notes.read_text() == "mine"
    notes.unlink()
    assert difference(before, snapshot(prefix)) == []


def test_what_somebody_else_installed_is_named_and_set_aside_by_force(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    before = snapshot(prefix)
    install(prefix, wheels[1])
    uninstall_by_hand(prefix)
    unpack_by_hand(prefix, wheels[2])
    now = snapshot(prefix)
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert "demo 3.0 was installed by a tool that writes no history" in done.stderr
    assert difference(now, snapshot(prefix)) == []
    run(prefix, "undo", "--force")
    assert difference(before, snapshot(prefix)) == []
    assert b"v = 3.0\n" in set_aside(prefix).values()
    run(prefix, "undo", "--force")
    assert difference(now, snapshot(prefix)) == []


def uninstall_by_hand(prefix: Path) -> None:
    site = site_packages(prefix)
    shutil.rmtree(site / "demo")
    for each in [*site.glob("demo-*"), *site.glob("__pycache__"), site / "single.py"]:
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def unpack_by_hand(prefix: Path, wheel: Path) -> None:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages(prefix))


def test_a_later_change_of_the_same_is_to_be_undone_first(prefix: Path, wheels: list[Path]) -> None:
    for wheel in wheels:
        install(prefix, wheel)
    done = tool("undo", "2", "--prefix", prefix)
    assert done.returncode == 1
    assert "changed again by number 3; undo that first" in done.stderr
    run(prefix, "undo")
    run(prefix, "undo", "2")
    assert names(prefix) == ["demo 1.0"]


def test_what_is_not_kept_is_named(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    install(prefix, wheels[1])
    (only,) = (prefix / STATE / "kept").iterdir()
    next(each for each in only.rglob("m1.0.py")).unlink()
    wheels[0].unlink()
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert (
        "number 2 cannot be undone any more: its old files are not kept, or not all of them; install demo 1.0"
        in done.stderr
    )
    assert names(prefix) == ["demo 2.0"]


def test_from_a_wheel_whose_requires_python_was_ignored(prefix: Path, tmp_path: Path) -> None:
    older = make_wheel(tmp_path / "w", "older", "1.0", {"older.py": ""}, requires_python="<3")
    install(prefix, older, ignore_requires_python=True)
    run(prefix, "install", make_wheel(tmp_path / "w", "older", "2.0", {"older.py": "version = 2\n"}))
    (only,) = (prefix / STATE / "kept").iterdir()
    shutil.rmtree(only)
    assert f"it is installed from {older}" in run(prefix, "undo")
    assert names(prefix) == ["older 1.0"]


def test_from_wheels_where_old_files_are_not_kept(prefix: Path, wheels: list[Path], tmp_path: Path) -> None:
    """From where it was installed from; as one transaction with removals; and this is itself in the history."""
    other = make_wheel(tmp_path / "w", "other", "1", {"other.py": ""})
    install(prefix, wheels[0])
    before = names(prefix)
    for each in ([wheels[1]], [other]):
        run(prefix, "install", *each)
    (only,) = (prefix / STATE / "kept").iterdir()
    shutil.rmtree(only)
    assert history(prefix)[1]["undo"] is False
    shown = tool("history", "2", "--prefix", prefix).stdout
    assert "undo: not any more: its old files are not kept; 'sage-wheels undo 2 --prefix" in shown
    assert f"{prefix}' installs demo 1.0 from wheels" in shown
    now = snapshot(prefix)
    assert "would be changed from 2.0 to 1.0" in run(prefix, "undo", "--to", "1", "--dry-run")
    assert difference(now, snapshot(prefix)) == []
    said = run(prefix, "undo", "--to", "1")
    assert f"the old files of demo 1.0 are not kept: it is installed from {wheels[0]}" in said
    assert names(prefix) == before
    assert tool("verify", "--prefix", prefix).returncode == 0
    last = history(prefix)[-1]
    assert (last["kind"], last["undoes"], last["number"]) == ("undo", [3, 2], 4)
    assert {(each["name"], each["old"], each["new"]) for each in last["changes"]} == {  # type: ignore[attr-defined]
        ("demo", "2.0", "1.0"),
        ("other", "1", ""),
    }
    run(prefix, "undo")
    assert difference(now, snapshot(prefix)) == []
    run(prefix, "undo", "--to", "0")
    assert names(prefix) == []


def test_from_a_wheelhouse_only_with_the_digest_of_the_history(
    prefix: Path, wheels: list[Path], tmp_path: Path
) -> None:
    for wheel in wheels[:2]:
        run(prefix, "install", wheel, SAGE_WHEELS_HISTORY_SIZE="0")
    house = tmp_path / "house"
    house.mkdir()
    wheels[0].rename(house / wheels[0].name)
    before = snapshot(prefix)
    refused = tool("undo", "--prefix", prefix)
    assert refused.returncode == 1
    assert "number 2 cannot be undone any more" in refused.stderr
    shown = tool("history", "2", "--prefix", prefix).stdout
    assert f"with the wheels of demo 1.0 in DIR: 'sage-wheels undo 2 --find-links DIR --prefix {prefix}'" in shown
    other = make_wheel(tmp_path / "other", "demo", "1.0", {"demo/__init__.py": "another one\n"})
    assert tool("undo", "--find-links", other.parent, "--prefix", prefix).returncode == 1
    assert difference(before, snapshot(prefix)) == []
    run(prefix, "undo", "--find-links", other.parent, "--find-links", house)
    assert names(prefix) == ["demo 1.0"]


def test_from_the_store(prefix: Path, wheels: list[Path], tmp_path: Path) -> None:
    from sage_wheels.store.store import Store, digest_of

    for wheel in wheels[:2]:
        run(prefix, "install", wheel, SAGE_WHEELS_HISTORY_SIZE="0")
    cache = tmp_path / "cache"
    Store(str(cache)).local.put_content(digest_of(str(wheels[0]))[0], str(wheels[0]))
    wheels[0].unlink()
    run(prefix, "undo", SAGE_WHEELS_CACHE=str(cache))
    assert names(prefix) == ["demo 1.0"]


def test_from_wheels_not_over_what_others_have_installed(prefix: Path, wheels: list[Path]) -> None:
    for wheel in wheels[:2]:
        run(prefix, "install", wheel, SAGE_WHEELS_HISTORY_SIZE="0")
    uninstall_by_hand(prefix)
    unpack_by_hand(prefix, wheels[2])
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert "demo 3.0 was installed by a tool that writes no history" in done.stderr
    assert names(prefix) == ["demo 3.0"]
    run(prefix, "undo", "--force")
    assert names(prefix) == ["demo 1.0"]


def test_old_files_on_another_file_system(prefix: Path, wheels: list[Path], elsewhere: Path) -> None:
    """They stay beside the packages, where `verify`, `owner` and plans pass over them, and an undo finds them."""
    shutil.rmtree(prefix / "var", ignore_errors=True)
    (prefix / "var").symlink_to(elsewhere)
    install(prefix, wheels[0])
    before = snapshot(prefix)
    run(prefix, "install", wheels[1])
    now = snapshot(prefix)
    beside = [each for each in prefix.rglob(".sage-wheels-*") if each.is_dir()]
    assert beside
    assert tool("verify", "--prefix", prefix).returncode == 0
    assert tool("owner", "--prefix", prefix, f"{prefix}/*m1.0.py").stdout == ""
    run(prefix, "undo")
    assert difference(before, snapshot(prefix)) == []
    run(prefix, "undo")
    assert difference(now, snapshot(prefix)) == []
    run(prefix, "history", "--forget", "all")
    assert [each for each in prefix.rglob(".sage-wheels-*") if each.is_dir()] == []


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK) or os.stat(memory).st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


def test_a_copied_prefix_has_its_history(prefix: Path, wheels: list[Path], tmp_path: Path) -> None:
    install(prefix, wheels[0])
    before = snapshot(prefix)
    install(prefix, wheels[1])
    copy = tmp_path / "copy"
    shutil.copytree(prefix, copy, symlinks=True)
    run(copy, "undo")
    assert difference(before, snapshot(copy)) == []


def test_nothing_is_there_to_undo(prefix: Path) -> None:
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert "no transaction is in the history" in done.stderr
    assert not (prefix / STATE / "history").exists() or os.listdir(prefix / STATE / "history") == []


def test_a_dry_run_changes_nothing(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    install(prefix, wheels[1])
    before, entries = snapshot(prefix), history(prefix)
    assert "demo would be changed from 2.0 to 1.0" in run(prefix, "undo", "--dry-run")
    assert (difference(before, snapshot(prefix)), history(prefix)) == ([], entries)
    uninstall(prefix, "demo")


def test_uninstall_says_what_is_kept(prefix: Path, wheels: list[Path]) -> None:
    install(prefix, wheels[0])
    done = tool("uninstall", "demo", "--prefix", prefix)
    assert "the files are kept (" in done.stderr
    assert f"'sage-wheels undo 2 --prefix {prefix}' restores them" in done.stderr
    run(prefix, "undo", "2")
    assert names(prefix) == ["demo 1.0"]
    assert "is kept" not in tool("uninstall", "demo", "--history", "0", "--prefix", prefix).stderr


def test_the_public_functions(prefix: Path, wheels: list[Path]) -> None:
    for wheel in wheels[:2]:
        sage_wheels.install([str(wheel)], prefix)
    entries = sage_wheels.history(prefix)
    assert [(each.number, each.kind, each.can_be_undone) for each in entries] == [
        (1, "install", True),
        (2, "install", True),
    ]
    assert entries[1].changes == (sage_wheels.Change("demo", "1.0", "2.0"),)
    assert sage_wheels.undo(prefix=prefix).changes == (sage_wheels.Change("demo", "2.0", "1.0"),)
    assert names(prefix) == ["demo 1.0"]
    sage_wheels.undo(prefix=prefix, to=0)
    assert names(prefix) == []
    assert sage_wheels.history(prefix)[-1].undoes == (3, 2, 1)


def test_two_undos_at_once(prefix: Path, wheels: list[Path]) -> None:
    """One after the other: the second takes back the first, or the same entry once more is refused."""
    for wheel in wheels[:2]:
        install(prefix, wheel)
    command = [sys.executable, "-m", "sage_wheels", "undo", "2", "--prefix", str(prefix)]
    both = [
        subprocess.Popen(command, env=tool_environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    told = [each.communicate()[1] for each in both]
    assert sorted(each.returncode for each in both) == [0, 1], told
    assert any("what number 2 changed was changed again by number 3" in each for each in told), told
    assert names(prefix) == ["demo 1.0"]
    assert leftovers(prefix) == []


def test_half_of_the_kept_files_is_gone(prefix: Path, wheels: list[Path], tmp_path: Path) -> None:
    for wheel in wheels[:2]:
        install(prefix, wheel)
    (only,) = (prefix / STATE / "kept").iterdir()
    for number, each in enumerate(sorted(each for each in only.rglob("*") if each.is_file())):
        if number % 2:
            each.unlink()
    before = snapshot(prefix)
    wheels[0] = wheels[0].rename(tmp_path / wheels[0].name)
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert "its old files are not kept, or not all of them" in done.stderr
    assert difference(before, snapshot(prefix)) == []
    install(prefix, wheels[0])
    assert names(prefix) == ["demo 1.0"]


def test_all_of_the_history_is_deleted(prefix: Path, wheels: list[Path]) -> None:
    for wheel in wheels[:2]:
        install(prefix, wheel)
    for name in ("history", "kept"):
        shutil.rmtree(prefix / STATE / name)
    assert tool("undo", "--prefix", prefix).returncode == 1
    install(prefix, wheels[0])
    assert [each["number"] for each in history(prefix)] == [3]  # the number stands in the file of the lock
    run(prefix, "undo")
    assert names(prefix) == ["demo 2.0"]


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_thousand_entries(prefix: Path, wheels: list[Path], count: int) -> None:
    """All that is done for each entry is to read its name; the last ones are read, and all by --all."""
    install(prefix, wheels[0])
    directory = prefix / STATE / "history"
    (entry,) = directory.iterdir()
    stage, content = entry.name.partition("-")[2], entry.read_bytes()
    entry.rename(directory / f"{count}-{stage}")
    for number in range(1, count):
        if number % 20_000 == 1:  # no file may have more names
            (directory / f"{number}-1-{number:x}").write_bytes(content)
            first = directory / f"{number}-1-{number:x}"
        else:
            os.link(first, directory / f"{number}-1-{number:x}")
    (prefix / STATE / "lock").write_text("")
    install(prefix, wheels[1])
    assert [each["number"] for each in history(prefix)] == list(range(count - 28, count + 2))
    assert len(history(prefix, "--all")) == count + 1
    run(prefix, "undo")
    assert names(prefix) == ["demo 1.0"]
    run(prefix, "history", "--forget", str(count))
    run(prefix, "history", "--forget", "all")
    assert history(prefix) == []
    assert leftovers(prefix) == []
