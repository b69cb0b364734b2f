"""Print what is installed as a tree: the distributions that no other one needs, and below each those that it needs.

A distribution whose needs are already printed above is marked "(*)".
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.relations import Relations


EXAMPLES = """\
    sage-wheels tree
    sage-wheels tree flask
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="begin with these (default: those that no other one needs)"
    )


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed.relations import relations

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    found = relations(prefix)
    if options.json:
        facts = [
            {"name": each.name, "version": each.version, "requires": [need._asdict() for need in found.needs[name]]}
            for name, each in found.distributions.items()
        ]
        common.print_json(facts)
        return 0
    begin = [common.one_distribution(prefix, name).canonical_name for name in options.names] or found.roots()
    seen: set[str] = set()
    for name in begin:
        _print(found, name, "", 0, seen)
    if not options.names:
        for name in found.distributions:  # cycles that no other distribution requires
            if name not in seen:
                _print(found, name, "", 0, seen)
    return 0


def _print(found: Relations, name: str, text: str, depth: int, seen: set[str]) -> None:
    there = found.distributions.get(name)
    again = name in seen and bool(found.needs.get(name))
    told = f" ({text})" if text else ""
    print(f"{'  ' * depth}{there or f'{name} is missing'}{told}{' (*)' if again else ''}")
    if there and name not in seen:
        seen.add(name)
        for need in found.needs[name]:
            _print(found, need.name, need.text, depth + 1, seen)
