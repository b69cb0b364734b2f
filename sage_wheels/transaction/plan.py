"""A plan: the steps of a transaction, and the state of the prefix for which they were planned.

A plan is made without the lock (see `planner`). Under the lock, `still_holds` checks whether that state has changed; it
looks only at paths that the plan uses.
"""

from __future__ import annotations

import os
import stat
import time

from sage_wheels.fs.files import LinkInTheWay
from sage_wheels.installed.distributions import entries, find_all, libraries
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.unchanged import TICK_NS
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.journal import Step

Identity = tuple[int, int, int, int]


class Listing(NamedTuple):
    """The installed distributions, all metadata as (library, name, inode), and the mtime of each library (ns).

    A time is 0 if the library was changed so recently that another change may leave the same time. The times are a hint
    only: a busy machine may move the clock of its file systems so late that more changes have the same time.
    """

    distributions: list[Distribution]
    metadata: frozenset[tuple[str, str, int]]
    times: dict[str, int]


class Plan(NamedTuple):
    """The steps, in order, and the state of the prefix that they require. Paths are relative to the prefix.

    State: `identities` has the identity of the file at each path (None: nothing is there); `directories` the time of
    the last change of each directory that is moved as a whole; `listing` the installed distributions; `areas` finds the
    areas (see `installed.owners`) that the plan uses, which matter only if distributions were installed or removed
    since; `old_areas` the areas of each installed distribution; `names` the names of the distributions that are
    installed, removed or watched.

    For the report: `removed` are the distributions that are removed or replaced; `overwritten` the files of others that
    are replaced, with their owners; `set_aside` the new paths of edited files; `ignored` the rows of RECORD that are
    ignored. `began` is when planning began, in ns, by the clock of the file system. `chained` is that of the journal.
    """

    steps: list[Step]
    identities: dict[PrefixPath, Identity | None]
    directories: dict[PrefixPath, int]
    listing: Listing
    areas: Callable[[], set[str]]
    old_areas: dict[str, list[str]]
    names: frozenset[str]
    removed: list[Distribution]
    overwritten: dict[PrefixPath, list[Distribution]]
    set_aside: list[PrefixPath]
    ignored: list[str]
    began: int
    chained: bool = False


def look(prefix: Prefix) -> Listing:
    """List the installed distributions."""
    times = {library: _time(prefix.path(library)) for library in libraries(prefix)}
    now = time.time_ns()
    metadata = _metadata(prefix, times)  # first, so that a change meanwhile is noticed under the lock
    times = {library: 0 if abs(now - at) < TICK_NS else at for library, at in times.items()}
    return Listing(find_all(prefix), metadata, times)


def is_current(prefix: Prefix, listing: Listing) -> bool:
    """Whether, by the times, no distribution was installed or removed since `listing` was made."""
    return all(at and _time(prefix.path(library)) == at for library, at in listing.times.items())


def is_same(prefix: Prefix, listing: Listing) -> bool:
    """Whether the metadata of the installed distributions is what it was when `listing` was made."""
    return _metadata(prefix, listing.times) == listing.metadata


def still_holds(prefix: Prefix, tree: Tree, plan: Plan) -> bool:
    """Whether the state that `plan` requires has not changed; the caller holds the lock.

    It is checked through the open directories of `tree`, in which the steps will be taken, too.
    """
    try:
        for path, expected in plan.identities.items():
            if identity(tree.lstat(path)) != expected:
                return False
        for path, at in plan.directories.items():
            status = tree.lstat(path)
            if status is None or status.st_mtime_ns != at:
                return False
    except LinkInTheWay:
        return False
    if is_same(prefix, plan.listing):
        return True
    return _irrelevant(prefix, plan, set(plan.listing.distributions) ^ set(find_all(prefix)))


def _irrelevant(prefix: Prefix, plan: Plan, changed: set[Distribution]) -> bool:
    """Whether the plan does not depend on the distributions in `changed`, which were installed or removed since."""
    if any(each.canonical_name in plan.names for each in changed):
        return False
    before = set(plan.listing.distributions)
    came = Owners(prefix, changed - before, remember=False).areas()
    gone = [plan.old_areas.get(each.path, []) for each in changed & before]
    used = plan.areas()
    return all(used.isdisjoint(areas) for areas in [*came.values(), *gone])


def _metadata(prefix: Prefix, libraries: Iterable[str]) -> frozenset[tuple[str, str, int]]:
    return frozenset((library, *entry) for library in libraries for entry in entries(prefix, library))


def _time(path: str) -> int:
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return -1


def identity(status: os.stat_result | None) -> Identity | None:
    """As `identity_of`; None if `status` is None."""
    return None if status is None else identity_of(status)


def identity_of(status: os.stat_result) -> Identity:
    """The identity of a file, which changes if it is replaced or edited; for a directory, only if it is replaced.

    It contains the ctime (time of the last change), because an editor may restore the modification time.
    """
    if stat.S_ISDIR(status.st_mode):
        return status.st_ino, 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
