"""Find requirements that the distributions on a search path do not fulfil."""

from __future__ import annotations

import hashlib
import importlib.metadata

from packaging.requirements import InvalidRequirement, Requirement

from sage_wheels.building.keyable import NotKeyable
from sage_wheels.requirements import direct_url
from sage_wheels.requirements.markers import applies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def missing_from(path: list[str], requirements: Iterable[str], markers: Mapping[str, str]) -> list[str]:
    """Those of `requirements`, and of what they require in turn, that no distribution on `path` fulfils.

    `markers` is the environment of the interpreter whose path it is (PEP 508). A line that is no requirement is
    missing, too.

    >>> missing_from([], ["setuptools>=61", "tomli; python_version<'3'"], {"python_version": "3.12"})
    ['setuptools>=61']
    """
    seen: set[str] = set()
    return [unmet for line in sorted(requirements) for unmet in _unmet(path, line, "", markers, frozenset(), seen)]


def _unmet(
    path: list[str], line: str, asker: str, markers: Mapping[str, str], extras: frozenset[str], seen: set[str]
) -> Iterator[str]:
    try:
        requirement = Requirement(line)
        is_needed = applies(requirement, markers, extras)
    except (InvalidRequirement, RecursionError):
        yield line
        return
    if not is_needed or str(requirement) in seen:
        return
    seen.add(str(requirement))
    requirement.marker = None
    found = next(iter(importlib.metadata.distributions(name=requirement.name, path=path)), None)
    because = f" (asked for by {asker})" if asker else ""
    if found is None:
        yield f"{requirement}{because}"
    elif not requirement.specifier.contains(found.version, prereleases=True):
        yield f"{requirement}{because}, there is {found.version}"
    else:
        for each in found.requires or ():
            yield from _unmet(path, each, requirement.name, markers, frozenset(requirement.extras), seen)


def installed_for(path: list[str], requirements: Iterable[str], markers: Mapping[str, str]) -> list[list[str]]:
    """Name, version and digest of RECORD of the distributions on `path` for `requirements`, and all that these require.

    Raises `NotKeyable` for one without RECORD, or an editable one: nothing says what its files are.
    """
    found: dict[str, list[str]] = {}
    waiting = [(line, frozenset[str]()) for line in requirements]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        line, extras = waiting.pop()
        if (line, extras) in done:
            continue
        done.add((line, extras))
        try:
            requirement = Requirement(line)
            is_needed = applies(requirement, markers, extras)
        except (InvalidRequirement, RecursionError):
            continue
        if not is_needed:
            continue
        there = next(iter(importlib.metadata.distributions(name=requirement.name, path=path)), None)
        if there is None:
            found[requirement.name] = [requirement.name, "", "not installed"]
            continue
        record = there.read_text("RECORD")
        if not record or direct_url.may_be_editable(there.read_text(direct_url.FILE)):
            raise NotKeyable(f"{requirement.name} is editable, or has no RECORD")
        found[requirement.name] = [requirement.name, there.version, hashlib.sha256(record.encode()).hexdigest()]
        waiting += [(each, frozenset(requirement.extras)) for each in there.requires or ()]
    return sorted(found.values())
