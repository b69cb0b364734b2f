"""The prefix lock between whole commands: one writer, who is named, is not slowed down, and cleans up first.

Promise 1.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from support import watched
from support.puppet import Command, Puppet, child_environment
from support.run import install, names, tool
from support.trees import STATE, Tree, leftovers, make_prefix, site_packages, snapshot
from support.watched import Event
from support.wheels import Content, make_wheel

# "Nothing slow happens under that lock": no build, no unzip, no hash, no byte-code, no subprocess, no network.
SLOW = ("subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.system", "socket.", "compile", "import", "zlib.")
LISTING = ("os.scandir", "os.listdir")
A_STEP = "/new/"  # a rename out of the stage: the journal counts already
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix in which `there` 1 is installed."""
    prefix = make_prefix(tmp_path)
    install(prefix, wheel(tmp_path, "there", "1"))
    return prefix


def wheel(directory: Path, name: str, version: str, files: int = 3) -> Path:
    content: dict[str, Content] = {f"{name}/part{n}.py": f"VERSION = {version!r}\n" for n in range(files)}
    content[f"{name}_single.py"] = "def main():\n    pass\n"
    content[f"{name}.pth"] = f"# {version}\n"
    points = {name: f"{name}_single:main"}
    return make_wheel(directory / "wheels", name, version, content, entry_points=points)


@contextlib.contextmanager
def holder(prefix: Path, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """An installation of `slow` 1, stopped in the middle of its commit."""
    arguments: list[str | Path] = ["install", "--prefix", prefix, wheel(directory, "slow", "1")]
    with watched.stopped(*arguments, at=A_STEP) as process:
        try:
            yield process
        finally:
            process.kill()


def lock_of(prefix: Path) -> Path:
    return prefix / STATE / "lock"


def read_waiting(process: subprocess.Popen[str]) -> str:
    """The sentence of a process that waits for the lock."""
    assert process.stderr
    line = process.stderr.readline()
    assert line.startswith("sage-wheels: waiting for "), line
    return line


def assert_named(sentence: str, process: subprocess.Popen[str]) -> None:
    """The holder is named: process, host, since when, and its command."""
    host = re.escape(os.uname().nodename)
    wanted = rf"held by process {process.pid} on {host} since \d\d:\d\d:\d\d \(sage-wheels install --prefix .+\)"
    assert re.search(wanted, sentence), sentence


# --- one writer ---


def test_a_running_installation_keeps_everybody_out(tmp_path: Path, prefix: Path) -> None:
    with holder(prefix, tmp_path):
        with open(lock_of(prefix)) as f:
            for how in (fcntl.LOCK_EX, fcntl.LOCK_SH):
                with pytest.raises(BlockingIOError):
                    fcntl.flock(f, how | fcntl.LOCK_NB)
        with pytest.raises(Timeout):
            FileLock(lock_of(prefix), timeout=0, fallback_to_soft=False).acquire()


def test_whoever_waits_is_told_for_whom_and_gets_on_afterwards(tmp_path: Path, prefix: Path) -> None:
    with holder(prefix, tmp_path) as first:
        second = watched.start("install", "--prefix", prefix, wheel(tmp_path, "waiting", "1"))
        assert_named(read_waiting(second), first)
        first.communicate("go\n")
        _, said = second.communicate()
    assert (first.returncode, second.returncode) == (0, 0), said
    assert said == f"sage-wheels: waiting 1 installed into {prefix}\n"
    assert names(prefix) == ["slow 1", "there 1", "waiting 1"]
    assert leftovers(prefix) == []


@pytest.mark.parametrize("command", ["install", "uninstall", "recover"])
def test_a_lock_timeout_is_status_3(tmp_path: Path, prefix: Path, command: str) -> None:
    late = wheel(tmp_path, "late", "1")
    every: dict[str, list[str | Path]] = {"install": [late], "uninstall": ["there"], "recover": []}
    items = every[command]
    with holder(prefix, tmp_path) as first:
        done = tool(command, "--prefix", prefix, "--lock-timeout", "0.01", *items)
        _, said = first.communicate("go\n")
    assert first.returncode == 0, said
    assert done.returncode == 3
    assert done.stdout == ""
    waiting, failed = done.stderr.splitlines()
    assert waiting.startswith("sage-wheels: waiting for ")
    assert failed.startswith(f"sage-wheels: error: {lock_of(prefix)} was not free within 0.01 s, ")
    assert failed.endswith("; wait for that process or give a longer --lock-timeout")
    assert_named(failed, first)
    assert names(prefix) == ["slow 1", "there 1"]
    assert leftovers(prefix) == []


def test_a_killed_holder_blocks_nobody_and_is_undone(tmp_path: Path, prefix: Path) -> None:
    before = snapshot(prefix)
    with holder(prefix, tmp_path) as first:
        second = watched.start("uninstall", "--prefix", prefix, "nobody", "--lock-timeout", "600")
        read_waiting(second)
        first.send_signal(signal.SIGKILL)
        _, said = second.communicate()
    assert second.returncode == 0, said
    assert snapshot(prefix) == before
    # of the locks of a killed process, the prefix lock may go first: its stage then waits for the next command
    assert tool("recover", "--prefix", prefix).returncode == 0
    assert leftovers(prefix) == []


def test_a_lock_file_that_is_deleted_meanwhile_locks_nobody_out_and_nobody_in(tmp_path: Path, prefix: Path) -> None:
    path = lock_of(prefix)
    with open(path) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = watched.start("install", "--prefix", prefix, wheel(tmp_path, "waiting", "1"), stop=A_STEP)
        read_waiting(waiting)
        path.unlink()
    assert waiting.stdout
    assert waiting.stdout.readline() == "stopped\n"  # it has the lock: that of the file that is there now
    assert json.loads(path.read_text())["pid"] == waiting.pid
    with open(path) as f, pytest.raises(BlockingIOError):
        fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    waiting.communicate("go\n")
    assert waiting.returncode == 0
    assert names(prefix) == ["there 1", "waiting 1"]


def test_filelock_keeps_us_out(tmp_path: Path, prefix: Path) -> None:
    before = snapshot(prefix)
    with FileLock(lock_of(prefix), fallback_to_soft=False):
        late = tool("install", "--prefix", prefix, "--lock-timeout", "0", wheel(tmp_path, "late", "1"))
        waiting = watched.start("uninstall", "--prefix", prefix, "there")
        read_waiting(waiting)
        assert snapshot(prefix) == before
    _, said = waiting.communicate()
    assert late.returncode == 3
    assert waiting.returncode == 0, said
    assert names(prefix) == []


def test_a_dry_run_and_reading_do_not_wait(tmp_path: Path, prefix: Path) -> None:
    with open(lock_of(prefix)) as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        for arguments in (["list"], ["files", "there"], ["verify"], ["uninstall", "--dry-run", "there"]):
            done = tool(arguments[0], "--prefix", prefix, *arguments[1:])
            assert done.returncode == 0, done.stderr


# --- what an earlier process left ---

TAKES_THE_LOCK = {
    "install": ["install", "NEW"],
    "install what is installed": ["install", "SAME"],
    "reinstall": ["install", "--reinstall", "SAME"],
    "uninstall": ["uninstall", "there"],
    "uninstall what is not installed": ["uninstall", "nobody"],
    "recover": ["recover"],
    "pip-install": ["pip-install", "NEW"],
    "pip-uninstall": ["pip-uninstall", "-y", "nobody"],
    "move-tree": ["move-tree", "TREE", "PREFIX"],
}


@pytest.mark.parametrize("name", TAKES_THE_LOCK)
def test_every_command_undoes_first_what_was_left(tmp_path: Path, prefix: Path, name: str) -> None:
    (tmp_path / "tree/share").mkdir(parents=True)
    (tmp_path / "tree/share/moved.txt").write_text("moved")
    items: dict[str, Path] = {"NEW": wheel(tmp_path, "new", "1"), "SAME": wheel(tmp_path, "there", "1")}
    items.update({"TREE": tmp_path / "tree", "PREFIX": prefix})
    command, *rest = TAKES_THE_LOCK[name]
    where: list[str | Path] = [] if command.startswith("pip-") or "TREE" in rest else ["--prefix", prefix]
    arguments: list[str | Path] = [command, *where, *(items.get(each, each) for each in rest)]
    copy = tmp_path / "copy"
    shutil.copytree(prefix, copy, symlinks=True)
    environment = child_environment(SAGE_VENV=str(prefix))

    undisturbed = tool(*arguments, env=environment)
    assert undisturbed.returncode == 0, undisturbed.stderr
    expected = without_times(prefix)

    shutil.rmtree(prefix)
    shutil.copytree(copy, prefix, symlinks=True)
    if "TREE" in rest:
        (tmp_path / "tree/share").mkdir(parents=True)
        (tmp_path / "tree/share/moved.txt").write_text("moved")
    kill_in_the_commit(prefix, wheel(tmp_path, "there", "2"))
    done = tool(*arguments, env=environment)
    assert done.returncode == 0, done.stderr
    assert "undid an interrupted installation of " in done.stderr
    assert not (prefix / STATE / "journal").exists()
    assert without_times(prefix) == expected
    recovered = tool("recover", "--prefix", prefix)
    assert recovered.returncode == 0, recovered.stderr
    assert leftovers(prefix) == []


def without_times(prefix: Path) -> Tree:
    """The tree, but for byte-code, in which the time of its source stands."""
    return {path: entry for path, entry in snapshot(prefix).items() if not path.endswith(".pyc")}


def kill_in_the_commit(prefix: Path, new: Path) -> None:
    """Kill an upgrade after half of its steps."""
    before = snapshot(prefix)
    with watched.stopped("install", "--prefix", prefix, new, at="/there_single.py") as process:
        process.kill()
    assert (prefix / STATE / "journal").exists()
    assert snapshot(prefix) != before


# --- nothing slow under the lock, nothing imported after it ---


def commands(directory: Path, prefix: Path, files: int = 3) -> dict[str, list[str | Path]]:
    """Command lines that are run one after the other."""
    new = [wheel(directory / f"{files}", "one", version, files) for version in ("1", "2")]
    others = [wheel(directory / f"{files}", name, "1", files) for name in ("two", "three")]
    at: list[str | Path] = ["--prefix", prefix]
    return {
        "install": ["install", *at, new[0]],
        "upgrade": ["install", "--json", *at, new[1]],
        "several": ["install", *at, new[0], *others],
        "uninstall": ["uninstall", *at, "one"],
        "uninstall of several": ["uninstall", "--json", *at, "two", "three"],
        "recover": ["recover", *at],
    }


def watch(tmp_path: Path, *arguments: str | Path) -> list[Event]:
    process = watched.start(*arguments, report=tmp_path / "report")
    _, said = process.communicate()
    assert process.returncode == 0, said
    found = watched.events(tmp_path / "report")
    assert found[0] == Event(True, "fcntl.flock", found[0].what)
    return found


def assert_not_slow(prefix: Path, held: list[Event]) -> None:
    journal = str(prefix / STATE / "journal")
    for event in held:
        assert not event.name.startswith(SLOW), event
        if event.name == "open":
            assert not event.flags & WRITING, event
            # so nothing is hashed and no wheel is read
            assert event.flags & os.O_DIRECTORY or event.what == journal, event


@pytest.mark.parametrize("way", ["usual", "after a kill", "changed meanwhile"])
def test_nothing_slow_is_done_under_the_lock(tmp_path: Path, prefix: Path, way: str) -> None:
    for name, arguments in commands(tmp_path, prefix).items():
        if way == "after a kill":
            kill_in_the_commit(prefix, wheel(tmp_path, "there", "2"))
        found = watch(tmp_path, *arguments)
        if way == "changed meanwhile":
            # what pip does in the prefix makes the listing out of date; comparing the directory is all that it costs
            install(prefix, wheel(tmp_path, f"other{len(name)}", "1"))
            found += watch(tmp_path, "install", "--reinstall", "--prefix", prefix, wheel(tmp_path, "there", "1"))
        held = [event for event in found if event.held]
        assert len(held) > 1
        assert_not_slow(prefix, held)


def test_what_is_done_under_the_lock_does_not_grow_with_the_package(tmp_path: Path, prefix: Path) -> None:
    counts = []
    for files in (3, 300):
        found = {name: watch(tmp_path, *args) for name, args in commands(tmp_path, prefix, files).items()}
        # a library directory that was changed a moment ago is listed, others are not
        counts.append({name: sum(e.held and e.name not in LISTING for e in each) for name, each in found.items()})
    assert counts[0] == counts[1]


def test_nothing_is_imported_after_the_commit(tmp_path: Path, prefix: Path) -> None:
    """What is installed cannot get into the process that installs it (CVE-2026-6357), not even by accident."""
    for arguments in commands(tmp_path, prefix).values():
        after = [event for event in watch(tmp_path, *arguments) if not event.held]
        assert after
        assert [event for event in after if event.name in ("import", "exec", "compile")] == []


def test_what_is_installed_is_never_imported(tmp_path: Path, prefix: Path) -> None:
    """Not even by a tool that runs in the prefix itself, from a wheel that brings modules of the standard library."""
    evil = "import os\nos.write(2, b'IMPORTED\\n')\nos._exit(66)\n"
    modules = [*sys.stdlib_module_names, "sage_wheels", "packaging", "filelock", "installer"]
    content: dict[str, Content] = {f"{name}.py": evil for name in modules if name not in ("os", "sys", "this")}
    bad = make_wheel(tmp_path, "bad", "1", content)
    program = (
        "import sys\n"
        "from sage_wheels.cli import main\n"
        f"sys.path.insert(0, {str(site_packages(prefix))!r})\n"
        f"sys.exit(main(['install', '--no-compile', '--prefix', {str(prefix)!r}, {str(bad)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=child_environment(), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"sage-wheels: bad 1 installed into {prefix}\n"


STRACE = shutil.which("strace")
# System calls that a commit needs: names are moved, looked at and listed; one line is written about the holder.
QUICK = {
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"),
    *("stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat"),
    *("openat", "open", "close", "read", "lseek", "getdents64", "fcntl", "ioctl", "flock"),
    *("rt_sigprocmask", "getpid", "gettid", "uname", "clock_gettime", "brk", "mmap", "munmap", "futex", "madvise"),
}


@pytest.mark.skipif(not STRACE, reason="needs strace")
def test_the_system_calls_under_the_lock(tmp_path: Path, prefix: Path) -> None:
    """The same from outside: what audit events do not tell of is a write to an open file, a wait, an fsync."""
    assert STRACE
    for arguments in commands(tmp_path, prefix).values():
        trace = tmp_path / "trace"
        command = [STRACE, "-y", "-o", str(trace), sys.executable, "-B", "-m", "sage_wheels", *map(str, arguments)]
        done = subprocess.run(command, env=child_environment(), cwd="/", capture_output=True, text=True, check=False)
        if "PTRACE" in done.stderr or "ptrace" in done.stderr:
            pytest.skip("processes may not be traced here")
        assert done.returncode == 0, done.stderr
        calls = under_the_lock(trace.read_text(errors="replace").splitlines(), str(lock_of(prefix)))
        written = [call for call in calls if call.startswith(("pwrite64(", "write("))]
        assert len(written) <= 2, written  # who holds the lock; and the number of the change, for the history
        assert all(call.startswith("pwrite64(") and '{\\"pid\\"' in call for call in written), written
        assert [call for call in calls if call.partition("(")[0] not in {*QUICK, "pread64", "pwrite64"}] == []


def under_the_lock(calls: list[str], lock: str) -> list[str]:
    """The system calls between the one that took the lock and the one that let it go."""
    directory, _, name = lock.rpartition("/")
    where = f'<{directory}>, "{name}"'
    opened = max(n for n, call in enumerate(calls) if call.startswith("openat(") and where in call)
    fd = calls[opened].rpartition(" = ")[2]
    begin = next(n for n in range(opened, len(calls)) if calls[n].startswith(f"flock({fd}, LOCK_EX"))
    end = next(n for n in range(begin, len(calls)) if calls[n].startswith(f"close({fd})"))
    return calls[begin + 1 : end]


# --- the same through the API, at every step of a commit ---


@pytest.fixture(scope="module")
def puppet() -> Iterator[Puppet]:
    with Puppet() as it:
        yield it


def test_the_lock_is_let_go_after_every_error(tmp_path: Path, prefix: Path, puppet: Puppet) -> None:
    """Whatever fails, the process that goes on has not kept the lock."""
    import errno

    new = str(wheel(tmp_path, "there", "2"))
    at = 0
    while True:
        at += 1
        outcome = puppet.run(Command("install", str(prefix), [new], reinstall=True).failing(at, errno.EIO))
        assert outcome.descriptors == 0, outcome
        if len(outcome.operations) < at:  # nothing failed; some of what it does a command can do without
            assert outcome.status == 0
            break
    assert at > 10
