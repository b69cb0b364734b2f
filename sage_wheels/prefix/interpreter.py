"""Facts about the target interpreter: its paths, wheel tags and marker environment.

The base interpreter of a virtual environment is found in pyvenv.cfg. If it is the interpreter that runs this tool, it
need not be run. Any other one is run once, isolated (`-I -S -B`: no site-packages, nothing of the prefix). The answer
is cached in the state directory of the prefix, together with the identity of the executable file (size, time, inode)
and of the system. So a changed interpreter is asked again, and so is one on another system; while the interpreter is
being replaced, the cached answer is used.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys

from sage_wheels.errors import InterpreterError
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import answers, memo, names, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from sage_wheels.prefix.model import Prefix

BASE_EXECUTABLE = "_base_executable"
"""The attribute of `sys` with the interpreter from which a virtual environment was made. It is a private name of
CPython, which its `venv` uses, too."""

_MEMO = "interpreter.json"


# The structure of `Facts` in JSON (see `caches.has_shape`).
_TEXTS = {str: str}
SHAPE = {
    **dict.fromkeys(("executable", "full_version", "cache_tag"), str),
    "paths": _TEXTS,
    "tags": [str],
    "markers": _TEXTS,
}


class Facts(NamedTuple):
    """Facts that a target interpreter reports.

    `paths` are the absolute paths of `sysconfig`, by name ("purelib" ...); `tags` the wheel tags that it supports, best
    first (PEP 425); `markers` its environment for markers (PEP 508).
    """

    executable: str
    full_version: str
    cache_tag: str
    paths: dict[str, str]
    tags: list[str]
    markers: dict[str, str]


def ask(prefix: Prefix) -> Facts:
    """The facts about the interpreter of `prefix`.

    Raises `InterpreterError` if it has to be run and cannot, or if its version is not that of `prefix`.
    """
    exe = base_executable(prefix)
    is_in_venv = sys.prefix != sys.base_prefix
    # if this tool runs in a virtual environment, its sysconfig gives the paths of that, which on Debian are different
    ours = is_ours(prefix) and (prefix.is_venv or not is_in_venv)
    if ours and (prefix.executable or is_in_venv):
        return _own_facts()
    file = identity(exe)
    if prefix.executable:
        return _run(exe, "", tuple(file or ()))
    key = [file, *_system()]
    stored = _stored(memo.read(prefix, _MEMO))
    if stored and (file is None or stored[0] == key):
        return stored[1]
    facts = _own_facts() if ours else _run(exe, "" if prefix.is_venv else prefix.root, tuple(file or ()))
    if not facts.full_version.startswith(f"{prefix.version[0]}.{prefix.version[1]}."):
        raise InterpreterError(
            f"the Python {exe} is {facts.full_version}, but {prefix.root} was made for "
            f"{prefix.version[0]}.{prefix.version[1]}",
            "make that prefix again, or install that Python again",
        )
    if os.path.isdir(prefix.state):  # nothing is cached in a prefix into which this tool has not installed
        memo.write(prefix, _MEMO, json.dumps({"key": key, "facts": facts._asdict()}).encode())
    return facts


def key_of(prefix: Prefix) -> list[Any] | None:
    """What the marker environment of the target depends on, and what `packaging` makes of it; None if it is unknown."""
    import packaging

    file = identity(base_executable(prefix))
    return file and [*file, *_system(), prefix.executable, prefix.full_version, packaging.__version__]


def markers_of(prefix: Prefix) -> dict[str, str]:
    """The marker environment (PEP 508) of the target; if it cannot be run, only the variables for the version."""
    try:
        return ask(prefix).markers
    except InterpreterError:
        version = f"{prefix.version[0]}.{prefix.version[1]}"
        return {"python_version": version, "python_full_version": prefix.full_version}


def base_executable(prefix: Prefix) -> str:
    """The path of the interpreter from which a virtual environment was made, or that of a whole installation."""
    if not prefix.is_venv:
        return prefix.python
    candidates = names.executables(prefix.version)
    target = os.path.realpath(prefix.python)
    if os.path.dirname(target) == os.path.realpath(prefix.home):  # no copy of the interpreter
        candidates.insert(0, os.path.basename(target))  # python3.14t, say, which is another one than python3.14
    paths = [f"{prefix.home}/{name}" for name in candidates]
    return next((each for each in paths if os.path.exists(each)), prefix.python)


def base_executable_here() -> str:
    """The interpreter that runs this tool; in a virtual environment, the one from which that was made.

    It may be wrong: see `building.environment.interpreter.our_base`.
    """
    found: str = getattr(sys, BASE_EXECUTABLE, sys.executable)
    return found


def is_ours(prefix: Prefix) -> bool:
    """Whether the target interpreter is the one that runs this tool, so that it need not be asked."""
    if prefix.version != sys.version_info[:2]:
        return False
    return os.path.realpath(base_executable(prefix)) == os.path.realpath(sys.executable)


def makes_our_bytecode(prefix: Prefix) -> bool:
    """Whether byte-code that this interpreter compiles is valid for the target interpreter.

    CPython does not change the magic number of byte-code after the first release candidate of X.Y. For any version
    before X.Y.0, the answer is False. If only X.Y can be found out, it counts as a release.
    """
    if sys.implementation.name != "cpython" or prefix.version != sys.version_info[:2]:
        return False
    if is_ours(prefix):
        return True
    return sys.version_info.releaselevel == "final" and full_version(prefix).replace(".", "").isdigit()


def full_version(prefix: Prefix) -> str:
    """The version of the Python of `prefix`: X.Y.Z, or a pre-release of it; X.Y if pyvenv.cfg says no more, and the
    interpreter cannot be run."""
    if prefix.full_version.count(".") < 2:
        with contextlib.suppress(InterpreterError):
            return ask(prefix).full_version
    return prefix.full_version


@functools.lru_cache(maxsize=1)  # it parses a thousand tags, and is called once for each marker
def _stored(body: bytes | None) -> tuple[object, Facts] | None:
    """The key and the facts in the bytes of a cache entry; None if there are none, or they are damaged."""
    stored = memo.parsed(body, {"key": object, "facts": SHAPE})
    with contextlib.suppress(KeyError):
        return (stored["key"], _facts(stored["facts"])) if stored else None
    return None


def _facts(answer: dict[str, Any]) -> Facts:
    """`Facts` from the answer of an interpreter, the version in the form of PEP 440. Raises `TypeError`, `KeyError`."""
    facts = Facts(**(_without_packaging(answer) if "soabi" in answer else answer))
    markers = {**facts.markers, "python_full_version": versions.spelled(facts.markers["python_full_version"])}
    return facts._replace(full_version=versions.spelled(facts.full_version), markers=markers)


def _without_packaging(answer: dict[str, Any]) -> dict[str, Any]:
    """Complete the answer of a CPython that is too old to import `packaging`, using `packaging` in this process.

    Raises `ValueError` if that CPython is for another kind of machine, because its platform tags are not known here.
    """
    import platform
    import struct

    from packaging import tags

    soabi, machine = answer.pop("soabi"), answer.pop("machine")
    if machine != ["cpython", platform.machine(), f"{struct.calcsize('P')}"]:
        raise ValueError(f"it is a {' '.join(machine)}, of which the library packaging knows nothing")
    full = versions.read(answer["full_version"]) or versions.PythonVersion((0, 0))
    nodot = "{}{}".format(*full.feature)
    abi = f"cp{soabi.split('-')[1]}"  # cpython-38-x86_64-linux-gnu; up to 3.7 with an m, in debug builds with a d
    abis = list(dict.fromkeys([abi, abi.replace("d", "")]))
    platforms = list(tags.platform_tags())
    known = [
        *tags.cpython_tags(full.feature, abis, platforms),
        *tags.compatible_tags(full.feature, f"cp{nodot}", platforms),
    ]
    return {**answer, "tags": [str(tag) for tag in known]}


@functools.cache  # it makes a list of a thousand tags, and is called once for each marker
def _own_facts() -> Facts:
    import platform
    import sysconfig

    from packaging.tags import sys_tags

    from sage_wheels.prefix.ask import markers

    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    return _facts(
        {
            "executable": sys.executable,
            "full_version": platform.python_version(),
            "cache_tag": sys.implementation.cache_tag or "",
            "paths": {
                ("headers" if name == "include" else name): paths[name]
                for name in ("purelib", "platlib", "include", "scripts", "data")
            },
            "tags": [str(tag) for tag in sys_tags()],
            "markers": markers(),
        }
    )


def identity(exe: str) -> list[Any] | None:
    """Path, size, times and inode of the interpreter, by which a changed one is known; None if it does not exist."""
    try:
        real = os.path.realpath(exe)
        status = os.stat(real)
    except OSError:
        return None
    return [real, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _system() -> list[str]:
    """What the tags and markers depend on, besides the interpreter: operating system, kernel and C library."""
    library = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ""
    name, _, *kernel = os.uname()
    return [name, *kernel, library or ""]


_keep: Callable[[object, Callable[[], Any]], Any] | None = None


@contextlib.contextmanager
def keeping(keep: Callable[[object, Callable[[], Any]], Any] | None) -> Iterator[None]:
    """Let `keep` return the answers of interpreters: it is called with what the answer depends on, and with a function
    that runs the interpreter."""
    global _keep
    before, _keep = _keep, keep
    try:
        yield
    finally:
        _keep = before


@functools.cache
def _run(exe: str, home: str, file: tuple[Any, ...]) -> Facts:
    """Run `ask.py` in the interpreter `exe`, once. If `home` is not "", `sys.base_prefix` must be that directory.

    `file` is its `identity`, so that a changed interpreter is run again. Raises `InterpreterError`.
    """
    import packaging

    loader, origin = __spec__.loader, os.path.join(os.path.dirname(__file__), "ask.py")
    source = loader.get_data(origin).decode()  # type: ignore[union-attr]  # works from a directory and from a zip
    above_packaging = os.path.dirname(os.path.dirname(packaging.__file__))
    advice = "repair that Python, or name another prefix"

    def run() -> Any:
        return answers.answer_of(exe, *answers.ISOLATED, "-c", source, above_packaging, home, advice=advice)

    key = ["of a prefix", *file, *_system(), home, packaging.__version__]
    answer = _keep(key, run) if _keep and file else run()
    try:
        return _facts({**answer})
    except (ValueError, TypeError) as error:
        raise InterpreterError(f"the Python {exe} gives no answer ({error})", advice) from error
