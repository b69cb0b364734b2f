"""Who needs whom, among the distributions that are installed; and what of this does not hold."""

from __future__ import annotations

import functools

from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed import requirements
from sage_wheels.installed.distributions import find_all, find_in, read_metadata, spelt
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.requirements import Known, Markers
from sage_wheels.metadata import requirement_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.beside import libraries_beside
from sage_wheels.prefix.locator import landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix


class Need(NamedTuple):
    """A requirement: the normalised `name` that it asks for, and its `text`."""

    name: str
    text: str


class Relations(NamedTuple):
    """The distributions by normalised name, in order, and the needs of each."""

    distributions: dict[str, Distribution]
    needs: dict[str, list[Need]]

    def needed_by(self, name: str) -> list[tuple[str, Need]]:
        """Who needs `name`, and with which words."""
        return [(other, need) for other, needs in self.needs.items() for need in needs if need.name == name]

    def roots(self) -> list[str]:
        """What nobody else needs."""
        needed = {need.name for name, needs in self.needs.items() for need in needs if need.name != name}
        return [name for name in self.distributions if name not in needed]


def relations(prefix: Prefix) -> Relations:
    """Read the requirements of all distributions, without those of extras; markers are those of the target."""
    markers = Markers(prefix)
    distributions: dict[str, Distribution] = {}
    needs: dict[str, list[Need]] = {}
    for each in find_all(prefix):
        metadata = _metadata(prefix, each)
        distributions[each.canonical_name] = spelt(each, metadata)
        needs[each.canonical_name] = list(_needs(markers, metadata))
    return Relations(distributions, needs)


def _needs(markers: Markers, metadata: dict[str, list[str]]) -> Iterator[Need]:
    for text in metadata.get("requires-dist", ()):
        plain, semicolon, marker = text.partition(";")
        if semicolon and not markers.hold(marker):
            continue
        if name := requirement_name(plain):
            yield Need(name, plain.strip())


def _metadata(prefix: Prefix, distribution: Distribution) -> dict[str, list[str]]:
    """The metadata of `distribution`, as far as they can be read."""
    try:
        return read_metadata(prefix, distribution)
    except FileOperationFailed:
        return {}


class Finding(NamedTuple):
    """Something that does not hold: `kind` is unmet, python, owners or import."""

    kind: str
    distribution: str
    problem: str


def check(prefix: Prefix) -> Iterator[Finding]:
    """Requirements unmet or in conflict, other Pythons, files of two owners, import names that two claim."""
    available: dict[str, Known] = {}
    for directory in libraries_beside(prefix):
        there = prefix._replace(root=directory)
        for each in find_in(directory, prefix):
            available.setdefault(each.canonical_name, _known(there, each))
    everything: list[Distribution] = []
    for each in find_all(prefix):
        known = _known(prefix, each)
        everything.append(spelt(each, known.metadata()))
        available[each.canonical_name] = known._replace(name=everything[-1].name, version=everything[-1].version)
    markers = Markers(prefix)
    for each in everything:
        for sentence in requirements.unmet(markers, available[each.canonical_name], (), available):
            yield Finding("unmet", each.canonical_name, sentence)
        wanted = available[each.canonical_name].metadata().get("requires-python", [""])[0]
        if wanted and not _fits(wanted, prefix.full_version):
            yield Finding("python", each.canonical_name, f"{each} needs Python {wanted}, not {prefix.full_version}")
    yield from _owners(prefix, everything)


def _known(prefix: Prefix, distribution: Distribution) -> Known:
    metadata = functools.cache(lambda: _metadata(prefix, distribution))
    return Known(distribution.name, distribution.version, metadata)


@functools.cache  # nearly all distributions ask for one of a few
def _fits(wanted: str, version: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def _owners(prefix: Prefix, everything: list[Distribution]) -> Iterator[Finding]:
    owners = Owners(prefix, everything)
    by_path = {each.path: each for each in everything}
    speakers: dict[str, list[Distribution]] = {}
    for path, areas in owners.areas().items():
        for area in areas:
            speakers.setdefault(area, []).append(by_path[path])
    seen: dict[str, Distribution] = {}
    told = set()
    for each in dict.fromkeys(one for several in speakers.values() if len(several) > 1 for one in several):
        for file in owners.claims(each).rows:
            other = seen.setdefault(file, each)
            if other is not each and (file, each.path) not in told:
                told.add((file, each.path))
                yield Finding("owners", each.canonical_name, f"{prefix.path(file)} belongs to {other} and to {each}")
    yield from _import_names(prefix, speakers)


def _import_names(prefix: Prefix, speakers: dict[str, list[Distribution]]) -> Iterator[Finding]:
    """A module `x.py` of one and a package `x` of another: which one Python imports, their order does not tell."""
    libraries = landmarks(prefix).libraries
    names: dict[str, dict[str, Distribution]] = {}
    for area, several in speakers.items():
        library = next((each for each in libraries if area.startswith(f"{each}/")), None)
        if library is not None:
            name = area[len(library) + 1 :].removesuffix(".py")
            if name.isidentifier():
                names.setdefault(name, {}).update({each.path: each for each in several if len(several) == 1})
    for name, claimants in sorted(names.items()):
        first, *others = claimants.values() or (None,)
        for other in others:
            if first and other.canonical_name != first.canonical_name:
                yield Finding("import", other.canonical_name, f"'import {name}' may mean {first} or {other}")
