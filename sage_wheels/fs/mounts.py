"""The file system and the mount that a path is on, from proc(5)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# A file system, by its device number, and a mount point of it ("" if there is only one that matters).
Volume = tuple[int, str]

_MOUNTINFO = "/proc/self/mountinfo"
# Network file systems: flock(2) on this host may not exclude processes on other hosts.
_NETWORK_TYPES = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "afpfs", "ncpfs", "ceph", "lustre", "beegfs", "gpfs"),
    *("glusterfs", "fuse.glusterfs", "fuse.sshfs"),
}


def network_type(path: str) -> str | None:
    """The type of the file system of `path` if it is a network file system, such as "nfs4"; None for a local one.

    Read from /proc/self/mountinfo (proc(5)). None, too, on systems that do not have that file.
    """
    try:
        with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as f:
            kind = type_of_mount(os.path.realpath(path), f)
    except OSError:
        return None
    return kind if kind in _NETWORK_TYPES else None


class Mounts:
    """Tells which directories have the same volume: only there can a file be renamed from one to the other (rename(2)).

    The device number alone does not tell: a bind mount has that of the file system that it shows.
    """

    def __init__(self, *tops: str) -> None:
        """The directories that will be asked about are `tops`, full paths, or below them."""
        points = _points()
        real = [os.path.realpath(each) for each in tops]
        matter = {_nearest(each, points) for each in real}
        matter |= {point for point in points if any(_is_below(point, each) for each in real)}
        self._points = sorted(matter) if len(matter) > 1 else []

    def volume(self, directory: str, status: os.stat_result) -> Volume:
        """The volume of `directory`, a full path, which has that status."""
        return status.st_dev, _nearest(os.path.realpath(directory), self._points) if self._points else ""

    def below(self, top: str) -> list[str]:
        """The mount points below `top`, one of the `tops`, relative to it."""
        real = os.path.realpath(top)
        return [os.path.relpath(point, real) for point in self._points if _is_below(point, real)]


def _points() -> list[str]:
    """All mount points; none on systems that do not tell."""
    try:
        with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as f:
            return [_point(line) for line in f]
    except OSError:
        return []


def _point(line: str) -> str:
    """The mount point in a line of a mountinfo file, in which blanks and the like are written as octal numbers.

    >>> _point(r"2 1 0:9 / /a\\040b rw - nfs4 b:/ rw")
    '/a b'
    """
    parts = line.split(" ", 5)[4].split("\\")
    return parts[0] + "".join(chr(int(each[:3], 8)) + each[3:] for each in parts[1:])


def _nearest(path: str, points: Iterable[str]) -> str:
    return max((point for point in points if _contains(point, path)), key=len, default="")


def _contains(point: str, path: str) -> bool:
    return path == point or _is_below(path, point)


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory.rstrip('/')}/") and path != directory


def type_of_mount(path: str, mountinfo: Iterable[str]) -> str | None:
    """The type of the file system that `path` is on; `mountinfo` are the lines of a mountinfo file (proc(5)).

    >>> type_of_mount("/home/me/p", ["1 0 8:1 / / rw - ext4 a rw", "2 1 0:9 / /home rw shared:7 - nfs4 b:/ rw"])
    'nfs4'
    """
    best, kind = "", None
    for line in mountinfo:
        fields, _, rest = line.partition(" - ")
        point = _point(fields)
        if _contains(point, path) and len(point) >= len(best):
            best, kind = point, rest.split(" ", 1)[0]
    return kind
