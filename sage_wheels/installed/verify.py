"""Compare what is there with what RECORD says."""

from __future__ import annotations

import os
from typing import NamedTuple

from sage_wheels.errors import NotRemovable
from sage_wheels.installed import files
from sage_wheels.installed.owners import Owners, area
from sage_wheels.prefix import presence
from sage_wheels.prefix.places import Places, landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.installed.record import Row
    from sage_wheels.prefix import Prefix

# What an installer adds to the files of a wheel.
_ADDED = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})


class Problem(NamedTuple):
    """A path that is not as RECORD says: `state` is missing, changed, unreadable, foreign or ignored.

    `path` is in full, but for a row that is ignored because it makes no sense: that is given as it stands.
    """

    state: str
    path: str


def verify(prefix: Prefix, distribution: Distribution, owners: Owners) -> list[Problem]:
    """Every difference between `distribution` and its RECORD. Raises `NotRemovable` if it has none."""
    owned = files.owned(prefix, distribution)
    problems = [Problem("ignored", row) for row in owned.ignored]
    for place, row in owned.rows.items():
        state = files.state_of(prefix, place, row)
        if state != "same" and not (state == "missing" and files.source_of_bytecode(place)):
            problems.append(Problem(state, prefix.path(place)))
    problems += [Problem("foreign", prefix.path(each)) for each in _foreign(prefix, distribution, owned, owners)]
    return problems


def _foreign(prefix: Prefix, distribution: Distribution, owned: files.Owned, owners: Owners) -> Iterator[str]:
    """Files that belong to nobody, in the directories that the distribution has in its library."""
    own_directories = {os.path.dirname(place) for place in owned.rows}
    places = Places(prefix.root)
    libraries = landmarks(prefix, places).libraries
    library = places.directory(distribution.library)
    tops = {area(libraries, place) for place in owned.rows if place.startswith(f"{library}/")}
    strangers: list[str] = []
    for top in tops:
        if not presence.is_real_directory(prefix.path(top)) or top.endswith("__pycache__"):
            continue
        for directory, names in presence.files_below(prefix.path(top)):
            place = directory[len(prefix.root) + 1 :]
            if place not in own_directories and not place.endswith("/__pycache__"):
                continue  # a directory of its own inside a namespace package may be somebody else's
            found = (f"{place}/{name}" for name in names)
            strangers += [each for each in found if each not in owned.rows and not _is_bytecode_of(each, owned)]
    claimed = owners.claimed(strangers)
    yield from sorted(each for each in strangers if each not in claimed)


def _is_bytecode_of(place: str, owned: files.Owned) -> bool:
    source = files.source_of_bytecode(place)
    return source is not None and (source in owned.rows or not source)


def is_installed(prefix: Prefix, distribution: Distribution, version: str, expected: dict[str, Row]) -> bool:
    """Whether `distribution` is exactly the wheel that would bring the files `expected`, by place.

    RECORD is compared with RECORD; of the files it is only seen that they are there and as long as they should be.
    """
    if distribution.kind != ".dist-info" or not _same_version(distribution.version, version):
        return False
    try:
        rows = files.owned(prefix, distribution).rows
    except NotRemovable:
        return False
    for place, row in expected.items():
        if files.source_of_bytecode(place) in expected:
            continue  # the wheel brings it, and the installer compiles it anew
        there = rows.get(place)
        if there is None or (row.digest and there.digest != row.digest):
            return False
        try:
            status = os.lstat(prefix.path(place))
        except OSError:
            return False
        if there.size is not None and status.st_size != there.size:
            return False
    more = rows.keys() - expected.keys()
    record = Places(prefix.root).directory(distribution.path)
    return all(_is_added(record, place, expected) for place in more)


def _same_version(one: str, other: str) -> bool:
    if one == other:
        return True
    from packaging.utils import canonicalize_version  # rarely needed: a .dist-info may spell what METADATA says anew

    return canonicalize_version(one) == canonicalize_version(other)


def _is_added(record: str | None, place: str, expected: dict[str, Row]) -> bool:
    directory, _, name = place.rpartition("/")
    if directory == record and name in _ADDED:
        return True
    return files.source_of_bytecode(place) in expected
