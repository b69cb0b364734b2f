"""Build a source tree in place, without a copy: one build at a time for each build directory.

This is for trees whose build directory is kept (`build-dir` of meson-python), so that only changed files are compiled
again, and for trees that are too large to copy. Two builds at the same time would damage the build directory.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels import environment
from sage_wheels.building.directory import ELSEWHERE
from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs import waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# The config settings for the build directory, of meson-python (the second one is its older name) and scikit-build-core.
_BUILD_DIRECTORY = ("build-dir", "builddir")
# The variable with the lock that a process holds, for its children; build/bin/sage-ninja reads it.
HOLDS = environment.SAGE_WHEELS_HOLDS


@contextlib.contextmanager
def one_at_a_time(
    tree: str, settings: Mapping[str, str | list[str]], cache: str, on_wait: Callable[[str], None] | None = None
) -> Iterator[str]:
    """Hold the lock of the build directory that the config `settings` name, which is made; of `tree` if they name none.

    Yields the value for the variable `HOLDS`, which tells programs started by the build that they need not take the
    lock. If it must wait, `on_wait` gets one sentence that says who has the lock. Raises `FileOperationFailed`,
    `LockUnusable`.
    """
    directory = build_directory_of(tree, settings) or tree

    def tell(sentence: str) -> None:
        if on_wait:
            on_wait(f"another build uses {directory}: {sentence}")

    while True:
        try:
            os.makedirs(directory, exist_ok=True)
            path = lock_path(cache, directory)
        except OSError as error:
            raise FileOperationFailed.from_os_error(
                error, f"making the build directory {directory}", denied="name another one, or leave out --in-place"
            ) from error
        with waiting.hold(path, tell, denied=ELSEWHERE):
            if _is_for(path, cache, directory):
                yield os.path.basename(path).removesuffix(".lock")
                return
        # somebody deleted the directory while we waited: another one has another lock


def build_directory_of(tree: str, settings: Mapping[str, str | list[str]]) -> str | None:
    """The build directory that the config settings of a backend name, absolute; a relative one is in `tree`.

    >>> build_directory_of("/x", {"build-dir": "build/cp311"})
    '/x/build/cp311'
    """
    told = named_build_directory(settings)
    if not told or "{" in told:  # scikit-build-core replaces {wheel_tag} and the like; then the tree is locked
        return None
    return os.path.normpath(os.path.join(tree, told))


def named_build_directory(settings: Mapping[str, str | list[str]]) -> str:
    """The build directory as the config settings of a backend name it; "" if they name none."""
    for key in _BUILD_DIRECTORY:
        value = settings.get(key) or ""
        if told := (value if isinstance(value, str) else value[-1]):
            return told
    return ""


def lock_path(cache: str, directory: str) -> str:
    """The lock file of `directory` in the cache, the same for every path that leads to it. Raises `OSError`."""
    status = os.stat(directory)
    return os.path.join(cache, "in-place", f"{status.st_dev}-{status.st_ino}.lock")


def _is_for(path: str, cache: str, directory: str) -> bool:
    try:
        return lock_path(cache, directory) == path
    except FileNotFoundError:
        return False
