"""Scripts that run instead of a tool that would start more compilers than there are slots.

GNU make before 4.4 fails if the jobserver is a fifo. ninja before 1.13 knows no jobserver, and starts a compiler for
each processor. A script of the same name, in a directory that comes first in PATH, corrects this. The number of slots
is in $SAGE_WHEELS_SLOTS, so the same script serves every build.
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

# Pass the fifo as two descriptors. Opening it for writing does not block, because its maker has it open.
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
    """The script that runs instead of the make at the path `tool`, by its name; none if none is needed."""
    return {"make": _MAKE.format(tool=shlex.quote(tool))} if _version_of(tool) < _FIRST_WITH_FIFO else {}


def for_ninja(tool: str, seen_at: str = "") -> dict[str, str]:
    """As `for_make`, for the ninja at the path `tool`; `seen_at` is its path in the sandbox, if there is one."""
    return (
        {"ninja": _NINJA.format(tool=shlex.quote(seen_at or tool))} if _version_of(tool) < _NINJA_WITH_JOBSERVER else {}
    )


def write(directory: str, scripts: dict[str, str]) -> None:
    """Write scripts into `directory`, which is made if needed. One with the same content stays. Raises `OSError`.

    The versions of programs are remembered by the stat of the files on PATH. So with a new file, they would be asked
    again.
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
    """The first two numbers that `tool --version` prints; zeros if it prints none."""
    try:
        done = subprocess.run([tool, "--version"], capture_output=True, check=False)
    except OSError:
        return (0, 0)
    found = re.search(rb"(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
