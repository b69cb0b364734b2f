"""The build directory of a package: always at the same path, and used by one build at a time.

The path is always the same because compiler caches identify a file by its path. The lock file is beside the directory
and is never deleted. Files that a failed or killed build has left are deleted when the next build begins.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.errors import BuildFailed, FileOperationFailed
from sage_wheels.fs import caches, waiting
from sage_wheels.fs.deletion import delete_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ELSEWHERE = "name a directory of your own for the cache with --cache-dir"
ON_ANOTHER_DISK = "free some space there, or name a directory for builds on another disk with --usual-build-dir"


@contextlib.contextmanager
def build_directory(
    root: str, name: str, *, keep: bool = False, on_wait: Callable[[str], None] | None = None
) -> Iterator[str]:
    """The empty directory `root`/`name`, locked; removed at the end, unless `keep` is true or `BuildFailed` is raised.

    Other users cannot enter it, so private files in a source tree stay private. If it is in use, `on_wait` is called
    with a sentence that says by whom. Raises `FileOperationFailed`, `LockUnusable`.
    """
    directory = os.path.join(os.path.abspath(root), name)
    try:
        caches.make_directory(root)
        with waiting.hold(f"{directory}.lock", on_wait, denied=ELSEWHERE):
            delete_tree(directory)
            os.mkdir(directory, 0o700)
            try:
                yield directory
            except BuildFailed:
                raise
            except BaseException:
                delete_tree(directory)
                raise
            if not keep:
                delete_tree(directory)
    except OSError as error:
        doing = f"building in {directory}"
        raise FileOperationFailed.from_os_error(error, doing, denied=ELSEWHERE, full=ON_ANOTHER_DISK) from error
