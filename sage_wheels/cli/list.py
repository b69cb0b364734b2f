"""List the distributions in a prefix: name, version, who installed it, and what is to be said of it.

Each line begins with "NAME VERSION". The last column names the package of the distribution that brings it, and says
whether somebody has put something else in its place ('sage-wheels restore' undoes that), or its wheel is gone from the
wheelhouse. What such packages bring and is not there at all is named on standard error.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.sage.distribution import Part, State


class _Row(NamedTuple):
    distribution: Distribution
    installer: str
    part: Part | None
    state: State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed import find_all
    from sage_wheels.sage.distribution import parts

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    brought = parts(prefix)
    rows = [_row(prefix, each, brought.get(each.canonical_name)) for each in find_all(prefix)]
    if options.json:
        common.print_json([_facts(prefix, row) for row in rows])
    else:
        _print_table(rows)
    there = {row.distribution.canonical_name for row in rows}
    missing = [part for name, part in sorted(brought.items()) if name not in there]
    if names := ", ".join(f"{part.name} {part.version}" for part in missing if part.is_restorable):
        common.warn(f"packages of the distribution bring what is not there: {names}; 'sage-wheels restore' installs it")
    for part in missing:
        if not part.is_restorable:
            common.warn(f"package {part.package} brings {part.name}, which is not there; '{part.way_back}' installs it")
    return 0


def _row(prefix: Prefix, distribution: Distribution, part: Part | None) -> _Row:
    from sage_wheels.installed.distributions import read_text
    from sage_wheels.sage.distribution import state

    installer = (read_text(prefix, f"{distribution.path}/INSTALLER") or "").strip()
    if len(installer.split()) != 1 or not installer.isprintable():
        installer = ""  # it is one word, or nothing that could be believed
    return _Row(distribution, installer, part, state(prefix, part, distribution) if part else "same")


def _facts(prefix: Prefix, row: _Row) -> dict[str, object]:
    from sage_wheels.sage.distribution import as_json

    return {
        "name": row.distribution.name,
        "version": row.distribution.version,
        "kind": row.distribution.kind,
        "path": prefix.path(row.distribution.path),
        "installer": row.installer,
        "package": row.part.package if row.part else "",
        "wheelhouse": as_json(row.part, row.state) if row.part else None,
    }


def _print_table(rows: list[_Row]) -> None:
    from sage_wheels.sage.distribution import remark

    names = [f"{row.distribution.name} {row.distribution.version or '-'}" for row in rows]
    first = max(map(len, names), default=0)
    second = max((len(row.installer) for row in rows), default=0)
    for name, row in zip(names, rows, strict=True):
        said = ""
        if row.part:
            said = remark(row.part, row.distribution.version, row.state) or f"package {row.part.package}"
        print(f"{name:{first}}   {row.installer or '-':{second}}   {said}".rstrip())
