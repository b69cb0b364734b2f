"""List the distributions in a prefix, one "NAME VERSION" a line."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed import find_all

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    found = find_all(prefix)
    if options.json:
        common.print_json(
            [{"name": d.name, "version": d.version, "kind": d.kind, "path": prefix.path(d.path)} for d in found]
        )
    else:
        for each in found:
            print(each)
    return 0
