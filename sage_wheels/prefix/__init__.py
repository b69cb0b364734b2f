"""WHERE: the prefix, its paths and its interpreter, its lock, and what its file system can do."""

from __future__ import annotations

from sage_wheels.prefix.layout import Prefix, Scheme, find_prefix

__all__ = ["Prefix", "Scheme", "find_prefix"]
