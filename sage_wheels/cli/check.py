"""Say what does not hold among the distributions of a prefix, one sentence a line; exit status 4 if anything does not.

That are requirements that are not there or not in the version that is asked for, another Python than is asked for,
files that two distributions own, and import names that two distributions claim. Nothing of the prefix is run.
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
