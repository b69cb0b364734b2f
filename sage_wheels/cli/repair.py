"""Restore exactly the files that 'sage-wheels verify' finds missing or changed, as one transaction.

Their contents come from the old files that the history keeps, from the wheels of packages of a collection, from the
wheels that were installed, from the directories that --find-links names, and from the store; with --index also from the
URL in direct_url.json. Only contents with the hash in RECORD are used; scripts and byte-code are made again. Edited
files are kept in PREFIX/var/lib/sage-wheels/set-aside and named. What cannot be restored is named, and so is a
distribution without RECORD; then the exit status is 4. What a killed pip has left is named, and removed with --clear.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common, finding

EXAMPLES = """\
    sage-wheels repair --dry-run
    sage-wheels repair numpy --find-links wheels
    sage-wheels repair --index numpy
    sage-wheels repair --clear
"""

_LEFT = 4  # exit status: something is not as it should be


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    finding.add_arguments(parser, "take files from the wheels in DIR, too")
    parser.add_argument(
        "--index",
        action="store_true",
        help="also download from the URL in direct_url.json; a source is built",
    )
    parser.add_argument(
        "--clear", action="store_true", help="remove what a killed pip left: ~NAME, and .dist-info without RECORD"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    common.add_wheel_limits(parser)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every distribution")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.transaction.repair import repair

    prefix = common.prefix_of(options)
    names = frozenset(common.one_distribution(prefix, name).canonical_name for name in options.names)
    commit_options, limits = common.commit_options_of(options), common.wheel_limits_of(options)
    with finding.finder_of(options, prefix, common.warn if options.index else None) as wheels:
        done = repair(prefix, names or None, wheels, commit_options, limits, clear=options.clear)
    if options.json:
        common.print_json(
            {
                "faults": [each._asdict() for each in done.faults],
                "set_aside": list(done.report.set_aside),
                "lock_seconds": done.report.lock_seconds,
            }
        )
    common.warn_of(done.report._replace(overwritten=()), prefix, is_done=not options.dry_run)
    would = "would be " if options.dry_run else ""
    for each in done.faults:
        if each.problem:
            common.warn(f"{each.path} is {each.state}: {each.problem}", "warning")
        elif not options.quiet:
            how = "removed" if each.source == "cleared" else f"put back ({each.source})"
            common.warn(f"{each.path} {would}{how}", "change")
    if not done.faults and not options.quiet:
        common.warn(f"nothing is missing or changed in {prefix.root}")
    return _LEFT if any(each.problem for each in done.faults) else 0
