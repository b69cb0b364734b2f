"""The old files that the history keeps: how they are kept, and how they are deleted.

The stage of a committed transaction becomes `kept/NUMBER-ID` by one rename, with the old files where the steps have put
them. Parts of the stage on other file systems stay where they are. Nothing is copied. What exceeds the bounds becomes a
stage of a dead process again, by one rename under the lock, and the sweep deletes it without the lock. So an undo that
needs those files either finds all of them or plans again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time

from sage_wheels.errors import LockTimeout, LockUnusable, SageWheelsError
from sage_wheels.fs.files import LinkInTheWay
from sage_wheels.installed.unchanged import changed_at
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import advice
from sage_wheels.prefix.paths import PrefixPath, below
from sage_wheels.transaction import history, stage
from sage_wheels.transaction.history import KEPT
from sage_wheels.transaction.pending import JOURNAL
from sage_wheels.transaction.stage import STAGES, hold_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.history import HistoryBounds

_SIZE = "size"


class Kept(NamedTuple):
    """Old files of one transaction: `path` is their directory, `size` in bytes, `time` when they were kept."""

    number: int
    path: PrefixPath
    size: int
    time: float

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def keep(tree: Tree, path: PrefixPath, entry: str, amount: Amount, bounds: HistoryBounds) -> bool:
    """Keep the stage at `path`, which is locked and has that `amount` of files, for the `entry` of the history.

    Returns False if it is too large or cannot be renamed; then the caller empties it.
    """
    try:
        if amount.size > bounds.size:
            return False
        tree.make_directories(KEPT)
        with open(tree.open(below(path, _SIZE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(b"%d %d\n" % amount)
        tree.rename(path, below(KEPT, entry))
    except OSError:
        return False
    tree.forget()
    with contextlib.suppress(OSError):
        stage.begin_emptying(tree, below(KEPT, entry))
    return True


class Amount(NamedTuple):
    """Bytes, and the number of files and directories, without those of a stage itself."""

    size: int
    files: int


def survey(tree: Tree, paths: list[PrefixPath], time: int) -> tuple[Amount, list[PrefixPath]]:
    """How much is in the directories `paths` of a stage, of which the last one is the stage itself; and the files in
    them that were changed at `time` (ns) or later. Symbolic links are not followed."""
    size = count = 0
    changed: list[PrefixPath] = []
    for path in paths:
        with contextlib.suppress(LinkInTheWay):
            for above, found in tree.listings_below(path):
                for name, status in found:
                    if stat.S_ISDIR(status.st_mode):
                        count += 1
                    elif above != paths[-1]:
                        count += 1
                        size += status.st_size
                        if changed_at(status) >= time:
                            changed.append(below(above, name))
    return Amount(size, count), changed


def is_whole(tree: Tree, path: PrefixPath, beside: list[PrefixPath]) -> bool:
    """Whether all files that were kept at `path`, and in the directories `beside`, are still there, by their number."""
    told = _told(tree, path)
    return told is not None and told.files == _count(tree, [*beside, path])


def _count(tree: Tree, paths: list[PrefixPath]) -> int:
    """How many files and directories there are, as in `Amount`. No stat is read.

    They are looked up by their full paths, not through open directories: a wrong number does no harm.
    """
    count = 0
    waiting = [tree.path(path) for path in paths]
    own = waiting[-1]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as scan:
                for entry in scan:
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if is_directory:
                        waiting.append(entry.path)
                    count += is_directory or directory != own
        except OSError:
            continue
    return count


def _told(tree: Tree, path: PrefixPath) -> Amount | None:
    try:
        return Amount(*map(int, tree.read(below(path, _SIZE)).split()))
    except (OSError, ValueError, TypeError):
        return None


def everything(tree: Tree) -> list[Kept]:
    """The old files of each transaction, the newest first. Raises `OSError`."""
    found = []
    try:
        names = tree.names(KEPT)
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        parsed, status = history.parse_name(name), tree.lstat(below(KEPT, name))
        if parsed and status:
            path = below(KEPT, name)
            amount = _told(tree, path) or survey(tree, [path], 0)[0]
            found.append(Kept(parsed[0], path, amount.size, status.st_mtime))
    return sorted(found, reverse=True)


def trim(tree: Tree, bounds: HistoryBounds) -> None:
    """Give up old files that exceed the bounds. If another process has the lock, the next command does it."""
    try:
        gone = _beyond(everything(tree), bounds)
        if gone:
            with hold_lock(tree, 0.0, lambda sentence: None):
                if not tree.is_there(JOURNAL):
                    let_go(tree, gone)
    except (OSError, LockTimeout, LockUnusable):
        return


def _beyond(kept: list[Kept], bounds: HistoryBounds) -> list[Kept]:
    """Those of `kept`, sorted from the newest one, that exceed the bounds.

    >>> [each.number for each in _beyond([Kept(n, "", 1, 9e9) for n in (3, 2, 1)], history.HistoryBounds(size=2))]
    [1]
    """
    oldest = time.time() - bounds.days * 86400
    total, gone = 0, []
    for count, each in enumerate(kept, 1):
        total += each.size
        if count > bounds.transactions or total > bounds.size or each.time < oldest:
            gone.append(each)
    return gone


def let_go(tree: Tree, gone: Iterable[Kept]) -> None:
    """Make stages of `gone` that the sweep empties. The caller holds the lock. Raises `OSError`."""
    for each in gone:
        parsed = history.parse_name(each.name)
        assert parsed
        path = below(STAGES, parsed[1])
        with contextlib.suppress(FileNotFoundError):
            if stage.is_begun(tree, each.path):  # the process that kept it was killed
                stage.begin_emptying(tree, each.path)
            tree.make_directories(STAGES)
            tree.rename(each.path, path)


def forget(tree: Tree, numbers: set[int] | None, timeout: float | None) -> int:
    """Delete the entries with these numbers, or all, with their old files; returns how many. Raises `OSError`."""
    with hold_lock(tree, timeout, lambda sentence: None):
        if tree.is_there(JOURNAL):
            what = "another command is changing the prefix, or was interrupted"
            raise _Pending(what, f"run '{advice.command(tree.root, 'recover')}' first")
        let_go(tree, [each for each in everything(tree) if numbers is None or each.number in numbers])
        names = []
        for name in tree.names(history.HISTORY):
            found = history.parse_name(name)
            if found and (numbers is None or found[0] in numbers):
                names.append(name)
        if numbers is None:
            # one rename for any number of entries: they become a stage that was not begun, which the sweep empties
            tree.rename(history.HISTORY, below(STAGES, f"{os.getpid()}-{time.time_ns():x}"))
        else:
            for name in names:
                tree.unlink(below(history.HISTORY, name))
    return len(names)


class _Pending(SageWheelsError):
    """Raised by `forget` while there is an active journal, because undoing it may need the old files."""
