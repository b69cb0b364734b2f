"""Bad input and bad luck: one sentence that names the thing, the place and what to do; the prefix untouched."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from support.projects import make_tree
from support.run import install, tool, tool_environment
from support.trees import leftovers, make_prefix, set_aside, site_packages, snapshot
from support.users import as_nobody
from support.wheels import make_wheel, record_row

LATER = sys.version_info[1] + 1


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix in which something is installed already."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path / "w", "owner", "1", {"owned.py": "x = 1\n"}))
    return prefix


def refusal(prefix: Path, *arguments: str | Path, status: int = 1) -> str:
    """Run the tool, which refuses; the sentence. The prefix is as it was."""
    before = snapshot(prefix)
    done = tool(arguments[0], "--prefix", prefix, *arguments[1:])
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    return sentence(done, status)


def sentence(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sage-wheels: error: ")
    assert "; " in lines[0], "it says what to do"
    return lines[0].removeprefix("sage-wheels: error: ")


def cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)


BAD: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "wheel for another Python": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"bad.py": ""}, tag=f"cp3{LATER}-cp3{LATER}-any"),
        (f"is for cp3{LATER}-cp3{LATER}-any, which the Python", "get or build a wheel for that Python"),
    ),
    "wheel for another platform": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"bad.py": ""}, tag="py3-none-win_amd64"),
        ("is for py3-none-win_amd64, which the Python", "get or build a wheel for that Python and platform"),
    ),
    "wheel that wants a later Python": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"bad.py": ""}, requires_python=f">=3.{LATER}"),
        (f"requires Python >=3.{LATER}", "--ignore-requires-python"),
    ),
    "wrong hash": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"bad.py": "a"}, rows={"bad.py": record_row("bad.py", "b")}),
        ("the content of 'bad.py' does not have the hash in its RECORD", "get the wheel again, or rebuild it"),
    ),
    "member missing from RECORD": (
        lambda tmp: make_wheel(tmp, "bad", "1", {}, unlisted={"bad.py": ""}),
        ("'bad.py' is not listed in its RECORD", "get the wheel again, or rebuild it"),
    ),
    "RECORD row without member": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"bad.py": ""}, leave_out=["bad.py"]),
        ("lists 'bad.py', which is not in it", "get the wheel again, or rebuild it"),
    ),
    "path leaving its scheme": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"../../../bin/bad": ""}),
        ("the member name '../../../bin/bad' is no plain path inside the archive", "get the wheel again"),
    ),
    "script that would replace the interpreter": (
        lambda tmp: make_wheel(tmp, "bad", "1", {}, data={"scripts/python": "#!python\n"}),
        ("its bad-1.data/scripts/python would replace the interpreter bin/python", "do not install it"),
    ),
    "data that would replace the interpreter": (
        lambda tmp: make_wheel(tmp, "bad", "1", {}, data={"data/bin/python3": "#!python\n"}),
        ("its bad-1.data/data/bin/python3 would replace the interpreter bin/python3", "do not install it"),
    ),
    "entry point that would replace the interpreter": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"bad.py": ""}, entry_points={"python3": "bad:main"}),
        ("its entry point 'python3' would replace the interpreter", "get the wheel again"),
    ),
    "data that would replace pyvenv.cfg": (
        lambda tmp: make_wheel(tmp, "bad", "1", {}, data={"data/pyvenv.cfg": ""}),
        ("its bad-1.data/data/pyvenv.cfg would replace pyvenv.cfg", "do not install it"),
    ),
    "data that would replace our journal": (
        lambda tmp: make_wheel(tmp, "bad", "1", {}, data={"data/var/lib/sage-wheels/journal": ""}),
        ("would replace var/lib/sage-wheels/journal", "do not install it"),
    ),
    "conflict": (
        lambda tmp: make_wheel(tmp, "bad", "1", {"owned.py": "x = 2\n"}),
        ("bad would replace", "owned.py, which belongs to owner 1", "--on-conflict overwrite"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(tmp_path: Path, prefix: Path, name: str) -> None:
    make, fragments = BAD[name]
    wheel = make(tmp_path)
    message = refusal(prefix, "install", wheel)
    for each in (*fragments, *(() if name == "conflict" else (str(wheel),))):
        assert each in message, message


@pytest.mark.parametrize("damage", [cut_in_half, flip_a_byte], ids=lambda each: each.__name__.replace("_", " "))
def test_damaged_zip(tmp_path: Path, prefix: Path, damage: Callable[[Path], None]) -> None:
    wheel = make_wheel(tmp_path, "bad", "1", {"bad.py": "x = 1\n" * 99})
    damage(wheel)
    assert refusal(prefix, "install", wheel).startswith(f"{wheel} is damaged: ")


def test_not_there(tmp_path: Path, prefix: Path) -> None:
    wheel = tmp_path / "gone-1-py3-none-any.whl"
    assert str(wheel) in refusal(prefix, "install", wheel)


def test_no_prefix(tmp_path: Path) -> None:
    done = tool("install", "--prefix", tmp_path / "none", make_wheel(tmp_path, "good", "1", {"good.py": ""}))
    assert sentence(done).startswith(f"the prefix {tmp_path}/none is not there; make it first")


def test_a_current_directory_that_was_deleted(tmp_path: Path, prefix: Path) -> None:
    """As of a shell that somebody has left open. With full paths, nothing needs it but pip."""
    wheel = make_wheel(tmp_path / "w", "late", "1", {"late.py": ""}, entry_points={"late": "late:main"})
    gone = tmp_path / "gone"
    for line in (["install", wheel], ["list"], ["verify"], ["uninstall", "late"], ["undo"]):
        gone.mkdir()
        script = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
        command = [sys.executable, "-m", "sage_wheels", *line, "--prefix", prefix]
        subprocess.run(["sh", "-c", script, "sh", *command], env=tool_environment(), capture_output=True, check=True)
    assert (prefix / "bin/late").exists()
    for line, status in (
        (["pip", "--prefix", prefix, "list"], 2),
        (["config"], 1),
        (["build", "--wheel-dir", "wheels", make_tree(tmp_path / "tree", "early", "1")], 1),
        (["build", "--wheel-dir", tmp_path, "./tree"], 1),
        (["install", "--prefix", prefix, "./late-1-py3-none-any.whl"], 1),
        (["lock", "--prefix", prefix, "-o", "file"], 1),
    ):
        gone.mkdir()
        command = [sys.executable, "-m", "sage_wheels", *line]
        done = subprocess.run(
            ["sh", "-c", script, "sh", *command], env=tool_environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (status, False)
        assert done.stderr.count("the current directory was deleted") == 1


def test_a_locale_that_lacks_characters(tmp_path: Path, prefix: Path) -> None:
    """ASCII, as an example of those that are not UTF-8: what is printed is escaped, and file names are refused."""
    ascii_only = tool_environment(LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    metadata = "Metadata-Version: 2.1\nName: described\nVersion: 1\nSummary: Übung \u65e5\n"
    described = make_wheel(tmp_path, "described", "1", {"described.py": ""}, metadata_text=metadata)
    install(prefix, described)
    shown = tool("show", "--prefix", prefix, "described", env=ascii_only)
    assert shown.returncode == 0, shown.stderr
    assert "summary: \\xdcbung \\u65e5" in shown.stdout
    named = make_wheel(tmp_path, "named", "1", {"na\u00efve/data": ""})
    before = snapshot(prefix)
    done = tool("install", "--prefix", prefix, named, env=ascii_only)
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    said = sentence(done)
    assert "na\\xefve (the character set of the locale, ascii, cannot express it); set LC_ALL=C.UTF-8" in said


def test_a_path_that_is_not_text_is_printed_byte_for_byte(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path / "wheels") + b"\xff"
    tree = make_tree(tmp_path / "tree", "early", "1")
    command: list[str | bytes | Path] = [sys.executable, "-m", "sage_wheels", "build", "--wheel-dir", directory, tree]
    environ = {**tool_environment(), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, env=environ, capture_output=True, check=True)
    assert done.stdout == directory + b"/early-1-py3-none-any.whl\n"


def test_a_umask_that_keeps_the_owner_out(tmp_path: Path, prefix: Path) -> None:
    """The owner can read and write everything that arrives; nobody else can."""
    wheel = make_wheel(tmp_path, "good", "1", {"good/a.py": ""}, entry_points={"good": "good.a:main"})
    done = tool("install", "--prefix", prefix, wheel, preexec_fn=lambda: os.umask(0o777))
    assert done.returncode == 0, done.stderr
    package = site_packages(prefix) / "good"
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (package, package / "a.py", prefix / "bin/good")]
    assert modes[:2] == [0o700, 0o600]
    assert modes[2] & 0o700 == 0o700
    assert (prefix / "var/lib/sage-wheels").stat().st_mode & 0o700 == 0o700
    tree = make_tree(tmp_path / "tree", "early", "1")
    made = tool("build", "--wheel-dir", tmp_path / "out", tree, preexec_fn=lambda: os.umask(0o777))
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(Path(made.stdout.rstrip()).stat().st_mode) == 0o600


def test_unknown_files(prefix: Path) -> None:
    (site_packages(prefix) / "owner-1.dist-info/RECORD").write_text('"')
    assert "what belongs to owner 1 is not known" in refusal(prefix, "uninstall", "owner")


def test_lock_not_obtained_in_time(tmp_path: Path, prefix: Path) -> None:
    import fcntl

    wheel = make_wheel(tmp_path, "good", "1", {"good.py": ""})
    with open(prefix / "var/lib/sage-wheels/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = snapshot(prefix)
        done = tool("install", "--prefix", prefix, "--lock-timeout", "0", wheel)
    assert done.returncode == 3
    waiting, failed = done.stderr.splitlines()
    assert waiting.startswith("sage-wheels: waiting for ")
    assert "was not free within 0 s, held by process" in failed
    assert "longer --lock-timeout" in failed
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


# --- what the operating system refuses ---

COMMANDS = {
    "install": ["install", "good-1-py3-none-any.whl"],
    "upgrade": ["install", "owner-2-py3-none-any.whl"],
    "uninstall": ["uninstall", "owner"],
}


def wheels(directory: Path) -> None:
    make_wheel(directory, "good", "1", {"good.py": "x = 1\n", "big.bin": os.urandom(2 << 20)})
    make_wheel(directory, "owner", "2", {"owned.py": "x = 2\n", "big.bin": os.urandom(2 << 20)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
@pytest.mark.parametrize("command", COMMANDS)
def test_no_permission(tmp_path: Path, prefix: Path, command: str) -> None:
    user = nobody(tmp_path)
    wheels(tmp_path)
    before = snapshot(prefix)
    done = tool(*COMMANDS[command], "--prefix", prefix, cwd=tmp_path, **user)
    message = sentence(done)
    assert os.strerror(errno.EACCES) in message
    assert str(prefix) in message
    assert message.endswith("; run the command as a user who has the permission, such as the owner of that path")
    assert os.path.exists(message.partition(" failed at ")[2].partition(" (")[0]), "it has an owner"
    assert snapshot(prefix) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_change_of_another_user_is_not_for_us_to_undo(tmp_path: Path, prefix: Path) -> None:
    user = nobody(tmp_path)
    for path in [prefix, *prefix.rglob("*")]:
        if path.parent.name != "history":
            os.chown(path, user["user"], user["group"], follow_symlinks=False)
    message = sentence(tool("undo", "--prefix", prefix, cwd=tmp_path, **user))
    assert message.endswith(f"{os.strerror(errno.EACCES)}; run the command as the user who made that change")


def nobody(tmp_path: Path) -> dict[str, Any]:
    """As `as_nobody`, with a home, and with the permission to go to `tmp_path`."""
    user = as_nobody()
    for directory in [tmp_path, *tmp_path.parents]:
        if not directory.stat().st_mode & stat.S_IXOTH and directory.owner() == "root":
            directory.chmod(directory.stat().st_mode | 0o711) if directory.name.startswith(
                ("test_", "pytest-", "popen-")
            ) else None
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, user["user"], user["group"])
    return {"env": tool_environment(HOME=str(home)), **user}


def test_no_permission_to_write_as_anybody_but_root(tmp_path: Path, prefix: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    wheels(tmp_path)
    library = site_packages(prefix)
    library.chmod(0o555)
    try:
        done = tool("install", "good-1-py3-none-any.whl", "--prefix", prefix, cwd=tmp_path)
        assert os.strerror(errno.EACCES) in sentence(done)
        assert not (library / "good.py").exists()
    finally:
        library.chmod(0o755)


def closed_package(tmp_path: Path, prefix: Path) -> Path:
    """Install a package, edit a file in a directory of it, and close the directory; the directory."""
    install(prefix, make_wheel(tmp_path, "closed", "1", {"closed/__init__.py": "", "closed/sub/a.py": "x = 1\n"}))
    directory = site_packages(prefix) / "closed/sub"
    (directory / "a.py").write_text("mine")
    directory.chmod(0)
    return directory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read a directory that is closed")
def test_root_sets_aside_what_was_edited_in_a_directory_that_is_closed(tmp_path: Path, prefix: Path) -> None:
    closed_package(tmp_path, prefix)
    assert tool("uninstall", "closed", "--prefix", prefix).returncode == 0
    assert list(set_aside(prefix).values()) == [b"mine"]
    assert not (site_packages(prefix) / "closed").exists()


def test_what_was_edited_in_a_directory_that_is_closed_is_not_lost(tmp_path: Path, prefix: Path) -> None:
    """Who may not read it cannot tell what was edited in it: nothing is removed until the directory is opened."""
    user = as_nobody()
    directory = closed_package(tmp_path, prefix)
    if user:
        own(prefix, user["user"])
    done = tool("uninstall", "closed", "--prefix", prefix, **user)
    assert f"chmod u+rwx {directory}'" in sentence(done)
    assert set_aside(prefix) == {}
    directory.chmod(0o755)
    assert (directory / "a.py").read_text() == "mine"
    done = tool("uninstall", "closed", "--prefix", prefix, **user)
    assert done.returncode == 0, done.stderr
    assert list(set_aside(prefix).values()) == [b"mine"]
    assert not directory.parent.exists()


def test_a_home_that_cannot_be_read(tmp_path: Path, prefix: Path) -> None:
    """As after `sudo -u`: there is no configuration file for whoever may not read it."""
    user = as_nobody()
    if user:
        own(prefix, user["user"])
    home = tmp_path / "home"
    home.mkdir(mode=0)
    try:
        done = tool("list", "--prefix", prefix, env=tool_environment(HOME=str(home)), **user)
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["owner", "1"]), done.stderr
    finally:
        home.chmod(0o700)


def own(prefix: Path, user: int) -> None:
    """Let `prefix` belong to `user`, who can get there."""
    for where, directories, files in os.walk(prefix):
        for name in (".", *directories, *files):
            os.lchown(os.path.join(where, name), user, user)
    for directory in prefix.parents:
        if directory.name.startswith(("test_", "pytest-", "popen-")):
            directory.chmod(directory.stat().st_mode | 0o711)


def can_mount() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def mounts() -> None:
    if not can_mount():
        pytest.skip("no file system can be mounted here")


def in_mount(script: str, prefix: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the tool where `script` has mounted something on "$1"; the mount is gone with the process."""
    command = ["unshare", "-m", "sh", "-ec", f'{script}\nshift\nexec "$@"', "sh", str(prefix)]
    command += [sys.executable, "-m", "sage_wheels", *arguments, "--prefix", str(prefix)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=tool_environment())


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("command", COMMANDS)
def test_read_only_file_system(tmp_path: Path, prefix: Path, command: str) -> None:
    wheels(tmp_path)
    before = snapshot(prefix)
    script = 'mount --bind "$1" "$1"\nmount -o remount,ro,bind "$1"'
    message = sentence(in_mount(script, prefix, *COMMANDS[command], cwd=tmp_path))
    assert os.strerror(errno.EROFS) in message
    assert str(prefix) in message
    assert message.endswith("; mount that file system writable, or name another place")
    assert snapshot(prefix) == before


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("what", ["gc", "clear"])
def test_nothing_is_deleted_from_a_read_only_store(tmp_path: Path, what: str) -> None:
    """And it is neither said that it was, nor to name another place."""
    store = tmp_path / "store"
    (store / "content" / "ab").mkdir(parents=True)
    old = store / "content" / "ab" / "abcd"
    old.write_text("content")
    os.utime(old, (0, 0))
    script = 'mount --bind "$1" "$1"\nmount -o remount,ro,bind "$1"\nshift\nexec "$@"'
    command = [sys.executable, "-m", "sage_wheels", "cache", what, "--cache-dir", str(store), "--cache-size", "1"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", str(store), *command],
        capture_output=True,
        text=True,
        env=tool_environment(),
    )
    message = sentence(done)
    assert message.startswith(f"'cache {what}' failed at {store}")
    assert message.endswith("; nothing can be deleted in it unless you may write there")
    assert done.stdout == ""
    assert old.exists()


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("options", [[], ["--rebuild"], ["--in-place"], ["--rebuild", "a second source"]])
def test_read_only_cache(tmp_path: Path, options: list[str | Path]) -> None:
    """What it has is taken; what it does not have is built in a temporary directory."""
    tree = make_tree(tmp_path / "tree", "early", "1")
    cache = tmp_path / "cache"
    options[1:] = [make_tree(tmp_path / "other", "later", "1") for _ in options[1:]]
    line: list[str | Path] = ["build", *options, "--wheel-dir", tmp_path / "out", tree, "--cache-dir", cache]
    assert tool(*line).returncode == 0
    script = 'mount --bind "$1" "$1"\nmount -o remount,ro,bind "$1"\nshift\n"$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(cache), sys.executable, "-m", "sage_wheels"]
    done = subprocess.run([*command, *map(str, line)], capture_output=True, text=True, env=tool_environment())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("does not work") == 1
    assert f"the store {cache} does not work (Read-only file system)" in done.stderr
    assert ("comes from the store" in done.stderr) == (not options)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_log_on_a_full_disk(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "early", "1")
    done = tool("build", "--wheel-dir", tmp_path, "--log", "/dev/full", "--cache-dir", tmp_path / "cache", tree)
    assert sentence(done).startswith(f"building early failed at /dev/full ({os.strerror(errno.ENOSPC)}); free some")


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("command", ["install", "upgrade"])
def test_disk_full(tmp_path: Path, prefix: Path, command: str) -> None:
    wheels(tmp_path)
    copy = tmp_path / "copy"
    script = f'cp -a "$1" {copy}\nmount -t tmpfs -o size=1m tmpfs "$1"\ncp -a {copy}/. "$1"'
    find = f'find {prefix} -path "*/sage-wheels/cache" -prune -o -print'
    listing = f'{script}\nshift\n"$@" || status=$?\n{find}\nexit $status'
    command_line = [sys.executable, "-m", "sage_wheels", *COMMANDS[command], "--prefix", str(prefix)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", listing, "sh", str(prefix), *command_line],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=tool_environment(),
    )
    there = sorted([str(prefix), *(str(each) for each in prefix.rglob("*") if "/sage-wheels/cache" not in str(each))])
    assert sorted(done.stdout.splitlines()) == there
    done.stdout = ""
    message = sentence(done)
    assert os.strerror(errno.ENOSPC) in message
    assert message.endswith("; free some space and run the command again")


@pytest.mark.usefixtures("mounts")
def test_uninstalling_from_a_full_disk_frees_it(tmp_path: Path, prefix: Path) -> None:
    """Removing needs a little space for the journal; with none at all it says so, and with some it works."""
    script = f'cp -a "$1" {tmp_path}/copy\nmount -t tmpfs -o size=1m tmpfs "$1"\ncp -a {tmp_path}/copy/. "$1"'
    script += '\ndd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null || :\ntruncate -s -64k "$1/filler"'
    done = in_mount(script, prefix, "uninstall", "owner", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, f"sage-wheels: owner 1 uninstalled from {prefix}")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("chattr") is None, reason="needs root and chattr(1)")
@pytest.mark.parametrize("name", ["one.py", "two", "script"])
def test_what_is_immutable_is_named(tmp_path: Path, prefix: Path, name: str) -> None:
    """And not the path in the stage to which it could not be moved."""
    files = {"one.py": "", "two/__init__.py": ""}
    install(prefix, make_wheel(tmp_path, "probe", "1", files, data={"scripts/script": "#!python\n"}))
    fixed = prefix / "bin/script" if name == "script" else site_packages(prefix) / name
    if subprocess.run(["chattr", "+i", fixed], capture_output=True).returncode:
        pytest.skip("this file system has no attributes")
    try:
        done = tool("uninstall", "--prefix", prefix, "probe")
    finally:
        subprocess.run(["chattr", "-i", fixed], check=True)
    assert done.returncode == 1
    assert f"failed at {fixed} (Operation not permitted); if it" in done.stderr
    assert "chattr -i" in done.stderr
    assert sage_wheels.verify("probe", prefix) == []
