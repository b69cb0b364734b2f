"""Scripts that are called instead of a tool that would start more compilers than there are slots.

GNU make before 4.4 does not know a jobserver that is a fifo, and dies of it; ninja before 1.13 knows none, and starts a
compiler for each processor. A script of that name, in a directory that comes first in PATH, corrects this. How many
slots a build has is in $SAGE_WHEELS_SLOTS, so that the same script serves every build.
"""

from __future__ import annotations

import re
import shlex
import stat
import subprocess

from sage_wheels.fs import caches
from sage_wheels.fs.files import write_whole

_FIRST_WITH_FIFO = (4, 4)
_NINJA_WITH_JOBSERVER = (1, 13)

# The same pool as two descriptors. Opening the fifo for writing does not block: the maker of the pool has it open.
_MAKE = """#!/bin/sh
case $MAKEFLAGS in
*--jobserver-auth=fifo:*)
    pool=${{MAKEFLAGS#*--jobserver-auth=fifo:}}; pool=${{pool%% *}}
    exec 8<>"$pool" 9>"$pool"
    MAKEFLAGS=$(printf '%s\\n' "$MAKEFLAGS" | sed 's|--jobserver-auth=fifo:[^ ]*|--jobserver-auth=8,9|')
    export MAKEFLAGS
esac
exec {tool} "$@"
"""
_NINJA = """#!/bin/sh
exec {tool} ${{SAGE_WHEELS_SLOTS:+-j$SAGE_WHEELS_SLOTS}} "$@"
"""


def for_make(tool: str) -> dict[str, str]:
    """The script in the place of the make at the path `tool`, by its name; none where none is needed."""
    return {"make": _MAKE.format(tool=shlex.quote(tool))} if _version_of(tool) < _FIRST_WITH_FIFO else {}


def for_ninja(tool: str, seen_at: str = "") -> dict[str, str]:
    """The script in the place of the ninja at the path `tool`, as above; builds see it at `seen_at`."""
    return (
        {"ninja": _NINJA.format(tool=shlex.quote(seen_at or tool))} if _version_of(tool) < _NINJA_WITH_JOBSERVER else {}
    )


def write(directory: str, scripts: dict[str, str]) -> None:
    """Write scripts into `directory`, which is made if need be; one that is there already stays. Raises `OSError`.

    Programs are remembered by the times of the files in PATH, so a new file would cost asking all of them again.
    """
    caches.make_directory(directory)
    for name, text in scripts.items():
        path = f"{directory}/{name}"
        try:
            with open(path, encoding="utf-8", opener=caches.own) as f:
                if f.read() == text:
                    continue
        except OSError:
            pass
        write_whole(path, text.encode(), stat.S_IRWXU)


def _version_of(tool: str) -> tuple[int, ...]:
    """The first two numbers of what `tool --version` prints; zeros where it prints none."""
    try:
        done = subprocess.run([tool, "--version"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
        return (0, 0)
    found = re.search(r"(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
