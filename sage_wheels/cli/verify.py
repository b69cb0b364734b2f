"""Compare what is there with what was installed, one "STATE PATH" a line; exit status 4 if anything differs.

STATE is missing, changed, unreadable, foreign (a file that no distribution owns, in a directory of the distribution),
dead (a script whose first line names a Python that does not exist, because the prefix was moved), ignored (a row of
RECORD with a path that no distribution can own) or unknown (a distribution without a RECORD).
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

EXAMPLES = """\
    sage-wheels verify
    sage-wheels verify --json six
"""

_DIFFERS = 4  # exit status; 1 means that the command failed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every distribution")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed.distributions import described
    from sage_wheels.installed.settled import verify_settled
    from sage_wheels.installed.verify import Problem
    from sage_wheels.metadata import canonical_name
    from sage_wheels.transaction.pending import may_have_left

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    if may_have_left(prefix):
        from sage_wheels.transaction.recover import left_behind

        for sentence in left_behind(prefix):
            common.warn(f"{sentence}; run '{common.command(prefix, 'recover --set-aside')}'")
    named = [common.one_distribution(prefix, name).canonical_name for name in options.names]
    found = verify_settled(prefix, frozenset(named) or None, common.warn)
    for name in options.names:
        if canonical_name(name) not in {each.distribution.canonical_name for each in found}:
            common.one_distribution(prefix, name)  # somebody has removed it meanwhile
    problems: list[tuple[str, Problem]] = []
    for each in found:
        spelt = str(described(prefix, each.distribution))
        problems += [(spelt, problem) for problem in each.problems]
        if each.unknown:
            problems.append((spelt, Problem("unknown", prefix.path(each.distribution.path))))
            common.warn(str(each.unknown))
    if options.json:
        common.print_json([{"distribution": name, **problem._asdict()} for name, problem in problems])
    else:
        for _, problem in problems:
            print(problem.state, problem.path)
    looked_at = common.counted(len(found), "distribution")
    common.warn(f"verified {looked_at} in {prefix.root}: {common.counted(len(problems), 'difference')}")
    return _DIFFERS if problems else 0
