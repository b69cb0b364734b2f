"""The policy of an installation: what is done if a file exists at the destination of a file of a wheel."""

from __future__ import annotations

import stat

from sage_wheels import trace
from sage_wheels.fs import presence
from sage_wheels.fs.files import has_same_content
from sage_wheels.installed import files
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.transaction import staged_bytecode
from sage_wheels.transaction.destination import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed.owners import Owners
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.destination import Destination
    from sage_wheels.transaction.removal_set import RemovalSet


class InstallPolicy:
    """The policy: a file of a removed distribution is replaced; a file with the same content is shared; any other file
    is a conflict, unless overwriting is allowed."""

    advice = "uninstall the one or the other, or move what is in the way"

    def __init__(self, prefix: Prefix, destination: Destination, removals: RemovalSet, owners: Owners) -> None:
        self._prefix = prefix
        self._destination = destination
        self._removals = removals
        self._owners = owners

    def meet(self, staged: FullPath, logical: PrefixPath, path: PrefixPath) -> Verdict:
        if self._removals.goes(path):
            return Verdict.GOES
        source = source_of_bytecode(path)
        staged_source = f"{self._destination.tree}/{source_of_bytecode(logical)}"
        if source is not None and presence.is_there(staged_source):
            # the source stays, because another distribution owns it, too; so does its byte-code, which has its time
            fits_new = self._removals.goes(source) or not has_same_content(staged_source, self._prefix.path(source))
            return Verdict.GOES if fits_new else Verdict.STAYS
        if has_same_content(staged, self._prefix.path(path)):
            if path.endswith(".py"):
                staged_bytecode.fit(staged, self._prefix.path(path))
            return Verdict.STAYS
        if not self._destination.overwrite and not (self._destination.adopt and not self._owners.of_file(path)):
            trace.decided(
                "%s is in the way: it stays, and its content differs from the new one", self._prefix.path(path)
            )
            return Verdict.IN_THE_WAY
        is_kept = not self._as_installed(path) and not self._is_only_a_name(path)
        self._removals.overwrite(path)
        kept = "a copy is kept, because it is not as it was installed" if is_kept else "no copy is kept"
        trace.decided("%s is overwritten; %s", self._prefix.path(path), kept)
        return Verdict.SET_ASIDE if is_kept else Verdict.OVERWRITTEN

    def newcomer(self, path: PrefixPath) -> str:
        new = self._destination.new
        found = {name for other, name in new.items() if other == path or other.startswith(f"{path}/")}
        return " and ".join(sorted(found)) or "the installation"

    def _as_installed(self, path: PrefixPath) -> bool:
        """Whether the file at `path` is as in the RECORD of an owner that stays installed."""
        for owner in self._owners.owners(path):
            row = files.owned(self._prefix, owner, self._owners.locator).rows.get(path)
            if row and files.state_of(self._prefix, path, row) == "same":
                return True
        return False

    def _is_only_a_name(self, path: PrefixPath) -> bool:
        """Whether the file at `path` is empty and has no owner; scripts of packages make such files."""
        status = presence.lstat(self._prefix.path(path))
        is_empty = status is not None and stat.S_ISREG(status.st_mode) and status.st_size == 0
        return self._destination.adopt and is_empty and not self._owners.of_file(path)
