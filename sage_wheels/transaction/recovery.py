"""Recovery: what every command does first once it has the prefix lock."""

from __future__ import annotations

import os

from sage_wheels.errors import JournalDamaged
from sage_wheels.prefix import filesystem
from sage_wheels.transaction import journal
from sage_wheels.transaction.stage import JOURNAL, pending, sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix


def prepare(prefix: Prefix) -> None:
    """Import what undoing needs, if there is something to undo; the lock is not held yet."""
    if pending(prefix):
        filesystem.prepare_exchange()


def undo_pending(prefix: Prefix) -> str | None:
    """Undo what an earlier process left half-done; the lock is held. A sentence about it, None if there was nothing.

    A journal counts from the moment it is called `journal` until it is renamed away. Undoing may be interrupted and is
    simply begun again. Raises `JournalDamaged`, `OSError`.
    """
    path = prefix.path(JOURNAL)
    try:
        with open(path, "rb", opener=filesystem.regular) as f:
            data = f.read()
    except FileNotFoundError:
        return None
    try:
        left = journal.from_bytes(data)
    except ValueError as error:
        raise JournalDamaged(
            f"the journal {path} of an interrupted installation cannot be read: {error}",
            "run 'sage-wheels verify', install again what it names, and delete that file",
        ) from error
    journal.undo(prefix.root, left)
    if left.durable:  # what was undone is on the disk before the journal goes, and that before the stage does
        sync(prefix, left.stage)
    os.unlink(path)
    if left.durable:
        filesystem.sync_path(prefix.state)
    return f"undid an interrupted installation of {len(left.steps)} steps in {prefix.root}"
