"""Install again what packages of a collection had installed, if somebody has replaced or removed it.

NAME is a distribution, or a package: then it stands for all distributions that the package had installed. 'sage-wheels
list' says what was replaced. The wheels are taken from the wheelhouse, and installed as the package had installed them,
in one transaction.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

EXAMPLES = """\
    sage-wheels restore numpy
    sage-wheels restore --all --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="everything that was replaced, is missing, or has scripts with the old path of a prefix that was moved",
    )
    parser.add_argument("--no-compile", action="store_true", help="install no byte-code")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    common.add_wheel_limits(parser)
    parser.add_argument("names", nargs="*", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import UsageError
    from sage_wheels.manifests.restore import restore

    if bool(options.names) == options.all:
        raise UsageError("nothing is named to restore", "give names, or --all")
    prefix = common.prefix_of(options)
    names = None if options.all else options.names
    commit_options, limits = common.commit_options_of(options), common.wheel_limits_of(options)
    done = restore(prefix, names, commit_options, limits, compile_bytecode=not options.no_compile)
    common.print_report(done.report, prefix, options)
    if not options.quiet:
        if options.all and not done.report.changes and not done.refusals:
            common.warn(f"everything that packages had installed is in {prefix.root}, and nothing was changed")
        for there, entry in () if options.all else done.as_it_was:
            common.warn(f"{there} is what package {entry.package} had installed, and nothing was changed")
    for error in done.refusals:
        common.warn(str(error))
    return 1 if done.refusals else 0
