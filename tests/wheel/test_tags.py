"""`sage_wheels.wheel.tags`: the same wheels fit as pip takes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.tags import sys_tags

from sage_wheels.errors import WheelRefused
from sage_wheels.prefix import Prefix, find_prefix
from sage_wheels.wheel import tags
from sage_wheels.wheel.wheel import Wheel
from support.pythons import Python, other_pythons
from support.trees import make_prefix
from support.wheels import make_wheel

MAJOR, MINOR = sys.version_info[:2]
CP = f"cp{MAJOR}{MINOR}"
FIRST = str(next(sys_tags()))
PLATFORM = FIRST.rpartition("-")[2]


def check(tmp_path: Path, prefix: Prefix, tag: str, requires_python: str = "", *, ignore: bool = False) -> None:
    path = make_wheel(tmp_path / "wheels", "pkg", "1.0", {"pkg.py": ""}, tag=tag, requires_python=requires_python)
    with Wheel(str(path)) as wheel:
        tags.check_fits(wheel, prefix, ignore_requires_python=ignore)


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return find_prefix(make_prefix(tmp_path))


FITS = [
    *("py3-none-any", "py2.py3-none-any", f"py{MAJOR}{MINOR}-none-any", f"{CP}-none-any", f"py{MAJOR}0-none-any"),
    *(FIRST, f"cp27.{FIRST}", f"cp36.{CP}-abi3.none-{PLATFORM}.any"),
]


@pytest.mark.parametrize("tag", FITS)
def test_fits(tmp_path: Path, prefix: Prefix, tag: str) -> None:
    check(tmp_path, prefix, tag)
    assert not tags.expand(tag).isdisjoint(str(each) for each in sys_tags())


@pytest.mark.parametrize(
    "tag",
    [
        *("py2-none-any", f"py{MAJOR}{MINOR + 1}-none-any", f"cp{MAJOR}{MINOR + 1}-none-any", "pp310-none-any"),
        *(f"{CP}-cp27-linux_x86_64", f"{CP}-{CP}-win_amd64", f"py3-{CP}-any", f"{CP}-{CP}-plan9_mips", "cp3-none-any"),
    ],
)
def test_does_not_fit(tmp_path: Path, prefix: Prefix, tag: str) -> None:
    with pytest.raises(WheelRefused) as caught:
        check(tmp_path, prefix, tag)
    message = str(caught.value)
    assert re.search(rf"pkg-1\.0-{re.escape(tag)}\.whl is for {re.escape(tag)}, which the Python", message)
    assert prefix.root in message
    assert message.endswith("; get or build a wheel for that Python and platform")
    assert tags.expand(tag).isdisjoint(str(each) for each in sys_tags())


def test_the_shortcut_says_what_packaging_says(prefix: Prefix) -> None:
    supported = {str(each) for each in sys_tags()}
    for python in ("py2", "py3", f"py{MAJOR}{MINOR}", "py30", "cp3", CP, f"cp{MAJOR}{MINOR - 1}", f"py3{MINOR + 1}"):
        pure = tags.is_pure_for(f"{python}-none-any", MAJOR, MINOR)
        assert pure == (f"{python}-none-any" in supported), python


@pytest.mark.parametrize(
    "wanted",
    [">=3.6", ">= 3.10", "==3.*", ">=3.8,<4", "!=3.0.*,!=3.1.*,>=2.7", "", ">3", "garbage", f">={MAJOR}.{MINOR}"],
)
def test_requires_python_that_fits(tmp_path: Path, prefix: Prefix, wanted: str) -> None:
    check(tmp_path, prefix, "py3-none-any", wanted)
    assert prefix.version == (MAJOR, MINOR)


@pytest.mark.parametrize(
    "wanted", [">=3.99", f">={MAJOR}.{MINOR + 1}", "<3", f"=={MAJOR}.{MINOR}.99", ">=4,<5", f"!={MAJOR}.*"]
)
def test_requires_python_that_does_not(tmp_path: Path, prefix: Prefix, wanted: str) -> None:
    with pytest.raises(WheelRefused) as caught:
        check(tmp_path, prefix, "py3-none-any", wanted)
    assert f"requires Python {wanted}, and {prefix.root} has {prefix.full_version}" in str(caught.value)
    assert "--ignore-requires-python" in caught.value.advice
    check(tmp_path, prefix, "py3-none-any", wanted, ignore=True)


def test_a_micro_version_that_no_file_tells_is_asked_for(tmp_path: Path) -> None:
    root = make_prefix(tmp_path)
    (root / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\nversion = {MAJOR}.{MINOR}\n")
    prefix, full = find_prefix(root), ".".join(map(str, sys.version_info[:3]))
    check(tmp_path, prefix, "py3-none-any", f"=={full}")
    with pytest.raises(WheelRefused):
        check(tmp_path, prefix, "py3-none-any", f"!={full}")


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
def test_a_prefix_of_another_python_takes_its_own_wheels(tmp_path: Path) -> None:
    python = max(other_pythons(), key=lambda each: each.version)
    assert isinstance(python, Python)
    subprocess.run([python.executable, "-I", "-m", "venv", "--without-pip", str(tmp_path / "p")], check=True)
    prefix = find_prefix(tmp_path / "p")
    own = f"cp{python.version[0]}{python.version[1]}"
    check(tmp_path, prefix, f"{own}-{own}-{PLATFORM}")
    with pytest.raises(WheelRefused, match=f"{own}-{own}-.* would be the best"):
        check(tmp_path, prefix, FIRST)
