"""Those who are compared: how each is started, and how it is told to install and uninstall.

All get the same prefixes and the same wheel files, no index, no configuration and a cache directory of their own.

pip        is run by the prefix's Python from a directory beside it, which is what `pip --python` does after its first
           process: the same work as a pip in the prefix, without a pip that would have to be measured or replaced there
installer  is run by an interpreter in whose environment there is nothing else, with --prefix; byte-code for one level
           of optimisation, as the others write it
uv         is told to stay offline, to follow no dependencies, and which Python it is for
sage-wheels is run through build/bin/sage-wheels of this checkout
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parent.parent
_NOT_PASSED_ON = ("PIP_", "UV_", "PYTHON", "SAGE_", "VIRTUAL_ENV", "XDG_")


class Contender:
    """One tool, with a prefix path and a cache of its own below `home`."""

    name = ""
    version = ""

    def __init__(self, home: Path) -> None:
        self.home = home / self.name
        self.prefix = self.home / "prefix"
        self.cache = self.home / "cache"
        self.home.mkdir()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}
        self.environment = {**kept, "XDG_CACHE_HOME": str(self.cache), "PIP_CONFIG_FILE": os.devnull}

    def install(self, wheels: Sequence[Path], *, bytecode: bool | None = None, again: bool = False) -> list[str]:
        """The command that installs, `again` what is installed already; byte-code by the tool's habit if it is None."""
        raise NotImplementedError

    def uninstall(self, name: str) -> list[str] | None:
        """The command that uninstalls, if the tool can."""
        raise NotImplementedError

    def clear_cache(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)

    @property
    def python(self) -> str:
        """The Python of the prefix."""
        return str(self.prefix / "bin" / "python")


class Pip(Contender):
    name = "pip"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.version = importlib.metadata.version("pip")
        self._program = str(copy_package("pip", self.home / "program"))

    def install(self, wheels: Sequence[Path], *, bytecode: bool | None = None, again: bool = False) -> list[str]:
        options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
        if bytecode is not None:
            options.append("--compile" if bytecode else "--no-compile")
        if again:
            options.append("--force-reinstall")
        return [self.python, self._program, "install", *options, *map(str, wheels)]

    def uninstall(self, name: str) -> list[str]:
        return [self.python, self._program, "uninstall", "--yes", "--disable-pip-version-check", name]

    def ask(self, *command: str) -> list[str]:
        """A command that only reads."""
        return [self.python, self._program, *command, "--disable-pip-version-check"]


class Installer(Contender):
    name = "installer"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.version = importlib.metadata.version("installer")
        environment = self.home / "environment"
        make_prefix(environment)
        copy_package("installer", site_packages(environment))
        self._python = str(environment / "bin" / "python")

    def install(self, wheels: Sequence[Path], *, bytecode: bool | None = None, again: bool = False) -> list[str]:
        if again:
            raise NotImplementedError  # it does not remove what is there
        compiling = ["--no-compile-bytecode"] if bytecode is False else ["--compile-bytecode", "0"]
        return [self._python, "-m", "installer", "--prefix", str(self.prefix), *compiling, *map(str, wheels)]

    def uninstall(self, name: str) -> None:
        return None


class Uv(Contender):
    name = "uv"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.version = importlib.metadata.version("uv")
        self._program = os.path.join(sysconfig.get_path("scripts"), "uv")

    def install(self, wheels: Sequence[Path], *, bytecode: bool | None = None, again: bool = False) -> list[str]:
        options = ["--offline", "--no-config", "--no-deps", "--python", self.python]
        if bytecode is not None:
            options.append("--compile-bytecode" if bytecode else "--no-compile-bytecode")
        if again:
            options.append("--reinstall")
        return [self._program, "pip", "install", *options, *map(str, wheels)]

    def uninstall(self, name: str) -> list[str]:
        return [self._program, "pip", "uninstall", "--offline", "--no-config", "--python", self.python, name]


class SageWheels(Contender):
    name = "sage-wheels"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.program = str(CHECKOUT / "build" / "bin" / "sage-wheels")

    def install(self, wheels: Sequence[Path], *, bytecode: bool | None = None, again: bool = False) -> list[str]:
        options = ["--json", "--prefix", str(self.prefix)]
        if bytecode is False:
            options.append("--no-compile")
        if again:
            options.append("--reinstall")
        return [self.program, "install", *options, *map(str, wheels)]

    def uninstall(self, name: str) -> list[str]:
        return [self.program, "uninstall", "--json", "--prefix", str(self.prefix), name]

    def undo(self) -> list[str]:
        return [self.program, "undo", "--json", "--prefix", str(self.prefix)]

    def ask(self, *command: str) -> list[str]:
        """A command that only reads."""
        return [self.program, *command, "--prefix", str(self.prefix)]

    def has_fast_inflater(self) -> bool:
        """Whether the launcher has the extra `fast`."""
        return any(CHECKOUT.glob(".cache/tool-*/zlib_ng"))

    def recover(self) -> list[str]:
        return [self.program, "recover", "--prefix", str(self.prefix)]


def make_prefix(path: Path) -> None:
    """Make an empty virtual environment."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(path)


def site_packages(prefix: Path) -> Path:
    """Where the packages of a virtual environment are."""
    return prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def copy_package(name: str, destination: Path) -> Path:
    """Copy a package that this interpreter has, without anything beside it, and compile it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is missing; use `nox -s benchmarks`, which brings it")
    shutil.copytree(Path(spec.origin).parent, destination / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Not in this process: its size is what the memory of all others is measured against.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(destination / name)], check=True)
    return destination / name
