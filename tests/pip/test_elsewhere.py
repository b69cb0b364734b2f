"""--target, --user, --root and --prefix are pip's business; the lock is held exactly where that touches the prefix."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from support.index import Index
from support.trees import STATE, Tree, difference, snapshot
from support.twins import Twins, comparable, end, environment, our_command, pip_command, start


def is_locked(prefix: Path) -> bool:
    lock = prefix / STATE / "lock"
    if not lock.exists():
        return False
    with open(lock) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


INSIDE = {
    "target": (["--target", "{prefix}/share/more"], {}),
    "target from here": (["--target=env/share/more"], {}),
    "target through a link": (["--target", "{link}/more"], {}),
    "target from the environment": ([], {"PIP_TARGET": "{prefix}/share/more"}),
    "prefix": (["--prefix", "{prefix}"], {}),
    "root and prefix": (["--root", "{prefix}/share", "--prefix", "/more"], {}),
}
OUTSIDE = {
    "target": (["--target", "{goal}"], {}),
    "target that begins with the same letters": (["--target", "{prefix}-2"], {}),
    "prefix": (["--prefix={goal}"], {}),
    "root": (["--root", "{goal}"], {}),
    "user": (["--user"], {"PYTHONUSERBASE": "{goal}"}),
    "user from the environment": ([], {"PIP_USER": "1", "PYTHONUSERBASE": "{goal}"}),
}


@pytest.mark.parametrize("name", [*(f"inside: {each}" for each in INSIDE), *(f"outside: {each}" for each in OUTSIDE)])
def test_as_pip_does_it_and_locked_where_the_prefix_is_touched(twins: Twins, index: Index, name: str) -> None:
    where, _, what = name.partition(": ")
    options, variables = (INSIDE if where == "inside" else OUTSIDE)[what]
    for each in twins.both:
        configuration = each / "pyvenv.cfg"  # where the user's packages are seen; a new file, for it is linked
        text = configuration.read_text().replace("packages = false", "packages = true")
        configuration.unlink()
        configuration.write_text(text)
        (each / "share").mkdir()
        (each.parent / "link").symlink_to("env/share")

    def filled(text: str, prefix: Path) -> str:
        here = prefix.parent
        return text.replace("{prefix}", str(prefix)).replace("{goal}", f"{here}/goal").replace("{link}", f"{here}/link")

    line = ["install", "--ignore-installed", "-i", index.url, "plain", *options]
    theirs, ours = twins.both
    for prefix in (theirs, ours):
        values = {key: filled(value, prefix) for key, value in variables.items()}
        env = environment(prefix.parent / "home", **values)
        arguments = [filled(each, prefix) for each in line]
        if prefix == theirs:
            done = end(start(pip_command(prefix, *arguments), env, cwd=prefix.parent))
            assert done.returncode == 0, done.stderr
            continue
        held = index.hold("/files/plain-1.0")
        process = start(our_command(prefix, *arguments), env, cwd=prefix.parent)
        held.wait()
        locked = is_locked(prefix)
        held.let_go()
        done = end(process)
    assert done.returncode == 0, done.stderr
    assert locked == (where == "inside")
    told = [each for each in done.stderr.splitlines() if each.startswith("sage-wheels: ")]
    assert len(told) == 1, told
    assert ("while" in told[0] and "is locked" in told[0]) == (where == "inside"), told
    assert not is_locked(ours)
    assert difference(*(all_there(each) for each in twins.both)) == []


def all_there(prefix: Path) -> Tree:
    """What is in `prefix` and beside it, but for what the tools keep."""
    here = str(prefix.parent).lstrip("/")
    tree = comparable(snapshot(prefix.parent), prefix)
    ours = ("home", f"env/{STATE}")
    return {
        path.replace(here, "HERE"): what
        for path, what in tree.items()
        if not path.startswith(ours) and not f"env/{STATE}".startswith(f"{path}/")
    }


def test_somebody_who_installs_keeps_it_waiting(prefix: Path, home: Path, index: Index) -> None:
    lock = prefix / STATE / "lock"
    lock.parent.mkdir(parents=True)
    arguments = ["--lock-timeout", "0.01", "install", "-i", index.url, "--target", f"{prefix}/share/more", "plain"]
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        done = end(start(our_command(prefix, *arguments), environment(home)))
    assert done.returncode == 3, done.stderr
    assert not (prefix / "share").exists()
    assert "/files/plain-1.0-py3-none-any.whl" not in index.asked


def test_a_dry_run_elsewhere_locks_nothing(prefix: Path, home: Path, index: Index) -> None:
    lock = prefix / STATE / "lock"
    lock.parent.mkdir(parents=True)
    arguments = ["install", "-i", index.url, "--dry-run", "--target", f"{prefix}/share/more", "plain"]
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        done = end(start(our_command(prefix, *arguments), environment(home)))
    assert done.returncode == 0, done.stderr
    assert "Would install plain-1.0" in done.stdout


def test_the_users_directory_of_a_prefix_without_one(twins: Twins, index: Index) -> None:
    theirs, own = twins.run("install", "--user", "-i", index.url, "plain")
    assert own.returncode == theirs.returncode == 1
    assert "Can not perform a '--user' install" in own.stderr
