"""Find out whether a prefix is being changed. Commands that only read import no other module of this package."""

from __future__ import annotations

import os

from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs import mounts, presence
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.paths import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix

# The active journal; see `stage`.
JOURNAL = below(STATE, "journal")


def pending(prefix: Prefix) -> bool:
    """Whether an interrupted transaction waits for recovery (or one is being applied right now).

    Raises `FileOperationFailed` if that cannot be told.
    """
    try:
        return presence.is_there(prefix.path(JOURNAL))
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"looking for an interrupted change of {prefix.root}") from error


def may_have_left(prefix: Prefix) -> bool:
    """Whether it is worth looking for old files that an interrupted command has left: see `recover.left_behind`."""
    scheme = [prefix.path(each) for each in prefix.scheme]
    try:
        devices = {os.stat(each).st_dev for each in (prefix.root, *scheme) if os.path.isdir(each)}
        mounted = mounts.Mounts(prefix.root, prefix.state).below(prefix.root)
        return len(devices) > 1 or bool(mounted) or bool(os.listdir(prefix.path(below(STATE, "stage"))))
    except OSError:
        return False  # there is no state directory, or nobody but its owner can tell
