"""Move a staged tree of files that are not in a wheel into a prefix, in a transaction with the same journal.

A file or directory that does not exist in the prefix is moved by one rename; a directory that exists is merged entry by
entry; a file that exists is replaced by a rename and reported. Nothing is removed. Files keep their modes; directories
are made writable for their owner, so that their contents can be removed later.
"""

from __future__ import annotations

import contextlib
import os
import stat

from sage_wheels.errors import FileOperationFailed, UsageError
from sage_wheels.fs import copies, deletion, presence
from sage_wheels.fs.paths import full
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.paths import NOWHERE, plain
from sage_wheels.transaction import commit, sweep
from sage_wheels.transaction.commit import Purpose
from sage_wheels.transaction.destination import Destination, Verdict
from sage_wheels.transaction.recover import recover_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.commit import CommitOptions


class Replaced(NamedTuple):
    """A file that existed already and was replaced: its full path, and the distributions that own it."""

    path: str
    owners: tuple[str, ...]


def move_tree(source: str, prefix: Prefix, commit_options: CommitOptions) -> list[Replaced]:
    """Move everything in the directory `source` into `prefix` in one transaction; returns the files that were replaced.

    Afterwards `source` does not exist any more; if this fails, it is unchanged, except for modes of directories. Raises
    `UsageError`, `Conflict`, `LockTimeout`, `LockUnusable`, `JournalDamaged`, `FileOperationFailed`.
    """
    source = os.path.abspath(source)
    _check(source, prefix)
    recover_first(prefix, commit_options)
    try:
        _make_writable(source)
        with sweep.own_stage(prefix, commit_options.say, commit_options.history) as own:
            tree = _within(own.tree, source) or _copied(source, f"{own.path}/new")

            def destination(listing: list[Distribution]) -> Destination:
                return Destination(tree, {}, [], True, _MovePolicy(prefix, source))

            done = commit.run(prefix, own, destination, commit_options, lambda plan: Purpose("move-tree", []))
            overwritten = done.plan.overwritten
        sweep.sweep_dead(prefix, commit_options.say, commit_options.history)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"moving {source} into {prefix.root}") from error
    if not commit_options.dry_run:
        try:
            deletion.delete_tree(source)
        except OSError as error:
            commit_options.say(f"{source} was moved, but what is left of it could not be deleted ({error.strerror})")
    return [Replaced(prefix.path(path), tuple(map(str, owners))) for path, owners in overwritten.items()]


class _MovePolicy:
    """The policy of a move: existing files are replaced, existing directories are not."""

    advice = "decide which of the two is right, and remove the other"

    def __init__(self, prefix: Prefix, source: str) -> None:
        self._prefix = prefix
        self._source = source

    def meet(self, staged: FullPath, logical: PrefixPath, path: PrefixPath) -> Verdict:
        with contextlib.suppress(OSError):
            if os.readlink(staged) == os.readlink(self._prefix.path(path)):
                return Verdict.STAYS  # the same link, such as lib64 -> lib, which many trees contain
        return Verdict.OVERWRITTEN

    def newcomer(self, path: PrefixPath) -> str:
        return f"what is in {self._source}"


def _check(source: str, prefix: Prefix) -> None:
    if not presence.is_real_directory(source):
        raise UsageError(f"{source} is no directory", "name the staged tree")
    real, root = os.path.realpath(source), os.path.realpath(prefix.root)
    if f"{root}/".startswith(f"{real}/"):
        raise UsageError(f"{prefix.root} is in {source}", "stage the files in a directory of their own")


def _within(prefix: Tree, source: str) -> FullPath | None:
    """The path of `source` below the prefix if everything in it can be renamed from there; else None."""
    real, root = os.path.realpath(source), os.path.realpath(prefix.root)
    if not real.startswith(f"{root}/"):
        return None
    path = plain(real[len(root) + 1 :])
    if prefix.volume(path, os.lstat(real)) != prefix.volume(NOWHERE, os.stat(root)):
        return None
    return full(prefix.path(path))


def _copied(source: str, destination: str) -> FullPath:
    copies.copy_tree(source, destination)
    return full(destination)


def _make_writable(directory: str) -> None:
    """Make every directory writable for its owner; otherwise it could not be renamed, nor get files of others."""
    mode = stat.S_IMODE(os.lstat(directory).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(directory, mode | stat.S_IRWXU)
    with os.scandir(directory) as scan:
        inside = [entry.path for entry in scan if entry.is_dir(follow_symlinks=False)]
    for each in inside:
        _make_writable(each)
