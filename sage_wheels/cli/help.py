"""Print the options of a command, with examples; without COMMAND, list the commands."""

from __future__ import annotations

import argparse

from sage_wheels.errors import UsageError

EXAMPLES = """\
    sage-wheels help install
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="default: all of them, one line for each")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.cli import COMMANDS, overview, package_of, parser_of
    from sage_wheels.cli.command_line import nearest

    if not options.command:
        print(overview())
    elif package_of(options.command):
        parser_of(options.command).print_help()
    else:
        raise UsageError(f"there is no command {options.command!r}", nearest(options.command, COMMANDS))
    return 0
