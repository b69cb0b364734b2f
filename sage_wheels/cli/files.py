"""List the files of a distribution, one path a line."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

EXAMPLES = """\
    sage-wheels files six
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("name", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed.files import owned

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    found = owned(prefix, common.one_distribution(prefix, options.name))
    for row in found.ignored:
        common.warn(f"ignored a row of RECORD, because its path cannot belong to a distribution: {row}")
    paths = sorted(prefix.path(file) for file in found.rows)
    if options.json:
        common.print_json(paths)
    else:
        for path in paths:
            print(path)
    return 0
