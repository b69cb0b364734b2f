"""Wheelhouses, directories of wheels: what is in them, by file names (the specification of binary distributions)."""

from __future__ import annotations

import os

from sage_wheels.errors import UsageError
from sage_wheels.metadata import canonical_name


def wheels_in(directory: str, advice: str = "check --find-links") -> list[str]:
    """The file names of the wheels in `directory`, sorted. Raises `UsageError` with `advice` if it cannot be read."""
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(".whl"))
    except OSError as error:
        raise UsageError(f"the wheelhouse {directory} cannot be read ({error.strerror})", advice) from error


def is_of(file_name: str, name: str, version: str) -> bool:
    """Whether a wheel is of this project and version, however they are spelt.

    >>> is_of("Foo_Bar-1.0-py3-none-any.whl", "foo-bar", "1")
    True
    """
    from packaging.utils import canonicalize_version

    parts = file_name.split("-")
    same = len(parts) > 1 and canonical_name(parts[0]) == canonical_name(name)
    return same and canonicalize_version(parts[1]) == canonicalize_version(version)
