"""Compare what is there with what was installed, one "STATE PATH" a line; exit status 1 if anything differs.

STATE is missing, changed, unreadable, foreign (a file of nobody in a directory of the package), ignored (a row of
RECORD that names no file a package can have) or unknown (a distribution without a RECORD).
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every distribution")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import NotRemovable
    from sage_wheels.installed import find_all
    from sage_wheels.installed.owners import Owners
    from sage_wheels.installed.verify import Problem, verify

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    everything = find_all(prefix)
    chosen = [common.one_distribution(prefix, name) for name in options.names] or everything
    owners = Owners(prefix, everything)
    problems: list[tuple[str, Problem]] = []
    for each in chosen:
        try:
            problems += [(str(each), problem) for problem in verify(prefix, each, owners)]
        except NotRemovable as error:
            problems.append((str(each), Problem("unknown", prefix.path(each.path))))
            common.warn(str(error))
    if options.json:
        common.print_json([{"distribution": name, **problem._asdict()} for name, problem in problems])
    else:
        for _, problem in problems:
            print(problem.state, problem.path)
    common.warn(f"verified {len(chosen)} distributions in {prefix.root}: {len(problems)} differences")
    return 1 if problems else 0
