"""THE PREFIX: how it is found, its paths, its interpreter, and its lock."""

from __future__ import annotations

from sage_wheels.prefix.finding import find_prefix
from sage_wheels.prefix.model import Prefix, Scheme

__all__ = ["Prefix", "Scheme", "find_prefix"]
