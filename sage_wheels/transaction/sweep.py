"""Empty the stages of dead processes; files in them that no plan mentions are set aside. The states are in `stage`."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from sage_wheels.fs import copies
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.paths import NOWHERE, ancestors, below, parent, plain
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction import history, journal, kept
from sage_wheels.transaction.forgotten import forgotten, sentence_about
from sage_wheels.transaction.history import HISTORY, HistoryBounds
from sage_wheels.transaction.stage import (
    SET_ASIDE,
    STAGES,
    Stage,
    begin_emptying,
    is_begun,
    locked,
    not_emptied,
    stages_beside,
    state_of,
    unfinished,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.journal import Journal

_UNFINISHED_COPY = ".unfinished-copy"


class Swept(NamedTuple):
    """The result of a sweep: `kept` are the new paths of files that were set aside, and the paths of unfinished stages
    (see `stage`); all relative to the prefix."""

    kept: list[str]
    unfinished: list[PrefixPath]


@contextlib.contextmanager
def own_stage(prefix: Prefix, say: Callable[[str], None], bounds: HistoryBounds) -> Iterator[Stage]:
    """Within this context, a stage for this process. It is emptied at the end; then `kept` lists the files that were
    set aside, relative to the prefix.

    Old files are kept for the history within `bounds`.
    """
    stage = Stage(prefix, say)
    try:
        yield stage
    finally:
        try:
            swept = _sweep_locked(stage.tree, stage.location, say, bounds, stage.entry)
            stage.kept += swept.kept
            if stage.entry:
                kept.trim(stage.tree, bounds)
            for path in swept.unfinished:
                say(unfinished(stage.tree, path))
        finally:
            stage.close()


def sweep_dead(prefix: Prefix, say: Callable[[str], None], bounds: HistoryBounds) -> list[str]:
    """Empty the stages of dead processes; returns the new paths of files that were set aside."""
    try:
        tree = Tree(prefix.root)
    except OSError:
        return []  # the prefix was moved; the next command at the new path empties its stages
    with tree:
        swept = sweep(tree, say, bounds)
        for path in swept.unfinished:
            say(f"{unfinished(tree, path)}; {journal.way_out(tree.root)}")
        for path in forgotten(prefix, tree):
            say(f"{sentence_about(tree, path)}; {journal.way_out(tree.root)}")
    return swept.kept


def sweep(tree: Tree, say: Callable[[str], None], bounds: HistoryBounds) -> Swept:
    """As `sweep_dead`, without messages about unfinished stages."""
    result = Swept([], [])
    try:
        names = tree.names(STAGES)
    except OSError:
        return result  # there is no stage directory, or this user cannot read it
    for name in names:
        path = below(STAGES, name)
        with locked(tree, path, say) as is_dead:
            if is_dead:
                swept = _sweep_locked(tree, path, say, bounds)
                result.kept.extend(swept.kept)
                result.unfinished.extend(swept.unfinished)
    _sweep_caches(tree)
    return result


def _sweep_caches(tree: Tree) -> None:
    """Delete unfinished cache files. If a process is writing one now, its write fails, which is harmless."""
    with contextlib.suppress(OSError):
        cache = below(STATE, "cache")
        for name in tree.names(cache):
            if name.rpartition(".")[2].isdigit():  # NAME.json.PID
                tree.unlink(below(cache, name))


def _sweep_locked(
    tree: Tree, path: PrefixPath, say: Callable[[str], None], bounds: HistoryBounds, entry: str = ""
) -> Swept:
    """Empty a stage that is locked, if it may be emptied; its `entry` in the history may be known.

    If it fails, a message says so, and the next command tries again.
    """
    try:
        state = "" if entry else state_of(tree, path)
        if state == "unfinished":
            return Swept([], [path])
        return Swept([] if state == "pending" else _sweep(tree, path, bounds, entry), [])
    except OSError as error:
        say(not_emptied(tree, path, error))
        return Swept([], [])


def _sweep(tree: Tree, path: PrefixPath, bounds: HistoryBounds, entry: str) -> list[str]:
    """Delete the stage at `path`, which is locked, and set aside files that no plan mentions; or keep it whole for the
    history."""
    stages = [*stages_beside(tree, path), path]
    aside: list[str] = []
    if not entry and is_begun(tree, path):
        entry = history.entry_of(tree, path)
    committed = NOWHERE if history.is_undone(entry) else below(HISTORY, entry) if entry else below(path, "committed")
    with contextlib.suppress(FileNotFoundError, ValueError):
        done = journal.from_bytes(tree.read(committed)) if committed else None
        if done:
            keeps = bool(entry) and not bounds.is_off and history.keeps_something(done)
            planned = tree.lstat(below(path, "planned"))
            amount, changed = kept.survey(tree, stages, planned.st_ctime_ns if planned else history.planned(done))
            aside = _keep_unplanned(tree, stages, done, changed, copy=keeps)
            if keeps and kept.keep(tree, path, entry, amount, bounds):
                return aside
    begin_emptying(tree, path)
    for each in stages:
        tree.delete(each)
    return aside


def _keep_unplanned(
    tree: Tree, stages: list[PrefixPath], committed: Journal, changed: list[PrefixPath], *, copy: bool
) -> list[str]:
    """Set aside files that were changed in a directory between the plan and the commit that moved the directory.

    Such a file, one of the `changed`, has a ctime later than the plan, or equal to it within a tick of the clock. For a
    file with several hard links, the time of the last modification is used instead (see `unchanged.changed_at`). (Files
    that are moved one by one were compared under the lock.) Byte-code is not kept: a Python that imports the package
    writes it.
    With `copy`, the file also stays in the stage, so that an undo restores it. Files that an earlier step of the same
    journal installed, and a later one removed, are not examined.
    """
    own = stages[-1]
    kept: list[str] = []
    came: set[str] = set()
    inside: dict[str, list[PrefixPath]] = {}
    for path in changed:
        for above in ancestors(path):
            inside.setdefault(above, []).append(path)
    for step in committed.steps if changed else ():
        gone = step.staged if step.do == "exchange" else step.backup if step.do in ("swap", "remove") else NOWHERE
        # 0 if the step moved no directory, or one with only byte-code
        found = inside.get(gone, ()) if step.old_times else ()
        before = set(came) if found else came
        if committed.chained and step.do in ("place", "exchange", "swap"):
            came.add(step.path)
        for path in found:
            final = plain(f"{step.path}{path[len(gone) :]}")
            is_bytecode = os.path.basename(parent(path)) == "__pycache__"
            if not is_bytecode and before.isdisjoint((final, *ancestors(final))):
                above = below(SET_ASIDE, os.path.basename(own))
                destination = plain(f"{above}/{final}")
                tree.make_directories(parent(destination))
                if not copy:
                    _move(tree, path, destination, below(above, _UNFINISHED_COPY))
                elif not tree.is_there(destination):
                    _copy_whole(tree, path, destination, below(above, _UNFINISHED_COPY))
                kept.append(destination)
    return kept


def _move(tree: Tree, path: PrefixPath, destination: PrefixPath, unfinished: PrefixPath) -> None:
    """Rename a file; to another file system, copy it to `unfinished` (which may exist from an earlier try) first."""
    try:
        tree.rename(path, destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_whole(tree, path, destination, unfinished)
        tree.unlink(path)


def _copy_whole(tree: Tree, path: PrefixPath, destination: PrefixPath, unfinished: PrefixPath) -> None:
    with contextlib.suppress(FileNotFoundError):
        tree.unlink(unfinished)
    _copy(tree, path, unfinished)
    tree.rename(unfinished, destination)


def _copy(tree: Tree, path: PrefixPath, destination: PrefixPath) -> None:
    """Copy a regular file with mode, times and extended attributes, or a symbolic link."""
    status = tree.lstat(path)
    if status and stat.S_ISLNK(status.st_mode):
        tree.symlink(tree.readlink(path), destination)
        return
    with (
        open(tree.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as source,
        open(tree.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy,
    ):
        copies.copy_file(source.fileno(), copy.fileno())
