"""Install the dependencies that `build/bin/sage-wheels` needs: `python -I prepare.py CHECKOUT`.

    CHECKOUT/.cache/tool-KEY/               the dependencies, byte-compiled
    CHECKOUT/.cache/tool-KEY/sage_wheels    a link to the checkout's package
    CHECKOUT/.cache/tool                    the interpreter and the KEY to use, to be sourced by the shell

KEY is a checksum of the interpreter and the requirements, so a directory that exists is complete and never changes. It
is made under another name, and then renamed. A second process waits for the lock, and finds the directory. What a
killed process has left is removed by the next one. `.cache` can be deleted while nothing runs from it.

This file uses only the standard library of Python 3.10.
"""

from __future__ import annotations

import compileall
import fcntl
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

# The oldest Python that may run a bundle made of what is prepared here (bundle.py).
OLDEST_PYTHON = "3.10"
# What the dependencies require only before Python 3.11. pip evaluates the marker of `tomli; python_version < "3.11"`, a
# requirement of the package `build`, for the Python that it runs in, which may be newer.
FOR_OLDER_PYTHONS = ["tomli>=1.1.0"]
# The extras that a checkout has, and so every tree with the overlay, as far as pip can get them.
EXTRAS = ("fast", "store")


class Failed(Exception):
    """The dependencies cannot be installed; the message is one sentence."""


def main(checkout: Path) -> None:
    """Make `.cache/tool` of `checkout`, and what it names, for the interpreter of this process. Raises `Failed`."""
    cache = checkout / ".cache"
    cache.mkdir(exist_ok=True)
    with open(cache / "tool.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pyproject = (checkout / "pyproject.toml").read_text(encoding="utf-8")
        wanted = requirements(pyproject) + FOR_OLDER_PYTHONS
        extras = {name: requirements(pyproject, name) for name in EXTRAS}
        tool = cache / f"tool-{key([*wanted, *(each for extra in extras.values() for each in extra)])}"
        for leftover in cache.glob("tool*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        if not tool.is_dir():
            print("sage-wheels: getting ready for its first run here", file=sys.stderr, flush=True)
            unfinished = cache / f"{tool.name}.tmp"
            try:
                fill(unfinished, wanted, extras, log=cache / "tool.log")
                unfinished.rename(tool)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        state = cache / "tool.tmp"
        state.write_text(f"python={shlex.quote(sys.executable)} tool={shlex.quote(tool.name)}\n")
        state.rename(cache / "tool")


def requirements(pyproject: str, name: str = "dependencies") -> list[str]:
    """The list `name` of requirements in `pyproject`, which has one in each line (Python 3.10 has no `tomllib`).

    >>> requirements('dependencies = [\\n    "a>=1",  # why\\n    # "b",\\n    "c",\\n]\\nother = ["d"]\\n')
    ['a>=1', 'c']
    """
    table = re.search(rf"^{name} = \[\n(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    if table is None:
        raise Failed(f"pyproject.toml has no list of {name}; restore it")
    return re.findall(r'^ *"([^"]+)"', table[1], re.MULTILINE)


def key(wanted: list[str]) -> str:
    """The KEY for this interpreter and these requirements."""
    facts = repr((sys.executable, sys.version, wanted))
    return f"{sys.implementation.cache_tag}-{zlib.crc32(facts.encode()):08x}"


def fill(tool: Path, wanted: list[str], extras: dict[str, list[str]], log: Path) -> None:
    """Make the directory `tool` with the dependencies, byte-compiled, and the link to the package. Raises `Failed`.

    The requirements of `extras` may have extension modules for this Python. Those that pip cannot get are left out.
    """
    tool.mkdir()
    with open(log, "wb") as output:
        # Variables precede pip's configuration files, which may have options that do not work with --target.
        environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}
        command = [*pip(tool, output.fileno()), "install", "--target", str(tool), "--no-compile"]
        command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
        # Pure Python wheels only: nothing has to be built, and a zip file can be made of the directory.
        pure = ["--platform=any", "--implementation=py", "--abi=none", "--python-version", OLDEST_PYTHON]

        def run(*options: str) -> bool:
            line = [*command, *options]
            done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
            return done.returncode == 0

        complete = run(*pure, "--", *wanted)
        for extra in extras.values() if complete else ():
            if extra and not run("--", *extra):
                for requirement in extra:
                    run("--", requirement)
    if not complete:
        raise Failed(
            f"cannot get {', '.join(wanted)} from the package index; "
            f"make it reachable for pip, which said in {log}: {last_error(log)}"
        )
    for superfluous in ("bin", "pip"):
        shutil.rmtree(tool / superfluous, ignore_errors=True)
    # PEP 552: without times, so that the byte-code is valid in a copy of the checkout, too.
    compileall.compile_dir(tool, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    (tool / "sage_wheels").symlink_to("../../sage_wheels")


def pip(tool: Path, output: int) -> list[str]:
    """The command for pip: that of this Python, else one in a virtual environment that is made. Raises `Failed`."""
    own = [sys.executable, "-I", "-m", "pip"]
    if subprocess.run([*own, "--version"], stdout=output, stderr=output).returncode == 0:
        return own
    environment = tool / "pip"
    command = [sys.executable, "-I", "-m", "venv", str(environment)]
    if subprocess.run(command, stdout=output, stderr=output).returncode:
        raise Failed(
            f"{sys.executable} has neither pip nor ensurepip to get the dependencies with; "
            "install one of them, on Debian and Ubuntu with: apt install python3-venv"
        )
    return [str(environment / "bin" / "python"), "-I", "-m", "pip"]


def last_error(log: Path) -> str:
    """The last line of pip's output that begins with "ERROR:", else the last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or ["nothing"]
    return next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failed, OSError) as error:
        sys.exit(f"sage-wheels: {error}")
