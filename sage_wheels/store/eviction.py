"""Keep the directory of the store within its limit: what was not used for the longest time is deleted first.

To look at all files each time something is added would take too long. So each writer appends the number of bytes that
it has added to a small file. Only when their sum exceeds the limit, one process looks at all files. What was used
within the last hour is not deleted, because another process may be using it now.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time

from sage_wheels.errors import SageWheelsError
from sage_wheels.fs import caches, locking
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SPARED = 3600.0  # seconds: what was used so recently may be in use
_ABANDONED = 86400.0  # seconds: nothing takes a day to write
_OF_FAILED_BUILDS = 7 * 86400.0  # seconds for which their directories are left for people to look at
_KEPT = 0.75  # of the limit is left, so that not every command has to clean up
# Directories, and how many levels below each its entries are. What was fetched by pip is a wheelhouse, without levels.
_KINDS = {"content": 1, "results": 1, "trees": 1, "wheels": 0}
_BUILDS = "build"  # the directory, and the kind, of builds that run, have failed or were to be kept


class Entry(NamedTuple):
    """Something that can be deleted by itself: when it was `used` last, its `size` in bytes, its `kind` and `path`."""

    used: float
    size: int
    kind: str
    path: str


class Evicted(NamedTuple):
    """How many bytes were deleted, and how many are left."""

    freed: int
    left: int


def is_due(root: str, limit: int) -> bool:
    """Whether the directory may have more than `limit` bytes. This takes a few microseconds."""
    try:
        with open(f"{root}/added", "rb", opener=caches.own) as f:
            return sum(map(int, f.read().split())) > limit
    except FileNotFoundError:
        return os.path.isdir(root)
    except (OSError, ValueError):
        return True


def evict(root: str, limit: int, *, spared: float = SPARED) -> Evicted:
    """Delete what was not used for longest until the rest is within `limit`.

    If another process is doing so, nothing is done or counted. Raises `OSError`.
    """
    import filelock

    if not os.path.isdir(root):
        return Evicted(0, 0)
    lock = filelock.FileLock(f"{root}/evict.lock", blocking=False, fallback_to_soft=False)
    try:
        with lock:
            return _evict(root, limit, spared)
    except filelock.Timeout:
        return Evicted(0, 0)


def _evict(root: str, limit: int, spared: float) -> Evicted:
    now = time.time()
    _remove_abandoned(root, now)
    for path, used in _directories_of_builds(root):
        if now - used > _OF_FAILED_BUILDS:
            _remove_build(path)
    found = sorted(entries(root))
    total = before = sum(each.size for each in found)
    if total > limit:
        for each in found:
            if total <= limit * _KEPT or now - each.used < spared:
                break
            remove(root, each)
            total -= each.size
    caches.write(f"{root}/added", b"%d\n" % total)
    return Evicted(before - total, total)


def clear(root: str) -> int:
    """Delete everything that is kept. Returns how many bytes were deleted. Raises `OSError` if something stays."""
    freed = 0
    failure: OSError | None = None
    for each in entries(root):
        try:
            _remove(root, each)
            freed += each.size
        except FileNotFoundError:
            continue
        except OSError as error:
            failure = error
    for each in _builds(root):
        if _remove_build(each.path):
            freed += each.size
    if failure:
        raise failure
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{root}/added")
    return freed


def summary(root: str) -> dict[str, tuple[int, int]]:
    """How many entries there are of each kind, and how many bytes."""
    result = dict.fromkeys((*_KINDS, _BUILDS), (0, 0))
    for each in (*entries(root), *_builds(root)):
        number, size = result[each.kind]
        result[each.kind] = (number + 1, size + each.size)
    return result


def remove(root: str, entry: Entry) -> None:
    """Delete one entry if that can be. A tree is renamed first, so that nobody finds a half of it."""
    with contextlib.suppress(OSError):
        _remove(root, entry)


def _remove(root: str, entry: Entry) -> None:
    if not os.path.isdir(entry.path) or os.path.islink(entry.path):
        os.unlink(entry.path)
        return
    caches.make_directory(f"{root}/staging")
    trash = f"{root}/staging/{os.getpid()}-{os.urandom(4).hex()}"
    os.rename(entry.path, trash)
    delete_tree(trash)


def entries(root: str) -> Iterator[Entry]:
    """All that is kept in the directory."""
    for kind, levels in _KINDS.items():
        for path, status in _files(f"{root}/{kind}", levels):
            if kind == "trees":
                yield Entry(status.st_mtime, _size_of_tree(path), kind, path)
            elif stat.S_ISREG(status.st_mode):
                yield Entry(status.st_mtime, status.st_size, kind, path)
            elif levels:  # somebody has put something else in the place of a file
                yield Entry(status.st_mtime, 0, kind, path)


def _files(directory: str, levels: int) -> Iterator[tuple[str, os.stat_result]]:
    """Path and stat of everything that is `levels` directories below `directory`."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as scan:
        for entry in scan:
            if levels:
                yield from _files(entry.path, levels - 1)
            else:
                with contextlib.suppress(OSError):
                    yield entry.path, entry.stat(follow_symlinks=False)


def _size_of_tree(path: str) -> int:
    with contextlib.suppress(OSError, ValueError), open(f"{path}/size", "rb", opener=caches.own) as f:
        return int(f.read(32))
    return 0


def _builds(root: str) -> Iterator[Entry]:
    """The directories of builds that run, have failed, or were to be kept."""
    for path, used in _directories_of_builds(root):
        yield Entry(used, sum(status.st_size for status in _all_below(path)), _BUILDS, path)


def _directories_of_builds(root: str) -> Iterator[tuple[str, float]]:
    """The path of each, and when it was used last, without looking into it."""
    for path, status in _files(f"{root}/{_BUILDS}", 0):
        if stat.S_ISDIR(status.st_mode):
            yield path, status.st_mtime


def _all_below(directory: str) -> Iterator[os.stat_result]:
    for path, status in _files(directory, 0):
        if stat.S_ISDIR(status.st_mode):
            yield from _all_below(path)
        else:
            yield status


def _remove_build(path: str) -> bool:
    """Delete the directory of a build, unless it runs. Returns whether that was possible."""
    try:
        lock = locking.acquire(f"{path}.lock", timeout=0)
    except (OSError, SageWheelsError):
        return False
    try:
        delete_tree(path)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _remove_abandoned(root: str, now: float) -> None:
    for path, status in _files(f"{root}/staging", 0):
        if now - status.st_mtime > _ABANDONED:
            with contextlib.suppress(OSError):
                delete_tree(path)
