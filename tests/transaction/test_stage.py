"""What a stage is, by what is in it: every row of the table at the head of `stage`, and what becomes of it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from sage_wheels.prefix import find_prefix
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import stage, sweep
from sage_wheels.transaction.history import HistoryBounds
from sage_wheels.transaction.journal import Journal
from support.trees import STATE, make_prefix

PLACE = f"{STATE}/stage/1-a"
MARKS = ["", "journal", "undone", "committed"]
COUNTING = {"gone": None, "its own": PLACE, "another's": f"{STATE}/stage/1-b", "unreadable": ""}


def expected(counting: str, begun: bool, mark: str) -> str:
    if counting in ("its own", "unreadable"):
        return "pending"
    return "unfinished" if begun and not mark else ""


@pytest.mark.parametrize("counting", COUNTING)
def test_every_state(tmp_path: Path, counting: str) -> None:
    for number, (bit, copy, mark) in enumerate(itertools.product([False, True], [False, True], MARKS)):
        prefix = make_prefix(tmp_path, str(number))
        own = prefix / PLACE
        (own / "old").mkdir(parents=True)
        (own / "old/1").write_text("precious")
        (own / "planned").touch()
        entry = Journal(PLACE, []).to_bytes()
        for name in [*(["copy"] if copy else []), *([mark] if mark else [])]:
            (own / name).write_bytes(entry)
        own.chmod(0o4755 if bit else 0o755)
        if counting != "gone":
            of = COUNTING[counting]
            (prefix / STATE / "journal").write_bytes(Journal(of, []).to_bytes() if of else b"damaged")
        with Tree(str(prefix)) as tree:
            wanted = expected(counting, bit or copy, mark)
            assert stage.state_of(tree, PLACE) == wanted, (bit, copy, mark)
        said: list[str] = []
        assert sweep.sweep_dead(find_prefix(prefix), said.append, HistoryBounds()) == []
        assert own.exists() == bool(wanted), (bit, copy, mark)
        assert (own / "old/1").exists() == bool(wanted)
        assert len(said) == (wanted == "unfinished"), said
        assert all(str(own) in each for each in said)
