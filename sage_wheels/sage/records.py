"""spkg-requirements.txt: one line `NAME @ file:///PATH` for each distribution that a package of Sage has brought.

The package scripts write it, sage-spkg looks whether it is there, and uninstalling goes by its names.
"""

from __future__ import annotations

import os

from sage_wheels.building.sources import file_url
from sage_wheels.installed.metadata import requirement_name


def requirements_in(path: str) -> list[str]:
    """The requirements in a file, each once, without options and comments; none if there is no such file.

    A package that failed to install, or is removed a second time, has none. Raises `OSError`.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            lines = [line.partition(" #")[0].strip() for line in f.read().replace("\\\n", " ").splitlines()]
    except FileNotFoundError:
        return []
    return list(dict.fromkeys(line for line in lines if line and not line.startswith(("#", "-"))))


def names_in(path: str) -> list[str]:
    """The normalised names of the distributions in a requirements file. Raises `OSError`."""
    return list(dict.fromkeys(filter(None, map(requirement_name, requirements_in(path)))))


def add_line(path: str, name: str, where: str) -> None:
    """Say in the file `path` that the distribution `name` was made of what is at `where`, if it does not yet."""
    line = f"{name} @ {file_url(where)}"
    if line not in requirements_in(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write(f"{line}\n")
