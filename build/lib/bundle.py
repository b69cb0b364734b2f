"""Put the tool and its dependencies into one self-contained directory, or one file: `python -I bundle.py GOAL`.

    GOAL a directory    sage_wheels/ and the dependencies beside it, byte-compiled; made anew
    GOAL a .pyz         the same as a zip file that Python runs: `python3 -I -S sage-wheels.pyz`

What is copied is what `build/bin/sage-wheels` runs from, so that must have been started once. Only the standard library
of Python 3.10 is at hand here.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import sys
import tempfile
import zipapp
from pathlib import Path

# Nothing of the machine's site-packages or of the caller's PYTHON* variables gets in.
_INTERPRETER = "/usr/bin/env -S python3 -I -S"
_MAIN = """\
import sys

sys.argv[0] = "sage-wheels"
from sage_wheels.cli import main

sys.exit(main())
"""


def bundle(checkout: Path, goal: Path) -> None:
    """Write the directory `goal`, which must not exist."""
    found = re.search(r" tool=(\S+)", (checkout / ".cache" / "tool").read_text())
    assert found
    ignore = shutil.ignore_patterns("__pycache__", "sage_wheels")
    shutil.copytree(checkout / ".cache" / found[1].strip("'"), goal, ignore=ignore)
    shutil.copytree(checkout / "sage_wheels", goal / "sage_wheels", ignore=shutil.ignore_patterns("__pycache__"))
    # By hash, so that copying the directory does not make the byte-code stale.
    compileall.compile_dir(goal, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def bundle_file(checkout: Path, goal: Path) -> None:
    """Write the single file `goal`, by a rename."""
    with tempfile.TemporaryDirectory(dir=goal.parent) as work:
        directory = Path(work) / "tool"
        bundle(checkout, directory)
        for cache in list(directory.rglob("__pycache__")):
            shutil.rmtree(cache)  # of one version of Python only
        (directory / "__main__.py").write_text(_MAIN)
        zipapp.create_archive(directory, Path(work) / goal.name, interpreter=_INTERPRETER, compressed=True)
        (Path(work) / goal.name).chmod(0o755)
        os.replace(Path(work) / goal.name, goal)


def main(goal: Path) -> None:
    checkout = Path(__file__).resolve().parent.parent.parent
    goal.parent.mkdir(parents=True, exist_ok=True)
    if goal.suffix == ".pyz":
        bundle_file(checkout, goal)
    else:
        shutil.rmtree(goal, ignore_errors=True)
        bundle(checkout, goal)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
