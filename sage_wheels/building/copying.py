"""Copy a source tree, so that a backend may write wherever it likes and the original stays byte for byte.

Contents and time stamps are kept, modes become 755 or 644. A symbolic link that stays inside the tree stays a link
(an absolute one becomes relative, or it would lead to the original); one that leads out is replaced by what it points
at. Sockets, pipes and devices are no source and are left out.
"""

from __future__ import annotations

import os
import shutil

from sage_wheels.errors import FileOperationFailed, SourceError
from sage_wheels.prefix import presence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# The environments that test runners keep in a source tree: large, and nothing that a wheel is made of (as pip).
_NOT_COPIED = frozenset({".tox", ".nox"})


def copy_tree(source: str, goal: str, *, leave_out: Iterable[str] = ()) -> None:
    """Copy the directory `source` to `goal`, which must not exist; the paths of `leave_out` are not copied.

    Raises `SourceError` for a link to a directory that holds the tree itself, `FileOperationFailed` if the tree
    cannot be read or the copy not be written.
    """
    try:
        _Copy(os.path.realpath(source), frozenset(os.path.realpath(path) for path in leave_out)).run(goal)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"copying {source} to {goal}") from error


class _Copy:
    """One tree that is copied: links are inside or outside with respect to `root`."""

    def __init__(self, root: str, leave_out: frozenset[str], within: tuple[str, ...] = ()) -> None:
        self.root = root
        self.leave_out = leave_out
        self.within = (*within, root)

    def run(self, goal: str) -> None:
        self._directory(self.root, goal, skip=_NOT_COPIED)

    def _directory(self, source: str, goal: str, skip: frozenset[str] = frozenset()) -> None:
        os.makedirs(goal)
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.name not in skip:
                    self._entry(entry, os.path.join(goal, entry.name))
        shutil.copystat(source, goal)
        os.chmod(goal, 0o755)

    def _entry(self, entry: os.DirEntry[str], goal: str) -> None:
        if entry.is_symlink():
            self._link(entry.path, goal)
        elif entry.is_dir():
            if entry.path not in self.leave_out:
                self._directory(entry.path, goal)
        elif entry.is_file():
            _copy_file(entry.path, goal)

    def _link(self, path: str, goal: str) -> None:
        text = os.readlink(path)
        if not presence.leads_somewhere(path):
            os.symlink(text, goal)  # it dangles here, it dangles there
            return
        real = os.path.realpath(path, strict=True)
        if self._is_inside(real):
            directory = os.path.dirname(path)
            os.symlink(text if self._stays_inside(directory, text) else os.path.relpath(real, directory), goal)
        elif presence.is_directory(real):
            if any(f"{root}/".startswith(f"{real}/") for root in self.within):
                raise SourceError(
                    f"the link {path} points at {real}, a directory that holds the link itself", "remove the link"
                )
            _Copy(real, self.leave_out, self.within).run(goal)
        elif presence.is_file(real):
            _copy_file(real, goal)

    def _stays_inside(self, directory: str, link: str) -> bool:
        """Whether the text of a link in `directory` never leaves the tree, not even to come back by its name."""
        depth = 0 if directory == self.root else os.path.relpath(directory, self.root).count("/") + 1
        for part in link.split("/"):
            depth += -1 if part == ".." else part not in ("", ".")
            if depth < 0:
                return False
        return not os.path.isabs(link)

    def _is_inside(self, path: str) -> bool:
        return f"{path}/".startswith(f"{self.root}/")


def _copy_file(source: str, goal: str) -> None:
    shutil.copyfile(source, goal)
    status = os.stat(source)
    os.chmod(goal, 0o755 if status.st_mode & 0o111 else 0o644)
    os.utime(goal, ns=(status.st_atime_ns, status.st_mtime_ns))
