"""File operations in a prefix relative to open directories, so that no symbolic link is followed.

A path is resolved anew at each system call: another user who can write to a directory on the way could insert a
symbolic link between two calls. So the root and the state directory are opened once and stay open. Every directory
below is opened by its name in the one above, with O_NOFOLLOW, and each operation is relative to an open directory
(openat(2), renameat(2) ...). If the prefix is moved meanwhile, operations continue in the moved directory, and nothing
is made at the old path.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat

from sage_wheels.errors import UnsafePath
from sage_wheels.fs import deletion, exchange, mounts
from sage_wheels.fs.files import DIRECTORY, LinkInTheWay, open_at
from sage_wheels.prefix.model import BESIDE, STATE
from sage_wheels.prefix.paths import below, parent, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from sage_wheels.fs.mounts import Mounts, Volume
    from sage_wheels.prefix.paths import PrefixPath

    _T = TypeVar("_T")

# How many directories are kept open between operations. On macOS a process may have only 256 open files.
_KEPT_OPEN = 100
# The errors that mean that nothing is at a path: no such entry, a component is not a directory, the name is too long.
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Tree:
    """The prefix at `root`, held open; use it as a context manager.

    Every operation raises `OSError` with full paths, and `LinkInTheWay` if a directory in a path is a symbolic link. If
    the last component is a symbolic link, the operation is on the link itself.
    """

    def __init__(self, root: str) -> None:
        """Raises `OSError` if there is no directory at `root`."""
        self.root = root
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._state: int | None = None
        self._open: dict[str, int] = {}
        self._mounts: Mounts | None = None

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.forget()
        if self._state is not None:
            os.close(self._state)
        os.close(self._root)

    def forget(self) -> None:
        """Close all directories except the root and the state directory, because they may have been replaced."""
        while self._open:
            os.close(self._open.popitem()[1])

    def forget_below(self, path: PrefixPath) -> None:
        """As `forget`, for `path` and what is below it."""
        for each in [each for each in self._open if each == path or each.startswith(f"{path}/")]:
            os.close(self._open.pop(each))

    def open_directories(self, paths: Iterable[PrefixPath]) -> None:
        """Open as many of the directories `paths` as may be kept open, to save time later. Raises `OSError`."""
        for path in itertools.islice(paths, _KEPT_OPEN // 2):
            self._trim()
            self._directory(path)

    def check_not_moved(self) -> None:
        """Raise `FileNotFoundError` if the path of the prefix no longer leads to the directory that is open."""
        try:
            if os.path.samestat(os.fstat(self._root), os.stat(self.root)):
                return
        except FileNotFoundError:
            pass
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root)

    def path(self, relative: str) -> str:
        """The full path of `relative`, for messages."""
        return f"{self.root}/{relative}" if relative else self.root

    def volume(self, directory: PrefixPath, status: os.stat_result) -> Volume:
        """The volume (see `mounts`) of `directory`, which has that status: the same for a file in it, unless something
        is mounted there."""
        return self._known_mounts().volume(self.path(directory), status)

    def mount_points(self) -> list[PrefixPath]:
        """The directories in the prefix on which something is mounted."""
        return [plain(each) for each in self._known_mounts().below(self.root)]

    def _known_mounts(self) -> Mounts:
        if self._mounts is None:
            self._mounts = mounts.Mounts(self.root, self.path(STATE))
        return self._mounts

    # --- the state directory ---------------------------------------------------------------------------------------

    @property
    def state(self) -> int:
        """The descriptor of the state directory. Raises `FileNotFoundError` if there is none yet, `UnsafePath`."""
        return self._open_state(make=False)

    def make_state(self) -> int:
        """As `state`, but make the directory if it does not exist."""
        return self._open_state(make=True)

    def _open_state(self, *, make: bool) -> int:
        """Links on the way are followed if they belong to root or this user, because `var` may be on another disk."""
        if self._state is not None:
            return self._state
        fd, where = os.dup(self._root), self.root
        for name in STATE.split("/"):
            where = f"{where}/{name}"
            above = fd
            try:
                try:
                    fd = _open_own(name, above, where)
                except FileNotFoundError:
                    if not make:
                        raise
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, dir_fd=above)
                    fd = _open_own(name, above, where)
            except OSError as error:
                raise OSError(error.errno, os.strerror(error.errno or 0), where) from error
            finally:
                os.close(above)
        self._state = fd
        return fd

    # --- looking ---------------------------------------------------------------------------------------------------

    def lstat(self, path: PrefixPath) -> os.stat_result | None:
        """The status of `path`, without following a link; None if nothing is there."""
        try:
            return self._at(path, lambda name, fd: os.lstat(name, dir_fd=fd))
        except OSError as error:
            if error.errno in _NOTHING:
                return None
            raise

    def is_there(self, path: PrefixPath) -> bool:
        return self.lstat(path) is not None

    def names(self, directory: PrefixPath) -> list[str]:
        """The names in the directory at `directory`."""
        self._trim()
        try:
            return os.listdir(self._directory(directory))
        except OSError as error:
            raise self._named(error, directory) from error

    def readlink(self, path: PrefixPath) -> str:
        return self._at(path, lambda name, fd: os.readlink(name, dir_fd=fd))

    def open(self, path: PrefixPath, flags: int, mode: int = 0o666) -> int:
        """Open `path`; returns a descriptor. O_CLOEXEC and O_NOFOLLOW are added to `flags`."""
        return self._at(path, lambda name, fd: open_at(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, fd, mode))

    def read(self, path: PrefixPath) -> bytes:
        """The content of the regular file at `path`; anything else is an `OSError` (EISDIR, ELOOP, ENXIO)."""
        fd = self.open(path, os.O_RDONLY | os.O_NONBLOCK)  # do not block if it is a named pipe
        try:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                code = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
                raise OSError(code, os.strerror(code))
            with open(fd, "rb", closefd=False) as f:
                return f.read()
        except OSError as error:
            raise self._named(error, path) from error
        finally:
            os.close(fd)

    def files_below(self, directory: PrefixPath) -> Iterator[tuple[PrefixPath, os.stat_result]]:
        """The path and the status of everything below `directory` that is not a directory; see `listings_below`."""
        for above, found in self.listings_below(directory):
            yield from ((below(above, name), status) for name, status in found if not stat.S_ISDIR(status.st_mode))

    def directories_below(self, directory: PrefixPath) -> Iterator[tuple[PrefixPath, os.stat_result]]:
        """As `files_below`, for directories."""
        for above, found in self.listings_below(directory, only_directories=True):
            yield from ((below(above, name), status) for name, status in found if stat.S_ISDIR(status.st_mode))

    def listings_below(
        self, directory: PrefixPath, *, only_directories: bool = False
    ) -> Iterator[tuple[PrefixPath, list[tuple[str, os.stat_result]]]]:
        """Walk `directory`: each directory, with the names in it and their status; nothing if it is not a directory.

        A directory that its owner may not read is made readable for the owner. Raises `OSError`.
        """
        status = self.lstat(directory)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return
        waiting = [directory]
        while waiting:
            above = waiting.pop()
            try:
                found = self.statuses(above, only_directories=only_directories)
            except FileNotFoundError:
                continue
            except PermissionError:
                self._at(above, deletion.let_owner_in)
                found = self.statuses(above, only_directories=only_directories)
            yield above, found
            waiting += [below(above, name) for name, status in found if stat.S_ISDIR(status.st_mode)]

    def statuses(self, directory: PrefixPath, *, only_directories: bool = False) -> list[tuple[str, os.stat_result]]:
        """The names in `directory` and their status. Raises `OSError`."""
        self._trim()
        found = []
        try:
            with os.scandir(self._directory(directory)) as scan:
                for entry in scan:
                    if only_directories and not entry.is_dir(follow_symlinks=False):
                        continue
                    try:
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue
        except OSError as error:
            raise self._named(error, directory) from error
        return found

    # --- changing --------------------------------------------------------------------------------------------------

    def rename(self, old: PrefixPath, new: PrefixPath) -> None:
        self._both(old, new, lambda name, fd, other, at: os.rename(name, other, src_dir_fd=fd, dst_dir_fd=at))

    def exchange(self, one: PrefixPath, other: PrefixPath) -> None:
        """See `exchange.exchange`."""
        self._both(one, other, exchange.exchange_at)

    def link(self, old: PrefixPath, new: PrefixPath) -> None:
        def link(name: str, fd: int, other: str, at: int) -> None:
            os.link(name, other, src_dir_fd=fd, dst_dir_fd=at, follow_symlinks=False)

        self._both(old, new, link)

    def symlink(self, target: str, path: PrefixPath) -> None:
        self._at(path, lambda name, fd: os.symlink(target, name, dir_fd=fd))

    def unlink(self, path: PrefixPath) -> None:
        self._at(path, lambda name, fd: os.unlink(name, dir_fd=fd))

    def mkdir(self, path: PrefixPath) -> None:
        self._at(path, lambda name, fd: os.mkdir(name, dir_fd=fd))

    def rmdir(self, path: PrefixPath) -> None:
        self._at(path, lambda name, fd: os.rmdir(name, dir_fd=fd))

    def make_directories(self, path: PrefixPath) -> None:
        """Make the directory `path`, and those above it, if they do not exist."""
        if path == STATE:
            self.make_state()
        elif path and not self.is_there(path):
            self.make_directories(parent(path))
            with contextlib.suppress(FileExistsError):
                self.mkdir(path)

    def chmod_directory(self, path: PrefixPath, mode: int) -> None:
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chmod(fd, mode)
        except OSError as error:
            raise self._named(error, path) from error
        finally:
            os.close(fd)

    def delete(self, path: PrefixPath) -> None:
        """Delete the directory tree at `path`, if it is there; see `deletion.delete_at`."""
        self.forget_below(path)
        with contextlib.suppress(FileNotFoundError):
            self._at(path, lambda name, fd: deletion.delete_at(name, fd, self.path(path)))

    # --- descriptors -----------------------------------------------------------------------------------------------

    def _at(self, path: PrefixPath, do: Callable[[str, int], _T]) -> _T:
        """Call `do` with the last component of `path`, and the descriptor of its directory."""
        self._trim()
        name = path.rpartition("/")[2]
        try:
            return do(name, self._directory(parent(path)))
        except OSError as error:
            raise self._named(error, path) from error

    def _both(self, one: PrefixPath, other: PrefixPath, do: Callable[[str, int, str, int], None]) -> None:
        """Call `do` with name and directory descriptor (see `_at`) of each of the two paths."""
        self._trim()
        name, other_name = one.rpartition("/")[2], other.rpartition("/")[2]
        try:
            do(name, self._directory(parent(one)), other_name, self._directory(parent(other)))
        except OSError as error:
            raise self._named(error, one, other) from error

    def _trim(self) -> None:
        while len(self._open) > _KEPT_OPEN:
            os.close(self._open.pop(next(iter(self._open))))  # the one that was opened first

    def _directory(self, path: PrefixPath) -> int:
        """The descriptor of the directory `path`, opened if it is not open yet. Raises `OSError`."""
        closed: list[PrefixPath] = []
        reached = path
        while (fd := self._open.get(reached)) is None:
            if not reached:
                fd = self._root
                break
            if reached == STATE:
                fd = self.state
                break
            closed.append(reached)
            reached = parent(reached)
        for each in reversed(closed):
            fd = self._open[each] = self._open_below(fd, each.rpartition("/")[2], each)
        return fd

    def _open_below(self, fd: int, name: str, path: str) -> int:
        try:
            return open_at(name, DIRECTORY, fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and stat.S_ISLNK(os.lstat(name, dir_fd=fd).st_mode):
                raise LinkInTheWay(self.path(path)) from error
            raise self._named(error, path) from error

    def _named(self, error: OSError, path: str, other: str | None = None) -> OSError:
        """`error` with full paths as its file names, unless it has full paths already."""
        if isinstance(error.filename, str) and error.filename.startswith("/"):
            return error
        if error.errno == errno.ELOOP:
            return LinkInTheWay(self.path(path))
        is_own = other is None or other.startswith(f"{STATE}/") or f"/{BESIDE}" in f"/{other}"
        full = None if is_own else self.path(other or "")  # people know the path in the prefix, not that in the stage
        return OSError(error.errno, os.strerror(error.errno or 0), self.path(path), None, full)


def _open_own(name: str, directory: int, path: str) -> int:
    """Open a directory; follow `name` if it is a link that belongs to root or this user.

    Raises `OSError`, and `UnsafePath` for a link of another user.
    """
    try:
        return open_at(name, DIRECTORY, directory)
    except OSError:
        link = os.lstat(name, dir_fd=directory)
        if not stat.S_ISLNK(link.st_mode):
            raise
    if link.st_uid not in (0, os.geteuid()):
        raise UnsafePath(
            f"{path} is a symbolic link that belongs to another user (uid {link.st_uid})",
            "remove it, or create it again as the owner of the prefix",
        )
    # by the target of the link that was checked: another link may have its name by now
    target = os.readlink(name, dir_fd=directory)
    if not os.path.samestat(link, os.lstat(name, dir_fd=directory)):
        raise LinkInTheWay(path)
    return open_at(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, directory)
