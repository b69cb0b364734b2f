"""Trees: directories of the store, each under the key of what it was made from.

    ROOT/trees/KE/KEY/    what was made, and a file `size`: how many bytes it has, for the eviction

A tree appears by one rename, and disappears by one. Nothing changes it in between, so any number of processes may use
it.
"""

from __future__ import annotations

import errno
import os

from sage_wheels.fs import caches
from sage_wheels.store import eviction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def path_of(root: str, key: str) -> str:
    """Where the tree with this key belongs."""
    return f"{root}/trees/{key[:2]}/{key}"


def put(root: str, ready: str, path: str, size: int, is_whole: Callable[[], object]) -> None:
    """Rename the directory `ready`, which has `size` bytes, to the tree at `path`. Raises `OSError`.

    If there is a tree already, `is_whole` says whether it can be used. If so, another process was faster, and `ready`
    stays where it is. If not, it is half-deleted, and is replaced; so is what is no directory.
    """
    caches.write(f"{ready}/size", b"%d" % size)
    _make_shard(os.path.dirname(path))
    try:
        os.rename(ready, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        if error.errno == errno.ENOTDIR or not is_whole():
            discard(root, path)
            os.rename(ready, path)


def _make_shard(shard: str) -> None:
    """Make the directory `shard` of trees. What is no directory in its place, or in that of all trees, is deleted."""
    try:
        caches.make_directory(shard)
    except OSError:
        in_the_way = [
            each for each in (os.path.dirname(shard), shard) if os.path.lexists(each) and not os.path.isdir(each)
        ]
        if not in_the_way:
            raise
        os.unlink(in_the_way[0])
        caches.make_directory(shard)


def discard(root: str, path: str) -> None:
    """Remove the tree at `path`: rename it first, then delete its files."""
    eviction.remove(root, eviction.Entry(0, 0, "trees", path))
