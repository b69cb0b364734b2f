"""Make a plan: which paths are added, replaced or removed; and find conflicts.

A directory is replaced or removed as a whole, by one rename or exchange, if everything in it belongs to distributions
that are replaced or removed; otherwise its entries are handled one by one. `merging` plans new files, `removing` the
removal of old ones; `steps` collects the steps, `order` sorts them, and `conflicts` reports conflicts.
"""

from __future__ import annotations

import os
import stat
import time

from sage_wheels.fs import copies, presence
from sage_wheels.fs.paths import full
from sage_wheels.installed import legacy
from sage_wheels.installed.owners import Owners, areas, areas_of_new
from sage_wheels.installed.unchanged import TICK_NS, is_recent
from sage_wheels.prefix.locator import landmarks
from sage_wheels.prefix.paths import below, parent, plain
from sage_wheels.transaction.conflicts import Conflicts
from sage_wheels.transaction.merging import Merging
from sage_wheels.transaction.order import in_order
from sage_wheels.transaction.plan import Plan
from sage_wheels.transaction.policy import InstallPolicy
from sage_wheels.transaction.removal_set import RemovalSet
from sage_wheels.transaction.removing import Removing
from sage_wheels.transaction.stage import SET_ASIDE
from sage_wheels.transaction.steps import Steps, identify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.destination import Destination
    from sage_wheels.transaction.plan import Listing
    from sage_wheels.transaction.removal_set import Hashes
    from sage_wheels.transaction.stage import Stage


def make_plan(
    prefix: Prefix,
    stage: Stage,
    destination: Destination,
    listing: Listing,
    *,
    whole_directories: bool = True,
    hashes: Hashes | None = None,
) -> Plan:
    """Make the plan for `destination`. Raises `Conflict`, `NotRemovable`, `OSError`.

    `listing` is from `plan.look`. With `whole_directories=False`, no existing directory is moved (overlay file systems
    refuse that). `hashes` keeps the results of comparing files from one attempt to the next.
    """
    gone = set(destination.remove)
    owners = Owners(prefix, [each for each in listing.distributions if each not in gone])
    locator = owners.locator
    marks = landmarks(prefix, locator)
    removals = RemovalSet(
        prefix, stage.tree, destination.remove, destination.new, owners, whole_directories=whole_directories
    )
    policy = destination.policy or InstallPolicy(prefix, destination, removals, owners)
    conflicts = Conflicts(prefix, policy.advice)
    steps = Steps(prefix, stage, removals, destination.tree, installing=destination.policy is None)
    merging = Merging(prefix, steps, policy, removals, owners, conflicts, destination.new)

    began = _begin(prefix, stage, destination.remove)
    if destination.tree:
        merging.merge(destination.tree)
    conflicts.check()
    Removing(prefix, steps, removals, marks.skeleton).remove_rest()
    # last, when all identities are recorded: then an edit of a file after it was compared is noticed under the lock
    edited = [*merging.set_aside, *removals.edited({} if hashes is None else hashes, identify, steps.directories)]
    edited = [each for each in edited if _can_be_kept(prefix, each)]
    for path, content in legacy.easy_install_without(prefix, destination.remove, locator):
        steps.rewrite(path, content)
    names = {*(each.canonical_name for each in destination.remove), *destination.new.values(), *destination.watched}
    set_aside = _set_aside(prefix, stage, steps, edited)
    return Plan(
        in_order(steps.steps, marks),
        steps.identities,
        steps.directories,
        listing,
        lambda: areas(marks.libraries, removals.rows) | areas_of_new(marks.libraries, locator, destination.new),
        owners.areas() if removals.rows else {},
        frozenset(names),
        destination.remove,
        merging.overwritten,
        set_aside,
        removals.ignored,
        began,
    )


def _begin(prefix: Prefix, stage: Stage, gone: list[Distribution]) -> int:
    """The time of the plan (ns, by the clock of the file system): any file with that ctime, or a later one, was changed
    after it.

    If a distribution in `gone` was installed just now, this first waits for the next tick of that clock.
    """
    metadata = (presence.lstat(prefix.path(each.path)) for each in gone)
    if any(status and is_recent(status) for status in metadata):
        time.sleep(TICK_NS / 1e9)
    with open(f"{stage.path}/planned", "wb") as f:  # its ctime is the time of the plan
        return os.fstat(f.fileno()).st_ctime_ns


def _can_be_kept(prefix: Prefix, path: PrefixPath) -> bool:
    """Whether a copy of the file at `path` can be kept: not of a pipe, a socket or a device."""
    mode = os.lstat(prefix.path(path)).st_mode
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _set_aside(prefix: Prefix, stage: Stage, steps: Steps, edited: list[PrefixPath]) -> list[PrefixPath]:
    """Copy edited files into the stage, plan the move of the copies to `set-aside`, and return their paths there."""
    if not edited:
        return []
    aside = below(stage.location, "aside")
    stage.tree.delete(aside)
    stage.tree.mkdir(aside)
    for path in edited:
        stage.tree.make_directories(parent(plain(f"{aside}/{path}")))
        copies.copy(prefix.path(path), f"{stage.path}/aside/{path}")
    stage.tree.make_directories(SET_ASIDE)
    stage.tree.open_directories([SET_ASIDE])  # if it is a link, raise the error here
    destination = below(SET_ASIDE, os.path.basename(stage.location))
    steps.place(destination, full(f"{stage.path}/aside"))
    return [plain(f"{destination}/{path}") for path in edited]
