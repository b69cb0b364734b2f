"""Requirements between the installed distributions, and a check of what is installed."""

from __future__ import annotations

import functools

from sage_wheels.installed import requirements
from sage_wheels.installed.distributions import find_all, find_in, readable_metadata, spelt
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.requirements import KnownDistribution, Markers
from sage_wheels.metadata import requirement_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter, versions
from sage_wheels.prefix.beside import libraries_beside
from sage_wheels.prefix.locator import landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix


class Need(NamedTuple):
    """A requirement: the normalised `name` of what is required, and its `text`, without the marker."""

    name: str
    text: str


class Relations(NamedTuple):
    """The installed distributions by normalised name, sorted, and what each of them needs."""

    distributions: dict[str, Distribution]
    needs: dict[str, list[Need]]

    def needed_by(self, name: str) -> list[tuple[str, Need]]:
        """The normalised name of each distribution that needs `name`, and its requirement."""
        return [(other, need) for other, needs in self.needs.items() for need in needs if need.name == name]

    def roots(self) -> list[str]:
        """The names of the distributions that no other one needs."""
        needed = {need.name for name, needs in self.needs.items() for need in needs if need.name != name}
        return [name for name in self.distributions if name not in needed]


def relations(prefix: Prefix) -> Relations:
    """Read the requirements of all distributions in `prefix`, without those of extras.

    Markers are evaluated for the target interpreter. Metadata that cannot be read count as empty. Raises
    `FileOperationFailed` if the library directories cannot be listed.
    """
    markers = Markers(prefix)
    distributions: dict[str, Distribution] = {}
    needs: dict[str, list[Need]] = {}
    for each in find_all(prefix):
        metadata = readable_metadata(prefix, each)
        distributions[each.canonical_name] = spelt(each, metadata)
        needs[each.canonical_name] = list(_needs(markers, metadata))
    return Relations(distributions, needs)


def _needs(markers: Markers, metadata: dict[str, list[str]]) -> Iterator[Need]:
    for text in metadata.get("requires-dist", ()):
        plain = text.partition(";")[0]
        if (name := requirement_name(plain)) and markers.hold(text):
            yield Need(name, plain.strip())


class Finding(NamedTuple):
    """A fault of what is installed; `problem` is a sentence without a full stop. `kind` is one of:

    - "unmet": a requirement of `distribution` (normalised name) is not fulfilled.
    - "python": it requires another version of Python.
    - "owners": another distribution owns the same file.
    - "import": another distribution has a module or package of the same import name.
    """

    kind: str
    distribution: str
    problem: str


def check(prefix: Prefix) -> Iterator[Finding]:
    """Every fault (see `Finding`) of the distributions in `prefix`. Raises `FileOperationFailed`."""
    available: dict[str, KnownDistribution] = {}
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
    full_version = interpreter.full_version(prefix)
    is_allowed = functools.cache(versions.is_allowed)  # nearly all distributions ask for one of a few
    for each in everything:
        for sentence in requirements.unmet(markers, available[each.canonical_name], (), available):
            yield Finding("unmet", each.canonical_name, sentence)
        wanted = available[each.canonical_name].metadata().get("requires-python", [""])[0]
        if wanted and not is_allowed(full_version, wanted):
            yield Finding("python", each.canonical_name, f"{each} needs Python {wanted}, not {full_version}")
    yield from _owners(prefix, everything)


def _known(prefix: Prefix, distribution: Distribution) -> KnownDistribution:
    metadata = functools.cache(lambda: readable_metadata(prefix, distribution))
    return KnownDistribution(distribution.name, distribution.version, metadata)


def _owners(prefix: Prefix, everything: list[Distribution]) -> Iterator[Finding]:
    owners = Owners(prefix, everything)
    by_path = {each.path: each for each in everything}
    by_area: dict[str, list[Distribution]] = {}
    for path, areas in owners.areas().items():
        for area in areas:
            by_area.setdefault(area, []).append(by_path[path])
    seen: dict[str, Distribution] = {}
    told = set()
    for each in dict.fromkeys(one for several in by_area.values() if len(several) > 1 for one in several):
        for file in owners.claims(each).rows:
            other = seen.setdefault(file, each)
            if other is not each and (file, each.path) not in told:
                told.add((file, each.path))
                yield Finding("owners", each.canonical_name, f"{prefix.path(file)} belongs to {other} and to {each}")
    yield from _import_names(prefix, by_area)


def _import_names(prefix: Prefix, by_area: dict[str, list[Distribution]]) -> Iterator[Finding]:
    """A module `x.py` of one distribution and a package `x` of another: Python can import only one of them.

    `by_area` has the distributions with files in each area (see `owners`).
    """
    libraries = landmarks(prefix).libraries
    names: dict[str, dict[str, Distribution]] = {}
    for area, several in by_area.items():
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
