"""Find a prefix and the paths of its installation scheme, without running its Python where that is possible.

Two kinds of prefix are told apart as Python itself does (PEP 405): a directory with a `pyvenv.cfg` is a virtual
environment, any other one with a `lib/pythonX.Y` is a whole Python installation. The scheme names are those of
`sysconfig`; the paths of a virtual environment are the ones that pip chooses there.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed, PrefixError, UsageError
from sage_wheels.prefix import presence
from sage_wheels.prefix.filesystem import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What this tool keeps in a prefix: lock, journal, stages, caches, files set aside. Not under lib/pythonX.Y, so that
# neither an upgrade of Python nor `rm -rf` of a package's files reaches the lock.
STATE = "var/lib/sage-wheels"


class Scheme(NamedTuple):
    """The five directories that a wheel's files go to, relative to the prefix, with `/` between components.

    `headers` is the directory in which each distribution gets one of its own.
    """

    purelib: str
    platlib: str
    headers: str
    scripts: str
    data: str


class Prefix(NamedTuple):
    """A tree to install into.

    `root` is absolute, as the user names it (scripts and byte-code speak of it); `version` is that of the target
    interpreter, `(3, 11)`; `home` is the directory of the interpreter that a virtual environment was made from,
    empty for a whole installation; `full_version` is "3.11.2" where the layout tells it, else "3.11".

    >>> Prefix("/p", (3, 11), "", "3.11", Scheme("lib/python3.11/site-packages", "", "", "bin", "")).path("bin/six")
    '/p/bin/six'
    """

    root: str
    version: tuple[int, int]
    home: str
    full_version: str
    scheme: Scheme

    @property
    def is_venv(self) -> bool:
        return bool(self.home)

    @property
    def state(self) -> str:
        """The directory of this tool inside the prefix."""
        return self.path(STATE)

    @property
    def python(self) -> str:
        """The target interpreter by the name that goes into shebangs; it need not exist. Raises `OSError`."""
        names = [f"python{self.version[0]}.{self.version[1]}", "python3", "python"]
        names = names[::-1] if self.is_venv else names
        # not scheme.scripts: Debian's Python in /usr/bin installs scripts into /usr/local/bin
        candidates = [self.path(f"bin/{name}") for name in names]
        return next((each for each in candidates if presence.is_there(each)), candidates[0])

    def path(self, relative: str) -> str:
        """Where `relative` (to the prefix) is."""
        return f"{self.root}/{relative}" if relative else self.root


def find_prefix(
    option: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    break_system_packages: bool = True,
) -> Prefix:
    """The prefix that `option` names, else `$SAGE_VENV`, else `$VIRTUAL_ENV`.

    With `break_system_packages=False` an installation that is EXTERNALLY-MANAGED (PEP 668) and no virtual
    environment is refused. Raises `UsageError` if none is named, `PrefixError` if that is none.
    """
    name = os.fspath(option) if option else environ.get("SAGE_VENV") or environ.get("VIRTUAL_ENV")
    if not name:
        raise UsageError("no prefix is named", "give --prefix, or set SAGE_VENV or VIRTUAL_ENV")
    root = os.path.abspath(name)
    try:
        cfg = _read_cfg(root)
        if cfg is not None:
            return _venv(root, _parse_cfg(cfg))
        if not presence.is_directory(root):
            raise PrefixError(f"the prefix {root} is not there", "make it first: python3 -m venv PREFIX")
        prefix = _whole_installation(root)
        if not break_system_packages:
            _refuse_externally_managed(prefix)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, "looking at the prefix") from error
    return prefix


def _read_cfg(root: str) -> str | None:
    try:
        with open(f"{root}/pyvenv.cfg", encoding="utf-8", errors="surrogateescape", opener=regular) as f:
            return f.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _parse_cfg(text: str) -> dict[str, str]:
    """Read `pyvenv.cfg` as `site` reads it: `key = value` lines, keys in any case (PEP 405)."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _venv(root: str, cfg: dict[str, str]) -> Prefix:
    # venv writes `version`, virtualenv and uv write `version_info`
    full = cfg.get("version_info") or cfg.get("version") or ""
    found = re.match(r"(\d+)\.(\d+)", full)
    libs = _python_libs(root)
    if found:
        version = (int(found[1]), int(found[2]))
        lib = next((each for each in libs if _lib_version(each) == version), f"python{found[1]}.{found[2]}")
    elif len(libs) == 1:
        lib, version = libs[0], _lib_version(libs[0])
        full = f"{version[0]}.{version[1]}"
    else:
        raise PrefixError(
            f"{root}/pyvenv.cfg names no version and {root}/lib has {len(libs)} directories python3.*",
            "make the virtual environment anew",
        )
    site_packages = f"lib/{lib}/site-packages"
    # Fedora and openSUSE: sysconfig's platlib is below lib64, which a virtual environment links to lib
    lib64 = f"lib64/{lib}/site-packages"
    own_lib64 = presence.is_directory(f"{root}/{lib64}") and not os.path.islink(f"{root}/lib64")
    scheme = Scheme(
        purelib=site_packages,
        platlib=lib64 if own_lib64 else site_packages,
        headers=f"include/site/python{version[0]}.{version[1]}",  # pip's choice: include/ itself may be a link
        scripts="bin",
        data="",
    )
    return Prefix(root, version, cfg.get("home") or "/usr/bin", full, scheme)


def _python_libs(root: str) -> list[str]:
    """The names of the directories lib/python3.* in `root`, and of a free-threaded lib/python3.*t."""
    try:
        names = os.listdir(f"{root}/lib")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        name for name in names if re.fullmatch(r"python3\.\d+t?", name) and presence.is_directory(f"{root}/lib/{name}")
    )


def _lib_version(name: str) -> tuple[int, int]:
    major, minor = name.removeprefix("python").removesuffix("t").split(".")
    return int(major), int(minor)


def _whole_installation(root: str) -> Prefix:
    libs = _python_libs(root)
    if len(libs) > 1:
        # Several Pythons in one prefix, or what an upgrade left: bin/python3 says which one is meant.
        real = os.path.basename(os.path.realpath(f"{root}/bin/python3"))
        libs = [each for each in libs if each == real] or [
            each for each in libs if os.path.exists(f"{root}/bin/{each}")
        ]
    if len(libs) != 1:
        raise PrefixError(
            f"{root} is no prefix: it has no pyvenv.cfg and "
            + ("several" if libs else "no")
            + " lib/python3.* with an interpreter in bin",
            "name a virtual environment or a Python installation",
        )
    version = _lib_version(libs[0])
    plain = Scheme(
        purelib=f"lib/{libs[0]}/site-packages",
        platlib=f"lib/{libs[0]}/site-packages",
        headers=f"include/{libs[0]}",
        scripts="bin",
        data="",
    )
    prefix = Prefix(root, version, "", f"{version[0]}.{version[1]}", plain)
    # Distributors patch the scheme (Debian: dist-packages, below local/), so the interpreter itself is asked; the
    # answer is remembered. One that cannot run has the layout that CPython's own `make install` gives.
    from sage_wheels.errors import InterpreterError
    from sage_wheels.prefix import interpreter

    try:
        facts = interpreter.ask(prefix)
    except InterpreterError:
        return prefix
    relative = {name: _inside(root, path) for name, path in facts.paths.items()}
    return prefix._replace(full_version=facts.full_version, scheme=Scheme(**relative))


def _inside(root: str, path: str) -> str:
    """`path` relative to `root`; PrefixError if it is elsewhere."""
    for base in (root, os.path.realpath(root)):
        if path == base:
            return ""
        if path.startswith(base + "/"):
            return path[len(base) + 1 :]
    raise PrefixError(
        f"the Python in {root} installs into {path}, which is outside", "name its own prefix with --prefix"
    )


def _refuse_externally_managed(prefix: Prefix) -> None:
    library = f"lib/python{prefix.version[0]}.{prefix.version[1]}"
    markers = [prefix.path(f"{each}/EXTERNALLY-MANAGED") for each in (library, f"{library}t")]
    marker = next(filter(presence.is_there, markers), None)
    if marker:
        raise PrefixError(
            f"{prefix.root} is managed by the operating system ({marker} says so)",
            "install into a virtual environment, or give --break-system-packages",
        )
