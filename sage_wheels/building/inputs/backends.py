"""Backends that run no code of the project and start no compiler, so that the wheel does not depend on the machine.

    flit_core      if the module has version and docstring as plain strings: it parses the module, and imports it only
                   if one of them is missing
    hatchling      without hooks and plugins, and with the version in a file in which it searches
    poetry-core    without a build script
    pdm-backend    without a build hook, and with the version in a file in which it searches
    setuptools     without setup.py, extension modules, commands of its own, and attributes that it would import

Then they only copy files. The build environment must contain only the backend's own requirements, because another
distribution may be a plugin.
"""

from __future__ import annotations

import os
import re

from sage_wheels.metadata import canonical_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_COMMON = frozenset({"packaging", "tomli", "wheel", "setuptools"})
_HATCHLING = _COMMON | {"hatchling", "pathspec", "pluggy", "tomlkit", "trove-classifiers", "editables"}


def plain_reason(tree: str, document: dict[str, Any], backend: str, backend_path: Iterable[str]) -> str:
    """The key in `_TABLE` of the backend, if it builds `tree` without running code of it; "" otherwise."""
    if list(backend_path):
        return ""
    for prefix, (check, _) in _TABLE.items():
        if re.fullmatch(prefix, backend) and check(tree, document):
            return prefix
    return ""


def is_plain(reason: str, wheels: Iterable[str]) -> bool:
    """Whether the backend `reason` (a key of `_TABLE`) runs no code with these distributions in its environment."""
    return reason in _TABLE and {canonical_name(each) for each in wheels} <= _TABLE[reason][1]


def _flit(tree: str, document: dict[str, Any]) -> bool:
    project = document.get("project")
    if not isinstance(project, dict):
        return False
    dynamic = project.get("dynamic", [])
    if not dynamic:
        return True
    tool = _table(document, "tool", "flit", "module")
    name = str(tool.get("name", project.get("name", ""))).replace("-", "_").replace(".", "/")
    for path in (f"{name}.py", f"{name}/__init__.py", f"src/{name}.py", f"src/{name}/__init__.py"):
        if os.path.isfile(f"{tree}/{path}"):
            return _says_both(f"{tree}/{path}")
    return False


def _says_both(module: str) -> bool:
    import ast

    try:
        with open(module, "rb") as f:
            parsed = ast.parse(f.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False
    for each in parsed.body:
        targets = (
            each.targets if isinstance(each, ast.Assign) else [each.target] if isinstance(each, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets):
            value = each.value  # type: ignore[attr-defined]
            return isinstance(value, ast.Constant) and isinstance(value.value, str) and bool(ast.get_docstring(parsed))
    return False


def _hatchling(tree: str, document: dict[str, Any]) -> bool:
    hatch = _table(document, "tool", "hatch")
    version = _table(hatch, "version")
    build = _table(hatch, "build")
    targets = _table(build, "targets")
    return not (
        _is_there(tree, "hatch.toml", "hatch_build.py", "setup.py")
        or set(version) - {"path", "pattern"}
        or "hooks" in build
        or "hooks" in _table(hatch, "metadata")
        or set(targets) - {"wheel", "sdist"}
        or any("hooks" in _table(targets, each) for each in targets)
    )


def _poetry(tree: str, document: dict[str, Any]) -> bool:
    return "build" not in _table(document, "tool", "poetry") and not _is_there(tree, "build.py")


def _pdm(tree: str, document: dict[str, Any]) -> bool:
    pdm = _table(document, "tool", "pdm")
    build = _table(pdm, "build")
    version = _table(pdm, "version")
    return not (
        _is_there(tree, "pdm_build.py")
        or {"run-setuptools", "custom-hook"} & set(build)
        or (version and version.get("source") != "file")
    )


def _setuptools(tree: str, document: dict[str, Any]) -> bool:
    if _is_there(tree, "setup.py") or not _is_plain_cfg(f"{tree}/setup.cfg"):
        return False
    table = _table(document, "tool", "setuptools")
    dynamic = _table(table, "dynamic")
    return not (
        {"ext-modules", "cmdclass"} & set(table)
        or "distutils" in _table(document, "tool")
        or any("attr" in each for each in dynamic.values() if isinstance(each, dict))
        or not _PLUGINS.isdisjoint(_table(document, "tool"))
    )


def _is_plain_cfg(path: str) -> bool:
    """Whether a setup.cfg, which every sdist of setuptools has, names no code to run and no compiler."""
    import configparser

    parser = configparser.RawConfigParser()
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        parser.read_string(text)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, configparser.Error):
        return False
    commands = {"global", "build", "build_ext", "build_clib", "config", "build_py", "install", "install_lib", "sdist"}
    return not (commands & set(parser.sections()) or "attr:" in text or "cmdclass" in text or "distutils" in text)


# Tables of plugins that add themselves to setuptools, or that show that something is compiled.
_PLUGINS = {"setuptools_scm", "setuptools-scm", "setuptools-git-versioning", "cffi", "cibuildwheel", "mypyc"}

# The backend as pyproject.toml names it; the function that checks a tree; the distributions that may be installed.
_TABLE: dict[str, tuple[Callable[[str, dict[str, Any]], bool], frozenset[str]]] = {
    r"flit_core\.buildapi": (_flit, frozenset({"flit-core"})),
    r"hatchling\.build": (_hatchling, _HATCHLING),
    r"poetry\.core\.masonry\.api": (_poetry, frozenset({"poetry-core"})),
    r"pdm\.backend": (_pdm, _COMMON | {"pdm-backend"}),
    r"setuptools\.build_meta": (_setuptools, _COMMON),
}


def _table(document: dict[str, Any], *names: str) -> dict[str, Any]:
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _is_there(tree: str, *names: str) -> bool:
    return any(os.path.lexists(f"{tree}/{name}") for name in names)
