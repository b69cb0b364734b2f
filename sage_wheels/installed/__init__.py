"""INSTALLED DISTRIBUTIONS: their RECORDs, which files they own, and whether these are still as they were installed."""

from __future__ import annotations

from sage_wheels.installed.distributions import Distribution, find, find_all

__all__ = ["Distribution", "find", "find_all"]
