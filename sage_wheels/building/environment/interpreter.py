"""The interpreter that builds, described as the prefix of a virtual environment made from it.

The package `wheel` writes images for a prefix, and a build environment is a virtual environment. So the building
interpreter is described here as a `Prefix`, whose root is a directory in the cache that need not exist.
"""

from __future__ import annotations

import os
import re
import sys

from sage_wheels.errors import InterpreterError
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import Prefix, Scheme, answers, names
from sage_wheels.prefix import interpreter as facts_of
from sage_wheels.store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.interpreter import Facts

# The oldest Python for which `hook_server` is written.
_OLDEST = (3, 8)


class BuildInterpreter(NamedTuple):
    """The building interpreter. `executable` is the base interpreter, not that of a virtual environment; `pattern` is
    the prefix for which images are written."""

    executable: str
    facts: Facts
    pattern: Prefix


def find_building(python: str | None, prefix: Prefix | None, cache: str) -> BuildInterpreter:
    """The interpreter to build with: `python`, else the base interpreter of `prefix`, else the one that runs the tool.

    Raises `InterpreterError` if it cannot be run, or is too old.
    """
    named = python or (facts_of.base_executable(prefix) if prefix else sys.executable)
    executable, version = _base_of(named)
    if version < _OLDEST:
        raise InterpreterError(
            "the Python {} is {}.{}, and builds are run from {}.{} on".format(executable, *version, *_OLDEST),
            "name another with --python",
        )
    key = re.sub(r"[^A-Za-z0-9._+-]+", "-", executable).strip("-")
    root = f"{cache}/pythons/{key}"
    pattern = _pattern(root, executable, version, f"python{version[0]}.{version[1]}")
    facts = _facts(pattern, executable, Store(cache))
    library = next(filter(names.version_in, facts.paths["purelib"].split("/")), "")
    if library:  # python3.13t: free-threaded
        pattern = _pattern(root, executable, version, library)
    return BuildInterpreter(executable, facts, pattern._replace(full_version=facts.full_version))


def _facts(pattern: Prefix, executable: str, store: Store) -> Facts:
    """The facts about `executable`, cached: to list the tags takes 10 ms even for the interpreter that runs the
    tool."""
    import packaging

    from sage_wheels.store.remembered import remembered, stat_of

    key = [stat_of(executable), packaging.__version__]
    return facts_of.Facts(**remembered(store, "facts", key, facts_of.SHAPE, lambda: facts_of.ask(pattern)._asdict()))


def _pattern(root: str, executable: str, version: tuple[int, int], library: str) -> Prefix:
    site_packages = f"lib/{library}/site-packages"
    scheme = Scheme(site_packages, site_packages, f"include/site/{library}", "bin", "")
    return Prefix(root, version, os.path.dirname(executable), f"{version[0]}.{version[1]}", scheme)


def _base_of(named: str) -> tuple[str, tuple[int, int]]:
    """The base executable and the version of the Python `named`, which may be that of a virtual environment.

    They are known for the Python that runs the tool, and for one such as /usr/bin/python3.12; others are run.
    """
    ours = our_base()
    if os.path.realpath(named) in (os.path.realpath(sys.executable), ours):
        return ours, sys.version_info[:2]
    real = os.path.realpath(named)
    version = names.version_in(os.path.basename(real))
    if version and os.access(real, os.X_OK) and not _is_in_environment(real):
        return real, version
    return _ask(named)


def our_base() -> str:
    """The base executable of the Python that runs the tool."""
    return _outside(facts_of.base_executable_here(), sys.base_prefix, sys.version_info[:2])


def _ask(named: str) -> tuple[str, tuple[int, int]]:
    import shutil

    path = shutil.which(named) or named
    base = f"sys.{facts_of.BASE_EXECUTABLE}"
    program = f"import sys, json; print(json.dumps([{base}, sys.base_prefix, *sys.version_info[:2]]))"
    answer = answers.answer_of(path, *answers.ISOLATED, "-c", program, advice="name another with --python")
    executable, base_prefix, major, minor = answer
    return _outside(executable, base_prefix, (major, minor)), (major, minor)


def _outside(executable: str, base_prefix: str, version: tuple[int, int]) -> str:
    """`executable`, which is said to be the base; if that is wrong, the interpreter of `version` in `base_prefix`.

    In a virtual environment with a copy of the interpreter, it is that copy before Python 3.11; since then it is the
    `python3` beside the original, which may be of another version.
    """
    real = os.path.realpath(executable)
    if _is_in_environment(real) or names.version_in(os.path.basename(real)) not in (None, version):
        for each in names.executables(version):
            if os.access(original := f"{base_prefix}/bin/{each}", os.X_OK):
                return os.path.realpath(original)
    return real


def _is_in_environment(executable: str) -> bool:
    return os.path.exists(f"{os.path.dirname(os.path.dirname(executable))}/pyvenv.cfg")
