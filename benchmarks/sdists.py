"""Build real sdists offline and compare each wheel with the one that `python -m build` makes.

    python benchmarks/sdists.py DIRECTORY [NAME...]

DIRECTORY holds upstream files: its wheels are the wheelhouse, and what is built from its sdists joins them, so that one
may need another; passes are made until no more can be built. `build` gets the same wheelhouse through pip. For each
sdist one line: the seconds of both, and "same" if the wheels have the same members and contents. Debugging information
names the directory of the build, which cannot be the same, so shared objects are compared without it (strip(1)).

Of the 59 isolated sdists of the Sage 10.7 list, 47 are the same. The others, with the reason:

    cython                           its shared objects differ, also without debugging information; why is not known
    kiwisolver, pyyaml               ask for versions (cppy >= 1.3, Cython < 3) that the list does not have
    cysignals, then pplpy, cypari,   ask for meson-python, which the list does not have; besides, they and
      fpylll                         lrcalc, cvxopt need C libraries
    numpy, matplotlib, rpy2          need Fortran, freetype and R
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

from contenders import CHECKOUT

_NOT_PASSED_ON = ("PIP_", "UV_", "PYTHON", "SAGE_", "VIRTUAL_ENV", "XDG_")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}


class Attempt(NamedTuple):
    """One tool's attempt at one sdist: the wheel, or why there is none."""

    seconds: float
    wheel: Path | None
    said: str


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit((__doc__ or "").split("\n\n")[1].strip())
    upstream, chosen = Path(sys.argv[1]), sys.argv[2:]
    waiting = sorted(path for path in upstream.iterdir() if path.name.endswith((".tar.gz", ".zip")))
    waiting = [path for path in waiting if not chosen or path.name.startswith(tuple(chosen))]
    with tempfile.TemporaryDirectory(prefix="sdists-") as directory:
        work = Path(directory)
        (work / "wheelhouse").mkdir()
        for wheel in upstream.glob("*.whl"):
            (work / "wheelhouse" / wheel.name).symlink_to(wheel.resolve())
        same = different = 0
        said: dict[Path, str] = {}
        while waiting:
            left = []
            for sdist in waiting:
                ours = by_us(sdist, work)
                if ours.wheel is None:
                    left.append(sdist)
                    said[sdist] = ours.said
                    continue
                theirs = by_build(sdist, work)
                differing = compare(ours, theirs)
                same, different = same + (not differing), different + bool(differing)
                print(
                    f"{sdist.name}: {ours.seconds:.2f} s, build {theirs.seconds:.2f} s, {differing or 'same'}",
                    flush=True,
                )
                shutil.copy(ours.wheel, work / "wheelhouse")
            if len(left) == len(waiting):
                break
            waiting = left
        for sdist in waiting:
            print(f"{sdist.name}: {said[sdist]}")
    print(f"{same} the same, {different} different, {len(waiting)} not built")
    return 0


def by_us(sdist: Path, work: Path) -> Attempt:
    options: list[str | Path] = [
        "--find-links",
        work / "wheelhouse",
        "--cache-dir",
        work / "cache",
        "--wheel-dir",
        work / "ours",
    ]
    return attempt([CHECKOUT / "build" / "bin" / "sage-wheels", "build", *options, sdist], ENVIRONMENT, work / "ours")


def by_build(sdist: Path, work: Path) -> Attempt:
    environment = {**ENVIRONMENT, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(work / "wheelhouse")}
    environment["PIP_CONFIG_FILE"] = os.devnull
    with tempfile.TemporaryDirectory(dir=work) as place:
        shutil.unpack_archive(sdist, place)
        (tree,) = Path(place).iterdir()
        command: list[str | Path] = [sys.executable, "-I", "-m", "build", "--wheel", "--outdir", work / "theirs", tree]
        return attempt(command, environment, work / "theirs")


def attempt(command: list[str | Path], environment: dict[str, str], goal: Path) -> Attempt:
    shutil.rmtree(goal, ignore_errors=True)
    begin = time.perf_counter()
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    wheel = next(goal.glob("*.whl"), None) if result.returncode == 0 else None
    said = next(iter(result.stderr.strip().splitlines() or result.stdout.strip().splitlines()[-1:]), "")
    return Attempt(seconds, wheel, said)


def compare(ours: Attempt, theirs: Attempt) -> str:
    """What differs; nothing if nothing does."""
    if theirs.wheel is None or ours.wheel is None:
        return f"build fails: {theirs.said}"
    if ours.wheel.name != theirs.wheel.name:
        return f"it is {ours.wheel.name}, not {theirs.wheel.name}"
    one, other = contents(ours.wheel), contents(theirs.wheel)
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return f"different in {', '.join(names[:5])}" if names else ""


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: comparable(name, archive.read(name)) for name in archive.namelist()}


def comparable(name: str, content: bytes) -> bytes:
    if re.search(r"\.so$", name):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            subprocess.run(["strip", "--strip-debug", "--remove-section=.note.gnu.build-id", file.name], check=True)
            return Path(file.name).read_bytes()
    if name.endswith(".dist-info/RECORD"):  # the hashes of shared objects are those with debugging information
        return b"\n".join(sorted(line for line in content.splitlines() if b".so," not in line))
    return content


if __name__ == "__main__":
    sys.exit(main())
