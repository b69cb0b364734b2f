"""Read the build system in pyproject.toml early, so that the backend can start while `build` is still being imported.

`build.ProjectBuilder` checks pyproject.toml and decides. What is read here only saves time, and anything unusual is
left to it.
"""

from __future__ import annotations

import os

from sage_wheels.named import NamedTuple
from sage_wheels.requirements import toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any


class Early(NamedTuple):
    """The table `[build-system]`."""

    requires: set[str]
    backend: str
    backend_path: tuple[str, ...] = ()


# PEP 517: "if the pyproject.toml file is absent, or the build-backend key is missing"
_LEGACY = Early({"setuptools >= 40.8.0"}, "setuptools.build_meta:__legacy__")


def asker(name: str, requires: Collection[str]) -> str:
    """Who asks for the build requirements `requires` of the project `name`, for messages.

    >>> asker("six", ["setuptools >= 40.8.0"]), asker("flask", ["flit_core"])
    ('the build of six', 'the pyproject.toml of flask')
    """
    return f"the {'build' if set(requires) == _LEGACY.requires else 'pyproject.toml'} of {name}"


def read_ahead(tree: str) -> Early | None:
    """The build system of the source tree at `tree`; None if the backend is in the tree, or the table is unusual."""
    document = load(tree)
    found = build_system(document) if document is not None else None
    return None if found is None or found.backend_path else found


def load(tree: str) -> dict[str, Any] | None:
    """The content of the pyproject.toml of `tree`, {} if it does not exist; None if it cannot be read."""
    try:
        with open(os.path.join(tree, "pyproject.toml"), "rb") as f:
            return toml.loads(f.read().decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None  # `build` reports what is wrong


def build_system(document: dict[str, Any]) -> Early | None:
    """The build system that a pyproject.toml declares; None if the table is invalid."""
    table = document.get("build-system")
    if table is None:
        return _LEGACY
    if not isinstance(table, dict):
        return None
    requires, backend = table.get("requires"), table.get("build-backend", _LEGACY.backend)
    path = table.get("backend-path", [])
    if not isinstance(requires, list) or not isinstance(path, list):
        return None
    if not all(isinstance(each, str) for each in [backend, *requires, *path]):
        return None
    return Early(set(requires), backend, tuple(path))
