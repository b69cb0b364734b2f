"""Facts about the target interpreter: told by ourselves where it is ours, else asked once and remembered.

What a virtual environment's base interpreter is can be read in pyvenv.cfg; where that is the very interpreter that
runs this tool, every fact is at hand. Any other one is run once, isolated (`-I -S -B`: no site-packages, nothing of
the prefix), and its answer is kept in the prefix's state directory under the identity of the executable file, so a
changed interpreter is noticed and an interpreter that is being replaced is not needed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from typing import Any, NamedTuple

from sage_wheels.errors import InterpreterError
from sage_wheels.prefix.filesystem import regular, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.layout import Prefix


class Facts(NamedTuple):
    """What a target interpreter says of itself.

    `paths` are absolute, by scheme name; `tags` are the wheel tags it takes, best first; `markers` is its
    environment for PEP 508 markers.
    """

    executable: str
    full_version: str
    cache_tag: str
    paths: dict[str, str]
    tags: list[str]
    markers: dict[str, str]


def ask(prefix: Prefix) -> Facts:
    """The facts of `prefix`'s interpreter.

    Raises `InterpreterError` if it is another interpreter than ours, is not remembered, and cannot be run.
    """
    exe = base_executable(prefix)
    # within a virtual environment sysconfig speaks of that, and Debian's has other paths outside of it
    if is_ours(prefix) and (prefix.is_venv or sys.prefix == sys.base_prefix):
        return _own_facts()
    remembered = f"{prefix.state}/cache/interpreter.json"
    key = _identity(exe)
    try:
        with open(remembered, encoding="utf-8", opener=regular) as f:
            stored = json.load(f)
        if key is None or stored["key"] == key:
            return Facts(**stored["facts"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    facts = _run(exe, "" if prefix.is_venv else prefix.root)
    if not facts.full_version.startswith(f"{prefix.version[0]}.{prefix.version[1]}."):
        raise InterpreterError(
            f"the Python {exe} is {facts.full_version}, but {prefix.root} was made for "
            f"{prefix.version[0]}.{prefix.version[1]}",
            "make that prefix anew, or bring its Python back",
        )
    if os.path.isdir(prefix.state):  # what only reads a prefix leaves nothing in one that we never installed into
        _remember(remembered, {"key": key, "facts": facts._asdict()})
    return facts


def base_executable(prefix: Prefix) -> str:
    """The interpreter that a virtual environment was made from, or the one of a whole installation."""
    if not prefix.is_venv:
        return prefix.python
    major, minor = prefix.version
    candidates = [f"{prefix.home}/{name}" for name in (f"python{major}.{minor}", "python3", "python")]
    return next((each for each in candidates if os.path.exists(each)), prefix.python)


def is_ours(prefix: Prefix) -> bool:
    """Whether the target interpreter is the one that runs us (then nothing need be asked)."""
    if prefix.version != sys.version_info[:2]:
        return False
    return os.path.realpath(base_executable(prefix)) == os.path.realpath(sys.executable)


def makes_our_bytecode(prefix: Prefix) -> bool:
    """Whether byte-code of ours is byte-code of the target's.

    The magic number of CPython's byte-code is fixed at the first release candidate of X.Y; before it, and for
    anything that is not plainly a release, only the target can tell.
    """
    if sys.implementation.name != "cpython" or prefix.version != sys.version_info[:2]:
        return False
    if is_ours(prefix):
        return True
    final = sys.version_info.releaselevel == "final"
    return final and all(part.isdigit() for part in prefix.full_version.removesuffix(".final.0").split("."))


@functools.cache  # it lists a thousand tags, and is asked once for each marker
def _own_facts() -> Facts:
    import platform
    import sysconfig

    from packaging.markers import default_environment
    from packaging.tags import sys_tags

    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    return Facts(
        executable=sys.executable,
        full_version=platform.python_version(),
        cache_tag=sys.implementation.cache_tag or "",
        paths={
            ("headers" if name == "include" else name): paths[name]
            for name in ("purelib", "platlib", "include", "scripts", "data")
        },
        tags=[str(tag) for tag in sys_tags()],
        markers={key: str(value) for key, value in default_environment().items()},
    )


def _identity(exe: str) -> list[Any] | None:
    """What changes when the interpreter does; None while it is not there."""
    try:
        real = os.path.realpath(exe)
        status = os.stat(real)
    except OSError:
        return None
    return [real, status.st_size, status.st_mtime_ns, status.st_ino]


def _run(exe: str, home: str) -> Facts:
    import subprocess

    import packaging

    loader, origin = __spec__.loader, os.path.join(os.path.dirname(__file__), "ask.py")
    source = loader.get_data(origin).decode()  # type: ignore[union-attr]  # works from a directory and from a zip
    above_packaging = os.path.dirname(os.path.dirname(packaging.__file__))
    command = [exe, "-I", "-S", "-B", "-c", source, above_packaging, home]
    advice = "repair that Python, or name another prefix"
    try:
        # a Python's own start-up takes 10 ms; a minute means that it hangs
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        return Facts(**json.loads(result.stdout))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(f"the Python {exe} cannot be run ({error})", advice) from error
    except (ValueError, TypeError) as error:
        last = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise InterpreterError(f"the Python {exe} does not say what it is ({last})", advice) from error


def _remember(path: str, answer: dict[str, Any]) -> None:
    """Keep `answer`; a prefix that cannot be written is asked again the next time."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, json.dumps(answer).encode())
