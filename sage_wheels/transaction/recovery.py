"""Recovery: undo an interrupted transaction. Every command that changes a prefix does this first, under the lock.

The states of the active journal J (the file `journal` in the state directory), and what is done; the table of its steps
is in `journal`, that of the stages in `stage`:

    J is                          its stage              what is done
    not there                     -                      nothing
    whole                         there                  undone; J becomes an entry of the history, or is renamed to
                                                         `undone` in the stage if that cannot be
    whole                         gone                   undone, if nothing was kept in the stage that is needed; J is
                                                         deleted
    whole, a step is lost         -                      refused: `salvage`
    damaged                       has a copy of this J   undone by the copy
    damaged                       has no copy            error: see `salvage`
    of another format             -                      error: the version that wrote it can undo it; or `salvage`
"""

from __future__ import annotations

from sage_wheels.errors import JournalDamaged
from sage_wheels.fs import exchange, syncing
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.paths import NOWHERE, PrefixPath, below
from sage_wheels.transaction import history, journal, stage
from sage_wheels.transaction.pending import JOURNAL, pending
from sage_wheels.transaction.stage import NO_FILE, STAGES, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.lock import Held
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.journal import Journal


def prepare(prefix: Prefix) -> None:
    """Import the modules that undoing needs, if there is something to undo. Called before the lock is taken."""
    if pending(prefix):
        exchange.prepare_exchange()


def undo_pending(tree: Tree, held: Held | None) -> str | None:
    """Undo an interrupted transaction; the caller holds the lock. Returns a sentence about it, None if there is none.

    With `held`, the history gets an entry about it.

    A journal is active from the moment it is called `journal` until it is renamed away. Undoing may be interrupted; it
    is then begun again. Raises `JournalDamaged`, `OSError`.
    """
    try:
        left, note = journal.from_bytes(tree.read(JOURNAL)), ""
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in NO_FILE:
            raise
        why = "it is no regular file" if isinstance(error, OSError) else str(error)
        what = f"the journal {tree.path(JOURNAL)} of an interrupted installation cannot be read: {why}"
        copy = _copy(tree)
        if copy is None:
            raise JournalDamaged(what, journal.way_out(tree.root)) from error
        left, note = copy, f"; {what}, so its copy was used"
    journal.undo(tree, left)
    if left.durable:  # order on the disk: the restored files, the removal of the journal, that of the stage
        sync(tree, left.stage)
    stage.end_undone(tree, left.stage, _entry(tree, held, left) if held else NOWHERE)
    if left.durable:
        syncing.sync_path(tree.path(STATE))
    return f"undid an interrupted installation of {len(left.steps)} steps in {tree.root}{note}"


def _entry(tree: Tree, held: Held, left: Journal) -> PrefixPath:
    number = history.next_number(held, 0 if held.number is not None else history.counted(tree))
    held.advance(number)
    return history.path_of(number, left.stage, undone=True)


def _copy(tree: Tree) -> Journal | None:
    """The copy of the active journal in its stage; None if there is none."""
    status = tree.lstat(JOURNAL)
    try:
        paths = [below(STAGES, name) for name in tree.names(STAGES)]
    except FileNotFoundError:
        return None
    for path in paths:
        copy = stage.copy_of_journal(tree, path)
        if copy and status and copy.inode == status.st_ino and not stage.has_mark(tree, path):
            return copy
    return None
