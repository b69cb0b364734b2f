"""The build directory: one place for each package, always the same, for one builder at a time.

Compiler caches know a file by its path, so a package is always built at the same one. The lock file stands beside the
directory and is never deleted. What an earlier builder left, because it failed or was killed, goes when the next
begins.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from sage_wheels.errors import BuildFailed, FileOperationFailed, LockUnusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def build_directory(
    root: str, name: str, *, keep: bool = False, on_wait: Callable[[str], None] | None = None
) -> Iterator[str]:
    """The empty directory `root`/`name`, locked; removed at the end unless `keep`, or a `BuildFailed` passes.

    `on_wait` gets one sentence if another builder has it. Raises `FileOperationFailed`, `LockUnusable`.
    """
    directory = os.path.join(os.path.abspath(root), name)
    try:
        os.makedirs(root, exist_ok=True)
        with _locked(f"{directory}.lock", on_wait):
            _remove(directory)
            os.mkdir(directory)
            try:
                yield directory
            except BuildFailed:
                raise
            except BaseException:
                _remove(directory)
                raise
            if not keep:
                _remove(directory)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"building in {directory}") from error


@contextlib.contextmanager
def _locked(path: str, on_wait: Callable[[str], None] | None) -> Iterator[None]:
    import filelock

    # Never the fallback of filelock: a file that merely exists would block the next builder after a crash. The releases
    # of filelock that delete the lock file are excluded in pyproject.toml.
    lock = filelock.FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            if on_wait:
                on_wait(f"waiting for another build in {path.removesuffix('.lock')}")
            lock.acquire()
    except NotImplementedError as error:
        raise LockUnusable(f"the file system of {path} cannot lock", "choose another place with --cache-dir") from error
    try:
        yield
    finally:
        lock.release()


def _remove(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
