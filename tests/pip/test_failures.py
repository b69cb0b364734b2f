"""Whatever fails or is killed leaves the prefix as it was, or as it was to be, and no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.index import Held, Index
from support.projects import Gate, make_sdist, make_tree
from support.puppet import Command, Puppet
from support.run import names
from support.trees import Tree, difference, faded, leftovers, site_packages, snapshot
from support.twins import Twins, assert_said_alike, copy_prefix, end, environment, our_command, start

pytestmark = pytest.mark.once

Put = Callable[..., None]


# --- pip fails ---


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("app==2.0 lib==1.0", "ResolutionImpossible"),
        ("app==2.0 old-lib", "ResolutionImpossible"),
        ("-r hashes.txt", "DO NOT MATCH THE HASHES"),
        ("-r no-hash.txt --require-hashes", "Hashes are required"),
        ("app broken", "the compiler is on strike"),
        ("app {directory}/damaged-1.0-py3-none-any.whl", "damaged"),
    ],
)
def test_nothing_changes_if_pip_fails(twins: Twins, index: Index, put: Put, line: str, word: str) -> None:
    work = twins.directory / "work"
    work.mkdir()
    (work / "hashes.txt").write_text(f"plain==1.0 --hash=sha256:{64 * 'a'}\n")
    (work / "no-hash.txt").write_text("plain==1.0\n")
    (work / "damaged-1.0-py3-none-any.whl").write_bytes(b"PK no wheel")
    line = line.replace("{directory}", str(work))
    for each in twins.both:
        put(each, "lib 1.0", "app 1.0")
    before = snapshot(twins.ours)
    theirs, own = twins.run("install", "-U", "-i", index.url, *line.split(), cwd=work)
    assert_said_alike(twins, theirs, own)
    assert own.returncode == 1
    assert word in own.stdout + own.stderr
    assert snapshot(twins.ours) == before
    assert leftovers(twins.ours) == []


def test_nothing_changes_if_our_transaction_fails(prefix: Path, home: Path, index: Index, put: Put) -> None:
    """A file of nobody is kept as a copy, one of another distribution is in the way: pip exits with 1, and says why."""
    from support.run import install
    from support.wheels import make_wheel

    install(prefix, make_wheel(home.parent / "own", "other", "1", {"app/main.py": "# another one\n"}))
    before = snapshot(prefix)
    done = end(start(our_command(prefix, "install", "-i", index.url, "plain", "app"), environment(home)))
    assert done.returncode == 1
    assert "app/main.py" in done.stderr
    assert "other" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Successfully" not in done.stdout
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


# --- killed ---


def start_download(prefix: Path, home: Path, index: Index) -> tuple[subprocess.Popen[str], Held]:
    """An upgrade of `lib`, in a process group of its own, whose download is held up."""
    held = index.hold("/files/lib-2.1")
    command = our_command(prefix, "install", "-U", "-i", index.url, "app")
    process = start(command, environment(home), start_new_session=True)
    held.wait()
    return process, held


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_during_a_download(prefix: Path, home: Path, index: Index, put: Put, how: signal.Signals) -> None:
    put(prefix, "lib 1.0")
    before = snapshot(prefix)
    process, held = start_download(prefix, home, index)
    process.send_signal(how)
    done = end(process)  # reads to the end of what all that it has started can write to
    held.wait_until_gone()
    assert done.returncode == (-how if how == signal.SIGKILL else 128 + how), done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(prefix) == before
    assert_gets_on(prefix, home, index)


def test_ctrl_c_during_a_download(prefix: Path, home: Path, index: Index, put: Put) -> None:
    """The whole group hears of it, pip as well as we."""
    put(prefix, "lib 1.0")
    before = snapshot(prefix)
    process, held = start_download(prefix, home, index)
    os.killpg(process.pid, signal.SIGINT)
    done = end(process)
    held.wait_until_gone()
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert snapshot(prefix) == before
    assert_gets_on(prefix, home, index)


@pytest.mark.parametrize("how", ["kill", "term", "ctrl-c"])
def test_killed_during_a_build(prefix: Path, home: Path, index: Index, put: Put, gate: Gate, how: str) -> None:
    tree = make_tree(home.parent / "slow", "slow", "1.0", hook=gate.hook)
    put(prefix, "lib 1.0")
    before = snapshot(prefix)
    process = start(
        our_command(prefix, "install", "-i", index.url, "plain", tree), environment(home), start_new_session=True
    )
    with gate.wait() as connection:
        if how == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        done = end(process)
        if how == "ctrl-c":
            assert connection.recv(1) == b""  # the build has heard of it, too
    # otherwise it ends when it is done, for nobody: plain pip leaves it alone as well
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert snapshot(prefix) == before
    assert_gets_on(prefix, home, index)


def assert_gets_on(prefix: Path, home: Path, index: Index) -> None:
    done = end(start(our_command(prefix, "install", "-U", "-i", index.url, "app"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert [each for each in names(prefix) if not each.startswith("pip ")] in (
        ["app 2.0", "lib 2.1"],
        ["app 2.0", "lib 1.0"],
    )
    assert leftovers(prefix) == []


def test_killed_at_several_points_of_the_commit(
    tmp_path: Path, prefix: Path, home: Path, index: Index, put: Put, template: Path
) -> None:
    """Each next command leaves the old or the new state, and it can be read which at the place of the kill."""
    put(prefix, "lib 1.0", "app 1.0")
    copy = tmp_path / "copy"
    copy_prefix(prefix, copy)
    old = snapshot(prefix)
    environ = {**environment(home), "PYTHONPATH": "", "SOURCE_DATE_EPOCH": "1600000000"}
    line = ["pip", "--prefix", str(prefix), "install", "-q", "-U", "-i", index.url, "app", "plain"]
    command = Command("main", str(prefix), line, environ=environ)
    with Puppet() as puppet:
        done = puppet.run(command)
        assert done.status == 0, done
        new = snapshot(prefix)
        assert new != old
        commit = [number for number, each in enumerate(done.operations, 1) if "/journal" in each]
        states = []
        for at in (1, commit[1] + 1, (commit[1] + commit[2]) // 2, commit[2], commit[2] + 1):
            restore(prefix, copy)
            outcome = puppet.run(command.killed(at))
            assert outcome.killed, (at, outcome)
            recovered = puppet.run(Command("recover", str(prefix)))
            assert recovered.status == 0, recovered
            assert leftovers(prefix) == []
            states.append(state(prefix, old, new))
    assert states == ["old", "old", "old", "old", "new"]


def restore(prefix: Path, copy: Path) -> None:
    import shutil

    shutil.rmtree(prefix)
    copy_prefix(copy, prefix)


def state(prefix: Path, old: Tree, new: Tree) -> str:
    tree = faded(snapshot(prefix))
    if tree == faded(old):
        return "old"
    found = difference(tree, faded(new))
    assert found == []
    return "new"


def test_pip_itself_is_killed(prefix: Path, home: Path, index: Index, put: Put, gate: Gate) -> None:
    """By whom ever: nothing was changed, and that is what is said."""
    hook = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"
    tree = make_tree(home.parent / "angry", "angry", "1.0", hook=hook)
    before = snapshot(prefix)
    done = end(start(our_command(prefix, "install", "-i", index.url, "plain", tree), environment(home)))
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert "sage-wheels: pip was ended by signal 9; nothing was changed\n" in done.stderr
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


# --- the disk is full, the prefix is not ours ---


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_prefix_that_cannot_be_written(prefix: Path, home: Path, index: Index) -> None:
    library = site_packages(prefix)
    library.chmod(0o555)
    try:
        done = end(start(our_command(prefix, "install", "-i", index.url, "plain"), environment(home)))
    finally:
        library.chmod(0o755)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_sdist_that_breaks_while_an_upgrade_waits(prefix: Path, home: Path, index: Index, put: Put) -> None:
    put(prefix, "app 1.0", "lib 1.0")
    tree = make_tree(home.parent / "late", "late", "1.0", hook="raise SystemExit('no')")
    sdist = make_sdist(home.parent, tree, "late", "1.0")
    before = snapshot(prefix)
    done = end(start(our_command(prefix, "install", "-U", "-i", index.url, "app", "plain", sdist), environment(home)))
    assert done.returncode == 1
    assert snapshot(prefix) == before
