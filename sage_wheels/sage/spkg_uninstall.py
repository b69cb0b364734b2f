"""Uninstall a package of Sage: what `build/bin/sage-spkg-uninstall` runs, which stands for the genuine one.

usage: sage-wheels spkg-uninstall BUILD [OPTION...] PKG [TREE]

BUILD is the directory `build` of the Sage tree; what follows is as for the genuine command, which is in
BUILD/sage_bootstrap/uninstall.py. That does the work, in this process, but for what it cannot do well: see
`sage_wheels/sage/removal.py`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from sage_wheels import environment
from sage_wheels.cli import common
from sage_wheels.sage import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.prog = "sage-spkg-uninstall"
    parser.add_argument("build", metavar="BUILD")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.sage import pip_uninstall, removal

    usual = common.usual_writing()

    def remove(prefix: Prefix, names: list[str], file: str) -> None:
        pip_uninstall.remove(prefix, names, [file] if file else [], usual)

    asked = removal.parse(options.arguments, environment.get(variables.LOCAL))
    if asked and not removal.uninstall(asked, remove):
        return 0
    sys.path.insert(0, os.path.realpath(options.build))
    sys.argv = ["sage-spkg-uninstall", *options.arguments]
    importlib.import_module("sage_bootstrap.uninstall").run()
    return 0
