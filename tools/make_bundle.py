"""Put the tool and its dependencies into one self-contained directory, or one file.

    python -I make_bundle.py DESTINATION

DESTINATION is one of

    a directory    bin/sage-wheels, sage_wheels/ and the dependencies beside it, byte-compiled; made anew
    a .pyz         the same as a zip file that Python runs: `python3 -I -S sage-wheels.pyz`

Both have manual pages, completion and make rules in share/; `sage-wheels make-rules` of the zip file unpacks the last.

`build/bin/sage-wheels` must have been started once: see `build/lib/bundle.py`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipapp
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "build/lib"))
from bundle import bundle  # noqa: E402  which is beside the other files of build/

sys.path.append(str(CHECKOUT))  # last: its build/ is not the package `build`
from sage_wheels.cli.make_rules import programs  # noqa: E402

# What has extension modules, which cannot be loaded from a zip file, or is used by these only.
COMPILED = ("zlib_ng", "cryptography", "cffi", "_cffi_backend", "pycparser")
# Nothing of the machine's site-packages or of the caller's PYTHON* variables gets in.
_INTERPRETER = "/usr/bin/env -S python3 -I -S"
_MAIN = """\
import sys

sys.argv[0] = "sage-wheels"
import sage_wheels.__main__
"""


def bundle_file(checkout: Path, destination: Path) -> None:
    """Write the single file `destination`, by a rename."""
    with tempfile.TemporaryDirectory(dir=destination.parent) as work:
        directory = Path(work) / "tool"
        bundle(checkout, directory)
        for cache in list(directory.rglob("__pycache__")):
            shutil.rmtree(cache)  # of one version of Python only
        for compiled in (path for name in COMPILED for path in directory.glob(f"{name}*")):
            shutil.rmtree(compiled) if compiled.is_dir() else compiled.unlink()
        shutil.copytree(checkout / "data/share", directory / "share")
        (directory / "__main__.py").write_text(_MAIN)
        zipapp.create_archive(directory, Path(work) / destination.name, interpreter=_INTERPRETER, compressed=True)
        (Path(work) / destination.name).chmod(0o755)
        os.replace(Path(work) / destination.name, destination)


def bundle_directory(checkout: Path, destination: Path) -> None:
    """Write the directory `destination`, which must not exist."""
    bundle(checkout, destination)
    shutil.copytree(checkout / "data/share", destination / "share")
    (destination / "bin").mkdir(exist_ok=True)
    for name, text in programs('"$(dirname -- "$(readlink -f -- "$0")")/.."').items():
        (destination / "bin" / name).write_text(text)
        (destination / "bin" / name).chmod(0o755)


def main(destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.suffix == ".pyz":
        bundle_file(CHECKOUT, destination)
    else:
        shutil.rmtree(destination, ignore_errors=True)
        bundle_directory(CHECKOUT, destination)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
