"""Finish what a killed process left in a prefix, as every command that changes a prefix does first."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.transaction.recover import recover

    prefix = common.prefix_of(options)
    found = recover(prefix, common.settings_of(options))
    if options.json:
        common.print_json(found)
    for sentence in found:
        common.warn(sentence)
    if not found and not options.quiet:
        common.warn(f"nothing was left unfinished in {prefix.root}")
    return 0
