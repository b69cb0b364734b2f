"""What an interrupted command had kept for undoing is deleted, or its journal is damaged: nothing is lost in silence.

Recovery then brings back the old state, or fails and says so; `recover --set-aside` keeps all that there is, says what
state the distributions are in, and the next command works.

Promise 2.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import JournalDamaged
from support.chance import ALL_FAULTS, faults
from support.puppet import Command, Puppet
from support.run import install, tool
from support.scenarios import Stand, set_up
from support.trees import STATE, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

NAMES = ["small install", "small upgrade", "small upgrade without exchange", "small uninstall"]
NAMES += ["small upgrade on an overlay", "small uninstall on an overlay"]


NOT_INSTALLED = (
    "probe-1 is not installed any more; if files of it are in the way, install it with --on-conflict overwrite"
)


def stage_of(prefix: Path) -> Path:
    (stage,) = (prefix / STATE / "stage").iterdir()
    return stage


def files_of(directory: Path) -> list[Path]:
    return sorted(each for each in directory.rglob("*") if not each.is_dir() or each.is_symlink())


def contents(prefix: Path) -> set[bytes]:
    return {each.read_bytes() for each in files_of(prefix) if each.is_file() and each.name != "lock"}


def _unlink(files: list[Path]) -> None:
    for each in files:
        each.unlink()


def _wipe(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


DEEDS: dict[str, Callable[[Path], object]] = {
    "the stage is emptied": lambda prefix: _wipe(prefix / STATE / "stage"),
    "the stage is deleted": lambda prefix: shutil.rmtree(prefix / STATE / "stage"),
    "what is in the stage is deleted": lambda prefix: _wipe(stage_of(prefix)),
    "what was taken away is deleted": lambda prefix: shutil.rmtree(stage_of(prefix) / "old"),
    "all files in the stage are deleted": lambda prefix: _unlink(files_of(stage_of(prefix))),
    "some of what was taken away is deleted": lambda prefix: _unlink(files_of(stage_of(prefix) / "old")[1::2]),
    "a file that was exchanged is deleted": lambda prefix: _unlink(files_of(stage_of(prefix) / "new")[:1]),
    "what was to come is deleted": lambda prefix: shutil.rmtree(stage_of(prefix) / "new", ignore_errors=True),
    "the journal is deleted": lambda prefix: _unlink([prefix / STATE / "journal"]),
    "the journal and the stage are deleted": lambda prefix: _unlink(files_of(prefix / STATE)),
}


def counting(stand: Stand) -> range:
    """The operations at which a killed command leaves a journal that counts."""
    path = f"{stand.prefix}/{STATE}/journal"
    begin = next(n for n, each in enumerate(stand.operations, 1) if each.endswith(f" {path}"))
    end = next(n for n, each in enumerate(stand.operations, 1) if each.startswith(f"os.rename {path} "))
    return range(begin + 1, end + 1)


def set_aside_and_go_on(stand: Stand, kept: set[bytes], where: str) -> None:
    """The way out: nothing of `kept` is lost, and the command that was interrupted can be run again."""
    told = sage_wheels.recover(stand.prefix, set_aside=True)
    assert kept <= contents(stand.prefix), where
    assert told, where
    assert not (stand.prefix / STATE / "journal").exists(), where
    assert sage_wheels.recover(stand.prefix) == [], where
    arguments = ["--reinstall"] if stand.command.do == "install" else []
    if arguments:
        again = stand.puppet.run(stand.command._replace(reinstall=True, overwrite=True))
        assert again.status == 0, f"{where}: {again}"


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_deleted_between_the_kill_and_recovery(puppet: Puppet, fast_path: Path, name: str, deed: str) -> None:
    stand = set_up(puppet, name, fast_path)
    outcomes = {"old": 0, "refused": 0}
    for at in counting(stand):
        where = f"killed at {at}, then {deed}"
        assert puppet.run(stand.command.killed(at)).killed
        DEEDS[deed](stand.prefix)
        kept = contents(stand.prefix / "lib") | contents(stand.prefix / STATE / "stage")
        journal = (stand.prefix / STATE / "journal").exists()
        outcome = puppet.run(Command("recover", str(stand.prefix)))
        if outcome.status == 0:
            if journal:
                assert snapshot(stand.prefix) == stand.old, where
                outcomes["old"] += 1
            else:
                assert "the stage" in deed, f"{where}: nothing was left that could have told it"
        else:
            assert outcome.error == "JournalDamaged", f"{where}: {outcome}"
            assert "--set-aside" in outcome.text, where
            old = {what for kind, _, what in stand.old.values() if kind == "file" and isinstance(what, bytes)}
            assert kept & old <= contents(stand.prefix), where
            outcomes["refused"] += 1
            set_aside_and_go_on(stand, kept & old, where)
        stand.restore()
    print(outcomes)


def files_beside_the_old_ones(prefix: Path) -> list[Path]:
    """The active journal, the entries of the history, and the files in stages other than new and old ones."""
    state = prefix / STATE
    found = [state / "journal", *state.glob("history/*"), *state.glob("stage/*/*")]
    return sorted(each for each in found if each.is_file() and not each.name.startswith("rewritten-"))


def unfinished(prefix: Path) -> list[str]:
    """What is left over, but for old files whose entry in the history was deleted: they are deleted in due time."""
    return [each for each in leftovers(prefix) if not each.startswith("kept/")]


SLOW = [each for each in (*NAMES, "small undo", "small repair") if each != "small upgrade"]


@pytest.mark.parametrize("name", ["small upgrade", *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW)])
def test_whatever_else_is_deleted_no_old_file_is_lost(puppet: Puppet, fast_path: Path, name: str) -> None:
    """At any instant of the command; the old files are all in the prefix, in the history, in the stage or set aside.

    What is deleted is nothing, everything and, but for a small upgrade, a half of what is possible between them, as the
    seed says that is printed. FAULT_SEED repeats that, and with FAULT_ERRORS=1 it is all of it.
    """
    stand = set_up(puppet, name, fast_path)
    old = {what for kind, _, what in stand.old.values() if kind == "file" and isinstance(what, bytes)}
    outcomes = {"fine": 0, "refused": 0}
    first = counting(stand)[0]
    chance = faults()
    tries_all = name == "small upgrade" or ALL_FAULTS
    for at in range(first - 4, len(stand.operations) + 1):
        left = 1
        for number in itertools.count():
            if not tries_all and 0 < number < left - 1 and chance.random() < 0.5:
                continue
            assert puppet.run(stand.command.killed(at)).killed
            present = files_beside_the_old_ones(stand.prefix)
            left = 1 << len(present)
            deleted = [each for bit, each in enumerate(present) if number >> bit & 1]
            where = f"killed at {at}, then {[each.name for each in deleted]} are deleted"
            _unlink(deleted)
            kept = contents(stand.prefix)
            assert old <= kept, where
            outcome = puppet.run(Command("recover", str(stand.prefix)))
            assert old <= contents(stand.prefix), where
            if outcome.status == 0:
                assert unfinished(stand.prefix) == [], where
                outcomes["fine"] += 1
            else:
                assert outcome.error == "JournalDamaged", f"{where}: {outcome}"
                assert "--set-aside" in outcome.text, where
                assert deleted, where
                sage_wheels.recover(stand.prefix, set_aside=True)
                assert old <= contents(stand.prefix), where
                assert unfinished(stand.prefix) == [], where
                assert not any(each.stat().st_mode & stat.S_ISUID for each in stand.prefix.glob(f"{STATE}/*/*")), where
                outcomes["refused"] += 1
            stand.restore()
            if number == left - 1:
                break
    print(outcomes)
    assert all(outcomes.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_journal_is_damaged(puppet: Puppet, fast_path: Path, name: str) -> None:
    """The stage has a copy: what is in the journal is not needed."""
    stand = set_up(puppet, name, fast_path)
    journal = stand.prefix / STATE / "journal"
    for at in counting(stand):
        for damage in (b"", b"x", b"0" * 99):
            assert puppet.run(stand.command.killed(at)).killed
            journal.write_bytes(damage)
            outcome = stand.recover()
            assert outcome.status == 0, outcome
            assert "so its copy was used" in outcome.answer[0]
            assert stand.state() == "old"
            stand.forget()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _other_version(path: Path) -> None:
    import json
    import zlib

    content = json.loads(path.read_bytes().partition(b"\n")[2])
    body = json.dumps({**content, "format": 99, "version": "9.9"}).encode()
    for each in (path, stage_of(path.parent.parent.parent.parent) / "copy"):
        each.write_bytes(b"%08x %d\n%s" % (zlib.crc32(body), len(body), body))


def _both(path: Path) -> None:
    path.write_bytes(b"damaged")
    (stage_of(path.parent.parent.parent.parent) / "copy").write_bytes(b"damaged, too")


def _another(path: Path) -> None:
    path.with_name("new").write_bytes(b"not the one to which the copy belongs")
    path.with_name("new").rename(path)


@pytest.mark.parametrize("damage", [_directory, _link, _pipe, _other_version, _both, _another])
@pytest.mark.parametrize("name", ["small upgrade", "small uninstall", "small install"])
def test_a_journal_that_cannot_be_read(
    puppet: Puppet, fast_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    stand = set_up(puppet, name, fast_path)
    for at in counting(stand):
        where = f"killed at {at}"
        assert puppet.run(stand.command.killed(at)).killed
        damage(stand.prefix / STATE / "journal")
        kept = {each.read_bytes() for each in files_of(stand.prefix / "lib") if each.is_file()}
        kept |= {each.read_bytes() for each in files_of(stage_of(stand.prefix)) if each.is_file()}
        for command in (Command("recover", str(stand.prefix)), stand.command):
            refused = puppet.run(command)
            assert (refused.status, refused.error) == (1, "JournalDamaged"), where
            assert "--set-aside" in refused.text
            assert ("sage-wheels 9.9 wrote" in refused.text) == (damage is _other_version)
        set_aside_and_go_on(stand, kept, where)
        stand.restore()


def test_a_stage_without_its_journal_is_named_by_every_command(puppet: Puppet, fast_path: Path) -> None:
    stand = set_up(puppet, "small uninstall", fast_path)
    assert puppet.run(stand.command.killed(counting(stand)[-2])).killed
    (stand.prefix / STATE / "journal").unlink()
    old = files_of(stage_of(stand.prefix))
    other = make_wheel(fast_path, "other", "1", {"other.py": ""})
    for command, item in (("install", other), ("uninstall", "other")):
        done = tool(command, "--prefix", stand.prefix, item)
        assert done.returncode == 0, done
        assert str(stage_of(stand.prefix)) in done.stderr, done
        assert f"'sage-wheels recover --set-aside --prefix {stand.prefix}'" in done.stderr
    refused = tool("recover", "--prefix", stand.prefix)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert files_of(stage_of(stand.prefix)) == old
    done = tool("recover", "--set-aside", "--prefix", stand.prefix)
    assert done.returncode == 0, done
    assert "kept files that an interrupted installation had removed" in done.stderr
    # what people look for has its own path
    saved = next((stand.prefix / STATE / "set-aside").glob("*-interrupted"))
    assert list(saved.glob("files/lib/python3*/site-packages/small/__init__.py"))
    assert tool("recover", "--prefix", stand.prefix).stderr == (
        f"sage-wheels: nothing was left unfinished in {stand.prefix}\n"
    )


def kill_late(puppet: Puppet, command: Command) -> None:
    """Kill `command` just before its commit; how many operations that takes, a copy of the prefix tells."""
    copy = f"{command.prefix}-copy"
    shutil.rmtree(f"{command.prefix}/{STATE}/cache", ignore_errors=True)  # which knows inodes
    shutil.copytree(command.prefix, copy, symlinks=True)
    operations = puppet.run(command._replace(prefix=copy)).operations
    shutil.rmtree(copy)
    at = next(n for n, each in enumerate(operations, 1) if each.startswith(f"os.rename {copy}/{STATE}/journal "))
    assert puppet.run(command.killed(at)).killed


def test_the_way_out_says_what_state_each_distribution_is_in(tmp_path: Path, puppet: Puppet) -> None:
    prefix = make_prefix(tmp_path)
    files = {f"probe_{n}.py": f"x = {n}\n" for n in range(20)}
    install(prefix, make_wheel(tmp_path, "probe", "1", dict(files)), make_wheel(tmp_path, "other", "1", {"o.py": ""}))
    kill_late(puppet, Command("uninstall", str(prefix), ["probe"]))
    (prefix / STATE / "journal").unlink()
    told = sage_wheels.recover(prefix, set_aside=True)
    assert NOT_INSTALLED in told
    assert told[-1] == f"1 of 1 distributions in {prefix} are as they were installed"
    install(prefix, make_wheel(tmp_path, "probe", "1", dict(files)))
    kill_late(puppet, Command("install", str(prefix), [str(make_wheel(tmp_path, "probe", "2", {"probe_1.py": ""}))]))
    (prefix / STATE / "journal").unlink()
    (site_packages(prefix) / "probe_1.py").unlink()
    told = sage_wheels.recover(prefix, set_aside=True)
    assert any(each.startswith("probe 2 is not as it was installed (1 missing)") for each in told), told
    assert NOT_INSTALLED in told
    install(prefix, make_wheel(tmp_path, "probe", "1", dict(files)), reinstall=True)
    assert sage_wheels.verify("probe", prefix) == []


def test_the_record_itself_was_deleted_with_the_stage(tmp_path: Path, puppet: Puppet) -> None:
    """Only the journal tells then that the distribution was there; what is left of it belongs to nobody."""
    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "probe", "1", {f"probe_{n}.py": f"x = {n}\n" for n in range(20)})
    install(prefix, wheel)
    kill_late(puppet, Command("uninstall", str(prefix), ["probe"]))
    shutil.rmtree(stage_of(prefix))
    (site_packages(prefix) / "probe_3.py").write_text("x = 3\n# put back by hand\n")
    told = sage_wheels.recover(prefix, set_aside=True)
    assert NOT_INSTALLED in told
    done = tool("install", "--on-conflict", "overwrite", "--prefix", prefix, wheel)
    assert done.returncode == 0, done.stderr
    assert sage_wheels.verify("probe", prefix) == []


def test_one_backup_is_missing_and_all_else_is_put_back(tmp_path: Path, puppet: Puppet) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "probe", "1", {f"probe_{n}.py": f"x = {n}\n" for n in range(20)}))
    before = snapshot(prefix)
    kill_late(puppet, Command("uninstall", str(prefix), ["probe"]))
    lost = next(each for each in files_of(stage_of(prefix) / "old") if each.read_bytes() == b"x = 7\n")
    text = lost.read_bytes()
    lost.unlink()
    with pytest.raises(JournalDamaged):
        sage_wheels.recover(prefix)
    told = sage_wheels.recover(prefix, set_aside=True)
    assert [each for each in told if each.startswith("probe 1 is not as it was installed (1 missing)")], told
    after = snapshot(prefix)
    (gone,) = before.keys() - after.keys()
    assert before[gone][2] == text
    assert {path: entry for path, entry in before.items() if path != gone} == after


def test_setting_aside_is_killed_before_every_operation(puppet: Puppet, fast_path: Path) -> None:
    """And done again: then everything is set aside."""
    stand = set_up(puppet, "small upgrade without exchange", fast_path)
    at, points = counting(stand)[-2], 0
    while True:
        assert puppet.run(stand.command.killed(at)).killed
        _both(stand.prefix / STATE / "journal")
        kept = contents(stand.prefix)
        line = ["recover", "--set-aside", "--prefix", str(stand.prefix)]
        outcome = puppet.run(Command("main", str(stand.prefix), line).counted(everything=True).killed(points + 1))
        if not outcome.killed:
            break
        points += 1
        sage_wheels.recover(stand.prefix, set_aside=True)
        assert kept <= contents(stand.prefix), f"killed at {points}"
        assert sage_wheels.recover(stand.prefix) == []
        stand.restore()
    print(f"{points} points")
    assert points > 20


def test_nothing_to_set_aside(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    assert sage_wheels.recover(prefix, set_aside=True) == []
    assert not (prefix / "var").exists()
    install(prefix, make_wheel(tmp_path, "x", "1", {"x.py": ""}))
    assert sage_wheels.recover(prefix, set_aside=True) == []
    assert tool("recover", "--set-aside", "--prefix", prefix).returncode == 0
