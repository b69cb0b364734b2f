"""Upgrades killed at random instants: how often is the package broken afterwards?"""

from __future__ import annotations

import hashlib
import random
import sys
import zipfile
from base64 import urlsafe_b64encode
from statistics import median
from typing import TYPE_CHECKING

from bench import OURS
from commands import complaint, run, run_and_kill
from contenders import site_packages
from table import Aim, Table

if TYPE_CHECKING:
    from pathlib import Path

    from bench import Bench
    from contenders import Contender

_BEFORE, _AFTER = f"{OURS}, before recovery", OURS


def measure(bench: Bench) -> None:
    old, new = bench.wheels["networkx==3.4.2"], bench.wheels["networkx==3.5"]
    states = [_files_of(wheel) for wheel in (old, new)]
    kills = bench.effort.kills
    instants = random.Random(bench.seed)
    broken: dict[str, int] = {}
    for name in ("pip", "uv", OURS):
        contender = bench.contenders[name]
        prepare, command = bench.prefix_with(old), contender.install([new])
        durations = []
        for _ in range(3):
            prepare(contender)
            durations.append(run(command, contender.environment).seconds)
        for number in range(kills):
            _progress(f"crash: {name}, {number} of {kills}")
            prepare(contender)
            run_and_kill(command, contender.environment, instants.uniform(0, median(durations)))
            if contender is bench.ours:
                broken[_BEFORE] = broken.get(_BEFORE, 0) + _is_broken(contender, states)
                run(bench.ours.recover(), contender.environment)
            broken[name] = broken.get(name, 0) + _is_broken(contender, states)
    _progress("")
    table = Table("upgrade of networkx killed", ("pip", "uv", _BEFORE, _AFTER), "%", ratios=False)
    shares = {name: [100 * count / kills] for name, count in broken.items()}
    table.add(f"broken after {kills} kills at random instants, seed {bench.seed}", shares, [Aim(0)])
    table.end()


def _is_broken(contender: Contender, states: list[dict[str, str]]) -> bool:
    """Whether the package cannot be imported, or its files are those of neither version."""
    command = [contender.python, "-I", "-B", "-c", "import networkx"]
    if complaint(command, contender.environment):
        return True
    there = _files_below(site_packages(contender.prefix))
    return not any(_is_state(there, state) for state in states)


def _is_state(there: dict[str, str], state: dict[str, str]) -> bool:
    """Whether what is there is one version and nothing else, but for what installers add."""
    (record,) = (file for file in state if file.endswith(".dist-info/METADATA"))
    record = record.replace("METADATA", "RECORD")
    added = {record.replace("RECORD", name) for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")}
    added.add(record.replace("RECORD", "uv_cache.json"))
    return (
        record in there
        and all(there.get(file) == digest for file, digest in state.items())
        and all(file in state or file in added or "__pycache__" in file for file in there)
    )


def _files_of(wheel: Path) -> dict[str, str]:
    """The digests of the files that a wheel brings to site-packages, by path there."""
    with zipfile.ZipFile(wheel) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        wanted = [name for name in names if not name.endswith(".dist-info/RECORD") and ".data/" not in name]
        return {name: _digest(archive.read(name)) for name in wanted}


def _files_below(library: Path) -> dict[str, str]:
    """The digests of whatever is called like networkx, or like what pip makes of that name while it replaces it."""
    tops = [top for top in library.iterdir() if "networkx" in top.name or "etworkx" in top.name]
    files = [file for top in tops for file in top.rglob("*") if file.is_file()]
    return {file.relative_to(library).as_posix(): _digest(file.read_bytes()) for file in files}


def _digest(data: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()).decode()


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
