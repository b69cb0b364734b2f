"""Plan the installation of new files: a new directory as a whole, an existing one entry by entry."""

from __future__ import annotations

import os
import stat

from sage_wheels.fs import copies, presence
from sage_wheels.fs.paths import full
from sage_wheels.prefix.paths import NOWHERE, below
from sage_wheels.transaction.destination import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.installed.owners import Owners
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.conflicts import Conflicts
    from sage_wheels.transaction.destination import Policy
    from sage_wheels.transaction.removal_set import RemovalSet
    from sage_wheels.transaction.steps import Steps


class Merging:
    """Plans the installation of a tree of new files. `new` has the distribution of each file, and `policy` decides what
    is done about a file that exists already.

    `overwritten` has the files of other distributions that are replaced, with their owners, which stay installed;
    `set_aside` are those of these files of which a copy is kept.
    """

    def __init__(
        self,
        prefix: Prefix,
        steps: Steps,
        policy: Policy,
        removals: RemovalSet,
        owners: Owners,
        conflicts: Conflicts,
        new: dict[PrefixPath, str],
    ) -> None:
        self.overwritten: dict[PrefixPath, list[Distribution]] = {}
        self.set_aside: list[PrefixPath] = []
        self._prefix = prefix
        self._steps = steps
        self._policy = policy
        self._removals = removals
        self._owners = owners
        self._conflicts = conflicts
        self._new = new

    def merge(self, staged: FullPath, logical: PrefixPath = NOWHERE, path: PrefixPath = NOWHERE) -> None:
        """Plan for the content of the directory `staged`; its path in the new tree is `logical`, its destination
        `path`.

        The last two differ if a directory of the prefix is a symbolic link.
        """
        if self._steps.is_elsewhere(staged, path):
            moved = self._steps.on_volume_of(path)
            copies.copy_tree(staged, moved)
            staged = moved
        with os.scandir(staged) as scan:
            # byte-code after its sources, because the decision about a source decides about its byte-code
            entries = sorted(scan, key=lambda each: (each.name == "__pycache__", each.name))
        for entry in entries:
            logical_entry, destination = below(logical, entry.name), below(path, entry.name)
            status = presence.lstat(self._prefix.path(destination))
            if status is None:
                self._steps.place(destination, full(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                self._merge_directory(full(entry.path), logical_entry, destination, status)
            elif stat.S_ISDIR(status.st_mode):
                self._replace_directory(full(entry.path), destination)
            else:
                self._meet_file(full(entry.path), logical_entry, destination)

    def _merge_directory(
        self, staged: FullPath, logical: PrefixPath, destination: PrefixPath, status: os.stat_result
    ) -> None:
        if stat.S_ISLNK(status.st_mode):
            real = self._owners.locator.directory(destination)
            if real is None or not presence.is_directory(self._prefix.path(real)):
                self._refuse(destination, "is a symbolic link that leads out of the prefix or nowhere")
            else:
                self.merge(staged, logical, real)
        elif not stat.S_ISDIR(status.st_mode):
            if self._removals.goes(destination):
                self._steps.replace_by_directory(destination, staged)
            else:
                self._refuse(destination, self._whose(destination))
        elif not self._replace_whole(staged, destination):
            self.merge(staged, logical, destination)

    def _replace_directory(self, staged: FullPath, destination: PrefixPath) -> None:
        if not self._replace_whole(staged, destination):
            is_empty = not os.listdir(self._prefix.path(destination))
            self._refuse(destination, "is an empty directory" if is_empty else "is a directory with other files")

    def _replace_whole(self, staged: FullPath, destination: PrefixPath) -> bool:
        directories = self._removals.whole(destination)
        if directories is None:
            return False
        self._steps.replace_directory(destination, staged, directories)
        return True

    def _meet_file(self, staged: FullPath, logical: PrefixPath, destination: PrefixPath) -> None:
        self._steps.note(destination)  # first, so that any later change of the file is noticed
        verdict = self._policy.meet(staged, logical, destination)
        if verdict is Verdict.IN_THE_WAY:
            newcomer = self._new.get(logical) or self._policy.newcomer(destination)
            self._conflicts.add(destination, newcomer, self._whose(destination), overwritable=True)
            return
        if verdict is Verdict.STAYS:
            self._steps.leave(destination)
            return
        if verdict in (Verdict.OVERWRITTEN, Verdict.SET_ASIDE):
            self.overwritten[destination] = self._owners.owners(destination)
        if verdict is Verdict.SET_ASIDE:
            self.set_aside.append(destination)
        self._steps.replace(destination, staged)

    def _refuse(self, path: PrefixPath, why: str) -> None:
        self._conflicts.add(path, self._policy.newcomer(path), why)

    def _whose(self, path: PrefixPath) -> str:
        owners = self._owners.of_file(path)
        if owners:
            return f"belongs to {' and '.join(map(str, owners))}"
        if self._removals.unknown:
            lost = self._removals.unknown[0]
            return f"belongs to no distribution, or to {lost}, whose list of files is missing"
        return "belongs to no distribution"
