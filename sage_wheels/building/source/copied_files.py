"""Copy the files of a source tree, so that a backend may write wherever it likes and the original stays as it is.

Contents, holes and timestamps are kept. Of the mode, only the owner's executable bit is kept, and the owner may always
write. A symbolic link is copied as a link with the same target. Sockets, pipes and devices are left out.

Other programs may change the tree meanwhile. Files that are deleted are left out; files that change while they are
copied are copied again; files that cannot be read are left out and reported, and so are those whose path would be too
long in the copy. None of these is an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys

from sage_wheels.building.source import pyproject
from sage_wheels.building.source.git import READ_IN_EACH_DIRECTORY, endless
from sage_wheels.errors import SourceError
from sage_wheels.fs import files
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The directories of test runners in a source tree: they are large, and not part of the source. pip leaves them out,
# too.
_ENVIRONMENTS = r"\.tox|\.nox"
# What Python, linters and tests keep, in any directory. The next build would be that of another source.
_CACHES = r"(?:.*/)?(?:__pycache__|\.mypy_cache|\.pytest_cache|\.ruff_cache)"
# The directories of earlier builds by setuptools (distutils.command.build). From these, modules that were deleted in
# the tree would get into the wheel.
_SETUPTOOLS = r"build/(lib(\..+)?|temp\..+|bdist\..+|scripts-.+)"
_ATTEMPTS = 3  # how often a file, or a list of a directory, is read if it changes meanwhile
_SMALL = 128 << 10  # bytes; up to here a read and a write cost less than asking the kernel to copy
_BLOCK = 1 << 20  # bytes
_LONGEST = 1024 if sys.platform == "darwin" else 4096  # bytes; PATH_MAX, with the NUL at the end
_HOLE = 64 << 10  # bytes; holes that are smaller are filled with zeros
# The errors that mean that a path was deleted, or became a file of another kind.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ELOOP)


class Climb(NamedTuple):
    """The target of a link that leads out of the tree: `name` in the directory `levels` above the root of the tree."""

    levels: int
    name: str


class CopiedFiles:
    """One source tree that is copied to `destination`, and what was found on the way.

    unreadable: the paths that could not be read, or would be too long in the copy, and are not in it.
    repositories: the directories that hold a `.git`, relative to the tree ("" is its root); no `.git` is copied.
    endless: the pipes and devices, relative to the tree, that git would wait for (see `git.READ_IN_EACH_DIRECTORY`),
        and which of these it is.
    climbs: where relative links lead that leave the tree.
    left_out: the paths that are no source, relative to the tree.
    """

    def __init__(self, tree: str, destination: str, *, name: str = "", leave_out: Iterable[str] = ()) -> None:
        """`name` is that of the project: its own wheels are left out, too. `leave_out` are absolute paths without links
        in them."""
        self.tree = tree
        self.destination = destination
        self.unreadable: list[str] = []
        self.repositories: list[str] = []
        self.endless: list[tuple[str, str]] = []
        self.climbs: set[Climb] = set()
        self.left_out: set[str] = set()
        self._leave_out = frozenset(leave_out)
        early = pyproject.read_ahead(tree)
        kinds = [_ENVIRONMENTS, _CACHES, *([_SETUPTOOLS] if _may_be_built_by_setuptools(tree, early) else [])]
        self._not_source = re.compile("|".join(kinds), re.DOTALL)
        own = re.escape(canonical_name(name)).replace(r"\-", "[-_.]+")
        self._has_own_backend = early is None or bool(early.backend_path)  # it may make a wheel of that wheel
        self._own_wheel = re.compile(rf"(?:[^/]+/)?{own}-[^/]*\.whl", re.IGNORECASE)

    def run(self) -> None:
        """Copy the tree. Raises `SourceError` if its root cannot be read, `OSError` if the copy cannot be written."""
        self._all_below("")
        if not os.path.isdir(self.destination):
            raise SourceError(f"{self.tree} cannot be read", "see that it is there and that you may read it")

    def bring(self, below: str) -> None:
        """Copy a path that was left out, `below` (relative to the tree), and directories above it. Raises `OSError`."""
        source, destination = os.path.join(self.tree, below), os.path.join(self.destination, below)
        try:
            status = os.lstat(source)
        except OSError:
            return
        if any(os.path.islink(above) for above in self._above(destination)):  # nothing is written through a link
            return
        if _is_too_long(destination):
            return
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        if stat.S_ISDIR(status.st_mode):
            self._all_below(below)
        elif stat.S_ISLNK(status.st_mode):
            self._link(source, below, status)
        elif stat.S_ISREG(status.st_mode):
            self._file(source, destination)

    def _above(self, destination: str) -> Iterator[str]:
        while (destination := os.path.dirname(destination)) != self.destination:
            yield destination

    def _all_below(self, start: str) -> None:
        waiting, done = [start], []
        while waiting:
            below = waiting.pop()
            status = self._directory(below, waiting)
            if status:
                done.append((os.path.join(self.destination, below), status))
        with_wheels = {os.path.dirname(each) for each in self.left_out if each.endswith(".whl")} - {""}
        for each in with_wheels:
            with contextlib.suppress(OSError):  # there is something else in it
                os.rmdir(os.path.join(self.destination, each))
        for destination, status in reversed(done):  # now that nothing is written there any more
            with contextlib.suppress(FileNotFoundError):
                os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _directory(self, below: str, waiting: list[str]) -> os.stat_result | None:
        """Copy one directory without its subdirectories, which are added to `waiting`; None if it was left out."""
        source, destination = os.path.join(self.tree, below), os.path.join(self.destination, below)
        seen: os.stat_result | None = None
        done: set[str] = set()
        for _ in range(_ATTEMPTS):
            try:
                status = os.stat(source)
                if seen and seen.st_mtime_ns == status.st_mtime_ns:
                    break
                with os.scandir(source) as scan:
                    entries = list(scan)
            except OSError as error:
                if seen:
                    break
                self._not_copied(source, error)
                return None
            if not seen:
                os.makedirs(destination)
                os.chmod(destination, 0o755)
            seen = status
            for entry in entries:
                if entry.name in done:
                    continue
                if entry.name == ".git":
                    self.repositories.append(below)
                    done.add(entry.name)
                elif self._entry(entry, os.path.join(below, entry.name), waiting):
                    done.add(entry.name)
        return seen

    def _entry(self, entry: os.DirEntry[str], below: str, waiting: list[str]) -> bool:
        """Copy `entry`, or add it to `waiting` if it is a directory. False if it was deleted or replaced meanwhile."""
        if _is_too_long(os.path.join(self.destination, below)):
            return self._not_copied(entry.path, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
        try:  # on some file systems these need a stat(2), which may fail
            link = entry.stat(follow_symlinks=False) if entry.is_symlink() else None
            is_directory, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
        except OSError as error:
            return self._not_copied(entry.path, error)
        if not is_directory and not is_file and entry.name in READ_IN_EACH_DIRECTORY and (kind := endless(entry.path)):
            self.endless.append((below, kind))
        if link:
            return self._link(entry.path, below, link)
        if self._is_left_out(entry, below, is_directory=is_directory):
            self.left_out.add(below)
            return True
        if is_directory:
            waiting.append(below)
        return self._file(entry.path, os.path.join(self.destination, below)) if is_file else True

    def _is_left_out(self, entry: os.DirEntry[str], below: str, *, is_directory: bool) -> bool:
        if not is_directory:
            is_wheel = entry.name.endswith(".whl") and not self._has_own_backend
            return is_wheel and self._own_wheel.fullmatch(below) is not None
        is_environment = "/" not in below and os.path.lexists(f"{entry.path}/pyvenv.cfg")
        return is_environment or entry.path in self._leave_out or self._not_source.fullmatch(below) is not None

    def _link(self, source: str, below: str, status: os.stat_result) -> bool:
        destination = os.path.join(self.destination, below)
        try:
            text = os.readlink(source)
        except OSError as error:
            return self._not_copied(source, error)
        os.symlink(text, destination)
        os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
        self._note_climb(below, text)
        return True

    def _file(self, source: str, destination: str) -> bool:
        for attempt in range(_ATTEMPTS):
            try:
                if _copy_file(source, destination):
                    break
            except _CannotRead as error:
                if attempt or error.was_begun:
                    os.unlink(destination)
                return self._not_copied(source, error.reason)
        return True

    def _not_copied(self, source: str, error: OSError) -> bool:
        """Note that `source` cannot be read, unless it was deleted; False in that case."""
        if error.errno in _GONE:
            return False
        if source not in self.unreadable:
            self.unreadable.append(source)
        return True

    def _note_climb(self, below: str, text: str) -> None:
        if os.path.isabs(text) or ".." not in text:
            return
        parts = os.path.normpath(os.path.join(os.path.dirname(below), text)).split("/")
        levels = parts.count("..")  # normalised, so they come first
        if levels:
            self.climbs.add(Climb(levels, parts[levels] if len(parts) > levels else ""))


class _CannotRead(Exception):
    """The original could not be read; an error of the copy is an `OSError`."""

    def __init__(self, reason: OSError, *, was_begun: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.was_begun = was_begun  # there is an incomplete copy


def _is_too_long(path: str) -> bool:
    """Whether no system call takes `path`: that of the copy is longer than that of the tree."""
    return 4 * len(path) >= _LONGEST and len(os.fsencode(path)) >= _LONGEST


def _may_be_built_by_setuptools(tree: str, early: pyproject.Early | None) -> bool:
    """Whether setuptools may build the tree, by itself or called by a backend in the tree."""
    return early is None or early.backend.startswith("setuptools") or os.path.lexists(os.path.join(tree, "setup.py"))


def _copy_file(source: str, destination: str) -> bool:
    """Copy a regular file; False if it changed meanwhile. Raises `_CannotRead`; `OSError` if it cannot be written."""
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _CannotRead(error, was_begun=False) from error
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):  # it is something else by now
            raise _CannotRead(OSError(errno.ENOENT, os.strerror(errno.ENOENT), source), was_begun=False)
        _copy_open_file(fd, destination, before)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def _copy_open_file(source: int, destination: str, status: os.stat_result) -> None:
    mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    fd = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        if files.has_holes(status):
            _copy_between_holes(source, fd, status.st_size)
        else:
            _copy_bytes(source, fd, status.st_size)
        os.fchmod(fd, mode)  # whatever the umask
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)


def _copy_bytes(source: int, destination: int, size: int) -> None:
    """Copy the next `size` bytes, or fewer if the file ends; on file systems that can, blocks are shared."""
    left = size
    if left > _SMALL and hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):  # not possible between these file systems; another error comes again below
            while left and (count := os.copy_file_range(source, destination, left)):
                left -= count
    while left and (block := _read(source, min(left, _BLOCK))):
        _write(destination, block)
        left -= len(block)


def _copy_between_holes(source: int, destination: int, size: int) -> None:
    """Copy a sparse file; holes and blocks of zeros are skipped."""
    for start, end in files.data_in(source, size):
        for offset in range(start, end, _HOLE):
            block = _read(source, min(_HOLE, end - offset), offset)
            if block.count(0) != len(block):
                os.lseek(destination, offset, os.SEEK_SET)
                _write(destination, block)
    os.ftruncate(destination, size)


def _read(fd: int, size: int, offset: int | None = None) -> bytes:
    try:
        return os.read(fd, size) if offset is None else os.pread(fd, size, offset)
    except OSError as error:
        raise _CannotRead(error, was_begun=True) from error


def _write(fd: int, block: bytes) -> None:
    written = os.write(fd, block)
    while written < len(block):
        written += os.write(fd, block[written:])
