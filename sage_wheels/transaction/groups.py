"""Give new files the group that they would have if they had been made in their final directory.

If a library directory has the set-group-ID bit, new files in it get its group, and new directories the bit as well
(mkdir(2), open(2)). A file that is staged in another directory and then renamed would keep the group of the stage.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from sage_wheels.fs import copies
from sage_wheels.named import NamedTuple


class _Given(NamedTuple):
    """The group, and the set-group-ID bit, that new entries of a directory get."""

    group: int
    bit: int  # S_ISGID or 0, of directories


def inherit(staged: str, tree: os.stat_result, directory: os.stat_result) -> None:
    """Give `staged`, and everything in it, the group that it would have if it had been made in `directory`.

    `tree` is the status of the directory in which it was staged. Entries with another group than that of `tree` are not
    changed, nor are entries whose group this process is not permitted to change. Raises `OSError`.
    """
    old, new = _given_in(tree), _given_by(directory)
    if old != new:
        _hand_over(staged, old, new)


def _given_by(directory: os.stat_result) -> _Given:
    bit = directory.st_mode & stat.S_ISGID
    if bit or sys.platform != "linux":  # on BSD and macOS, new entries always get the group of the directory
        return _Given(directory.st_gid, bit)
    return _Given(os.getegid(), 0)


def _given_in(tree: os.stat_result) -> _Given:
    return _Given(tree.st_gid, tree.st_mode & stat.S_ISGID)


def _hand_over(path: str, old: _Given, new: _Given) -> None:
    status = os.lstat(path)
    if status.st_gid == old.group != new.group:
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            copies.make_own(path)  # the group of other names of it stays
        with contextlib.suppress(PermissionError):
            os.chown(path, -1, new.group, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_ISGID == old.bit != new.bit:
        os.chmod(path, mode ^ stat.S_ISGID)
    with os.scandir(path) as scan:
        inside = [entry.path for entry in scan]
    for each in inside:
        _hand_over(each, old, new)
