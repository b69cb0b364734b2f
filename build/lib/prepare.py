"""Prepare what `build/bin/sage-wheels` runs from: `python -I prepare.py CHECKOUT`.

    CHECKOUT/.cache/tool-KEY/               the dependencies, byte-compiled
    CHECKOUT/.cache/tool-KEY/sage_wheels    a link to the checkout's package
    CHECKOUT/.cache/tool                    which interpreter and KEY to start with, for the shell to source

KEY names the interpreter and the requirements, so a directory that is there is complete and right for good.
It is filled under another name and arrives by rename; who comes second waits at the lock and finds it done;
what a killed preparation left behind is removed by the next one. `.cache` can be deleted whenever nothing
runs from it.

Only the standard library of Python 3.10 is at hand here.
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
# What the dependencies ask for only below Python 3.11: pip looks at the Python that it runs in, however new that is,
# and takes `tomli; python_version < "3.11"` of the package `build` for none of its business.
FOR_OLDER_PYTHONS = ["tomli>=1.1.0"]


class Failed(Exception):
    """Why the tool cannot be prepared, in one sentence."""


def main(checkout: Path) -> None:
    """Make `.cache/tool` of this checkout valid for the interpreter that runs this."""
    cache = checkout / ".cache"
    cache.mkdir(exist_ok=True)
    with open(cache / "tool.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pyproject = (checkout / "pyproject.toml").read_text(encoding="utf-8")
        wanted = requirements(pyproject) + FOR_OLDER_PYTHONS
        faster = requirements(pyproject, "fast")
        tool = cache / f"tool-{key(wanted + faster)}"
        for leftover in cache.glob("tool*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        if not tool.is_dir():
            print("sage-wheels: getting ready for its first run here", file=sys.stderr, flush=True)
            unfinished = cache / f"{tool.name}.tmp"
            try:
                fill(unfinished, wanted, faster, log=cache / "tool.log")
                unfinished.rename(tool)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        state = cache / "tool.tmp"
        state.write_text(f"python={shlex.quote(sys.executable)} tool={shlex.quote(tool.name)}\n")
        state.rename(cache / "tool")


def requirements(pyproject: str, name: str = "dependencies") -> list[str]:
    """Read the list `name` of requirements, one to a line there; `tomllib` is not in Python 3.10.

    >>> requirements('dependencies = [\\n    "a>=1",  # why\\n    # "b",\\n    "c",\\n]\\nother = ["d"]\\n')
    ['a>=1', 'c']
    """
    table = re.search(rf"^{name} = \[\n(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    if table is None:
        raise Failed(f"pyproject.toml has no list of {name}; restore it")
    return re.findall(r'^ *"([^"]+)"', table[1], re.MULTILINE)


def key(wanted: list[str]) -> str:
    """Name this interpreter and these requirements."""
    facts = repr((sys.executable, sys.version, wanted))
    return f"{sys.implementation.cache_tag}-{zlib.crc32(facts.encode()):08x}"


def fill(tool: Path, wanted: list[str], faster: list[str], log: Path) -> None:
    """Put the dependencies, compiled, and the link to the package into the new directory `tool`.

    The `faster` dependencies are compiled for this Python only; they are left out if pip cannot get them.
    """
    tool.mkdir()
    with open(log, "w") as output:
        # Variables win over pip's configuration files, which may hold what does not go with --target.
        environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0"}
        command = [*pip(tool, output.fileno()), "install", "--target", str(tool), "--no-compile"]
        command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
        # Pure wheels only: nothing has to be built, and the directory is good for a zip file as well.
        pure = ["--platform=any", "--implementation=py", "--abi=none", "--python-version", OLDEST_PYTHON]

        def run(*options: str) -> bool:
            line = [*command, *options]
            done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
            return done.returncode == 0

        complete = run(*pure, "--", *wanted)
        if complete:
            run("--no-deps", "--", *faster)
    if not complete:
        raise Failed(
            f"cannot get {', '.join(wanted)} from the package index; "
            f"make it reachable for pip, which said in {log}: {last_error(log)}"
        )
    for superfluous in ("bin", "pip"):
        shutil.rmtree(tool / superfluous, ignore_errors=True)
    # By hash, so that copying the checkout does not make the byte-code stale.
    compileall.compile_dir(tool, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    (tool / "sage_wheels").symlink_to("../../sage_wheels")


def pip(tool: Path, output: int) -> list[str]:
    """Give the command that starts pip: this Python's own, else one in a virtual environment for it."""
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
    """Give the line of pip's output that says most about its failure."""
    lines = log.read_text(errors="replace").splitlines() or ["nothing"]
    return next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failed, OSError) as error:
        sys.exit(f"sage-wheels: {error}")
