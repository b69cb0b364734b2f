"""Show which options have other defaults than usual, and where each is from.

Defaults come from the user's own file ($XDG_CONFIG_HOME/sage-wheels/sage-wheels.toml, else in ~/.config), from the
nearest sage-wheels.toml or [tool.sage-wheels] in a pyproject.toml, here or above, and from variables:
SAGE_WHEELS_PREFIX is --prefix. A later one has precedence over the earlier ones, and the command line over all of them.
A key is the name of an option; a table has the name of a command, and is only for that command:

    prefix = "venv"

    [build]
    wheel-dir = "wheels"

A file is read only if nobody but root and the user can have written it; a file in a tree that is being built is not
read. Options that extend trust, such as index, find-links and on-conflict, may only be in the user's own file and in
variables.
"""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common

EXAMPLES = """\
    sage-wheels config
    sage-wheels config --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.cli import COMMANDS, defaults, parser_of
    from sage_wheels.cli.defaults import NEVER, Found, Setting
    from sage_wheels.errors import UsageError

    found = Found([], []) if options.no_config else defaults.find(os.getcwd())
    parsers = {name: parser_of(name) for name in COMMANDS}
    held: dict[tuple[str, str], Setting] = {}
    problems = []
    for each in found.settings:
        having = [
            name for name, parser in parsers.items() if each.command in ("", name) and parser.option(f"--{each.key}")
        ]
        if not having or each.key in NEVER:
            problems.append(f"{each.source} sets {each.key}, which is no setting of {each.command or 'any command'}")
            continue
        try:
            if defaults.apply(parsers[having[0]], having[0], Found([each], [])):
                held[each.command, each.key] = each
        except UsageError as error:
            problems.append(str(error))
    settings = sorted(held.values(), key=lambda each: (each.command, each.key))
    if options.json:
        common.print_json([each._asdict() for each in settings])
    else:
        for each in settings:
            print(f"{each.command + '.' if each.command else ''}{each.key} = {each.value!r}  # {each.source}")
    if not (settings or problems or options.json):
        common.warn("all defaults are the usual ones: no file and no variable sets another")
    for sentence in problems:  # the notes have been told before any command runs
        common.warn(sentence)
    return 1 if problems else 0
