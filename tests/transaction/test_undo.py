"""What undoing a step makes of every situation, against the table at the head of `journal`; and nothing is lost.

Promise 2.
"""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sage_wheels import __version__
from sage_wheels.errors import JournalDamaged
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import journal
from sage_wheels.transaction.journal import Journal, Step

COLUMNS = {"step": (4, 15), "S": (15, 23), "P": (23, 39), "B": (39, 46), "what": (46, None)}
TIMES = {"new": 1_000_000_001, "old": 2_000_000_002}


class Row(NamedTuple):
    step: str
    S: str
    P: str
    B: str
    what: str


def table() -> list[Row]:
    """The second table of `journal`, with the steps repeated."""
    assert journal.__doc__
    lines = journal.__doc__.splitlines()
    head = next(number for number, line in enumerate(lines) if line.endswith("what is done"))
    rows, step = [], ""
    for line in lines[head + 1 :]:
        cells = {name: line[begin:end].strip() for name, (begin, end) in COLUMNS.items()}
        step = cells["step"] or step
        rows.append(Row(**{**cells, "step": step}))
    return [row for row in rows if row.what]


def fits(cell: str, who: str) -> bool:
    if cell in ("", "-", "*"):
        return True
    return who in cell.split(", ") or (cell == "there" and who != "gone")


def expected(do: str, where: dict[str, str]) -> str:
    """What the table says: "nothing", "lost" or "undone"."""
    row = next(r for r in table() if r.step == do and all(fits(getattr(r, at), where[at]) for at in "SPB"))
    word = row.what.partition(":")[0]
    return word if word in ("nothing", "lost") else "undone"


def situations() -> Iterator[tuple[str, dict[str, str]]]:
    whos = ("gone", "new", "old", "other")
    for do, s, p, b in itertools.product(
        ("place", "replace", "exchange", "swap", "remove"), whos, whos, ("gone", "old")
    ):
        if (do in ("place", "exchange") and b != "gone") or (do == "remove" and (s != "gone" or p == "new")):
            continue
        if do == "place" and "old" in (s, p):
            continue  # nothing was there before
        yield do, {"S": s, "P": p, "B": b}


def build(root: Path, do: str, where: dict[str, str], *, copied: bool) -> Step:
    """The situation, and the step; in a `copied` prefix no inode has the number that the journal knows."""
    (root / "lib").mkdir(parents=True)
    (root / "stage").mkdir()
    paths = {"S": root / "stage/s", "P": root / "lib/p", "B": root / "stage/b"}
    for who in ("new", "old"):
        (root / who).write_text(who)
        os.utime(root / who, ns=(TIMES[who], TIMES[who]))
    step = Step(do, "lib/p", "" if do == "remove" else "stage/s", "" if do in ("place", "exchange") else "stage/b")
    inodes = {who: 1 if copied else (root / who).stat().st_ino for who in ("new", "old")}
    step = step._replace(inode=inodes["new"], time=TIMES["new"])
    if do != "place":
        step = step._replace(old_inode=inodes["old"], old_time=TIMES["old"])
    for at, who in where.items():
        if who == "other":
            paths[at].write_text(f"other at {at}")
        elif who != "gone":
            os.link(root / who, paths[at])
    return step


def look(root: Path) -> dict[str, tuple[int, str]]:
    """What stands where; `new` and `old` themselves, which keep the inodes, do not count."""
    found = [each for each in root.rglob("*") if each.is_file() and each.parent != root]
    return {str(each.relative_to(root)): (each.stat().st_ino, each.read_text()) for each in found}


@pytest.mark.parametrize("copied", [False, True], ids=["", "copied"])
def test_every_situation(tmp_path: Path, copied: bool) -> None:
    counts = {"nothing": 0, "lost": 0, "undone": 0}
    for number, (do, where) in enumerate(situations()):
        root = tmp_path / str(number)
        step = build(root, do, where, copied=copied)
        before, wanted = look(root), expected(do, where)
        counts[wanted] += 1
        with Tree(str(root)) as tree:
            try:
                journal.undo(tree, Journal("stage", [step]))
                found = "nothing" if look(root) == before else "undone"
            except JournalDamaged:
                found = "lost"
            assert found == wanted, (do, where)
            after = look(root)
            contents = {text for _, text in after.values()}
            assert {text for _, text in before.values() if text != "new"} <= contents, "nothing old is lost"
            if found == "lost":
                assert after == before
            else:
                if found == "undone":
                    assert after.get("lib/p", (0, ""))[1] == ("" if do == "place" else "old")
                    assert "stage/b" not in after
                journal.undo(tree, Journal("stage", [step]))
                assert look(root) == after, "undoing once more changes nothing"
    print(counts)
    assert min(counts.values()) > 5


@pytest.mark.parametrize("where", [{"S": "gone", "P": "gone", "B": "gone"}, {"S": "gone", "P": "new", "B": "gone"}])
@pytest.mark.parametrize("do", ["replace", "exchange", "swap", "remove"])
def test_without_what_was_kept_it_is_not_undone(tmp_path: Path, do: str, where: dict[str, str]) -> None:
    """The gravest one: that no old file is anywhere must never look like a step that was not taken."""
    step = build(tmp_path / "p", do, where, copied=False)
    with Tree(str(tmp_path / "p")) as tree, pytest.raises(JournalDamaged):
        journal.undo(tree, Journal("stage", [step]))


@pytest.mark.parametrize("there", ["directory", "gone", "file", "link"])
def test_a_directory_that_went(tmp_path: Path, there: str) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    path = tmp_path / "p"
    if there == "directory":
        path.mkdir()
    elif there == "file":
        path.touch()
    elif there == "link":
        path.symlink_to("elsewhere")
    with Tree(str(tmp_path)) as tree:
        entry = Journal("stage", [Step("rmdir", "p", mode=0o750)])
        if there in ("file", "link"):
            with pytest.raises(JournalDamaged):
                journal.undo(tree, entry)
        else:
            for _ in range(2):
                journal.undo(tree, entry)
            assert path.stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "elsewhere").stat().st_mode & 0o7777 == 0o755


def test_the_stage_of_what_is_new_alone_is_not_needed(tmp_path: Path) -> None:
    step = build(tmp_path / "p", "place", {"S": "gone", "P": "new", "B": "gone"}, copied=False)
    (tmp_path / "p/stage").rmdir()
    with Tree(str(tmp_path / "p")) as tree:
        journal.undo(tree, Journal("stage", [step]))
    assert not (tmp_path / "p/lib/p").exists()


def test_the_version_that_can_read_another_format_is_named() -> None:
    def refusal(**change: object) -> str:
        content = json.loads(Journal("var/stage", []).to_bytes().partition(b"\n")[2])
        content.update(change)
        body = json.dumps({name: value for name, value in content.items() if value is not None}).encode()
        with pytest.raises(ValueError, match="format") as caught:
            journal.from_bytes(b"%08x %d\n%s" % (zlib.crc32(body), len(body), body))
        return str(caught.value)

    later = refusal(format=journal.FORMAT + 1, version="7.8.9")
    assert "format 4, which sage-wheels 7.8.9 wrote" in later
    assert f"this is sage-wheels {__version__} with format {journal.FORMAT}" in later
    assert "'sage-wheels recover' of the version that wrote it" in later
    assert "format 1, which an earlier version of sage-wheels wrote" in refusal(format=1, version=None)
    assert refusal(format="x") == "it does not say which format it has"


def test_the_format_has_another_number_if_its_fields_are_others() -> None:
    """Whoever changes a field sees this, and gives the format its next number."""
    fields = (Journal._fields, Step._fields, sorted({row.step for row in table()}))
    assert (journal.FORMAT, fields) == (
        3,
        (
            ("stage", "steps", "durable", "inode", "chained", "about", "version"),
            ("do", "path", "staged", "backup", "inode", "time", "old_inode", "old_time", "old_times", "mode"),
            ["exchange", "mkdir", "place", "remove", "replace", "rmdir", "swap"],
        ),
    )
