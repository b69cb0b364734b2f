"""Who lets through what: every attack of the tests, on the same files, by each tool. For docs/security.md.

An attack was refused if the tool says no and the prefix is as it was. The seconds are those of one run of the whole
process; what is not done after thirty of them is stopped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bench import ALL, OURS
from contenders import CHECKOUT, site_packages

sys.path.append(str(CHECKOUT / "tests"))

from support.attacks import HARMLESS, NAME, PYTHON, RECORD_ROWS, REFUSED, cell, sentence_cell
from support.trees import Tree, snapshot
from support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench import Bench
    from contenders import Contender

_TIMEOUT = 30  # seconds; what is not hostile takes one or two
# Attacks on time and memory: how long they take is said, too.
_TIMED = ("bomb: ", "endless: ", "RECORD: huge", "RECORD: a row", "description: huge", "archive: zip64 count")
_TIMED_HARMLESS = ("thousands of directories", "a million continued lines", "brackets in brackets in a requirement")
_OF_THE_TOOL = {"prefix", "cache", "program", "environment"}  # what is below a contender's home anyway


class Answer(NamedTuple):
    """What became of an attack in a word or two, what the tool said, and after how many seconds."""

    verdict: str
    said: str
    seconds: float


def measure(bench: Bench) -> None:
    owner = make_wheel(
        bench.work, "owner", "1", {"owned.py": "x = 1\n", "owned/__init__.py": ""}, data={"scripts/owned": ""}
    )
    prepare = bench.prefix_with(owner)
    wheel = bench.work / NAME
    print(f"| a wheel with | {' | '.join(ALL)} | what {OURS} says |\n|---|{'---|' * (len(ALL) + 1)}", flush=True)
    timed: dict[str, list[Answer]] = {}
    verdicts = {name: Counter[str]() for name in ALL}
    for attack, data in [*REFUSED.items(), *((f"(harmless) {name}", data) for name, data in HARMLESS.items())]:
        wheel.write_bytes(data() if callable(data) else data)
        answers = []
        for name in ALL:
            contender = bench.contenders[name]
            prepare(contender)
            answers.append(_try(contender, contender.install([wheel], bytecode=False)))
        _print(attack, answers, wheel)
        if attack.startswith(_TIMED) or attack.removeprefix("(harmless) ") in _TIMED_HARMLESS:
            timed[attack] = answers
        if attack in REFUSED:
            for name, answer in zip(ALL, answers, strict=True):
                verdicts[name][_without_number(answer.verdict)] += 1
    _print_times(timed)
    _print_sums(f"{len(REFUSED)} hostile wheels", verdicts)
    print(f"\n| uninstalling what has in its RECORD | pip | uv | {OURS} |\n|---|---|---|---|", flush=True)
    verdicts = {name: Counter[str]() for name in ("pip", "uv", OURS)}
    for attack, row in RECORD_ROWS.items():
        answers = []
        for name in ("pip", "uv", OURS):
            contender = bench.contenders[name]
            prepare(contender)
            _plant(contender.prefix, row)
            answers.append(_try(contender, contender.uninstall("evil") or [], expected="evil"))
            verdicts[name][_without_number(answers[-1].verdict)] += 1
        print(f"| {cell(attack)} | {' | '.join(each.verdict for each in answers)} |", flush=True)
    _print_sums(f"{len(RECORD_ROWS)} hostile RECORDs, uninstalled", verdicts)
    print(flush=True)


def _plant(prefix: Path, row: str) -> None:
    """The distribution `evil`, as some tool may have left it, with that row in its RECORD."""
    library = site_packages(prefix)
    outside = prefix.parent / "outside"
    dist_info = library / "evil-1.dist-info"
    dist_info.mkdir()
    (library / "evil.py").touch()
    (library / "out").symlink_to(outside)
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n", encoding="utf-8")
    (dist_info / "INSTALLER").write_text("pip\n", encoding="utf-8")
    for key, value in (("outside", outside), ("prefix", prefix), ("python", PYTHON)):
        row = row.replace(f"{{{key}}}", str(value))
    row = row.replace("{tag}", str(sys.implementation.cache_tag))
    rows = ["evil.py,,", row, *(f"evil-1.dist-info/{each},," for each in ("METADATA", "INSTALLER", "RECORD"))]
    (dist_info / "RECORD").write_text("".join(f"{each}\n" for each in rows), encoding="utf-8")


def _try(contender: Contender, command: Sequence[str], expected: str = "") -> Answer:
    """Run a command and see what became of it; `expected` is the distribution that shall go."""
    outside = contender.home / "outside"
    sibling = contender.home / "prefix-sibling"
    for each in (outside, sibling):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir()
        (each / "precious").write_text("precious", encoding="utf-8")
    before, around = _inside(contender), _around(contender)
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=contender.environment, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
        status, said = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        status, said = -1, "no end"
    seconds = time.perf_counter() - begin
    if _around(contender) != around:
        verdict = "**changed something outside**"
    elif expected:
        verdict = _uninstalled(before, _inside(contender), status, expected)
    else:
        verdict = _installed(before, _inside(contender), status, said)
    return Answer(verdict, said, seconds)


def _installed(before: Tree, after: Tree, status: int, said: str) -> str:
    if not status:
        return "installed"
    if after != before:
        return "**left half of it**"
    if said == "no end":
        return f"**no end within {_TIMEOUT} s**"
    return "refused by a traceback" if "Traceback (most recent" in said else "refused"


def _uninstalled(before: Tree, after: Tree, status: int, expected: str) -> str:
    lost = [path for path, what in before.items() if after.get(path) != what and not _is_of(path, expected)]
    if lost:
        return f"**removed {len(lost)} of others**"
    gone = not any(_is_of(path, expected) for path in after)
    return "removed exactly" if gone and not status else "refused" if after == before else "left some"


def _is_of(path: str, name: str) -> bool:
    """Whether `path` is one of the files that `_plant` made, or byte-code of one."""
    base = os.path.basename(path)
    return f"{name}-1.dist-info" in path or base == f"{name}.py" or base.startswith(f"{name}.cpython")


def _inside(contender: Contender) -> Tree:
    return {
        path: what
        for path, what in snapshot(contender.prefix).items()
        if path != "var" and not path.startswith("var/lib") and "__pycache__" not in path and path != ".lock"
    }


def _around(contender: Contender) -> list[Tree | bool]:
    found: list[Tree | bool] = [
        snapshot(each) for each in sorted(contender.home.iterdir()) if each.name not in _OF_THE_TOOL and each.is_dir()
    ]
    found.append(sorted(each.name for each in contender.home.iterdir()) != [])
    return [*found, *(os.path.lexists(path) for path in ("/outside", "/tmp/evil"))]


def _without_number(verdict: str) -> str:
    return re.sub(r"\d+ of", "some of", verdict)


def _print_times(timed: dict[str, list[Answer]]) -> None:
    print(f"\n| seconds for a wheel with | {' | '.join(ALL)} |\n|---|{'--:|' * len(ALL)}")
    for attack, answers in timed.items():
        times = (f"> {_TIMEOUT}" if each.said == "no end" else f"{each.seconds:.1f}" for each in answers)
        print(f"| {cell(attack)} | {' | '.join(times)} |", flush=True)


def _print_sums(what: str, verdicts: dict[str, Counter[str]]) -> None:
    print(f"\n| {what} | {' | '.join(verdicts)} |\n|---|{'--:|' * len(verdicts)}")
    for verdict in sorted({each for counts in verdicts.values() for each in counts}):
        print(f"| {verdict} | {' | '.join(str(counts[verdict]) for counts in verdicts.values())} |", flush=True)


def _print(attack: str, answers: list[Answer], wheel: Path) -> None:
    verdict, said, _ = answers[-1]
    sentence = sentence_cell(said.strip().removeprefix("sage-wheels: error: "), str(wheel))
    own = sentence if verdict == "refused" else ""
    print(f"| {cell(attack)} | {' | '.join(each.verdict for each in answers)} | {own} |", flush=True)
