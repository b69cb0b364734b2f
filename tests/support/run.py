"""Install and uninstall in few words, and the command line in this process or in one of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import sage_wheels
from sage_wheels.fs import trust
from sage_wheels.prefix import find_prefix
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions
from sage_wheels.transaction.install import install as install_wheels
from sage_wheels.transaction.report import Report
from sage_wheels.wheel.image import Request
from sage_wheels.wheel.wheel import Wheel


def install(prefix: Path, *wheels: Path, inflater: ModuleType | None = None, **options: Any) -> Report:
    """Install `wheels`; `options` are those of `InstallOptions`. `inflater` is as for `Wheel`."""
    if inflater is None:
        return sage_wheels.install(map(str, wheels), prefix, InstallOptions(**options))
    with contextlib.ExitStack() as stack:
        stack.enter_context(trust.masked())
        requests = [Request(stack.enter_context(Wheel(str(each), inflater=inflater))) for each in wheels]
        return install_wheels(find_prefix(prefix), requests, InstallOptions(**options), CommitOptions())


def uninstall(prefix: Path, *names: str) -> Report:
    return sage_wheels.uninstall(names, prefix)


def names(prefix: Path) -> list[str]:
    """What is installed, as "NAME VERSION"."""
    return [str(each) for each in sage_wheels.distributions(prefix)]


def python(prefix: Path, program: str, *arguments: str) -> str:
    """What the Python of `prefix` prints when it runs `program`."""
    command = [str(prefix / "bin" / "python"), "-I", "-B", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def tool_environment(**more: str) -> dict[str, str]:
    """The environment in which another process of this Python finds the package that is tested."""
    return {**os.environ, "PYTHONPATH": str(Path(sage_wheels.__file__).parent.parent), **more}


def tool(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """`sage-wheels` in a process of its own; `options` are those of `subprocess.run`."""
    command = [sys.executable, "-m", "sage_wheels", *map(str, arguments)]
    return subprocess.run(
        command, **{"capture_output": True, "text": True, "env": tool_environment(), "cwd": "/", **options}
    )
