"""Wheels that mean harm: refused whole, in one sentence, with nothing touched and nothing left behind.

Every wheel is built in code, by `support.attacks`. An attack that is not refused must be harmless.

Promise 5.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sage_wheels
from sage_wheels.archive.strict_zip import WheelLimits
from sage_wheels.errors import Conflict, SageWheelsError, WheelRefused
from sage_wheels.prefix import find_prefix
from support.attacks import BLANKS, HARMLESS, NAME, REFUSED, wheel
from support.run import install, names, tool, uninstall
from support.trees import Tree, difference, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel
from support.zips import Entry

OVERWRITING = {
    "scheme: file of another distribution",
    "entry point: in the place of a script",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A prefix with a distribution in it, and precious things around it."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path / "w", "owner", "1", {"owned.py": "x = 1\n"}, data={"scripts/owned": ""}))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("precious")
    (tmp_path / "hostile").mkdir()
    return prefix


def surroundings(prefix: Path) -> Tree:
    return {path: what for path, what in snapshot(prefix.parent).items() if "/var" not in path}


LIMITED = {
    "size": (WheelLimits(size=9_999), wheel(Entry("evil.bin", b"x" * 10_000))),
    "members": (WheelLimits(members=100), wheel(*(Entry(f"{number}.py") for number in range(100)))),
    "members, directories in few paths": (
        WheelLimits(members=200),
        wheel(*(Entry(f"{n}/" + "d/" * 97 + "x") for n in range(3))),
    ),
    "ratio": (WheelLimits(ratio=900), wheel(Entry("evil.bin", BLANKS[: 17 << 20]))),
}


@pytest.mark.parametrize("attack", LIMITED)
def test_limits_are_options_that_the_message_names(place: Path, attack: str) -> None:
    limits, data = LIMITED[attack]
    path = save(place, data)
    before = surroundings(place)
    option = f"--max-wheel-{attack.partition(',')[0]}"
    with pytest.raises(WheelRefused, match=f"unpacks to more than .* raise the bound with {option}$"):
        sage_wheels.install([str(path)], place, limits=limits)
    bound = getattr(limits, attack.partition(",")[0])
    done = tool("install", "--prefix", place, option, str(bound), path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert option in done.stderr
    assert difference(before, surroundings(place)) == []


def test_a_file_system_that_folds(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are one on the file system of the prefix: refused, not the last one winning (macOS; here a play)."""
    usual = os.open

    def folding(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_EXCL and isinstance(path, str) and path.startswith("/"):
            folded = unicodedata.normalize("NFC", path).casefold()
            there = (each.path for each in os.scandir(os.path.dirname(path)))
            if folded in {unicodedata.normalize("NFC", each).casefold() for each in there}:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        return usual(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", folding)
    for one, other in (("Evil.py", "evil.py"), ("\u00e9.txt", "e\u0301.txt")):
        path = save(place, wheel(Entry(one, b"1"), Entry(other, b"2")))
        before = surroundings(place)
        with pytest.raises(WheelRefused, match="as the file system of the prefix sees it"):
            install(place, path)
        assert difference(before, surroundings(place)) == []
        assert leftovers(place) == []


STARTERS = ["evil.pth", "evil.start", "sitecustomize.py", "usercustomize/__init__.py"]


@pytest.mark.parametrize("member", STARTERS)
def test_what_runs_at_every_start_is_named(place: Path, member: str) -> None:
    path = save(place, wheel(Entry(member, b"# import evil\n"), Entry("package/not.pth", b""), Entry("x.py")))
    destination = site_packages(place) / member
    dry = tool("install", "--dry-run", "--prefix", place, path)
    assert dry.returncode == 0
    assert f"every start of Python will run what is in {destination}\n" in dry.stderr
    assert dry.stderr.count("every start") == 1
    install(place, path)
    assert f"runs-at-start: {destination}\n" in tool("show", "--prefix", place, "evil").stdout


def save(prefix: Path, data: bytes) -> Path:
    path = prefix.parent / "hostile" / NAME
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "overwriting"])
@pytest.mark.parametrize("attack", REFUSED)
def test_refused(place: Path, inflater: ModuleType, attack: str, overwrite: bool) -> None:
    data = REFUSED[attack]
    path = save(place, data() if callable(data) else data)
    before = surroundings(place)
    if overwrite and attack in OVERWRITING:
        pytest.skip("that is what overwriting is for")
    with pytest.raises(SageWheelsError) as caught:
        install(place, path, inflater=inflater, overwrite=overwrite)
    message = str(caught.value)
    assert caught.value.exit_status == 1
    assert "\n" not in message
    assert message.isprintable(), message
    assert len(message) <= 1000
    assert str(path) in message or isinstance(caught.value, Conflict)
    assert caught.value.advice
    assert difference(before, surroundings(place)) == []
    assert leftovers(place) == []


@pytest.mark.parametrize("attack", HARMLESS)
def test_harmless(place: Path, inflater: ModuleType, attack: str) -> None:
    before = surroundings(place)
    data = HARMLESS[attack]
    install(place, save(place, data() if callable(data) else data), inflater=inflater)
    assert names(place) == ["evil 1", "owner 1"]
    after = surroundings(place)
    assert all(path.startswith(("prefix/", "hostile")) for path in after.keys() - before.keys())
    assert {path: after[path] for path in before} == before
    for path in after.keys() - before.keys():
        assert after[path][1] & 0o6002 == 0, "no set-id bits, nothing world-writable"
    uninstall(place, "evil")
    (place.parent / "hostile" / NAME).unlink()
    assert difference(before, surroundings(place)) == []


@pytest.mark.parametrize("link", ["bin", "share", "include", "site-packages/evil"])
def test_directories_that_lead_out_of_the_prefix_are_not_written_through(place: Path, link: str) -> None:
    outside = place.parent / "outside"
    destination = site_packages(place) / "evil" if link.startswith("site") else place / link
    if destination.exists():
        destination.rename(place.parent / "moved")
    destination.symlink_to(outside)
    before = surroundings(place)
    members = [
        Entry("evil/x.py"),
        *(Entry(f"evil-1.data/{each}", b"x") for each in ("scripts/x", "data/share/x", "headers/x")),
    ]
    with pytest.raises(Conflict, match="symbolic link that leads out of the prefix"):
        install(place, save(place, wheel(*members)), overwrite=True)
    after = surroundings(place)
    after.pop(f"hostile/{NAME}")
    assert difference(before, after) == []
    assert leftovers(place) == []
    assert find_prefix(place).root == str(place)
