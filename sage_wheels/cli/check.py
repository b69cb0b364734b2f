"""Check whether the distributions of a prefix fit together: one sentence a line; exit status 4 if there are any.

It reports requirements that are missing or have another version, distributions that need another version of Python,
files that two distributions own, and import names that two distributions have. Nothing of the prefix is run.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

EXAMPLES = """\
    sage-wheels check
    sage-wheels check --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed.relations import check

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    found = list(check(prefix))
    if options.json:
        common.print_json([each._asdict() for each in found])
    else:
        for each in found:
            print(each.problem)
    if not found:
        common.warn(f"nothing is missing and nothing in conflict in {prefix.root}")
    return 4 if found else 0
