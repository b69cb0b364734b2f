"""RULES: what the make rules for a list of packages (build/make/python-packages.mk) call.

lists           parses the list, and checks it
trees           a digest of a source tree, by which a changed tree is known
make_packages   the command that the rules call
"""

from __future__ import annotations

COMMANDS = ("make-packages",)
