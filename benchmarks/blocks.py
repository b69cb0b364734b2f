"""What it costs to get the files of wheels onto a disk: inflated, copied, with shared blocks, linked.

    python benchmarks/blocks.py DIRECTORY [WHEEL...]

Everything is written below DIRECTORY, for example on a file system that can share blocks; the wheels are those of
wheels.txt unless some are named. For each way the milliseconds of wall and processor time for a thousand files.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contenders import CHECKOUT

sys.path.insert(0, str(CHECKOUT))

from sage_wheels.archive.strict_zip import Archive
from sage_wheels.fs import copies

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL


class Way:
    """Makes the files of `names` in a new directory `to`, from those in `source`; False if it cannot."""

    def __init__(self, source: Path, to: Path, names: list[str]) -> None:
        self.source, self.to, self.names = source, to, names

    def timed(self, what: str, each: Callable[[str, str], bool]) -> None:
        self.to.mkdir()
        begin, used = time.perf_counter(), sum(os.times()[:2])
        done = all(each(f"{self.source}/{name}", f"{self.to}/{name}") for name in self.names)
        seconds, processor = time.perf_counter() - begin, sum(os.times()[:2]) - used
        shutil.rmtree(self.to)
        scale = 1e6 / len(self.names)
        told = f"{seconds * scale:.0f} ms, processor {processor * scale:.0f} ms" if done else "cannot be done here"
        print(f"{what}: {told} for 1,000 files", flush=True)


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit((__doc__ or "").split("\n\n")[1].strip())
    wheels = list(map(Path, sys.argv[2:]))
    if not wheels:
        from material import Wheels

        wheels = Wheels().many
    with tempfile.TemporaryDirectory(dir=sys.argv[1], prefix="blocks-") as work:
        source = Path(work) / "source"
        source.mkdir()
        members = {}
        for number, wheel in enumerate(wheels):
            archive = Archive(str(wheel))
            members.update({f"{number}-{n}": (archive, each) for n, each in enumerate(archive.members.values())})
        way = Way(source, Path(work) / "to", list(members))

        def inflate(_: str, to: str) -> bool:
            archive, member = members[os.path.basename(to)]
            fd = os.open(to, _NEW)
            for chunk in archive.chunks(member):
                os.write(fd, chunk)
            os.close(fd)
            return True

        for name in members:
            inflate("", f"{source}/{name}")

        way.timed("inflated", inflate)
        way.timed("inflated, and the blocks shared at once", lambda _, to: inflate("", to) and _shared(to, f"{to}-2"))
        os.sync()
        way.timed("copied", _copied)
        way.timed("with shared blocks", _shared)
        way.timed("linked", _linked)
    return 0


def _linked(path: str, to: str) -> bool:
    os.link(path, to)
    return True


def _copied(path: str, to: str) -> bool:
    source, target = os.open(path, os.O_RDONLY), os.open(to, _NEW)
    copies.copy_blocks(source, target)
    os.close(source)
    os.close(target)
    return True


def _shared(path: str, to: str) -> bool:
    source, target = os.open(path, os.O_RDONLY), os.open(to, _NEW)
    done = copies.share_blocks(source, target)
    os.close(source)
    os.close(target)
    return done


if __name__ == "__main__":
    sys.exit(main())
