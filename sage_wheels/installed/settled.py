"""Verify a prefix while other processes may change it, without reporting their unfinished changes as differences.

Differences are checked a second time. They are reported only if the RECORD and each path that differed are the same as
in the second check when the prefix lock is held, so that no transaction is in progress. Under the lock only stats are
compared, for at most 10 ms at a time. If something has changed, the distribution is verified again: only the paths that
differed, if its RECORD is still the same; all of it otherwise, if it is still installed.
"""

from __future__ import annotations

import os
import time

from sage_wheels.errors import NotRemovable, PrefixError
from sage_wheels.fs import presence
from sage_wheels.installed.distributions import entries, find_all, libraries
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.verify import Problem, verify
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

_TRIES = 50

Seen = tuple[int, ...]


class VerifyPace(NamedTuple):
    """How the lock is used. It is held for `held` seconds at most; the clock is read after each `piece` paths, which
    take less than a millisecond. It is waited for at most `patience` seconds; transactions hold it for milliseconds."""

    held: float = 0.010
    piece: int = 200
    patience: float = 10.0


class Differences(NamedTuple):
    """The differences from the RECORD of `distribution`; `unknown` is the error if they cannot be found out."""

    distribution: Distribution
    problems: list[Problem]
    unknown: NotRemovable | None


class _Look(NamedTuple):
    """A finding and its basis: `metadata` is the identity of the metadata directory, `seen` that of each path."""

    finding: Differences
    metadata: Seen
    seen: dict[str, Seen]


def verify_settled(
    prefix: Prefix, names: frozenset[str] | None, say: Callable[[str], None], pace: VerifyPace | None = None
) -> list[Differences]:
    """Verify the distributions with these normalised `names`; None stands for all of them.

    Distributions that are removed meanwhile are left out. `say` is called with a sentence if the prefix cannot be
    locked, so that differences may be unfinished changes. Raises `PrefixError` if the prefix does not stop changing,
    `FileOperationFailed`, and `OSError`.
    """
    pace = pace or VerifyPace()
    done: list[Differences] = []
    earlier: dict[Distribution, _Look] = {}
    waiting = names
    for _ in range(_TRIES):
        listing = find_all(prefix)
        owners = Owners(prefix, listing)
        chosen = [each for each in listing if waiting is None or each.canonical_name in waiting]
        looks = [_look(prefix, each, owners, earlier.get(each)) for each in chosen]
        differing = [each for each in looks if each.seen or each.finding.problems or each.finding.unknown]
        changing = _not_settled(prefix, listing, differing, say, pace)
        waiting = frozenset(each.canonical_name for each in changing)
        done += [each.finding for each in looks if each.finding.distribution.canonical_name not in waiting]
        if not waiting:
            return sorted(done, key=lambda each: each.distribution[1:])
        earlier = changing
    raise PrefixError(
        f"{prefix.root} changes faster than it can be verified",
        "wait until whatever else installs there has finished, and run the command again",
    )


def _look(prefix: Prefix, distribution: Distribution, owners: Owners, earlier: _Look | None) -> _Look:
    metadata = _metadata(prefix, distribution)
    paths = frozenset(earlier.seen) if earlier and earlier.metadata == metadata else None
    try:
        if paths is None:
            paths = frozenset(each.path for each in verify(prefix, distribution, owners) if each.state != "ignored")
        seen = {path: _seen(path) for path in paths}  # before the check, so that any later change is noticed
        return _Look(Differences(distribution, verify(prefix, distribution, owners, paths), None), metadata, seen)
    except NotRemovable as error:
        return _Look(Differences(distribution, [], error), metadata, {})


def _not_settled(
    prefix: Prefix, listing: list[Distribution], looks: list[_Look], say: Callable[[str], None], pace: VerifyPace
) -> dict[Distribution, _Look]:
    """Those of `looks` that are outdated, found while the lock excludes writers."""
    before = {(each.library, os.path.basename(each.path), each.inode) for each in listing}
    changing: dict[Distribution, _Look] = {}
    waiting = [(each, piece) for each in looks for piece in _pieces(list(each.seen.items()), pace.piece)]
    while waiting:
        with lock.keep_out(f"{prefix.state}/lock", pace.patience) as is_quiet:
            end = time.monotonic() + pace.held
            now = {(library, *entry) for library in libraries(prefix) for entry in entries(prefix, library)}
            while waiting:
                look, piece = waiting.pop()
                if not _is_settled(prefix, look, piece, is_same_listing=now == before):
                    changing[look.finding.distribution] = look
                if time.monotonic() > end:
                    break
        if not is_quiet:
            say(f"{prefix.root} could not be locked, so differences may be changes under way; run the command again")
            return changing
    return changing


def _pieces(items: list[tuple[str, Seen]], size: int) -> list[list[tuple[str, Seen]]]:
    return [items[at : at + size] for at in range(0, len(items), size)] or [[]]


def _is_settled(prefix: Prefix, look: _Look, piece: list[tuple[str, Seen]], *, is_same_listing: bool) -> bool:
    finding = look.finding
    # a distribution that was installed meanwhile may own files that had no owner
    if not is_same_listing and any(each.state == "foreign" for each in finding.problems):
        return False
    metadata = _metadata(prefix, finding.distribution)
    return bool(metadata) and metadata == look.metadata and all(_seen(path) == seen for path, seen in piece)


def _metadata(prefix: Prefix, distribution: Distribution) -> Seen:
    """The identity of the metadata directory and RECORD of `distribution`; empty if they were removed."""
    path = prefix.path(distribution.path)
    directory = _seen(path)[:1]
    return (*directory, *_seen(f"{path}/RECORD")) if directory else ()


def _seen(path: str) -> Seen:
    """The identity of the file at `path`, which changes if it is edited or replaced; empty if nothing is there."""
    try:
        status = presence.lstat(path)
    except OSError:
        return (-1,)  # it cannot be examined
    if status is None:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
