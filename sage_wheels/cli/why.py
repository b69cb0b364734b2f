"""Say which distributions need a distribution, and which need these, up to those that no other one needs."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.installed.relations import Relations


EXAMPLES = """\
    sage-wheels why numpy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("name", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed.relations import relations
    from sage_wheels.metadata import canonical_name

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    found = relations(prefix)
    name = canonical_name(options.name)
    needed = found.needed_by(name)
    if name not in found.distributions and not needed:
        common.one_distribution(prefix, options.name)  # raises `NotThere`
    if options.json:
        common.print_json(_facts(found, name, ()))
        return 0
    there = found.distributions.get(name)
    print(there or f"{options.name} (not installed)")
    _print(found, name, (name,))
    if not needed:
        common.warn(f"nothing in {prefix.root} needs {options.name}")
    return 0


def _print(found: Relations, name: str, way: tuple[str, ...]) -> None:
    for other, need in found.needed_by(name):
        if other not in way:
            print(f"{'  ' * len(way)}{found.distributions[other]} needs {need.text}")
            _print(found, other, (*way, other))


def _facts(found: Relations, name: str, way: tuple[str, ...]) -> dict[str, Any]:
    there = found.distributions.get(name)
    return {
        "name": there.name if there else name,
        "version": there.version if there else None,
        "needed_by": [
            {"requirement": need.text, **_facts(found, other, (*way, name))}
            for other, need in found.needed_by(name)
            if other not in (*way, name)
        ],
    }
