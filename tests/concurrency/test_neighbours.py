"""Careless neighbours: what others do to a prefix while we change it. We finish right or refuse; nothing is lost.

Everything is done for real, at a planned instant: when the image is being staged (nothing is planned yet) and when the
journal is about to count (the plan is made, the lock is held), and in between (the plan is made, the lock is not held).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import sage_wheels
from sage_wheels.errors import SageWheelsError
from support.instants import once
from support.run import install, names, uninstall
from support.trees import STATE, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel


class Deed(NamedTuple):
    """What somebody does to the prefix, and what was written by it, which must be somewhere afterwards."""

    do: Callable[[Path], object]
    written: bytes = b""


def demo(directory: Path, version: str) -> Path:
    files = {f"demo/{name}.py": f"version = {version}\n" for name in ("__init__", "a", "b")}
    return make_wheel(directory, "demo", version, files, data={"data/share/demo/x": version})


EDITED, MINE = b"edited = True\n", b"mine"


def _edit(prefix: Path) -> None:
    (site_packages(prefix) / "demo/a.py").write_bytes(EDITED)


def _add(prefix: Path) -> None:
    (site_packages(prefix) / "demo/mine.txt").write_bytes(MINE)


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


def _put_in_the_way(prefix: Path) -> None:
    (site_packages(prefix) / "new.py").write_bytes(MINE)


DEEDS: dict[str, Deed] = {
    "a file is edited": Deed(_edit, EDITED),
    "a file is added": Deed(_add, MINE),
    "the package is removed": Deed(_remove_package),
    "the RECORD is removed": Deed(_remove_record),
    "the metadata is removed": Deed(_remove_metadata),
    "the lock file is removed": Deed(_remove_lock),
    "the stage is wiped": Deed(_wipe_stage),
    "the state directory is wiped": Deed(_wipe_state),
    "a file is put in the way": Deed(_put_in_the_way, MINE),
}


@contextlib.contextmanager
def _meanwhile(instant: str, deed: Callable[[], object]) -> Iterator[tuple[list[str], Callable[..., None] | None]]:
    """Do something once at that instant; yields what is not empty once it is done, and what is to hear of progress."""
    if instant != "staging":
        with once(instant, deed) as done:
            yield done, None
        return
    begun: list[str] = []

    def on_progress(*_: object) -> None:
        if not begun:
            begun.append(instant)
            deed()

    yield begun, on_progress


def _upgrade(prefix: Path, tmp_path: Path, instant: str, deed: Callable[[], object]) -> str:
    """Upgrade `demo` and install `new`, and do something at that instant; why it failed, "" if it did not."""
    wheels = [demo(tmp_path, "2"), make_wheel(tmp_path, "new", "1", {"new.py": "x = 2\n"})]
    failure = ""
    try:
        with _meanwhile(instant, deed) as (done, on_progress):
            sage_wheels.install(map(str, wheels), prefix, on_progress=on_progress)
    except SageWheelsError as error:
        failure = str(error)
        assert failure.isprintable()
    assert done
    return failure


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    install(prefix, demo(tmp_path, "1"), make_wheel(tmp_path, "other", "1", {"other.py": "x = 1\n"}))
    return prefix


INSTANTS = ["staging", "planned", "committing"]


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_prefix_that_is_moved(prefix: Path, tmp_path: Path, instant: str) -> None:
    before, moved = snapshot(prefix), prefix.with_name("moved")
    assert _upgrade(prefix, tmp_path, instant, lambda: prefix.rename(moved))
    assert not list(prefix.glob("lib")), "nothing is made anew where the prefix was"
    sage_wheels.recover(moved)
    assert snapshot(moved) == before


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_we_finish_right_or_refuse(prefix: Path, tmp_path: Path, deed: Deed, instant: str) -> None:
    failure = _upgrade(prefix, tmp_path, instant, lambda: deed.do(prefix))
    sage_wheels.recover(prefix)
    library = site_packages(prefix)
    versions = {each.read_bytes() for each in (library / "demo").glob("*.py")} - {EDITED}
    kept = [*set_aside(prefix).values(), *(content for _, _, content in snapshot(prefix).values())]
    if failure:
        assert versions <= {b"version = 1\n"}, failure
        assert "other 1" in names(prefix)
    else:
        assert versions == {b"version = 2\n"}
        assert set(names(prefix)) == {"demo 2", "new 1", "other 1"}
        assert _missing_or_changed(prefix, "demo", "new", "other") == []
    assert leftovers(prefix) == []
    assert not deed.written or deed.written in kept, f"lost what somebody wrote: {failure or 'finished'}"


def _missing_or_changed(prefix: Path, *distributions: str) -> list[object]:
    problems = [problem for name in distributions for problem in sage_wheels.verify(name, prefix)]
    return [problem for problem in problems if problem.state in ("missing", "changed")]


@pytest.mark.parametrize(
    "what", ["a file is edited", "a file is added", "the package is removed", "the lock file is removed"]
)
def test_uninstalling_meanwhile(tmp_path: Path, what: str) -> None:
    prefix, deed = make_prefix(tmp_path), DEEDS[what]
    before = snapshot(prefix)
    install(prefix, demo(tmp_path, "1"))
    with once("committing", lambda: deed.do(prefix)) as done:
        uninstall(prefix, "demo")
    assert done
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    assert not deed.written or deed.written in set_aside(prefix).values()


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
    assert _missing_or_changed(prefix, "demo", "theirs") == []
    assert leftovers(prefix) == []
    uninstall(prefix, "theirs", "demo")
    assert names(prefix) == []
