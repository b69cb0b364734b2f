"""Protection against other users of the machine: which paths they may have created, and what they must not write.

In a directory in which everybody may write, such as /tmp, only entries that belong to root or to the user who runs the
tool are used. This is the rule of the kernel for symbolic links with fs.protected_symlinks (proc(5)).
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.errors import UnsafePath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_OTHERS = 0o002


def check(path: str, advice: str) -> None:
    """Raise `UnsafePath` if another user may have created `path`, or a directory or link in it, in a shared directory.

    A path that does not exist yet is safe. `fs.caches` has stricter rules for caches.
    """
    full = os.path.abspath(path)
    for each in {full, os.path.realpath(full)}:
        while (above := os.path.dirname(each)) != each:
            _check_entry(above, each, advice)
            each = above


def _check_entry(directory: str, path: str, advice: str) -> None:
    try:
        shared, owner = os.stat(directory).st_mode & _OTHERS, os.lstat(path).st_uid
    except OSError:
        return  # it does not exist, or cannot be examined: using it will fail with a better message
    if shared and owner not in (0, os.geteuid()):
        raise UnsafePath(f"{path} belongs to another user (uid {owner}), who may have put it there", advice)


_named: set[str] = set()  # prefixes about which this process has given the warning already


def name_open(root: str, directories: Iterable[str], say: Callable[[str], None]) -> None:
    """Warn by `say`, once for each prefix, if everybody may write in the prefix `root` or one of its `directories`."""
    for each in (root, *(f"{root}/{directory}" for directory in directories)):
        try:
            is_open = os.stat(each).st_mode & _OTHERS
        except OSError:
            continue
        if is_open and root not in _named:
            _named.add(root)
            say(f"everybody may write in {each}, so anybody on this machine can change what is installed in {root}")


def is_own(path: str) -> bool:
    """Whether the absolute `path` belongs to root or to the user who runs the tool.

    If it does not exist, the nearest existing directory above it counts. Links are not followed. Raises `OSError`.
    """
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.lstat(path).st_uid in (0, os.geteuid())


@contextlib.contextmanager
def masked(bits: int = _OTHERS) -> Iterator[None]:
    """Within this context, add `bits` to the umask: by default, nothing is created that everybody may write.

    The owner's bits are taken from it, because a transaction cannot go on in a directory that its owner cannot enter.
    """
    old = os.umask(0o022)
    os.umask((old | bits) & ~0o700)
    try:
        yield
    finally:
        os.umask(old)
