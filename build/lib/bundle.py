"""Copy the tool and its dependencies into one self-contained directory; a tree with the overlay uses such a directory.

The dependencies are copied from the directory `.cache/tool-KEY` that `build/bin/sage-wheels` makes when it is started
for the first time (`prepare.py`). This file uses only the standard library of Python 3.10.
"""

from __future__ import annotations

import compileall
import py_compile
import re
import shutil
from pathlib import Path


def bundle(checkout: Path, destination: Path) -> None:
    """Write the directory `destination`, which must not exist."""
    found = re.search(r" tool=(\S+)", (checkout / ".cache" / "tool").read_text())
    assert found
    ignore = shutil.ignore_patterns("__pycache__", "sage_wheels")
    shutil.copytree(checkout / ".cache" / found[1].strip("'"), destination, ignore=ignore)
    shutil.copytree(checkout / "sage_wheels", destination / "sage_wheels", ignore=shutil.ignore_patterns("__pycache__"))
    # with hashes instead of times, so that the byte-code stays valid when the directory is copied
    compileall.compile_dir(destination, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
