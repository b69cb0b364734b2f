"""Find a prefix and the paths of its installation scheme, if possible without running its Python.

There are two kinds of prefix (PEP 405): a directory with a `pyvenv.cfg` is a virtual environment; any other directory
with a `lib/pythonX.Y` is a whole Python installation. The names of schemes are those of `sysconfig`; the paths in a
virtual environment are those that pip uses.
"""

from __future__ import annotations

import os

from sage_wheels import environment
from sage_wheels.errors import FileOperationFailed, PrefixError, UsageError
from sage_wheels.fs import presence
from sage_wheels.fs.files import regular
from sage_wheels.prefix import names, versions
from sage_wheels.prefix.model import Prefix, Scheme


def find_prefix(
    option: str | os.PathLike[str] | None = None,
    *,
    break_system_packages: bool = True,
) -> Prefix:
    """The prefix at the path `option` or, if that is None, at the path in one of the variables `environment.OF_PREFIX`.

    With `break_system_packages=False`, a whole installation that is EXTERNALLY-MANAGED (PEP 668) is refused. Raises
    `UsageError` if no prefix is named, `PrefixError` if the directory is not a prefix, or is refused, and
    `FileOperationFailed` if it cannot be examined.
    """
    name = os.fspath(option) if option else environment.prefix()
    if not name:
        raise UsageError("no prefix is named", f"give --prefix, or set {' or '.join(environment.OF_PREFIX)}")
    root = os.path.abspath(name)
    try:
        cfg = _read_cfg(root)
        if cfg is not None:
            return _venv(root, _parse_cfg(cfg))
        if not presence.is_directory(root):
            if os.path.islink(root):  # in a tree that was moved
                target = os.path.join(os.path.dirname(root), os.readlink(root))
                what = f"the prefix {root} is a link to {target}, which is no directory"
                raise PrefixError(what, "make the link again, or name the prefix itself")
            if os.path.exists(root):
                raise PrefixError(f"the prefix {root} is a file", "name the directory of a prefix")
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
    """Parse `pyvenv.cfg` as `site` does: lines `key = value`, keys in any case (PEP 405)."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _venv(root: str, cfg: dict[str, str]) -> Prefix:
    # venv writes `version`, virtualenv and uv write `version_info`
    told = versions.read(cfg.get("version_info", "")) or versions.read(cfg.get("version", ""))
    libs = _python_libs(root)
    if told:
        version, full = told.feature, str(told)
        lib = next((each for each, its in libs.items() if its == version), f"python{version[0]}.{version[1]}")
    elif len(libs) == 1:
        ((lib, version),) = libs.items()
        full = f"{version[0]}.{version[1]}"
    else:
        raise PrefixError(
            f"{root}/pyvenv.cfg names no version and {root}/lib has {len(libs)} directories python3.*",
            "make the virtual environment again",
        )
    _refuse_other_python(root, version)
    site_packages = f"lib/{lib}/site-packages"
    # on Fedora and openSUSE, platlib of sysconfig is below lib64; in a virtual environment lib64 is a link to lib
    lib64 = f"lib64/{lib}/site-packages"
    own_lib64 = presence.is_directory(f"{root}/{lib64}") and not os.path.islink(f"{root}/lib64")
    scheme = Scheme(
        purelib=site_packages,
        platlib=lib64 if own_lib64 else site_packages,
        headers=f"include/site/python{version[0]}.{version[1]}",  # pip's choice: include/ itself may be a link
        scripts="bin",
        data="",
    )
    sees_system = cfg.get("include-system-site-packages", "").lower() == "true"
    return Prefix(root, version, cfg.get("home") or "/usr/bin", full, scheme, sees_system)


def _refuse_other_python(root: str, version: tuple[int, int]) -> None:
    """Raise `PrefixError` if bin/python3 is of another version than pyvenv.cfg says.

    This happens if a virtual environment was made over one of another Python: the old links in bin stay.
    """
    real = os.path.realpath(f"{root}/bin/python3")
    if names.version_in(os.path.basename(real)) not in (None, version):
        raise PrefixError(
            f"{root}/pyvenv.cfg says Python {version[0]}.{version[1]}, but {root}/bin/python3 leads to {real}",
            "make the virtual environment again in an empty directory",
        )


def _python_libs(root: str) -> dict[str, tuple[int, int]]:
    """The directories python3.*, and python3.*t of free-threaded Pythons, in `root`/lib, with their versions."""
    try:
        found = sorted(os.listdir(f"{root}/lib"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    versions_of = {each: names.version_in(each) for each in found if each.startswith("python3.")}
    return {each: its for each, its in versions_of.items() if its and presence.is_directory(f"{root}/lib/{each}")}


def _whole_installation(root: str) -> Prefix:
    known = _python_libs(root)
    libs = list(known)
    if len(libs) > 1:
        # several Pythons in one prefix, or the rest of an older one: the target of bin/python3 decides
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
    version = known[libs[0]]
    plain = Scheme(
        purelib=f"lib/{libs[0]}/site-packages",
        platlib=f"lib/{libs[0]}/site-packages",
        headers=f"include/{libs[0]}",
        scripts="bin",
        data="",
    )
    prefix = Prefix(root, version, "", f"{version[0]}.{version[1]}", plain)
    # Distributors change the scheme (Debian: dist-packages, below local/), so the interpreter itself is asked, and its
    # answer is cached. If it cannot run, the layout of CPython's own `make install` is assumed.
    from sage_wheels.errors import InterpreterError
    from sage_wheels.prefix import interpreter

    try:
        facts = interpreter.ask(prefix)
    except InterpreterError:
        return prefix
    relative = {name: _inside(root, path) for name, path in facts.paths.items()}
    return prefix._replace(full_version=facts.full_version, scheme=Scheme(**relative))


def _inside(root: str, path: str) -> str:
    """`path` relative to `root`. Raises `PrefixError` if it is outside."""
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
