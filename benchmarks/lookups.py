"""How long it takes to find out that a build need not run, on real sdists.

    python benchmarks/lookups.py DIRECTORY [NAME...]

DIRECTORY holds upstream files: its wheels are the wheelhouse. All of its sdists that can be built with them are built,
into an empty store. Then each is built again, which takes it from the store: as an sdist file and as an unpacked tree;
all in one command, and each in a process of its own, where some have no build requirement that another one made. For a
file, the milliseconds are those until its wheel was found: to read the file, to make the key, to look it up, and to
check the wheel. For a tree they are those beside the copy, which is made in any case. A process of its own has the
imports in addition. The files in /usr/local are counted, because those builds that may compile look at each of them;
one command does that once.

Printed are the mean, the median and the greatest of all sdists, each with the median of its `ROUNDS`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import CHECKOUT
from sage_bound import phases_of
from sdists import ENVIRONMENT, make_wheelhouse, sdists_of, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 5
AIMS = {"files": 10, "trees": 30}  # milliseconds
_PHASES = {"files": ("source", "look-up"), "trees": ("look-up",)}


def main() -> None:
    if not sys.argv[1:]:
        sys.exit((__doc__ or "").split("\n\n")[1].strip())
    upstream, sdists = Path(sys.argv[1]), sdists_of(Path(sys.argv[1]), sys.argv[2:])
    with tempfile.TemporaryDirectory(prefix="lookups-") as directory:
        work = Path(directory)
        make_wheelhouse(work / "wheelhouse", upstream)
        named = {"files": sdists, "trees": [unpacked(path, work / "trees" / path.name) for path in sdists]}
        for sources in named.values():  # what cannot be built is not found either
            _build(sources, work, jobs=os.cpu_count() or 1)
        count = sum(len(names) for _, _, names in os.walk("/usr/local"))
        print(f"{count} files in /usr/local")
        for kind, sources in named.items():
            together = [_taken(kind, _build(sources, work)) for _ in range(ROUNDS)]
            _print(f"{kind}, in one command", together, AIMS[kind])
            alone = [
                {name: ms for each in sources for name, ms in _taken(kind, _build([each], work)).items()}
                for _ in range(ROUNDS)
            ]
            _print(f"{kind}, a process for each", alone)


def _build(sources: Sequence[Path], work: Path, jobs: int = 1) -> str:
    """Build them; what $SAGE_WHEELS_TIMINGS has of that."""
    timings = work / "timings"
    timings.unlink(missing_ok=True)
    command: list[str | Path] = [CHECKOUT / "build/bin/sage-wheels", "build", "-k", "-j", str(jobs)]
    command += ["-f", work / "wheelhouse"]
    command += ["--cache-dir", work / "cache", "--wheel-dir", work / "out", *sources]
    subprocess.run(command, env={**ENVIRONMENT, "SAGE_WHEELS_TIMINGS": str(timings)}, capture_output=True)
    return timings.read_text() if timings.exists() else ""


def _taken(kind: str, timings: str) -> dict[str, float]:
    """The milliseconds of each that came from the store, by its name."""
    found = {}
    for entry in map(json.loads, timings.splitlines()):
        phases = list(phases_of(entry))
        names = {name for name, _ in phases}
        if "store" in names and "build" not in names:
            found[entry["name"]] = sum(1000 * seconds for name, seconds in phases if name in _PHASES[kind])
    return found


def _print(what: str, rounds: Sequence[dict[str, float]], aim: int | None = None) -> None:
    each = [statistics.median(one[name] for one in rounds if name in one) for name in rounds[-1]]
    if not each:
        sys.exit(f"no sdist of {sys.argv[1]} could be built with the wheels in it")
    aimed = f" (the aim is {aim} ms)" if aim else ""
    print(
        f"{len(each)} {what}: mean {statistics.mean(each):.1f} ms, median {statistics.median(each):.1f} ms, "
        f"greatest {max(each):.1f} ms{aimed}",
        flush=True,
    )


if __name__ == "__main__":
    main()
