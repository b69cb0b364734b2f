"""Careless neighbours: what others do to a prefix while we change it. We finish right or refuse; nothing is lost.

Everything is done for real, at a planned instant: when the image is being staged (nothing is planned yet) and when the
journal is about to count (the plan is made, the lock is held), and in between (the plan is made, the lock is not held).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.errors import SageWheelsError
from sage_wheels.transaction import commit
from support.run import install, names, uninstall
from support.trees import STATE, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel

Deed = Callable[[Path], object]


def demo(directory: Path, version: str) -> Path:
    files = {f"demo/{name}.py": f"version = {version}\n" for name in ("__init__", "a", "b")}
    return make_wheel(directory, "demo", version, files, data={"data/share/demo/x": version})


def _edit(prefix: Path) -> None:
    (site_packages(prefix) / "demo/a.py").write_text("edited = True\n")


def _add(prefix: Path) -> None:
    (site_packages(prefix) / "demo/mine.txt").write_text("mine")


def _remove_package(prefix: Path) -> None:
    shutil.rmtree(site_packages(prefix) / "demo")


def _remove_record(prefix: Path) -> None:
    (site_packages(prefix) / "demo-1.dist-info/RECORD").unlink()


def _remove_metadata(prefix: Path) -> None:
    shutil.rmtree(site_packages(prefix) / "demo-1.dist-info")


def _remove_lock(prefix: Path) -> None:
    (prefix / STATE / "lock").unlink(missing_ok=True)


def _wipe_stage(prefix: Path) -> None:
    shutil.rmtree(prefix / STATE / "stage")


def _wipe_state(prefix: Path) -> None:
    shutil.rmtree(prefix / STATE)


def _move_prefix(prefix: Path) -> None:
    prefix.rename(prefix.with_name("moved"))


def _put_in_the_way(prefix: Path) -> None:
    (site_packages(prefix) / "new.py").write_text("mine")


DEEDS: dict[str, Deed] = {
    "a file is edited": _edit,
    "a file is added": _add,
    "the package is removed": _remove_package,
    "the RECORD is removed": _remove_record,
    "the metadata is removed": _remove_metadata,
    "the lock file is removed": _remove_lock,
    "the stage is wiped": _wipe_stage,
    "the state directory is wiped": _wipe_state,
    "the prefix is moved": _move_prefix,
    "a file is put in the way": _put_in_the_way,
}
OLD = {"demo/__init__.py": "version = 1\n", "demo/a.py": "version = 1\n", "demo/b.py": "version = 1\n"}


@pytest.mark.parametrize("instant", ["staging", "planned", "committing"])
@pytest.mark.parametrize("deed", DEEDS)
def test_we_finish_right_or_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, instant: str) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, demo(tmp_path, "1"), make_wheel(tmp_path, "other", "1", {"other.py": "x = 1\n"}))
    wheels = [demo(tmp_path, "2"), make_wheel(tmp_path, "new", "1", {"new.py": "x = 2\n"})]
    before = snapshot(prefix)
    done: list[Path] = []

    def once(*_: object) -> None:
        if not done:
            done.append(prefix)
            DEEDS[deed](prefix)

    hooked = {"planned": "_try", "committing": "_apply"}.get(instant)
    if hooked:
        real = getattr(commit, hooked)

        def late(*arguments: Any, **named: Any) -> Any:
            once()
            return real(*arguments, **named)

        monkeypatch.setattr(commit, hooked, late)
    failure = ""
    try:
        sage_wheels.install(map(str, wheels), prefix, on_progress=once if instant == "staging" else None)
    except SageWheelsError as error:
        failure = str(error)
        assert failure.isprintable()
    assert done
    if deed == "the prefix is moved":
        assert failure
        assert not list(prefix.glob("lib")), "nothing is made anew where the prefix was"
        prefix = prefix.with_name("moved")
        sage_wheels.recover(prefix)
        assert snapshot(prefix) == before
        return
    sage_wheels.recover(prefix)
    library = site_packages(prefix)
    versions = {each.read_text() for each in (library / "demo").glob("*.py")} - {"edited = True\n"}
    kept = [*set_aside(prefix).values(), *(content for _, _, content in snapshot(prefix).values())]
    if failure:
        assert versions <= {"version = 1\n"}, failure
        assert "other 1" in names(prefix)
    else:
        assert versions == {"version = 2\n"}
        assert set(names(prefix)) == {"demo 2", "new 1", "other 1"}
        assert [
            problem
            for name in ("demo", "new", "other")
            for problem in sage_wheels.verify(name, prefix)
            if problem[0] in ("missing", "changed")
        ] == []
    assert leftovers(prefix) == []
    for what, content in (("edited", b"edited = True\n"), ("added", b"mine"), ("in the way", b"mine")):
        if what in deed:
            assert content in kept, f"lost what somebody wrote: {failure or 'finished'}"


@pytest.mark.parametrize(
    "deed", ["a file is edited", "a file is added", "the package is removed", "the lock file is removed"]
)
def test_uninstalling_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, demo(tmp_path, "1"))
    apply = commit._apply
    done: list[str] = []

    def late(*arguments: Any) -> None:
        if not done:
            done.append(deed)
            DEEDS[deed](prefix)
        apply(*arguments)

    monkeypatch.setattr(commit, "_apply", late)
    uninstall(prefix, "demo")
    assert done
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    if deed in ("a file is edited", "a file is added"):
        assert set(set_aside(prefix).values()) & {b"edited = True\n", b"mine"}


def _others() -> dict[str, Callable[[Path, Path], list[str]]]:
    found: dict[str, Callable[[Path, Path], list[str]]] = {}
    try:
        import pip  # noqa: F401

        found["pip"] = lambda prefix, wheel: [
            *(
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(prefix / "bin/python"),
                "install",
                "--no-index",
                "--no-deps",
            ),
            *("--force-reinstall", "--no-compile", "--disable-pip-version-check", str(wheel)),
        ]
    except ImportError:
        pass
    program = shutil.which("uv", path=f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', '')}")
    if program:
        found["uv"] = lambda prefix, wheel: [
            *(program, "pip", "install", "--offline", "--no-config", "--no-deps", "--reinstall"),
            *("--python", str(prefix / "bin/python"), str(wheel)),
        ]
    return found


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_another_installer_in_the_same_prefix(tmp_path: Path, tool: str) -> None:
    """It takes no lock of ours and installs something else: at the end both are there, whole."""
    others = _others()
    if tool not in others:
        pytest.skip(f"there is no {tool}")
    prefix = make_prefix(tmp_path)
    theirs = make_wheel(tmp_path, "theirs", "1", {f"theirs/{n}.py": f"x = {n}\n" for n in range(30)})
    ours = [demo(tmp_path, version) for version in ("1", "2")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_CONFIG_FILE": os.devnull}
    failures: list[str] = []

    def run() -> None:
        for _ in range(2):
            done = subprocess.run(others[tool](prefix, theirs), env=environment, capture_output=True, text=True)
            failures.extend([done.stderr] if done.returncode else [])

    neighbour = threading.Thread(target=run)
    neighbour.start()
    count = 0
    while neighbour.is_alive() or count < 4:
        install(prefix, ours[count % 2])
        count += 1
    neighbour.join()
    install(prefix, ours[1])
    assert failures == []
    assert names(prefix) == ["demo 2", "theirs 1"]
    assert [
        problem
        for name in ("demo", "theirs")
        for problem in sage_wheels.verify(name, prefix)
        if problem[0] in ("missing", "changed")
    ] == []
    assert leftovers(prefix) == []
    uninstall(prefix, "theirs", "demo")
    assert names(prefix) == []
