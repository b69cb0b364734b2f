"""WHAT IS THERE: the distributions in a prefix, their RECORDs, who owns what, and whether it is still as installed."""

from __future__ import annotations

from sage_wheels.installed.distributions import Distribution, find, find_all

__all__ = ["Distribution", "find", "find_all"]
