"""Undo the last change of a prefix, or number N of 'sage-wheels history', as one transaction.

What it installed is removed, and what it replaced or removed is restored byte for byte, also edited files, and
distributions that pip had installed. Nothing is downloaded or built. An undo is a change like any other: it is in the
history, and can be undone. With --to N, the prefix goes back to the state after number N (0: before the first). If the
old files are not kept any more, the earlier versions are installed from their wheels, if these are found: where they
came from, in the wheelhouse of a package, in --find-links, or in the store.

Files that were edited since are kept in PREFIX/var/lib/sage-wheels/set-aside and named.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common, finding

EXAMPLES = """\
    sage-wheels undo
    sage-wheels undo 7 --dry-run
    sage-wheels undo --to 4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--to", type=int, metavar="N", help="undo all changes after number N")
    which.add_argument("number", nargs="?", type=int, metavar="N", help="the number of the change (default: the last)")
    finding.add_arguments(parser, "use wheels in DIR, too, if old files are not kept any more")
    parser.add_argument(
        "--force",
        action="store_true",
        help="set aside files that another tool, such as pip, has put at the same paths since",
    )


def run(options: argparse.Namespace) -> int:
    from sage_wheels.transaction.undo import UndoOptions, undo

    prefix = common.prefix_of(options)
    wanted = UndoOptions(options.number, options.to, options.force)
    report = undo(prefix, wanted, common.commit_options_of(options), lambda: finding.finder_of(options, prefix))
    common.print_report(report, prefix, options)
    if not (report.changes or options.quiet):
        common.warn(f"nothing to undo: {prefix.root} is as it was then")
    return 0
