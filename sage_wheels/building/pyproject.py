"""Read ahead in pyproject.toml, so that the backend may start while `build` is still being imported.

`build.ProjectBuilder` is the one that decides what pyproject.toml says and whether it may say so; what is read here is
only ever a head start, and whatever is unusual is left to it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple


class Early(NamedTuple):
    """What `[build-system]` plainly says."""

    requires: set[str]
    backend: str


# PEP 517: "if the pyproject.toml file is absent, or the build-backend key is missing"
_LEGACY = Early({"setuptools >= 40.8.0"}, "setuptools.build_meta:__legacy__")


def read_ahead(tree: str) -> Early | None:
    """The build system of the source tree at `tree`; None if it is in the tree itself, or not plain to see."""
    if sys.version_info < (3, 11):  # no tomllib
        return None
    import tomllib

    try:
        with open(os.path.join(tree, "pyproject.toml"), "rb") as f:
            table: Any = tomllib.load(f).get("build-system")
    except FileNotFoundError:
        return _LEGACY
    except (OSError, ValueError, RecursionError):
        return None  # `build` says what is wrong
    if table is None:
        return _LEGACY
    if not isinstance(table, dict) or "backend-path" in table:
        return None
    requires, backend = table.get("requires"), table.get("build-backend", _LEGACY.backend)
    if not isinstance(requires, list) or not all(isinstance(each, str) for each in [backend, *requires]):
        return None
    return Early(set(requires), backend)
