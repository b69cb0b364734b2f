"""Read TOML on every Python: with `tomllib`, or on Python 3.10 with `tomli`, which `build` requires there."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def loads(text: str) -> dict[str, Any]:
    """What the TOML document `text` says (TOML 1.0). Raises `ValueError` and `RecursionError`.

    >>> loads("[a]\\nb = 1")
    {'a': {'b': 1}}
    """
    try:
        import tomllib
    except ModuleNotFoundError:
        import tomli as tomllib  # type: ignore[import-not-found, no-redef, unused-ignore]
    return tomllib.loads(text)
