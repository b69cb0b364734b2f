"""Build real sdists offline and compare each wheel with the one that `python -m build` makes.

    python benchmarks/sdists.py [--again] DIRECTORY [NAME...]

DIRECTORY holds upstream files: its wheels are the wheelhouse, and what is built from its sdists joins them, so that one
may need another; passes are made until no more can be built. `build` gets the same wheelhouse through pip. For each
sdist one line: the seconds of both, and "same" if the wheels have the same members and contents. Debugging information
names the directory of the build, which cannot be the same, so shared objects are compared without it (strip(1)).

With `--again` each is built by us a second time, which takes it from the store, and by `build` with uv (`--installer
uv`); the line has the seconds of both, and "same" if the wheel from the store has the bytes of one that is built
without it. The last line has the sums of wall and of processor time, and their ratios.

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
import sysconfig
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contenders import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_PASSED_ON = ("PIP_", "UV_", "PYTHON", "SAGE_", "VIRTUAL_ENV", "XDG_")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}


class Attempt(NamedTuple):
    """One tool's attempt at one sdist: the wheel, or why there is none."""

    seconds: float
    wheel: Path | None
    said: str
    processor: float


def main() -> int:
    arguments = [each for each in sys.argv[1:] if each != "--again"]
    if not arguments:
        sys.exit((__doc__ or "").split("\n\n")[1].strip())
    upstream, waiting = Path(arguments[0]), sdists_of(Path(arguments[0]), arguments[1:])
    with tempfile.TemporaryDirectory(prefix="sdists-") as directory:
        work = Path(directory)
        make_wheelhouse(work / "wheelhouse", upstream)
        if "--again" in sys.argv:
            return again(waiting, work)
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


def sdists_of(upstream: Path, names: Sequence[str]) -> list[Path]:
    """The sdists in `upstream`; if there are `names`, those that begin with one of them."""
    found = sorted(path for path in upstream.iterdir() if path.name.endswith((".tar.gz", ".zip")))
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def make_wheelhouse(house: Path, upstream: Path) -> None:
    """Make the directory `house`, with the wheels in `upstream`."""
    house.mkdir()
    for wheel in upstream.glob("*.whl"):
        (house / wheel.name).symlink_to(wheel.resolve())


def unpacked(sdist: Path, place: str | Path) -> Path:
    """Unpack an sdist in the empty directory `place`; its tree."""
    shutil.unpack_archive(sdist, place)
    (tree,) = Path(place).iterdir()
    return tree


def again(waiting: list[Path], work: Path) -> int:
    """The second time, and what it is compared with; the other way round for every other sdist."""
    ours, theirs = [0.0, 0.0], [0.0, 0.0]
    number = 0
    while True:
        left = []
        for sdist in waiting:
            if by_us(sdist, work).wheel is None:
                left.append(sdist)
                continue
            number += 1
            if number % 2:
                stored, built = by_us(sdist, work), by_build(sdist, work, "--installer", "uv")
            else:
                built, stored = by_build(sdist, work, "--installer", "uv"), by_us(sdist, work)
            anew = by_us(sdist, work, "--rebuild", where="anew")
            assert stored.wheel
            assert anew.wheel
            said = "same" if stored.wheel.read_bytes() == anew.wheel.read_bytes() else "DIFFERENT"
            shutil.copy(anew.wheel, work / "wheelhouse")
            if built.wheel is None:
                print(f"{sdist.name}: {stored.seconds:.2f} s, {said}; build fails: {built.said}", flush=True)
                continue
            print(f"{sdist.name}: {stored.seconds:.2f} s, build {built.seconds:.2f} s, {said}", flush=True)
            for sums, each in ((ours, stored), (theirs, built)):
                sums[0] += each.seconds
                sums[1] += each.processor
        if len(left) == len(waiting):
            break
        waiting = left
    print(f"not built: {', '.join(sdist.name for sdist in waiting) or 'none'}")
    for what, own, other in zip(("wall", "processor"), ours, theirs, strict=True):
        print(f"{what}: {own:.1f} s, build with uv {other:.1f} s, {own / max(other, 1e-9):.3f}x")
    return 0


def by_us(sdist: Path, work: Path, *more: str, where: str = "ours") -> Attempt:
    options: list[str | Path] = [
        "--find-links",
        work / "wheelhouse",
        "--cache-dir",
        work / "cache",
        "--wheel-dir",
        work / where,
    ]
    command = [CHECKOUT / "build" / "bin" / "sage-wheels", "build", *options, *more, sdist]
    return attempt(command, ENVIRONMENT, work / where)


def by_build(sdist: Path, work: Path, *more: str) -> Attempt:
    house = str(work / "wheelhouse")
    environment = {**ENVIRONMENT, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": house, "PIP_CONFIG_FILE": os.devnull}
    environment |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": house, "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
    environment["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{environment.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory(dir=work) as place:
        command: list[str | Path] = [sys.executable, "-I", "-m", "build", *more, "--wheel"]
        command += ["--outdir", work / "theirs", unpacked(sdist, place)]
        return attempt(command, environment, work / "theirs")


def attempt(command: list[str | Path], environment: dict[str, str], destination: Path) -> Attempt:
    shutil.rmtree(destination, ignore_errors=True)
    begin, used = time.perf_counter(), sum(os.times()[2:4])
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    wheel = next(destination.glob("*.whl"), None) if result.returncode == 0 else None
    said = next(iter(result.stderr.strip().splitlines() or result.stdout.strip().splitlines()[-1:]), "")
    return Attempt(seconds, wheel, said, sum(os.times()[2:4]) - used)


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
