"""Undo what a killed process left half-done in a prefix, as every command that changes a prefix does first.

The journal is a rollback journal: a change that was interrupted is undone, never finished.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

EXAMPLES = """\
    sage-wheels recover --prefix venv
    sage-wheels recover --set-aside
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument(
        "--set-aside",
        action="store_true",
        help="keep what cannot be undone in PREFIX/var/lib/sage-wheels/set-aside, and say what state everything is in",
    )


def run(options: argparse.Namespace) -> int:
    from sage_wheels.transaction.recover import recover

    prefix = common.prefix_of(options)
    found = recover(prefix, common.commit_options_of(options), set_aside=options.set_aside)
    if options.json:
        common.print_json(found)
    for sentence in found:
        common.warn(sentence)
    if not found and not options.quiet:
        common.warn(f"nothing was left unfinished in {prefix.root}")
    return 0
