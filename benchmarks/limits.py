"""How near real wheels come to the limits: those of wheels.txt, and the largest of the index. For docs/security.md.

Each is read as an installation reads it; the large ones are downloaded one after the other, and deleted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sage_wheels.archive.strict_zip import MAX_DEPTH, MAX_PATH, WheelLimits
from sage_wheels.errors import SageWheelsError
from sage_wheels.wheel.wheel import Wheel

if TYPE_CHECKING:
    from bench import Bench

# The largest by size, by number of files, and by depth of paths that are known.
LARGEST = (
    *("torch", "tensorflow", "nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cusparse-cu12", "nvidia-nccl-cu12"),
    *("jaxlib", "triton", "open3d", "paddlepaddle", "vtk", "cupy-cuda12x", "pyside6-addons", "pyside6-essentials"),
    *("pyqt6-webengine-qt6", "ray", "pyarrow", "opencv-python-headless", "llvmlite", "scipy", "spacy", "mxnet"),
    *("ansible", "plotly", "streamlit", "bokeh", "playwright", "botocore", "jupyterlab", "google-api-python-client"),
)
_FREE = 16 << 20  # bytes of a member that may inflate as they like
_QUICK = 3


class Facts(NamedTuple):
    """What counts against a limit."""

    bytes: int = 0
    members: int = 0
    ratio: float = 0
    path: int = 0
    depth: int = 0


def measure(bench: Bench) -> None:
    print("| wheel | unpacks to, MB | files and directories | ratio beyond 16 MiB | longest path, bytes | depth |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    total = Facts()
    count = 0
    for path in bench.wheels.many:
        count += 1
        total = _larger(total, _facts(path))
    _print(f"the largest of {count} of wheels.txt", total)
    for name in LARGEST if bench.effort.longest > 1 else LARGEST[-_QUICK:]:
        with tempfile.TemporaryDirectory(dir=bench.work) as directory:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary=:all:", "--dest", directory, name]
            subprocess.run(command, stdout=sys.stderr)
            for path in Path(directory).iterdir():  # one, or none for this Python or platform
                count += 1
                facts = _facts(path)
                total = _larger(total, facts)
                _print("-".join(path.name.split("-")[:2]), facts)
    _print(f"the largest of all {count}", total)
    usual = WheelLimits()
    _print("limit", Facts(usual.size, usual.members, usual.ratio, MAX_PATH, MAX_DEPTH))
    print(flush=True)


def _facts(path: Path) -> Facts:
    """The facts of a wheel that its limits let through; of no other, for then there is something to be changed."""
    try:
        with Wheel(str(path)) as wheel:
            members = wheel.archive.members.values()
    except SageWheelsError as error:
        sys.exit(f"benchmarks: a real wheel is refused: {error}")
    names = [each.name for each in members]
    directories = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}
    return Facts(
        sum(each.size for each in members),
        len(names) + len(directories),
        max((each.size / each.compressed for each in members if each.size > _FREE), default=0),
        max(len(name.encode()) for name in names),
        max(name.count("/") for name in names) + 1,
    )


def _larger(one: Facts, other: Facts) -> Facts:
    return Facts(
        max(one.bytes, other.bytes),
        max(one.members, other.members),
        max(one.ratio, other.ratio),
        max(one.path, other.path),
        max(one.depth, other.depth),
    )


def _print(name: str, facts: Facts) -> None:
    size, members, ratio, path, depth = facts
    print(f"| {name} | {size / 1e6:,.0f} | {members:,} | {ratio:.1f} | {path} | {depth} |", flush=True)
