"""RULES: what build/make/python-packages.mk, make rules for a list of packages, asks.

lists           the list, and what is wrong with a line of it
trees           what tells a source tree from what it was
make_packages   the command that the rules call
"""

from __future__ import annotations

COMMANDS = ("make-packages",)
