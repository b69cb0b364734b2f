"""A process that changes a prefix again and again, by chance, among many others that do the same.

Run as a program with PREFIX WHEELS SEED COUNT LOG: after `ready` on standard output it does COUNT commands, and
appends a line to LOG before and after each. What it says of them is checked by `history`.

The packages meet in every way that packages can meet: all of them bring one and the same `ns/__init__.py`, a directory
`plain` without one, and files in the same directories of `share` and `bin`. `twin1` and `twin2` come and go in one
transaction only; `rival1` and `rival2` bring different files of one name, so the second of them has to be refused.
"""

from __future__ import annotations

import collections
import json
import os
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sage_wheels
from sage_wheels.errors import Conflict
from sage_wheels.transaction.install import InstallOptions
from sage_wheels.transaction.report import Change
from support.wheels import Content, make_wheel

TWINS = ("twin1", "twin2")
RIVALS = ("rival1", "rival2")
NAMES = (*(f"tree{n}" for n in range(4)), *(f"single{n}" for n in range(4)), *TWINS, *RIVALS)
VERSIONS = ("1.0", "2.0", "3.0")


def make_wheels(directory: Path) -> None:
    for name in NAMES:
        for version in VERSIONS:
            _make_wheel(directory, name, version)


def _make_wheel(directory: Path, name: str, version: str) -> None:
    text = f"VERSION = {version!r}\n"
    files: dict[str, Content] = {
        "ns/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
        f"ns/{name}.py": text,
        f"plain/{name}/__init__.py": text,
        f"plain/{name}_{version[0]}.py": text,
    }
    data: dict[str, Content] = {
        f"data/share/common/{name}.txt": version,
        f"data/share/common/{version}/{name}.txt": version,
        f"scripts/{name}-tool": f"#!python\nprint({version!r})\n",
    }
    if name.startswith("single"):
        files[f"{name}.py"] = text
        # what is a module in one version is a package in the next
        files[f"{name}_turn.py" if version == "2.0" else f"{name}_turn/__init__.py"] = text
    else:
        files[f"{name}/__init__.py"] = text
        files[f"{name}/core.py"] = text + "def main():\n    print(VERSION)\n"
        files[f"{name}/of_{version[0]}/__init__.py"] = ""
        data[f"data/share/{name}/table.txt"] = version
    if name in RIVALS:
        files["rival.py"] = f"of = {name!r}\n"
    points = {name: f"{name}.core:main"} if f"{name}/core.py" in files else None
    make_wheel(directory, name, version, files, data=data, entry_points=points)


def wheel(directory: Path, name: str, version: str) -> Path:
    return directory / f"{name}-{version}-py3-none-any.whl"


def compiled(name: str) -> bool:
    """Whether a package is installed with byte-code, always or never: the final state shall tell no more of history."""
    return name.endswith("0") or name == "rival1"


class Command(NamedTuple):
    """`versions` by name: what to install; "" stands for uninstalling, and then for all of them."""

    versions: dict[str, str]
    reinstall: bool = False


def draw(chance: random.Random) -> Command:
    """A command by chance. The twins always come together."""
    first = chance.choice(NAMES)
    names = {first}
    if chance.random() < 0.3:
        names |= {each for each in chance.sample(NAMES, 2) if compiled(each) == compiled(first)}
    if names.intersection(TWINS):
        names = set(TWINS)
    if chance.random() < 0.35:
        return Command(dict.fromkeys(sorted(names), ""))
    version = chance.choice(VERSIONS)
    return Command(dict.fromkeys(sorted(names), version), chance.random() < 0.3)


def run(command: Command, prefix: Path, wheels: Path) -> list[Change]:
    """Do it; what changed."""
    names = list(command.versions)
    if not all(command.versions.values()):
        return list(sage_wheels.uninstall(names, prefix).changes)
    paths = [str(wheel(wheels, name, version)) for name, version in command.versions.items()]
    options = InstallOptions(compile_bytecode=compiled(names[0]), reinstall=command.reinstall)
    return list(sage_wheels.install(paths, prefix, options).changes)


class History(NamedTuple):
    """What processes say that they did: `balance` counts, for every (name, version), how often it came less how often
    it went; `unknown` are the commands of those that were killed, `refused` counts conflicts."""

    balance: dict[tuple[str, str], int]
    unknown: list[dict[str, str]]
    refused: int
    done: int


def history(logs: Iterable[Path]) -> History:
    balance: dict[tuple[str, str], int] = collections.Counter()
    unknown: list[dict[str, str]] = []
    refused = done = 0
    for log in logs:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        if len(lines) % 2:
            unknown.append(lines.pop())
        for answer in lines[1::2]:
            done += 1
            if answer == "refused":
                refused += 1
                continue
            for name, before, after in answer:
                if before != after:
                    balance[name, before] -= 1
                    balance[name, after] += 1
    return History(balance, unknown, refused, done)


def _main(prefix: Path, wheels: Path, seed: str, count: int, log: Path) -> None:
    chance = random.Random(seed)
    print("ready", flush=True)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def note(what: object) -> None:
        os.write(fd, json.dumps(what).encode() + b"\n")  # in one piece, whenever the process is killed

    for _ in range(count):
        command = draw(chance)
        note(command.versions)
        try:
            note(run(command, prefix, wheels))
        except Conflict as error:
            if not set(RIVALS).intersection(command.versions) or "rival.py" not in str(error):
                raise
            note("refused")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
