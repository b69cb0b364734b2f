"""Say which distributions a path in a prefix belongs to, one "NAME VERSION" a line; exit status 1 if it is nobody's."""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common
from sage_wheels.errors import NotThere


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("path", metavar="PATH", help="absolute, or relative to here or to the prefix")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed import find_all
    from sage_wheels.installed.owners import Owners
    from sage_wheels.prefix import presence
    from sage_wheels.prefix.places import Places

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    full = os.path.abspath(options.path if presence.is_there(options.path) else prefix.path(options.path))
    place = Places(prefix.root).locate("", full)
    if place is None:
        raise NotThere(f"{full} is not in {prefix.root}", "name a path in the prefix")
    found = Owners(prefix, find_all(prefix)).owners(place)
    if options.json:
        common.print_json([{"name": each.name, "version": each.version} for each in found])
    else:
        for each in found:
            print(each)
    if not found:
        common.warn(f"{full} belongs to no distribution")
    return 0 if found else 1
