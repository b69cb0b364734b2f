"""`recover --set-aside`: what is done about an interrupted transaction that cannot be undone.

If the journal can be read, every step that can be undone is undone. Then the stage, which has the old files, is moved
to `set-aside`; there the old files get their own paths again. The journal is moved there, too. Nothing is deleted, and
the next command can change the prefix. If this is interrupted, it can be run again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter

from sage_wheels.errors import FileOperationFailed, JournalDamaged, NotRemovable
from sage_wheels.fs.files import LinkInTheWay
from sage_wheels.installed import find_all, verify
from sage_wheels.installed.owners import Owners
from sage_wheels.prefix.paths import below, parent, plain
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import journal, recovery, stage
from sage_wheels.transaction.forgotten import forgotten
from sage_wheels.transaction.pending import JOURNAL
from sage_wheels.transaction.stage import SET_ASIDE, STAGES, hold_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.journal import Journal, Step

_FILES = "files"
_DIST_INFO = ".dist-info"


def salvage(prefix: Prefix, commit_options: CommitOptions) -> list[str]:
    """Set aside what cannot be undone; returns sentences that say where it is, and the state of each distribution.

    If there is no such transaction, nothing is done, and the list is empty. Raises `LockTimeout`, `LockUnusable`,
    `FileOperationFailed`.
    """
    try:
        recovery.prepare(prefix)
        with Tree(prefix.root) as tree:
            with hold_lock(tree, commit_options.timeout, commit_options.say):
                saved, metadata = _set_aside_all(prefix, tree, commit_options)
            missing = sorted(os.path.basename(each) for each in metadata if not os.path.lexists(prefix.path(each)))
        if not saved:
            return []
        found = [
            f"kept files that an interrupted installation had removed, or left, in {prefix.path(each)}"
            for each in saved
        ]
        return [*found, *_states(prefix, missing)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"setting aside what was left in {prefix.root}") from error


def _set_aside_all(prefix: Prefix, tree: Tree, commit_options: CommitOptions) -> tuple[list[PrefixPath], set[str]]:
    """Undo the steps that can be undone, and set aside the stages and the journal of the rest.

    Returns their new paths, and the `.dist-info` directories of distributions that the transaction had changed.
    """
    try:
        undone = recovery.undo_pending(tree, None)
    except JournalDamaged as error:
        commit_options.say(error.what)
    else:
        if undone:
            commit_options.say(undone)
    counting = _undo_what_can_be(tree)
    metadata = _metadata_in(counting)
    known = [counting]
    saved = []
    for path in _stages(tree, counting):
        with stage.locked(tree, path, commit_options.say) as is_dead:
            if is_dead:
                left = counting or stage.copy_of_journal(tree, path)
                metadata |= _metadata_in(left)
                known.append(left)
                saved += _set_aside(tree, path, left)
    if tree.is_there(JOURNAL):
        destination = saved[0] if saved else _path_aside(f"{os.getpid()}-{time.time_ns():x}")
        tree.make_directories(destination)
        tree.rename(JOURNAL, below(destination, "journal"))
        saved = saved or [destination]
    saved += _rename_away(tree, forgotten(prefix, tree), known)
    return saved, metadata


def _undo_what_can_be(tree: Tree) -> Journal | None:
    """Undo each step of the active journal that can be undone; returns the journal, None if it cannot be read."""
    try:
        counting = journal.from_bytes(tree.read(JOURNAL))
    except (OSError, ValueError):
        return None
    for step in reversed(counting.steps):
        try:
            journal.undo_step(tree, step)
        except JournalDamaged:
            continue
    return counting


def _stages(tree: Tree, counting: Journal | None) -> Iterator[PrefixPath]:
    """The stages of transactions that were begun and neither committed nor undone."""
    try:
        paths = [below(STAGES, name) for name in tree.names(STAGES)]
    except FileNotFoundError:
        return
    for path in paths:
        if tree.is_there(JOURNAL) and not counting:
            # the journal cannot be read: any stage may belong to it, and another version may use other marks
            begun = tree.is_there(below(path, "planned")) or stage.is_begun(tree, path)
            if begun and not stage.has_mark(tree, path):
                yield path
        elif (counting and counting.stage == path) or stage.state_of(tree, path) == "unfinished":
            yield path


def _path_aside(name: str) -> PrefixPath:
    return below(SET_ASIDE, f"{name}-interrupted")


def _set_aside(tree: Tree, path: PrefixPath, left: Journal | None) -> list[PrefixPath]:
    """Set aside the stage at `path`; its parts on other file systems are renamed there. Returns the new paths."""
    saved = _rename_away(tree, stage.stages_beside(tree, path), [left])
    if tree.is_there(path):
        _name_files_again(tree, path, left)
        destination = _path_aside(os.path.basename(path))
        tree.make_directories(parent(destination))
        tree.rename(path, destination)
        tree.forget_below(path)
        stage.set_bit(tree, destination, begun=False)
        saved.append(destination)
    return saved[::-1]


def _rename_away(tree: Tree, tops: list[PrefixPath], known: list[Journal | None]) -> list[PrefixPath]:
    """Rename directories of old files where they are, so that they belong to no stage; returns their new paths.

    In them, the files that the steps of the `known` journals mention get their own paths again.
    """
    saved = []
    for top in tops:
        if tree.is_there(top):
            for left in known:
                _name_files_again(tree, top, left)
            tree.rename(top, plain(f"{top}-interrupted"))
            tree.forget_below(top)
            saved.append(plain(f"{top}-interrupted"))
    return saved


def _name_files_again(tree: Tree, top: PrefixPath, left: Journal | None) -> None:
    for step in left.steps if left else ():
        _name_again(tree, top, step)


def _name_again(tree: Tree, top: PrefixPath, step: Step) -> None:
    """Move the old file of `step`, if it is in the stage `top`, to its own path below `files` in that stage."""
    kept = step.staged if step.do == "exchange" else step.backup
    if not kept.startswith(f"{top}/"):
        return
    destination = plain(f"{top}/{_FILES}/{step.path}")
    with contextlib.suppress(LinkInTheWay):  # somebody made a link: leave the stage as it is
        status = tree.lstat(kept)
        if status and journal.who(step, status) != "new" and not tree.is_there(destination):
            tree.make_directories(parent(destination))
            tree.rename(kept, destination)


def _metadata_in(left: Journal | None) -> set[str]:
    """The `.dist-info` directories that the steps of the journal `left` replace or remove."""
    replaced = [step.path for step in left.steps if step.do not in ("place", "rmdir")] if left else []
    paths = {each if each.endswith(_DIST_INFO) else os.path.dirname(each) for each in replaced}
    return {each for each in paths if each.endswith(_DIST_INFO)}


def _states(prefix: Prefix, missing: list[str]) -> Iterator[str]:
    """A sentence for each distribution that is damaged or `missing`, and one with the number of undamaged ones."""
    everything = find_all(prefix)
    owners = Owners(prefix, everything)
    whole = 0
    for each in everything:
        try:
            counts = Counter(problem.state for problem in verify.verify(prefix, each, owners))
        except NotRemovable as error:
            yield f"{each}: {error.what}"
            continue
        whole += not counts
        if counts:
            told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
            yield f"{each} is not as it was installed ({told}); install it again with --reinstall"
    for name in missing:
        what = f"{name.removesuffix(_DIST_INFO)} is not installed any more"
        yield f"{what}; if files of it are in the way, install it with --on-conflict overwrite"
    yield f"{whole} of {len(everything)} distributions in {prefix.root} are as they were installed"
