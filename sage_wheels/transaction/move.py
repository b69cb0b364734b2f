"""Move a staged tree into a prefix: the part of a package that no wheel describes, by the same journal.

What is not there yet arrives by one rename, whole directories included; a directory that is there is gone into; a file
that is there is replaced by a rename, and named. Nothing is removed. Files keep the modes they were staged with;
directories become writable for their owner, or nobody could ever remove what is in them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed, UsageError
from sage_wheels.prefix import filesystem, presence
from sage_wheels.transaction import commit, stage
from sage_wheels.transaction.planner import Goal, Planner
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Settings


class Replaced(NamedTuple):
    """A file that was there already, by its full path, and the distributions that it belongs to."""

    path: str
    owners: tuple[str, ...]


def move_tree(source: str, prefix: Prefix, settings: Settings) -> list[Replaced]:
    """Move everything in the directory `source` into `prefix`, all or nothing; what was there already.

    `source` is gone afterwards, and as it was (but for directories' modes) if this fails. Raises `UsageError`,
    `Conflict`, `LockTimeout`, `LockUnusable`, `JournalDamaged`, `FileOperationFailed`.
    """
    source = os.path.abspath(source)
    _check(source, prefix)
    recover_first(prefix, settings)
    replaced: list[Replaced] = []
    try:
        _make_writable(source)
        with Stage(prefix, settings.say) as own:
            tree = _within(prefix, source) or _copied(source, f"{own.path}/new")

            def goal(listing: list[Distribution]) -> Goal:
                del replaced[:]
                return Goal(tree, {}, [], True, functools.partial(_Mover, source=source, replaced=replaced))

            commit.run(prefix, own, goal, settings)
        stage.sweep_dead(prefix, settings.say)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"moving {source} into {prefix.root}") from error
    if not settings.dry_run:
        try:
            filesystem.delete_tree(source)
        except OSError as error:
            settings.say(f"{source} was moved, but what is left of it could not be deleted ({error.strerror})")
    return replaced


class _Mover(Planner):
    """Plans a merge in which everything that is there gives way, except a directory."""

    advice = "see which of the two is right, and remove the other"

    def __init__(self, *arguments: Any, source: str, replaced: list[Replaced]) -> None:
        super().__init__(*arguments)
        self._source = source
        self._replaced = replaced

    def _replace_file(self, entry: os.DirEntry[str], logical: str, goal: str) -> None:
        path = self.prefix.path(goal)
        with contextlib.suppress(OSError):
            if entry.is_symlink() and os.readlink(entry.path) == os.readlink(path):
                return  # lib64 -> lib, which everybody brings
        self._replaced.append(Replaced(path, tuple(str(each) for each in self.owners.owners(goal))))
        self._add("replace", goal, entry.path)

    def _newcomer(self, place: str) -> str:
        return f"what is in {self._source}"


def _check(source: str, prefix: Prefix) -> None:
    if not presence.is_real_directory(source):
        raise UsageError(f"{source} is no directory", "name the staged tree")
    real, root = os.path.realpath(source), os.path.realpath(prefix.root)
    if f"{root}/".startswith(f"{real}/"):
        raise UsageError(f"{prefix.root} is in {source}", "stage the files in a directory of their own")


def _within(prefix: Prefix, source: str) -> str:
    """The path of `source` below the prefix if everything in it can be renamed from there; else ""."""
    real, root = os.path.realpath(source), os.path.realpath(prefix.root)
    if not real.startswith(f"{root}/") or os.lstat(real).st_dev != os.stat(root).st_dev:
        return ""
    return f"{prefix.root}{real[len(root) :]}"


def _copied(source: str, goal: str) -> str:
    filesystem.copy_tree(source, goal)
    return goal


def _make_writable(directory: str) -> None:
    """Let the owner write and search every directory: none could be renamed, or filled by others, without that."""
    mode = stat.S_IMODE(os.lstat(directory).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(directory, mode | stat.S_IRWXU)
    with os.scandir(directory) as scan:
        inside = [entry.path for entry in scan if entry.is_dir(follow_symlinks=False)]
    for each in inside:
        _make_writable(each)
