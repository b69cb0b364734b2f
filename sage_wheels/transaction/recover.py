"""The `recover` command: undo interrupted transactions and empty the stages of dead processes."""

from __future__ import annotations

import contextlib

from sage_wheels.errors import FileOperationFailed, JournalDamaged
from sage_wheels.fs import presence
from sage_wheels.prefix.paths import below
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import journal, recovery, stage, sweep
from sage_wheels.transaction.forgotten import forgotten, sentence_about
from sage_wheels.transaction.pending import pending
from sage_wheels.transaction.stage import STAGES, hold_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    if set_aside and _is_used(prefix):
        from sage_wheels.transaction.salvage import salvage

        saved = salvage(prefix, commit_options)
    sentences, unfinished = _recover(prefix, commit_options)
    if unfinished:
        for sentence in sentences:
            commit_options.say(sentence)
        raise JournalDamaged(unfinished[0], journal.way_out(prefix.root), "\n".join(unfinished[1:]))
    return [*saved, *sentences]


def _is_used(prefix: Prefix) -> bool:
    """Whether this tool has left anything in the prefix."""
    return presence.is_directory(prefix.state) or bool(left_behind(prefix))


def left_behind(prefix: Prefix) -> list[str]:
    """Sentences about old files that only `recover --set-aside` can put away. Nothing is changed, no lock is taken."""
    with contextlib.suppress(OSError), Tree(prefix.root) as tree:
        return [*_unfinished(tree), *(sentence_about(tree, each) for each in forgotten(prefix, tree))]
    return []


def _unfinished(tree: Tree) -> Iterator[str]:
    if not tree.is_there(STAGES):
        return
    for name in tree.names(STAGES):
        path = below(STAGES, name)
        with stage.locked(tree, path, lambda sentence: None) as is_dead:
            if is_dead and stage.state_of(tree, path) == "unfinished":
                yield stage.unfinished(tree, path)


def _recover(prefix: Prefix, commit_options: CommitOptions) -> tuple[list[str], list[str]]:
    """The sentences of `recover`, and those about unfinished stages."""
    try:
        if not _is_used(prefix):
            return [], []  # nothing was ever installed here: do not make a lock file
        stage.check_trust(prefix, commit_options.say)
        recovery.prepare(prefix)
        with Tree(prefix.root) as tree:
            with hold_lock(tree, commit_options.timeout, commit_options.say) as held:
                undone = recovery.undo_pending(tree, None if commit_options.history.is_off else held)
            swept = sweep.sweep(tree, commit_options.say, commit_options.history)
            kept = [f"kept a file that was in the way as {tree.path(each)}" for each in swept.kept]
            unfinished = [stage.unfinished(tree, each) for each in swept.unfinished]
            unfinished += [sentence_about(tree, each) for each in forgotten(prefix, tree)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"recovering {prefix.root}") from error
    return [*([undone] if undone else []), *kept], unfinished
