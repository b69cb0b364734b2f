"""All environment variables that this tool reads. A test checks that no other module reads one.

The exceptions are files that run in other interpreters (`building.backend.hook_server`, `pip.driver` ...).

Each constant is the name of a variable; the text below it says who sets it, and what it means here. `for_processes`
passes all variables on to the processes that are started. An empty variable counts as not set.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SAGE_VENV = "SAGE_VENV"
"""Set by the scripts of Sage: the path of the prefix. It has precedence over `VIRTUAL_ENV`."""

VIRTUAL_ENV = "VIRTUAL_ENV"
"""Set by `activate` of a virtual environment: the prefix, if neither --prefix nor `SAGE_VENV` names one."""

XDG_CACHE_HOME = "XDG_CACHE_HOME"
"""Set by users: the directory of caches; by default ~/.cache (XDG base directory specification)."""

PYTHONNOUSERSITE = "PYTHONNOUSERSITE"
"""Set by users, for Python: if set, Python does not look into the user's site directory (module `site`)."""

PYTHONUSERBASE = "PYTHONUSERBASE"
"""Set by users, for Python: the base of the user's site directory; by default ~/.local (module `site`)."""

PATH = "PATH"
"""Set everywhere: in a build, the programs of the build environment come first, then the directories of PATH."""

COLUMNS = "COLUMNS"
"""Set by users, and by some shells: the width of the terminal, as in `shutil.get_terminal_size`."""

GIT_ALTERNATE_OBJECT_DIRECTORIES = "GIT_ALTERNATE_OBJECT_DIRECTORIES"
"""Set by users of git: more directories of objects. We add one to it, and keep those that it has."""

NO_COLOR = "NO_COLOR"
"""Set by users: nothing is printed in colours (no-color.org)."""

TERM = "TERM"
"""Set by terminals: the type of the terminal. If it is "dumb", no progress line is drawn."""

MAKELEVEL = "MAKELEVEL"
"""Set by make for the commands that it starts. They may print at the same time, so no progress line is drawn."""

XDG_CONFIG_HOME = "XDG_CONFIG_HOME"
"""Set by users: the directory of configuration files; by default ~/.config (XDG base directory specification)."""

SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
"""Set by packagers: the modification time of files that --destdir writes, in seconds (reproducible-builds.org).
Byte-code then has hashes of its sources."""

OPTION = "SAGE_WHEELS_"
"""The beginning of variables that users set to give options a default: SAGE_WHEELS_PREFIX for --prefix
(`cli.defaults`)."""

SAGE_WHEELS_HOLDS = "SAGE_WHEELS_HOLDS"
"""Set by this tool for a build backend: the lock of the build directory, which this tool holds. `sage-ninja` reads it,
and does not wait for that lock."""

SAGE_WHEELS_CACHE = "SAGE_WHEELS_CACHE"
"""Set by users, and by CI: where the store is, before `XDG_CACHE_HOME`."""

SAGE_WHEELS_LINK_MODE = "SAGE_WHEELS_LINK_MODE"
"""Set by users: whether installed files are hard links to the store."""

SAGE_WHEELS_STORE = "SAGE_WHEELS_STORE"
"""Set by users, and by CI: the URL of a store that several machines use; no build backend sees it."""

SAGE_WHEELS_STORE_MODE = "SAGE_WHEELS_STORE_MODE"
"""Set by users, and by CI: whether that store is read, written, or both."""

SAGE_WHEELS_STORE_SIGN = "SAGE_WHEELS_STORE_SIGN"
"""Set by CI: the file of the key that signs what is written there."""

SAGE_WHEELS_STORE_TRUST = "SAGE_WHEELS_STORE_TRUST"
"""Set by users, and by CI: the file of the keys whose results count, or "any"."""

HOME = "HOME"
"""Set everywhere: where compilers and build backends have settings of their own, which a build depends on."""

SUDO_USER = "SUDO_USER"
"""Set by sudo: who became root; the history of a prefix names that user, too."""

SAGE_WHEELS_LOG = "SAGE_WHEELS_LOG"
"""Set by users: the file to which each command appends its log, the same lines that -vv prints."""

SAGE_WHEELS_SLOTS = "SAGE_WHEELS_SLOTS"
"""Set by this tool for builds: how many compilers a build may run that are in no jobserver (`building.stand_ins`)."""

SAGE_WHEELS_IN_MAKE = "SAGE_WHEELS_IN_MAKE"
"""Set by the make rules for their recipes: a process of this tool is above them, and ends them if a signal ends it."""

SAGE_WHEELS_TIMINGS = "SAGE_WHEELS_TIMINGS"
"""Set by users: the file to which each build appends its start and end time, for `sage-wheels timings`."""

OF_PREFIX = (SAGE_VENV, VIRTUAL_ENV)
"""The variables that name the prefix; the first one that is set counts."""


def get(name: str) -> str:
    """The value of the variable `name`, "" if it is not set."""
    return os.environ.get(name, "")


def of_pip() -> dict[str, str]:
    """The variables in which pip finds its settings: PIP_*, and those that say where its configuration files are.

    Users set them. `pip.settings` reads them as pip does.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME")
    }


def of_options() -> dict[str, str]:
    """The variables SAGE_WHEELS_* that give options a default: their values, by name."""
    others = (SAGE_WHEELS_HOLDS, SAGE_WHEELS_IN_MAKE, SAGE_WHEELS_LOG, SAGE_WHEELS_SLOTS, SAGE_WHEELS_TIMINGS)
    names = sorted(name for name in os.environ if name.startswith(OPTION) and name not in others)
    return {name: os.environ[name] for name in names}


def for_processes(**more: str) -> dict[str, str]:
    """The environment for a process that is started: all variables of this process, and `more`."""
    return {**os.environ, **more}


def add(variables: Mapping[str, str]) -> None:
    """Add `variables` to the environment of this process. A worker process of `graph` does that before its task."""
    os.environ.update(variables)


def remove(names: Iterable[str]) -> None:
    """Remove variables from the environment of this process, before it does a task of another machine."""
    for name in names:
        os.environ.pop(name, None)


def bytecode_mode() -> str:
    """How Python finds out that byte-code is old (PEP 552), as `py_compile` chooses: "checked-hash" or "timestamp"."""
    return "checked-hash" if get(SOURCE_DATE_EPOCH) else "timestamp"


def prefix() -> str:
    """The prefix that one of the variables `OF_PREFIX` names; "" if none is set."""
    return next(filter(None, map(get, OF_PREFIX)), "")
