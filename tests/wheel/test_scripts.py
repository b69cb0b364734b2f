"""`sage_wheels.wheel.scripts`: shebangs that run, entry points that are plain."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sage_wheels.errors import WheelRefused
from sage_wheels.wheel import scripts
from sage_wheels.wheel.wheel import Wheel
from support.wheels import make_wheel


def entry_points(tmp_path: Path, text: str, name: str = "pkg") -> dict[str, bytes]:
    path = make_wheel(tmp_path, name, "1.0", {"pkg.py": ""}, dist_info_files={"entry_points.txt": text})
    with Wheel(str(path)) as wheel:
        return dict(scripts.entry_points(wheel, (3, 11)))


@pytest.mark.parametrize("length", [124, 125, 126, 127, 128, 129])
def test_the_kernel_is_never_given_a_line_that_it_cuts_off(length: int) -> None:
    first = (scripts.run_by("/" + "p" * (length - 1), b"") or b"").split(b"\n", 1)[0]
    assert len(first) < 127 or sys.platform == "darwin"
    assert first == b"#!/bin/sh" or first == b"#!/" + b"p" * (length - 1)


def test_console_and_gui_scripts(tmp_path: Path) -> None:
    text = "[console_scripts]\na = pkg:main\nb-c.d = pkg.sub:Class.method [extra]\n"
    text += "[gui_scripts]\ng = pkg:gui\n[other]\nx = y\n"
    found = entry_points(tmp_path, text)
    assert found.keys() == {"a", "b-c.d", "g"}
    for content in found.values():
        compile(content, "script", "exec")
    assert b"Class.method()" in found["b-c.d"]


def test_no_entry_points(tmp_path: Path) -> None:
    assert entry_points(tmp_path, "[other]\nx = y\n") == {}
    assert entry_points(tmp_path, "") == {}


def test_what_is_said_twice_is_one_script(tmp_path: Path) -> None:
    assert list(entry_points(tmp_path, "[console_scripts]\na = pkg:main\nb = pkg:main\na=pkg:main\n")) == ["a", "b"]


def test_pip_gets_the_names_that_pip_gives_itself(tmp_path: Path) -> None:
    text = "[console_scripts]\npip = pip._internal.cli.main:main\npip3 = pip._internal.cli.main:main\n"
    assert list(entry_points(tmp_path, text, "pip")) == ["pip", "pip3", "pip3.11"]
    assert list(entry_points(tmp_path, text, "pkg")) == ["pip", "pip3"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../evil = pkg:main", "no plain file name"),
        ("a/b = pkg:main", "no plain file name"),
        ("/bin/sh = pkg:main", "no plain file name"),
        ("a\\b = pkg:main", "no plain file name"),
        (".. = pkg:main", "no plain file name"),
        (". = pkg:main", "no plain file name"),
        ("a\x1bb = pkg:main", "no plain file name"),
        ("python = pkg:main", "would replace the interpreter"),
        ("python3 = pkg:main", "would replace the interpreter"),
        ("Python3.11 = pkg:main", "would replace the interpreter"),
        ("a = pkg:main();evil", "names no function|cannot be read"),
        ("a = os;evil:main", "names no function|cannot be read"),
        ("a = pkg", "cannot be read|names no function"),
        ("a = pkg:", "cannot be read|names no function"),
        ("a = :main", "cannot be read|names no function"),
        ("a = pkg:main\n    evil", "cannot be read|names no function"),
        ("a = pkg:main\na = pkg:other", "cannot be read"),
        ("a = pkg:main\nb = pkg:main\na = pkg:other", "is there twice"),
        ("a", "cannot be read"),
        ("[console_scripts]\na = b:c", "cannot be read"),
    ],
)
def test_entry_points_that_are_refused(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(WheelRefused, match=reason) as caught:
        entry_points(tmp_path, f"[console_scripts]\n{line}\n")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
