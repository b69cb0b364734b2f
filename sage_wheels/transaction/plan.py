"""A plan: the steps of a transaction, what they rest on, and how to see that this is still so.

Made without the lock, in any time it takes (see `planner`); under the lock `still_holds` looks only at what the plan
touches.
"""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple

from sage_wheels.installed.distributions import entries, find_all, libraries
from sage_wheels.installed.owners import Owners
from sage_wheels.prefix import presence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.journal import Step

# A change within one tick of the clock (10 ms on old kernels) after a look may leave the time that the look saw.
_CLOCK_TICK_NS = 15_000_000


class Listing(NamedTuple):
    """The distributions that there are, their records as (library, name, inode), and when each library was changed.

    A time is 0 if that was just now, because another change may leave it as it is.
    """

    distributions: list[Distribution]
    records: frozenset[tuple[str, str, int]]
    times: dict[str, int]


class Plan(NamedTuple):
    """Steps, in order, and what they rest on.

    `identities` says what stood at each path (None: nothing), `directories` when each directory that is taken as a
    whole was last changed, `listing` which distributions there were, `areas` which areas of the prefix the plan speaks
    of, `old_areas` those of each distribution that was there, `names` the distributions that come, go or are watched.
    `set_aside` are the new places of edited files.
    """

    steps: list[Step]
    identities: dict[str, tuple[int, int, int] | None]
    directories: dict[str, int]
    listing: Listing
    areas: frozenset[str]
    old_areas: dict[str, list[str]]
    names: frozenset[str]
    set_aside: list[str]


def look(prefix: Prefix) -> Listing:
    """What there is, and the times of the directories that list it."""
    times = {library: _time(prefix.path(library)) for library in libraries(prefix)}
    now = time.time_ns()
    distributions = find_all(prefix)
    records = frozenset((each.library, each.path[len(each.library) + 1 :], each.inode) for each in distributions)
    return Listing(
        distributions, records, {lib: 0 if abs(now - at) < _CLOCK_TICK_NS else at for lib, at in times.items()}
    )


def is_current(prefix: Prefix, listing: Listing) -> bool:
    """Whether no distribution can have come or gone since `listing` was made."""
    return all(at and _time(prefix.path(library)) == at for library, at in listing.times.items())


def still_holds(prefix: Prefix, plan: Plan) -> bool:
    """Whether nothing that `plan` rests on has changed; the lock is held."""
    for place, expected in plan.identities.items():
        if identity(prefix.path(place)) != expected:
            return False
    for place, at in plan.directories.items():
        if _time(prefix.path(place)) != at:
            return False
    before = plan.listing
    if is_current(prefix, before):
        return True
    now = frozenset((lib, name, inode) for lib in before.times for name, inode in entries(prefix, lib))
    return now == before.records or _irrelevant(prefix, plan, set(before.distributions) ^ set(find_all(prefix)))


def _irrelevant(prefix: Prefix, plan: Plan, changed: set[Distribution]) -> bool:
    """Whether the distributions that came or went since have nothing to do with the plan."""
    if any(each.canonical_name in plan.names for each in changed):
        return False
    before = set(plan.listing.distributions)
    came = Owners(prefix, changed - before, remember=False).areas()
    gone = [plan.old_areas.get(each.path, []) for each in changed & before]
    return all(plan.areas.isdisjoint(areas) for areas in [*came.values(), *gone])


def _time(path: str) -> int:
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return -1


def identity(path: str) -> tuple[int, int, int] | None:
    """What tells a file from another or an edited one; of a directory only which one it is."""
    status = presence.lstat(path)
    if status is None:
        return None
    if stat.S_ISDIR(status.st_mode):
        return status.st_ino, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
