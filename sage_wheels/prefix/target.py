"""The prefix of `install --destdir`: its paths are those that its Python reports; its directory is not looked at.

It is used to make packages of an operating system: the files that are staged for /usr must not depend on what is in
/usr of the build machine.
"""

from __future__ import annotations

import json
import os
import re
import sys

from sage_wheels.errors import PrefixError, UsageError
from sage_wheels.prefix import answers
from sage_wheels.prefix.model import Prefix, Scheme

_PROGRAM = """
import json, sys, sysconfig
prefix, scheme = json.loads(sys.argv[1])
prefix = prefix or sys.base_prefix
names = sysconfig.get_scheme_names()
default = getattr(sysconfig, "get_default_scheme", lambda: "posix_prefix")()
known = scheme is None or scheme in names
variables = dict.fromkeys(("base", "platbase", "installed_base", "installed_platbase"), prefix)
paths = sysconfig.get_paths(scheme or default, vars=variables) if known else {}
version = "{}.{}.{}".format(*sys.version_info) + {"final": ""}.get(sys.version_info.releaselevel, "+")
print(json.dumps([prefix, version, paths, names]))
"""


def target(root: str | None, python: str, scheme: str | None = None) -> Prefix:
    """The prefix `root` for the interpreter `python`, with the paths of its sysconfig scheme `scheme`.

    If `root` is None, it is `sys.base_prefix` of `python`; if `scheme` is None, its default scheme. `python` is the
    path in the shebangs of scripts. Raises `InterpreterError` if it cannot be run, `UsageError` if it has no such
    scheme or `root` is no full path, and `PrefixError` if a path of the scheme is outside `root`.
    """
    if root is not None:
        if not os.path.isabs(root):
            raise UsageError(f"--prefix {root} is no full path", "with --destdir, name the final place, such as /usr")
        root = f"/{os.path.normpath(root).lstrip('/')}"  # POSIX lets two slashes at the start stay
    if python == sys.executable and sys.prefix == sys.base_prefix:
        answer = _ask_ourselves(root, scheme)
    else:
        answer = _ask(root, python, scheme)
    root, version, paths, names = answer
    if not paths:
        advice = f"name one of {', '.join(sorted(names))}, or another Python with --python"
        raise UsageError(f"{python} has no scheme {scheme}", advice)
    version = version.rstrip("+")
    relative = {
        ("headers" if key == "include" else key): _inside(root, paths[key])
        for key in ("purelib", "platlib", "include", "scripts", "data")
    }
    major, minor = map(int, version.split(".")[:2])
    return Prefix(root, (major, minor), "", version, Scheme(**relative), executable=python)


def _ask_ourselves(root: str | None, scheme: str | None) -> tuple[str, str, dict[str, str], list[str]]:
    """As `_ask`, for the Python of this process."""
    import contextlib
    import io

    said = io.StringIO()
    before = sys.argv
    sys.argv = ["-c", json.dumps([root, scheme])]
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(_PROGRAM, "<target>", "exec"), {})
    finally:
        sys.argv = before
    found: tuple[str, str, dict[str, str], list[str]] = json.loads(said.getvalue())
    return found


def _ask(root: str | None, python: str, scheme: str | None) -> tuple[str, str, dict[str, str], list[str]]:
    """The prefix, the version, the paths of the scheme (none if it does not exist), and the names of all schemes."""
    arguments = (*answers.ISOLATED, "-c", _PROGRAM, json.dumps([root, scheme]))
    found: tuple[str, str, dict[str, str], list[str]] = answers.answer_of(
        python, *arguments, advice="name another --python"
    )
    return found


def _inside(root: str, path: str) -> str:
    path = re.sub("/+", "/", path)  # sysconfig makes //lib of the prefix /
    if path == root:
        return ""
    if not path.startswith(os.path.join(root, "")):
        raise PrefixError(
            f"the scheme leads to {path}, which is outside of {root}", "name another --scheme or --prefix"
        )
    return path[len(os.path.join(root, "")) :]
