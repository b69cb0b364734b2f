"""docs/security.md: every refusal that it quotes is what the tool says today."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from sage_wheels.archive import sdist_members, strict_zip
from sage_wheels.cli import build
from sage_wheels.cli import install as install_command
from sage_wheels.errors import SageWheelsError
from support.attacks import NAME, RECORD_ROWS, REFUSED, cell, sentence_cell
from support.run import install
from support.trees import make_prefix
from support.wheels import make_wheel


def rows(checkout: Path) -> dict[str, list[str]]:
    text = (checkout / "docs/security.md").read_text(encoding="utf-8")
    lines = [line.strip("|\n").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [each.strip() for each in cells] for cells in lines}


def test_every_attack_is_in_the_table(checkout: Path) -> None:
    table = rows(checkout)
    for attack in (*REFUSED, *RECORD_ROWS):
        assert cell(attack) in table, f"{attack} is missing: run `python benchmarks hostile` again"


def test_every_refusal_is_a_real_one(tmp_path: Path, checkout: Path) -> None:
    prefix = make_prefix(tmp_path)
    install(
        prefix,
        make_wheel(
            tmp_path,
            "owner",
            "1",
            {"owned.py": "x = 1\n", "owned/__init__.py": ""},
            data={"scripts/owned": ""},
        ),
    )
    wheel = tmp_path / NAME
    table = rows(checkout)
    for attack, data in REFUSED.items():
        wheel.write_bytes(data() if callable(data) else data)
        with pytest.raises(SageWheelsError) as caught:
            install(prefix, wheel)
        assert table[cell(attack)][-2:] == ["refused", sentence_cell(str(caught.value), str(wheel))]


def test_the_limits_are_those_of_the_code(checkout: Path) -> None:
    wheels, sdists = strict_zip.WheelLimits(), sdist_members.SdistLimits()
    values = {"wheel-size": wheels.size, "wheel-members": wheels.members, "wheel-ratio": wheels.ratio}
    values |= {"sdist-size": sdists.size, "sdist-members": sdists.members}
    told = {cells[2].strip("`"): number(cells[1]) for cells in rows(checkout).values() if cells[2:3] != [""]}
    for command in (build, install_command):
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        for name, value in values.items():
            assert told[f"--max-{name}"] == value
            assert parser.get_default(f"max_{name.replace('-', '_')}") in (value, None)
            assert f"--max-{name}" in parser.format_help()
    assert number(rows(checkout)["length of a path in the archive"][1]) == strict_zip.MAX_PATH
    assert number(rows(checkout)["depth of a path"][1]) == strict_zip.MAX_DEPTH


def number(text: str) -> int:
    """What a cell like "32 GiB" or "1,024 bytes" says; 0 if that is no number."""
    found = re.match(r"([\d,]+)( GiB)?", text)
    return int(found[1].replace(",", "")) << (30 if found[2] else 0) if found else 0
