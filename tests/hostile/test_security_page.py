"""docs/security.md: every refusal that it quotes is what the tool says today."""

from __future__ import annotations

from pathlib import Path

import pytest

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
