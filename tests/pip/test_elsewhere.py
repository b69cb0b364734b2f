"""--target, --user, --root and --prefix are pip's business; the lock is held exactly where that touches the prefix."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from support.index import Index
from support.run import names
from support.trees import STATE, Tree, difference, site_packages, snapshot
from support.twins import Twins, comparable, end, environment, our_command, pip_command, start
from support.wheels import make_wheel

Put = Callable[..., None]


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
    "target": (["--target", "{destination}"], {}),
    "target that begins with the same letters": (["--target", "{prefix}-2"], {}),
    "prefix": (["--prefix={destination}"], {}),
    "root": (["--root", "{destination}"], {}),
    "user": (["--user"], {"PYTHONUSERBASE": "{destination}"}),
    "user from the environment": ([], {"PIP_USER": "1", "PYTHONUSERBASE": "{destination}"}),
}


@pytest.mark.parametrize("name", [*(f"inside: {each}" for each in INSIDE), *(f"outside: {each}" for each in OUTSIDE)])
def test_as_pip_does_it_and_locked_where_the_prefix_is_touched(twins: Twins, index: Index, name: str) -> None:
    where, _, what = name.partition(": ")
    options, variables = (INSIDE if where == "inside" else OUTSIDE)[what]
    for each in twins.both:
        see_the_users(each)
        (each / "share").mkdir()
        (each.parent / "link").symlink_to("env/share")

    def filled(text: str, prefix: Path) -> str:
        here = prefix.parent
        return (
            text.replace("{prefix}", str(prefix))
            .replace("{destination}", f"{here}/destination")
            .replace("{link}", f"{here}/link")
        )

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


def see_the_users(prefix: Path) -> None:
    """Let the Python of `prefix` see the user's packages."""
    configuration = prefix / "pyvenv.cfg"
    text = configuration.read_text().replace("packages = false", "packages = true")
    configuration.unlink()  # for it is linked
    configuration.write_text(text)


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


# --- what is installed in the prefix already ---


def put_of_the_distribution(prefix: Path, wheel: Path) -> None:
    stamp = prefix / STATE / "stamps/base"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(f"lib @ file://{wheel}\n")


@pytest.mark.parametrize("location", ["outside", "in a directory of its own"])
@pytest.mark.parametrize("option", ["--root", "--prefix", "--target"])
def test_what_is_in_the_prefix_stays(
    prefix: Path, home: Path, index: Index, put: Put, option: str, location: str
) -> None:
    """pip would take the old version out of the prefix, wherever the new one goes."""
    put(prefix, "lib 2.1")
    before = installed(prefix)
    destination = home.parent / "destination" if location == "outside" else prefix / "share/more"
    done = end(
        start(our_command(prefix, "install", "-i", index.url, option, str(destination), "lib==1.0"), environment(home))
    )
    assert done.returncode == 0, done.stderr
    assert "Successfully uninstalled" not in done.stdout
    assert list(destination.rglob("lib-1.0.dist-info"))
    assert installed(prefix) == before


def test_what_is_in_the_users_directory_is_replaced(twins: Twins, index: Index) -> None:
    for each in twins.both:
        see_the_users(each)
    variables = {"PYTHONUSERBASE": "{prefix}-of-the-user"}
    for version in ("1.0", "2.0"):
        theirs, own = twins.run("install", "--user", "-i", index.url, f"lib=={version}", variables=variables)
        assert own.returncode == theirs.returncode == 0, own.stderr
    assert difference(*(all_there(each) for each in twins.both)) == []
    [left] = twins.ours.parent.rglob("env-of-the-user/**/lib-*.dist-info")
    assert left.name == "lib-2.0.dist-info"


@pytest.mark.parametrize("option", ["--prefix={prefix}", "--root=/", "--target={library}"])
def test_the_distribution_is_kept_where_it_is_the_prefix_after_all(
    prefix: Path, home: Path, index: Index, put: Put, wheel_of: Callable[[str], Path], tmp_path: Path, option: str
) -> None:
    put(prefix, "lib 2.1")
    put_of_the_distribution(prefix, wheel_of("lib 2.1"))
    before = installed(prefix)
    option = option.replace("{prefix}", str(prefix)).replace("{library}", str(site_packages(prefix)))
    line = ["install", "-i", index.url, option, "-U"]
    done = end(start(our_command(prefix, "--keep-packages", *line, "lib==1.0"), environment(home)))
    assert done.returncode == 1, done.stderr
    assert "--replace-packages" in done.stderr
    assert "Traceback" not in done.stderr
    assert installed(prefix) == before
    theirs = make_wheel(tmp_path / "house", "lib", "2.1", {"lib/__init__.py": "patched = True\n"})
    put_of_the_distribution(prefix, theirs)
    again = ["--force-reinstall", "lib==2.1"]
    done = end(start(our_command(prefix, "--keep-packages", *line, *again), environment(home)))
    assert done.returncode == 1, done.stderr
    assert "lib 2.1, which package base installed, would become another build of 2.1" in done.stderr
    assert installed(prefix) == before


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_it_is_said_what_becomes_of_the_distribution(
    prefix: Path, home: Path, index: Index, put: Put, wheel_of: Callable[[str], Path], more: list[str]
) -> None:
    put(prefix, "lib 2.1")
    put_of_the_distribution(prefix, wheel_of("lib 2.1"))
    line = ["install", *more, "-i", index.url, "--prefix", str(prefix), "lib==1.0"]
    done = end(start(our_command(prefix, *line), environment(home)))
    assert done.returncode == 0, done.stderr
    assert "note: lib 2.1, which package base installed, would become 1.0" in done.stderr
    assert ("lib 1.0" in names(prefix)) == (not more)
    assert not is_locked(prefix)


def installed(prefix: Path) -> Tree:
    return {path: what for path, what in snapshot(site_packages(prefix)).items() if "__pycache__" not in path}
