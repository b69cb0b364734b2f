"""Commit a plan: the few milliseconds in which the prefix lock is held.

Under the lock: undo what an earlier process left, see that the plan holds, let the journal count, take the steps, and
rename the journal away, which is the commit. Before that instant every failure is undone, after it nothing is.
Nothing is imported there: whatever may be needed was imported before, so that nothing of what is installed can get in
(CVE-2026-6357).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import NamedTuple

from sage_wheels.errors import Conflict, FileOperationFailed, NotRemovable, Outdated, PrefixError
from sage_wheels.prefix import filesystem, lock
from sage_wheels.transaction import journal, recovery
from sage_wheels.transaction.journal import Journal
from sage_wheels.transaction.plan import is_current, look, still_holds
from sage_wheels.transaction.planner import make_plan
from sage_wheels.transaction.stage import JOURNAL, LOCK, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.going import Hashes
    from sage_wheels.transaction.plan import Listing, Plan
    from sage_wheels.transaction.planner import Goal
    from sage_wheels.transaction.stage import Stage

# How often somebody who does not take our lock (pip) may spoil a plan before we give up.
_TRIES = 20
# How often others who do take it may be faster before they have to wait while we plan (a matter of milliseconds, too:
# whatever had to be read for that was read before, but what has changed since).
_TRIES_BESIDE_OTHERS = 5


class Settings(NamedTuple):
    """How to commit: `timeout` in seconds for the lock (None: for ever), `durable` against power loss, and where the
    sentences for people go; with `dry_run` nothing is committed. `on_commit` is called once the change is made."""

    timeout: float | None = None
    durable: bool = False
    dry_run: bool = False
    say: Callable[[str], None] = lambda sentence: None
    on_commit: Callable[[], None] = lambda: None


class Outcome(NamedTuple):
    """What was done: the plan, and for how many seconds the lock was held."""

    plan: Plan
    lock_seconds: float


def run(
    prefix: Prefix,
    stage: Stage,
    goal: Callable[[list[Distribution]], Goal],
    settings: Settings,
    known: Listing | None = None,
) -> Outcome:
    """Make a plan, commit it; and again if it did not hold.

    `goal` says what to do about the distributions that are there; `known` may be a listing made before. Raises
    whatever planning raises, `LockTimeout`, `LockUnusable`, `JournalDamaged`, and `FileOperationFailed` if a step
    failed and all was undone.
    """
    mode = _Mode()
    for number in range(_TRIES):
        mode.alone = mode.alone or number >= _TRIES_BESIDE_OTHERS
        if mode.alone:
            filesystem.prepare_exchange()
        with _hold(prefix, settings) if mode.alone and not settings.dry_run else contextlib.nullcontext():
            outcome = _attempt(prefix, stage, goal, settings, known, mode)
        if outcome:
            return outcome
        known = None
    raise PrefixError(
        f"{prefix.root} changes faster than a change to it can be planned",
        "wait until whatever else installs there has finished, and run the command again",
    )


class _Mode:
    """What one try has taught the next: whether to hold the lock while planning, whether directories can be moved,
    and which files were compared with what they should be (see `planner`)."""

    def __init__(self) -> None:
        self.alone = False
        self.whole_directories = True
        self.hashes: Hashes = {}


def _attempt(
    prefix: Prefix,
    stage: Stage,
    goal: Callable[[list[Distribution]], Goal],
    settings: Settings,
    known: Listing | None,
    mode: _Mode,
) -> Outcome | None:
    """Plan and commit once; None if it has to be done again, as `mode` then says.

    A refusal, and the finding that nothing need be done, may come of a look at what somebody else is half-way through
    with; so they count only if they were made under the lock.
    """
    final = mode.alone or settings.dry_run
    listing = known if known and is_current(prefix, known) else look(prefix)
    try:
        wanted = goal(listing.distributions)
        made = make_plan(prefix, stage, wanted, listing, whole_directories=mode.whole_directories, hashes=mode.hashes)
    except (Conflict, NotRemovable, Outdated, FileNotFoundError, NotADirectoryError):
        if final:
            raise
        mode.alone = True
        return None
    if settings.dry_run or not made.steps:
        mode.alone = True
        return Outcome(made, 0.0) if final else None
    try:
        seconds = _try(prefix, stage, made, settings, locked=mode.alone)
    except OSError as error:
        if not _is_worth_another_try(prefix, made, error, mode):
            raise FileOperationFailed.from_os_error(error, f"changing {prefix.root}") from error
        return None
    return None if seconds is None else Outcome(made, seconds)


def _is_worth_another_try(prefix: Prefix, plan: Plan, error: OSError, mode: _Mode) -> bool:
    if error.errno == errno.EXDEV and mode.whole_directories:
        mode.whole_directories = False  # an overlay file system does not rename directories of its lower layer
    elif error.errno not in (errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY):  # those: somebody was faster
        return False
    # undoing may not have been able to bring back what was to come
    return all(os.path.lexists(prefix.path(step.staged)) for step in plan.steps if step.staged)


def _try(prefix: Prefix, stage: Stage, plan: Plan, settings: Settings, *, locked: bool) -> float | None:
    """Commit `plan` if it still holds; the seconds that the lock was held, None if it did not hold."""
    entry = Journal(stage.place, plan.steps, settings.durable)
    staged = f"{stage.path}/journal"
    with open(staged, "wb") as f:
        f.write(entry.to_bytes())
        if settings.durable:
            f.flush()
            os.fsync(f.fileno())
    if settings.durable:
        sync(prefix, stage.place)
    with contextlib.nullcontext(False) if locked else _hold(prefix, settings) as undone:
        begin = time.perf_counter()
        done = not undone and still_holds(prefix, plan)
        if done:
            _apply(prefix, stage, entry, staged, settings.on_commit)
        seconds = time.perf_counter() - begin
    return seconds if done else None


@contextlib.contextmanager
def _hold(prefix: Prefix, settings: Settings) -> Iterator[bool]:
    """Hold the prefix lock, after undoing what an earlier process left; whether there was anything to undo."""
    warn_of_network(prefix, settings)
    recovery.prepare(prefix)
    with lock.hold(prefix.path(LOCK), timeout=settings.timeout, on_wait=settings.say):
        undone = recovery.undo_pending(prefix)
        yield bool(undone)
    if undone:
        settings.say(undone)


def _apply(prefix: Prefix, stage: Stage, entry: Journal, staged: str, on_commit: Callable[[], None]) -> None:
    """Take the steps of the journal, or none of them. Signals wait meanwhile: it is a matter of milliseconds."""
    counting = prefix.path(JOURNAL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # raises KeyboardInterrupt if that is pending, and has blocked the signals all the same
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        os.rename(staged, counting)
        try:
            if entry.durable:
                filesystem.sync_path(prefix.state)
                if journal.keep_replaced(prefix.root, entry.steps):
                    sync(prefix, entry.stage)
            for step in entry.steps:
                journal.take(prefix.root, step)
            if entry.durable:
                sync(prefix, entry.stage)
            os.rename(counting, f"{stage.path}/committed")
        except BaseException:
            # if undoing fails, too, the journal stays, and the next command that takes the lock tries again
            journal.undo(prefix.root, entry)
            if entry.durable:
                sync(prefix, entry.stage)
            os.rename(counting, staged)
            if entry.durable:
                filesystem.sync_path(prefix.state)
            raise
        on_commit()
        if entry.durable:
            filesystem.sync_path(prefix.state)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def warn_of_network(prefix: Prefix, settings: Settings) -> None:
    """Say that the lock keeps out only processes of this host, where that is so."""
    kind = filesystem.network_type(prefix.root)
    if kind:
        settings.say(f"{prefix.root} is on {kind}: the lock keeps out this host's processes, not those of other hosts")
