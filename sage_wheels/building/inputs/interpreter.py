"""The interpreter that builds, as far as a wheel depends on it."""

from __future__ import annotations

import os
import sys

from sage_wheels.building.keyable import NotKeyable
from sage_wheels.errors import InterpreterError
from sage_wheels.prefix import answers
from sage_wheels.store.remembered import remembered, stat_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.building.environment.interpreter import BuildInterpreter
    from sage_wheels.store.store import Store

# What setuptools, meson and others read of an interpreter: its configuration, and pyconfig.h. The directories of the
# user are left out. `options` are those with which extension modules are compiled, and the directories in which
# compilers look in any case. `files` are the files from which the answer was read.
_PROGRAM = """
import hashlib, json, os, platform, sys, sysconfig
variables = {k: str(v) for k, v in sysconfig.get_config_vars().items() if k != "userbase"}
header = sysconfig.get_config_h_filename()
text = open(header, "rb").read() if os.path.isfile(header) else b""
about = hashlib.sha256(json.dumps(variables, sort_keys=True).encode() + bytes([0]) + text).hexdigest()
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (AttributeError, OSError, ValueError):
    libc = " ".join(platform.libc_ver(sys.executable)) or platform.mac_ver()[0]
name = getattr(sysconfig, "_get_sysconfigdata_name", lambda: "")()
module = sys.modules.get(name)
print(json.dumps({
    "facts": {
        "implementation": sys.implementation.name,
        "version": sys.version,
        "platform": sysconfig.get_platform(),
        "libc": libc,
        "byteorder": sys.byteorder,
        "configuration": about,
        "compilers": " ".join(variables.get(k, "").split(" ")[0] for k in ("CC", "CXX", "AR")),
        "options": " ".join([
            *(variables.get(k, "") for k in ("CC", "CXX", "CPPFLAGS", "CFLAGS", "LDSHARED", "LDCXXSHARED")),
            *("-I" + variables[k] for k in ("INCLUDEPY", "CONFINCLUDEPY") if variables.get(k)),
            *("-L" + variables[k] for k in ("LIBDIR",) if variables.get("Py_ENABLE_SHARED") == "1" and variables[k]),
        ]),
    },
    "files": [header, *([module.__file__] if module else [])],
}))
"""
_FACTS = dict.fromkeys(
    ("implementation", "version", "platform", "libc", "byteorder", "configuration", "compilers", "options"), str
)
_MADE_BY = {"PATH": os.defpath, "LC_ALL": "C"}


def facts(building: BuildInterpreter, store: Store) -> dict[str, str]:
    """Facts about the building interpreter that a wheel depends on. Raises `NotKeyable` if it does not tell them."""
    here = stat_of(building.executable)
    files = remembered(store, "files of interpreter", here, [str], lambda: _ask(building.executable)["files"])
    about = [here, *map(stat_of, files), stat_of(_libc())]
    answer: dict[str, str] = remembered(store, "interpreter", about, _FACTS, lambda: _ask(building.executable)["facts"])
    return {**answer, "tag": building.facts.tags[0]}


def _libc() -> str:
    """The path of the C library; if it changes, the interpreter is asked again."""
    for path in ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"):
        if os.path.exists(path):
            return path
    return "/usr/lib/libSystem.B.dylib" if sys.platform == "darwin" else "/lib"


def _ask(executable: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = answers.answer_of(
            executable, *answers.ISOLATED, "-c", _PROGRAM, advice="", environ=_MADE_BY
        )
    except InterpreterError as error:
        raise NotKeyable(f"the interpreter {executable} does not say how it is configured ({error.what})") from error
    return found
