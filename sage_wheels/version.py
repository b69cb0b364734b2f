"""The version of this package. It is not in `__init__`, because no module of the package may import the package."""

from __future__ import annotations

__version__ = "0.1.0"
