"""Commit a plan: the few milliseconds in which the prefix lock is held.

Under the lock: undo an interrupted transaction, check that the plan still holds, activate the journal by a rename, take
the steps, and rename the journal away, which is the commit. A failure before that rename is undone; after it, nothing
is undone. All modules are imported before the lock is taken, so that no module that is just being installed can be
imported (CVE-2026-6357).
"""

from __future__ import annotations

import contextlib
import errno
import signal
import time

from sage_wheels import processes, trace
from sage_wheels.errors import Conflict, FileOperationFailed, NotRemovable, NotThere, Outdated, PrefixError
from sage_wheels.fs import exchange, mounts, syncing
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.paths import below, parent
from sage_wheels.transaction import history, journal, recovery
from sage_wheels.transaction.history import HistoryBounds
from sage_wheels.transaction.journal import Journal
from sage_wheels.transaction.pending import JOURNAL
from sage_wheels.transaction.plan import is_current, look, still_holds
from sage_wheels.transaction.stage import end_undone, hold_lock, last_number, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.lock import Held
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.history import HistoryChange
    from sage_wheels.transaction.plan import Listing, Plan
    from sage_wheels.transaction.removal_set import Hashes
    from sage_wheels.transaction.stage import Stage

# How many plans are made, if a program that does not take our lock (pip) changes the prefix each time, before we give
# up.
_TRIES = 20
# How many plans are made without the lock, if other processes that take it are faster each time. The next plan is made
# with the lock held; that takes only milliseconds, because only files that have changed since must be read again.
_TRIES_BESIDE_OTHERS = 5


class CommitOptions(NamedTuple):
    """Options of a commit.

    `timeout` is for the lock, in seconds (None: for ever). With `durable`, the change survives power loss. With
    `dry_run`, nothing is committed. `say` is called with messages, and `on_commit` when the change has been made.
    `history` limits what the history keeps; `started` is when the command began, in seconds since the epoch.
    """

    timeout: float | None = None
    durable: bool = False
    dry_run: bool = False
    say: Callable[[str], None] = lambda sentence: None
    on_commit: Callable[[], None] = lambda: None
    history: HistoryBounds = HistoryBounds()
    started: float = 0.0


class Purpose(NamedTuple):
    """What the history says of a transaction: its kind, the distributions that it changes, and the numbers of the
    entries that it undoes."""

    kind: str
    changes: list[HistoryChange]
    undoes: tuple[int, ...] = ()


class CommitOutcome(NamedTuple):
    """What was done: the plan, and how long the lock was held (seconds)."""

    plan: Plan
    lock_seconds: float


def run(
    prefix: Prefix,
    stage: Stage,
    destination: Callable[[list[Distribution]], Any],
    commit_options: CommitOptions,
    purpose: Callable[[Plan], Purpose],
    known: Listing | None = None,
    make: Callable[..., Plan] | None = None,
) -> CommitOutcome:
    """Make a plan and commit it; if the prefix was changed meanwhile, begin again.

    `destination` is called with the installed distributions, and returns what the planner gets; `purpose` is called
    with the plan, and returns what the history says of it. `known` may be a listing made before. `make` is the planner
    (default: `make_plan`). Raises whatever planning raises, `LockTimeout`, `LockUnusable`, `JournalDamaged`, and
    `FileOperationFailed` if a step failed and all was undone.
    """
    planner = make or _usual_planner()
    mode = _Mode()
    for number in range(_TRIES):
        mode.alone = mode.alone or number >= _TRIES_BESIDE_OTHERS
        if mode.alone:
            exchange.prepare_exchange()
        with contextlib.ExitStack() as holding:
            mode.turn = None
            if mode.alone and not commit_options.dry_run:
                holding.enter_context(trace.later())
                mode.turn = holding.enter_context(_hold(prefix, stage, commit_options))
            outcome = _attempt(prefix, stage, destination, commit_options, purpose, known, mode, planner)
        if outcome:
            return outcome
        known = None
    raise PrefixError(
        f"{prefix.root} changes faster than a change to it can be planned",
        "wait until whatever else installs there has finished, and run the command again",
    )


def _usual_planner() -> Callable[..., Plan]:
    """`make_plan`, imported before the lock is taken, and only if it is needed: an undo has another planner."""
    from sage_wheels.transaction.planner import make_plan

    return make_plan


class _Turn(NamedTuple):
    """The lock while it is held. `undone` is whether an interrupted transaction was undone first; `counted` is the
    number of the last change by the history, for a lock file that does not contain it."""

    held: Held
    undone: bool
    counted: int


class _Mode:
    """What one attempt passes on to the next: whether to hold the lock while planning (`alone`), whether directories
    can be moved, and the results of comparing files (see `planner`). `turn` is the lock while it is held."""

    def __init__(self) -> None:
        self.alone = False
        self.turn: _Turn | None = None
        self.whole_directories = True
        self.hashes: Hashes = {}


def _attempt(
    prefix: Prefix,
    stage: Stage,
    destination: Callable[[list[Distribution]], Any],
    commit_options: CommitOptions,
    purpose: Callable[[Plan], Purpose],
    known: Listing | None,
    mode: _Mode,
    make: Callable[..., Plan],
) -> CommitOutcome | None:
    """Plan and commit once; None if it has to be done again, as `mode` says then.

    Without the lock, planning may see an unfinished change of another process. So if planning fails, or finds nothing
    to do, this is final only if the plan was made with the lock held.
    """
    final = mode.alone or commit_options.dry_run
    listing = known if known and is_current(prefix, known) else look(prefix)
    try:
        wanted = destination(listing.distributions)
        made = make(prefix, stage, wanted, listing, whole_directories=mode.whole_directories, hashes=mode.hashes)
    except (Conflict, NotRemovable, NotThere, Outdated, FileNotFoundError, NotADirectoryError) as error:
        if final:
            raise
        trace.decided("planning again, with the lock held, because another process may be making changes: %s", error)
        mode.alone = True
        return None
    trace.step("planned %d steps", len(made.steps))
    for each in made.steps:
        trace.step("planned: %s %s", each.do, each.path)
    if commit_options.dry_run or not made.steps:
        mode.alone = True
        return CommitOutcome(made, 0.0) if final else None
    try:
        seconds = _try(prefix, stage, made, commit_options, purpose(made), mode.turn)
    except OSError as error:
        if not _is_worth_another_try(stage, made, error, mode):
            raise FileOperationFailed.from_os_error(error, f"changing {prefix.root}") from error
        trace.decided("planning again, because a step failed and all was undone: %s", error)
        return None
    if seconds is None:
        trace.decided("planning again, because another process has changed %s meanwhile", prefix.root)
        return None
    trace.step("%d steps were taken; the lock was held for %.1f ms", len(made.steps), 1000 * seconds)
    return CommitOutcome(made, seconds)


def _is_worth_another_try(stage: Stage, plan: Plan, error: OSError, mode: _Mode) -> bool:
    if error.errno == errno.EXDEV and mode.whole_directories:
        mode.whole_directories = False  # an overlay refuses to rename directories of its lower layer
    elif error.errno not in (errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY, errno.ELOOP):  # another process was faster
        return False
    # the new files may not be in the stage any more, if undoing could not move them back
    return all(stage.tree.is_there(step.staged) for step in plan.steps if step.staged)


def _try(
    prefix: Prefix, stage: Stage, plan: Plan, commit_options: CommitOptions, purpose: Purpose, locked: _Turn | None
) -> float | None:
    """Commit `plan`; returns how long the lock was held (seconds), None if the plan does not hold any more."""
    about = history.about(purpose.kind, purpose.changes, commit_options.started, plan.began, purpose.undoes)
    entry = Journal(stage.location, plan.steps, commit_options.durable, chained=plan.chained, about=about.to_text())
    stage.write_journal(entry)
    # no other process changes this stage, so its directories may be opened before the lock is taken
    staged = {parent(path) for step in plan.steps for path in (step.staged, step.backup) if path}
    needed = [] if plan.chained else sorted(staged)  # those of a chained plan are mostly made by its steps
    with contextlib.nullcontext(locked) if locked else _hold(prefix, stage, commit_options, needed) as turn:
        begin = time.perf_counter()
        done = (locked is not None or not turn.undone) and still_holds(prefix, stage.tree, plan)
        if done:
            _apply(prefix, stage, entry, turn, commit_options)
        seconds = time.perf_counter() - begin
    return seconds if done else None


@contextlib.contextmanager
def _hold(
    prefix: Prefix, stage: Stage, commit_options: CommitOptions, needed: Iterable[PrefixPath] = ()
) -> Iterator[_Turn]:
    """Hold the prefix lock, and undo first what an interrupted process has left.

    Of `tree`, only the directories `needed` are open then. All others are opened again when they are used, because
    other processes may have replaced them before the lock was held.
    """
    tree = stage.tree
    warn_of_network(prefix, commit_options)
    recovery.prepare(prefix)
    tree.forget()
    counted = 0 if commit_options.history.is_off else last_number(tree)
    tree.open_directories(needed)
    with contextlib.suppress(OSError):  # without this directory, the history gets no entry
        tree.open_directories([history.HISTORY])
    with hold_lock(tree, commit_options.timeout, commit_options.say) as held:
        undone = recovery.undo_pending(tree, None if commit_options.history.is_off else held)
        yield _Turn(held, bool(undone), counted)
    if undone:
        commit_options.say(undone)


def _apply(prefix: Prefix, stage: Stage, entry: Journal, turn: _Turn, commit_options: CommitOptions) -> None:
    """Take the steps of the journal; if one fails, undo all. Signals are deferred meanwhile, for milliseconds."""
    tree = stage.tree
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # it may raise a pending KeyboardInterrupt after it has blocked the signals
        signal.pthread_sigmask(signal.SIG_BLOCK, processes.DEFERRED)
        tree.rename(below(stage.location, "journal"), JOURNAL)
        taken = 0
        try:
            if entry.durable:
                syncing.sync_path(prefix.state)
                if journal.keep_replaced(tree, entry.steps):
                    sync(tree, entry.stage)
            for step in entry.steps:
                journal.apply(tree, step)
                taken += 1
                if entry.chained:
                    journal.forget_moved(tree, step)
            tree.check_not_moved()
            number = 0
            if not commit_options.history.is_off:
                number = history.next_number(turn.held, turn.counted)
                turn.held.advance(number)
            if entry.durable:
                sync(tree, entry.stage)
            _commit(stage, number)
        except BaseException:
            # if undoing fails, too, the journal stays, and the next command undoes it
            journal.undo(tree, entry, taken)
            if entry.durable:
                sync(tree, entry.stage)
            end_undone(tree, entry.stage)
            if entry.durable:
                syncing.sync_path(prefix.state)
            raise
        commit_options.on_commit()
        if entry.durable:
            syncing.sync_path(prefix.state)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _commit(stage: Stage, number: int) -> None:
    """Rename the journal: it becomes the entry `number` of the history, or goes into the stage if that fails."""
    if number:
        path = history.path_of(number, stage.location)
        with contextlib.suppress(OSError):
            stage.tree.rename(JOURNAL, path)
            stage.entry = path.rpartition("/")[2]
            return
    stage.tree.rename(JOURNAL, below(stage.location, "committed"))


def warn_of_network(prefix: Prefix, commit_options: CommitOptions) -> None:
    """Warn if the prefix is on a network file system: the lock may exclude only processes of this host."""
    kind = mounts.network_type(prefix.root)
    if kind:
        commit_options.say(
            f"{prefix.root} is on {kind}: the lock keeps out this host's processes, not those of other hosts"
        )
