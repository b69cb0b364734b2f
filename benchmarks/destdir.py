"""Packages of an operating system: wheels written below a DESTDIR, one process a wheel, as a package script calls it.

What is said is the sum over all wheels. Byte-code is of one level. One call for all wheels is reported beside it. What
is written is compared with what installer writes, but for byte-code, RECORD, INSTALLER and the scripts of entry points.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from bench import OURS
from commands import Run, run
from contenders import copy_package, make_prefix, site_packages
from table import Aim, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench import Bench

    Command = Callable[..., list[str]]

_PREFIX = "/usr"
_PEERS = ("installer", "gpep517")
_AIMS = {False: 0.8, True: 0.5}  # of the wall time of each peer, without and with byte-code


def measure(bench: Bench) -> None:
    commands = {"installer": _installer(bench), "gpep517": _gpep517(bench), OURS: _ours(bench)}
    wheels = bench.wheels.many
    table = Table(f"{len(wheels)} wheels below a DESTDIR", tuple(commands), "s")
    for bytecode, what in ((False, "no byte-code"), (True, "with byte-code")):
        how = {name: partial(command, bytecode=bytecode) for name, command in commands.items()}
        runs = _one_by_one(bench, how, wheels, bench.effort.longest)
        aims = [Aim(_AIMS[bytecode], peer) for peer in _PEERS]
        table.add(f"{what}, one process a wheel", _sums(runs, lambda each: each.seconds), aims)
        table.add(f"{what}, one process a wheel: processor time", _sums(runs, lambda each: each.processor))
        whole = {name: [_staged(bench, how[name], wheels).seconds] for name in how if name != "gpep517"}
        table.add(f"{what}, one call", whole)
    table.end()
    differing = _differing(bench, commands, wheels)
    print(f"Files of other content than installer's: {len(differing)} {' '.join(differing[:5])}\n", flush=True)


def _installer(bench: Bench) -> Command:
    python = _alone(bench, "installer")

    def command(destdir: Path, wheels: Sequence[Path], *, bytecode: bool) -> list[str]:
        compiling = ["--compile-bytecode", "0"] if bytecode else ["--no-compile-bytecode"]
        options = ["--destdir", str(destdir), "--prefix", _PREFIX, *compiling]
        return [python, "-m", "installer", *options, *map(str, wheels)]

    return command


def _gpep517(bench: Bench) -> Command:
    python = _alone(bench, "gpep517", "installer")

    def command(destdir: Path, wheels: Sequence[Path], *, bytecode: bool) -> list[str]:
        options = ["--destdir", str(destdir), "--prefix", _PREFIX, *(["--optimize", "0"] if bytecode else [])]
        return [python, "-m", "gpep517", "install-wheel", *options, *map(str, wheels)]

    return command


def _ours(bench: Bench) -> Command:
    def command(destdir: Path, wheels: Sequence[Path], *, bytecode: bool) -> list[str]:
        where = ["--destdir", str(destdir), "--prefix", _PREFIX, "--scheme", "posix_prefix"]
        options = [*where, *([] if bytecode else ["--no-compile"])]
        return [bench.ours.program, "install", *options, *map(str, wheels)]

    return command


def _alone(bench: Bench, *names: str) -> str:
    """A Python that has these packages and nothing else."""
    environment = bench.work / f"{names[0]}-alone"
    make_prefix(environment)
    for name in names:
        copy_package(name, site_packages(environment))
    return str(environment / "bin" / "python")


def _one_by_one(
    bench: Bench, commands: Mapping[str, Command], wheels: Sequence[Path], rounds: int
) -> dict[str, list[list[Run]]]:
    """For each contender, in each round, the run of each wheel; who is first changes from wheel to wheel."""
    runs: dict[str, list[list[Run]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for done in runs.values():
            done.append([])
        for number, wheel in enumerate(wheels):
            for name in list(commands)[:: 1 if number % 2 else -1]:
                runs[name][-1].append(_staged(bench, commands[name], [wheel]))
    return runs


def _staged(bench: Bench, command: Command, wheels: Sequence[Path]) -> Run:
    destdir = bench.work / "destdir"
    shutil.rmtree(destdir, ignore_errors=True)
    return run(command(destdir, wheels), bench.ours.environment)


def _sums(runs: Mapping[str, list[list[Run]]], of: Callable[[Run], float]) -> dict[str, list[float]]:
    return {name: [sum(map(of, done)) for done in rounds] for name, rounds in runs.items()}


def _differing(bench: Bench, commands: Mapping[str, Command], wheels: Sequence[Path]) -> list[str]:
    """The paths at which what we write differs from what installer writes."""
    found = []
    for wheel in wheels:
        trees = []
        for name in ("installer", OURS):
            _staged(bench, partial(commands[name], bytecode=False), [wheel])
            trees.append(_content(bench.work / "destdir"))
        found += [path for path in sorted({*trees[0], *trees[1]}) if trees[0].get(path) != trees[1].get(path)]
    return found


def _content(destdir: Path) -> dict[str, bytes]:
    """Mode and content of each file but INSTALLER; of what each tool writes in its own way, only that it is there."""
    found = {}
    for path in destdir.rglob("*"):
        if path.is_file() and path.name != "INSTALLER":  # installer writes none
            own = path.name == "RECORD" or path.parent == destdir / _PREFIX[1:] / "bin"
            mode = f"{path.stat().st_mode:o}".encode()
            found[str(path.relative_to(destdir))] = mode if own else mode + path.read_bytes()
    return found
