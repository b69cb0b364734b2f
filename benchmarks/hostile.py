"""Who lets through what: every attack of the tests, on the same files, by each tool. For docs/security.md.

An attack was refused if the tool says no and the prefix is as it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

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

_TIMEOUT = 120  # seconds
_OF_THE_TOOL = {"prefix", "cache", "program", "environment"}  # what is below a contender's home anyway


def measure(bench: Bench) -> None:
    owner = make_wheel(
        bench.work, "owner", "1", {"owned.py": "x = 1\n", "owned/__init__.py": ""}, data={"scripts/owned": ""}
    )
    prepare = bench.prefix_with(owner)
    wheel = bench.work / NAME
    print(f"| a wheel with | {' | '.join(ALL)} | what {OURS} says |\n|---|{'---|' * (len(ALL) + 1)}", flush=True)
    for attack, data in [*REFUSED.items(), *((f"(harmless) {name}", data) for name, data in HARMLESS.items())]:
        wheel.write_bytes(data() if callable(data) else data)
        answers = []
        for name in ALL:
            contender = bench.contenders[name]
            prepare(contender)
            answers.append(_try(contender, contender.install([wheel], bytecode=False)))
        _print(attack, answers, wheel)
    print(f"\n| uninstalling what has in its RECORD | pip | uv | {OURS} |\n|---|---|---|---|", flush=True)
    for attack, row in RECORD_ROWS.items():
        answers = []
        for name in ("pip", "uv", OURS):
            contender = bench.contenders[name]
            prepare(contender)
            _plant(contender.prefix, row)
            answers.append(_try(contender, contender.uninstall("evil") or [], expected="evil"))
        print(f"| {cell(attack)} | {' | '.join(verdict for verdict, _ in answers)} |", flush=True)
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


def _try(contender: Contender, command: Sequence[str], expected: str = "") -> tuple[str, str]:
    """What became of it, in a word or two, and what the tool said; `expected` is the distribution that shall go."""
    outside = contender.home / "outside"
    sibling = contender.home / "prefix-sibling"
    for each in (outside, sibling):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir()
        (each / "precious").write_text("precious", encoding="utf-8")
    before, around = _inside(contender), _around(contender)
    try:
        done = subprocess.run(
            command, env=contender.environment, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
        status, said = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        status, said = -1, "no end"
    after = _inside(contender)
    if _around(contender) != around:
        return "**changed something outside**", said
    if not expected:
        crashed = " by a traceback" if "Traceback (most recent" in said else ""
        if not status:
            return "installed", said
        return (f"refused{crashed}" if after == before else "**left half of it**"), said
    lost = [path for path, what in before.items() if after.get(path) != what and not _is_of(path, expected)]
    if lost:
        return f"**removed {len(lost)} of others**", said
    gone = not any(_is_of(path, expected) for path in after)
    return ("removed exactly" if gone and not status else "refused" if after == before else "left some"), said


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


def _print(attack: str, answers: list[tuple[str, str]], wheel: Path) -> None:
    verdict, said = answers[-1]
    sentence = sentence_cell(said.strip().removeprefix("sage-wheels: error: "), str(wheel))
    own = sentence if verdict == "refused" else ""
    print(f"| {cell(attack)} | {' | '.join(each for each, _ in answers)} | {own} |", flush=True)
