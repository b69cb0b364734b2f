"""List the distributions in a prefix: name, version, the tool that installed it, and notes.

NAME is a name or a pattern such as 'jupyter*'; without one, everything is listed. Each line begins with "NAME VERSION".
The notes say where the tree of an editable installation is, and which package of a collection (of the make rules, or of
Sage) has installed the distribution; whether somebody has replaced it since ('sage-wheels restore' undoes that), or its
wheel is gone from the wheelhouse. A distribution that a package has installed, and that is missing, is named on
standard error. On a terminal there is a header.
"""

from __future__ import annotations

import argparse
import os
import sys

from sage_wheels.cli import common, screen
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.version import Version

    from sage_wheels.installed import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.manifests.state import State
    from sage_wheels.prefix import Prefix


class _Row(NamedTuple):
    distribution: Distribution
    installer: str
    entry: ManifestEntry | None
    state: State
    tree: str  # of an editable installation
    size: int | None  # bytes, if that is asked for
    there: str | None = None  # the version in what --outdated-by names, if that is asked for


EXAMPLES = """\
    sage-wheels list --prefix venv
    sage-wheels list 'jupyter*' --size
    sage-wheels list --outdated-by wheels
    sage-wheels list --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("--size", action="store_true", help="print the size of the files as well, without byte-code")
    parser.add_argument(
        "--outdated-by",
        metavar="FILE|DIR",
        help="list only what has a newer wheel in the directory DIR, or another version in the lock file FILE",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a name or a pattern (default: everything)")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed import find_all
    from sage_wheels.installed.distributions import described
    from sage_wheels.manifests.entries import entries

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    brought = entries(prefix, common.warn_once)
    everything = find_all(prefix)
    if options.names:
        everything, unknown = _chosen(options.names, everything, brought)
        for name in unknown:
            common.warn(f"{name} is not installed in {prefix.root}{common.hint(prefix, name)}")
        brought = {name: entry for name, entry in brought.items() if name in _names_of(options.names, brought)}
    there = [described(prefix, each) for each in everything]
    rows = [_row(prefix, each, brought.get(each.canonical_name), sized=options.size) for each in there]
    if options.outdated_by is not None:
        others = _versions_in(prefix, options.outdated_by, {each.canonical_name for each in there})
        rows = [each._replace(there=others.get(each.distribution.canonical_name, "")) for each in rows]
        rows = [each for each in rows if _is_outdated(each, newer=os.path.isdir(options.outdated_by))]
    if options.json:
        common.print_json([_facts(prefix, row) for row in rows])
    else:
        _print_table(rows)
    names = {each.canonical_name for each in there}
    missing = [entry for name, entry in sorted(brought.items()) if name not in names]
    if options.outdated_by is not None:
        return 0
    if known := ", ".join(f"{entry.name} {entry.version}" for entry in missing if entry.is_restorable):
        restore = common.command(prefix, "restore")
        common.warn(f"missing, though packages had installed them: {known}; '{restore}' installs them")
    for entry in missing:
        if not entry.is_restorable:
            what = f"{entry.name}, which package {entry.package} had installed, is missing"
            common.warn(f"{what}; {entry.way_back(prefix)} installs it")
    return 1 if options.names and not rows else 0


def _names_of(patterns: list[str], names: Mapping[str, object]) -> set[str]:
    from sage_wheels.installed.neighbours import matching

    return {name for found in matching(patterns, names).values() for name in found}


def _chosen(
    patterns: list[str], everything: list[Distribution], brought: Mapping[str, ManifestEntry]
) -> tuple[list[Distribution], list[str]]:
    """The distributions that any of `patterns` matches, and the patterns that match nothing."""
    from sage_wheels.installed.neighbours import matching

    names = dict.fromkeys(each.canonical_name for each in everything)
    found = matching(patterns, names)
    chosen = {name for each in found.values() for name in each}
    known = matching(patterns, brought)
    unknown = [pattern for pattern in patterns if not found[pattern] and not known[pattern]]
    return [each for each in everything if each.canonical_name in chosen], unknown


def _row(prefix: Prefix, distribution: Distribution, entry: ManifestEntry | None, *, sized: bool) -> _Row:
    from sage_wheels.installed.distributions import read_text
    from sage_wheels.manifests.state import state

    installer = (read_text(prefix, f"{distribution.path}/INSTALLER") or "").strip()
    if len(installer.split()) != 1 or not installer.isprintable():
        installer = ""  # a valid one is one word
    found = state(prefix, entry, distribution) if entry else "same"
    size = _size(prefix, distribution) if sized else None
    return _Row(distribution, installer, entry, found, _editable(prefix, distribution), size)


def _versions_in(prefix: Prefix, path: str, names: set[str]) -> dict[str, str]:
    """The version of each project in `names` in the lock file `path`, or the newest that fits in that wheelhouse."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    from sage_wheels.requirements import pylock
    from sage_wheels.requirements.wheelhouses import wheels_in
    from sage_wheels.wheel.tags import taken_by

    if not os.path.isdir(path):
        return pylock.versions_in(path)
    files = wheels_in(path, "check its name")
    found: dict[str, Version] = {}
    taken = set(taken_by(prefix)) if files else set()
    for name in files:
        try:
            project, version, _, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        if project in names and not taken.isdisjoint(map(str, tags)):
            found[project] = max(version, found.get(project, version))
    return {name: str(version) for name, version in found.items()}


def _is_outdated(row: _Row, *, newer: bool) -> bool:
    from packaging.version import InvalidVersion, Version

    if not row.there:
        return False
    try:
        here, there = Version(row.distribution.version), Version(row.there)
    except InvalidVersion:
        return row.distribution.version != row.there
    return there > here if newer else there != here


def _size(prefix: Prefix, distribution: Distribution) -> int | None:
    from sage_wheels.installed.distributions import read_text
    from sage_wheels.installed.neighbours import size_of

    text = read_text(prefix, f"{distribution.path}/RECORD")
    return None if text is None else size_of(text.encode())


def _editable(prefix: Prefix, distribution: Distribution) -> str:
    """The source tree of an editable installation; "" for any other."""
    from sage_wheels.installed.distributions import read_text

    if distribution.kind == ".egg-link":
        return (read_text(prefix, distribution.path) or "").partition("\n")[0]
    from sage_wheels.requirements import direct_url

    text = read_text(prefix, f"{distribution.path}/{direct_url.FILE}")
    if not text or "editable" not in text:  # the usual case, which saves the import of `json`
        return ""
    origin = direct_url.parse(text)
    return origin.path if origin and origin.is_editable else ""


def _facts(prefix: Prefix, row: _Row) -> dict[str, object]:
    from sage_wheels.manifests.state import as_json

    return {
        "name": row.distribution.name,
        "version": row.distribution.version,
        "kind": row.distribution.kind,
        "path": prefix.path(row.distribution.path),
        "installer": row.installer,
        "editable": row.tree,
        **({} if row.size is None else {"size": row.size}),
        **({} if row.there is None else {"there": row.there}),
        "package": row.entry.package if row.entry else "",
        "wheelhouse": as_json(row.entry, row.state) if row.entry else None,
    }


def _print_table(rows: list[_Row]) -> None:
    from sage_wheels.manifests.state import remark

    table = []
    for row in rows:
        said = [f"editable: {row.tree if row.tree.isprintable() else ascii(row.tree)}"] if row.tree else []
        if row.there is not None:
            said.append(f"{row.there} is available")
        if row.entry:
            said += [remark(row.entry, row.distribution.version, row.state) or f"package {row.entry.package}"]
        size = [] if row.size is None else [screen.human_size(row.size)]
        name = f"{row.distribution.name} {row.distribution.version or '-'}"
        table.append([name, *size, row.installer or "-", "; ".join(said)])
    if sys.stdout.isatty() and table:
        table.insert(0, ["NAME VERSION", *(["SIZE"] if len(table[0]) == 4 else []), "INSTALLER", "REMARK"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, cells in enumerate(table):
        line = "   ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
        is_header = number == 0 and sys.stdout.isatty()
        print(screen.painted(line, "header", 1) if is_header else line)
