"""Plan the removal of old files that no new ones replace; whole directories are removed at once where possible."""

from __future__ import annotations

import os
import stat

from sage_wheels.fs import presence
from sage_wheels.prefix.paths import NOWHERE, ancestors, parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.removal_set import RemovalSet
    from sage_wheels.transaction.steps import Steps


class Removing:
    """Plans the removal of `removals`; directories in `skeleton` (see `Landmarks`) stay, even if they become empty."""

    def __init__(self, prefix: Prefix, steps: Steps, removals: RemovalSet, skeleton: Container[str]) -> None:
        self._prefix = prefix
        self._steps = steps
        self._removals = removals
        self._skeleton = skeleton
        self._removed: set[PrefixPath] = set()
        self._tops: dict[PrefixPath, PrefixPath] = {}

    def remove_rest(self) -> None:
        """Plan the removal of all files that are not replaced."""
        removals = self._removals
        emptied: set[PrefixPath] = set(() if removals.whole_directories else removals.metadata_directories)
        done: set[PrefixPath] = set()  # directories that were handled, alone or as part of a directory above
        for path in [*removals.rows, *removals.unlisted_bytecode(), *removals.metadata_directories]:
            directory = parent(path)
            if directory in done:
                continue
            if self._steps.is_covered(directory):
                done.add(directory)
                continue
            if (path in removals.shared and not removals.goes(path)) or self._steps.is_met(path):
                continue
            status = presence.lstat(self._prefix.path(path))
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode) and removals.whole(path) is None:
                continue
            top = self._topmost(directory) or path
            if top not in self._removed:
                self._removed.add(top)
                self._steps.remove(top, status if top == path else None)
            if top != path:
                done.add(directory)
            if not removals.whole_directories:
                emptied.update(ancestors(path))
        for directory in sorted(emptied, key=len, reverse=True):
            self._remove_if_emptied(directory)

    def _topmost(self, directory: PrefixPath) -> PrefixPath:
        """The outermost directory at or above `directory` that is removed as a whole; "" if none is."""
        if directory not in self._tops:
            self._tops[directory] = NOWHERE
            for each in reversed([directory, *ancestors(directory)]):
                directories = self._removals.whole(each)
                if directories is not None:
                    self._steps.directories.update(directories)
                    self._tops[directory] = each
                    break
        return self._tops[directory]

    def _remove_if_emptied(self, directory: PrefixPath) -> None:
        path = self._prefix.path(directory)
        status = presence.lstat(path)
        if directory in self._skeleton or status is None or not stat.S_ISDIR(status.st_mode):
            return
        if self._steps.something_comes_to(directory):
            return
        if all(f"{directory}/{name}" in self._removed for name in os.listdir(path)):
            self._removed.add(directory)
            self._steps.rmdir(directory, status)
