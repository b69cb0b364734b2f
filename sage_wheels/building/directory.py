"""The build directory: one place for each package, always the same, for one builder at a time.

Compiler caches know a file by its path, so a package is always built at the same one. The lock file stands beside the
directory and is never deleted. What an earlier builder left, because it failed or was killed, goes when the next
begins.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.errors import BuildFailed, FileOperationFailed
from sage_wheels.prefix import lock
from sage_wheels.prefix.filesystem import delete_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def build_directory(
    root: str, name: str, *, keep: bool = False, on_wait: Callable[[str], None] | None = None
) -> Iterator[str]:
    """The empty directory `root`/`name`, locked; removed at the end unless `keep`, or a `BuildFailed` passes.

    `on_wait` gets one sentence, which says who has it, if it must wait. Raises `FileOperationFailed`, `LockUnusable`.
    """
    directory = os.path.join(os.path.abspath(root), name)
    try:
        os.makedirs(root, exist_ok=True)
        with lock.hold(f"{directory}.lock", on_wait=on_wait):
            delete_tree(directory)
            os.mkdir(directory)
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
        raise FileOperationFailed.from_os_error(error, f"building in {directory}") from error
