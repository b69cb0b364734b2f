"""The `recover` command: undo interrupted transactions and empty the stages of dead processes."""

from __future__ import annotations

from sage_wheels.errors import FileOperationFailed, JournalDamaged
from sage_wheels.fs import presence
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import journal, recovery, stage, sweep
from sage_wheels.transaction.pending import pending
from sage_wheels.transaction.stage import hold_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions

    T = TypeVar("T")


def recover_first(prefix: Prefix, commit_options: CommitOptions) -> None:
    """Undo an interrupted transaction before the prefix is examined; in a dry run, nothing is undone.

    About an unfinished stage (see `stage`) there is only a message.
    """
    if pending(prefix) and not commit_options.dry_run:
        sentences, unfinished = _recover(prefix, commit_options)
        for sentence in (*sentences, *unfinished):
            commit_options.say(sentence)


def look_again(
    prefix: Prefix, commit_options: CommitOptions, look: Callable[[], T], is_complete: Callable[[T], bool]
) -> T:
    """What `look` finds after an interrupted transaction was undone.

    If that is not complete, it looks once more: what is missing may have been part of a removal that is undone then.
    """
    recover_first(prefix, commit_options)
    found = look()
    if not is_complete(found):
        recover_first(prefix, commit_options)
        found = look()
    return found


def recover(prefix: Prefix, commit_options: CommitOptions, *, set_aside: bool = False) -> list[str]:
    """Undo an interrupted transaction and empty the stages of dead processes; returns sentences about what was found.

    With `set_aside`, what cannot be undone is moved to `set-aside`, so that other commands work again (`salvage`);
    without it, `JournalDamaged` is raised for that. Also raises `LockTimeout`, `LockUnusable`, `FileOperationFailed`.
    """
    saved: list[str] = []
    if set_aside and presence.is_directory(prefix.state):
        from sage_wheels.transaction.salvage import salvage

        saved = salvage(prefix, commit_options)
    sentences, unfinished = _recover(prefix, commit_options)
    if unfinished:
        for sentence in sentences:
            commit_options.say(sentence)
        raise JournalDamaged(unfinished[0], journal.WAY_OUT, "\n".join(unfinished[1:]))
    return [*saved, *sentences]


def _recover(prefix: Prefix, commit_options: CommitOptions) -> tuple[list[str], list[str]]:
    """The sentences of `recover`, and those about unfinished stages."""
    try:
        if not presence.is_directory(prefix.state):
            return [], []  # nothing was ever installed here: do not make a lock file
        stage.check_trust(prefix, commit_options.say)
        recovery.prepare(prefix)
        with Tree(prefix.root) as tree:
            with hold_lock(tree, commit_options.timeout, commit_options.say) as held:
                undone = recovery.undo_pending(tree, None if commit_options.history.is_off else held)
            swept = sweep.sweep(tree, commit_options.say, commit_options.history)
            kept = [f"kept a file that was in the way as {tree.path(each)}" for each in swept.kept]
            unfinished = [stage.unfinished(tree, each) for each in swept.unfinished]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"recovering {prefix.root}") from error
    return [*([undone] if undone else []), *kept], unfinished
