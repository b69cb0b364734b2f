"""The `recover` command: finish what killed processes left, and nothing else."""

from __future__ import annotations

from sage_wheels.errors import FileOperationFailed
from sage_wheels.prefix import lock, presence
from sage_wheels.transaction import recovery, stage
from sage_wheels.transaction.stage import LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Settings


def recover_first(prefix: Prefix, settings: Settings) -> None:
    """Undo an interrupted transaction before anything is decided by what is there; a dry run leaves it alone."""
    if stage.pending(prefix) and not settings.dry_run:
        for sentence in recover(prefix, settings):
            settings.say(sentence)


def recover(prefix: Prefix, settings: Settings) -> list[str]:
    """Undo an interrupted transaction and empty the stages of dead processes; sentences about what was found.

    Raises `LockTimeout`, `LockUnusable`, `JournalDamaged`, `FileOperationFailed`.
    """
    try:
        if not presence.is_directory(prefix.state):
            return []  # nothing was ever installed here: do not leave a lock file where nobody needs it
        recovery.prepare(prefix)
        with lock.hold(prefix.path(LOCK), timeout=settings.timeout, on_wait=settings.say):
            undone = recovery.undo_pending(prefix)
        kept = stage.sweep_dead(prefix, settings.say)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"recovering {prefix.root}") from error
    return [*([undone] if undone else []), *(f"kept what stood in the way as {prefix.path(each)}" for each in kept)]
