"""Other users of the machine: what they could have planted, and what they must not be able to write.

A directory in which everybody may write (/tmp) is trusted as little as the kernel does with fs.protected_symlinks: what
stands there counts only if it belongs to root or to the user who runs the tool.
"""

from __future__ import annotations

import contextlib
import os
import stat

from sage_wheels.errors import UnsafePlace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = 0o002


def check(path: str, advice: str, *, private: bool = False) -> None:
    """Raise `UnsafePlace` if another user could have planted `path` or a directory or link on the way to it.

    With `private`, also if it is a directory in which everybody may write. What is not there yet is nobody's.
    """
    full = os.path.abspath(path)
    for each in {full, os.path.realpath(full)}:
        while (above := os.path.dirname(each)) != each:
            _check_entry(above, each, advice)
            each = above
    with contextlib.suppress(OSError):
        mode = os.stat(full).st_mode
        if private and stat.S_ISDIR(mode) and mode & _OTHERS:
            raise UnsafePlace(f"everybody may write in {full}, so what is in it may be anybody's", advice)


def _check_entry(directory: str, path: str, advice: str) -> None:
    try:
        shared, owner = os.stat(directory).st_mode & _OTHERS, os.lstat(path).st_uid
    except OSError:
        return  # not there yet, or not to be looked at: whoever uses it will be told
    if shared and owner not in (0, os.geteuid()):
        raise UnsafePlace(f"{path} belongs to another user (number {owner}), who may have planted it there", advice)


def is_own(path: str) -> bool:
    """Whether what stands at the absolute `path`, or nearest above it, is root's or that of the user who runs the tool.

    A symbolic link counts as itself. Raises `OSError`.
    """
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.lstat(path).st_uid in (0, os.geteuid())


@contextlib.contextmanager
def masked() -> Iterator[None]:
    """Let nothing be created here that everybody may write, even if the umask would."""
    old = os.umask(0o022)
    os.umask(old | _OTHERS)
    try:
        yield
    finally:
        os.umask(old)
