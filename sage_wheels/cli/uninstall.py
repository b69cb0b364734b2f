"""Remove distributions from a prefix: exactly what they installed, all of them or none.

A name that is not installed is no error. Files that another distribution claims, too, stay; files that somebody edited
are kept in PREFIX/var/lib/sage-wheels/set-aside and named.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common
from sage_wheels.cli.requirements import asked
from sage_wheels.installed.metadata import canonical_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="names from a file")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help=argparse.SUPPRESS)  # pip's habit; nothing is asked
    parser.add_argument("names", nargs="*", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import UsageError
    from sage_wheels.transaction.uninstall import uninstall

    if not options.names and not options.requirement:
        raise UsageError("nothing is named to uninstall", "give names or -r FILE")
    all_asked = asked(options.names, options.requirement)
    for each in all_asked:
        if not each.name:
            raise UsageError(f"{each.written!r} does not tell the name of a distribution", "give that")
    wanted = [canonical_name(each.name) for each in all_asked]
    prefix = common.prefix_of(options)
    report = uninstall(prefix, wanted, common.settings_of(options))
    common.print_report(report, prefix, options)
    if not options.quiet:
        for name in report.unchanged:
            common.warn(f"{name} is not installed in {prefix.root}, so there is nothing to remove")
    return 0
