"""The type of the file system that a path is on, from proc(5)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            kind = type_of_mount(os.path.realpath(path), f)
    except OSError:
        return None
    return kind if kind in _NETWORK_TYPES else None


def type_of_mount(path: str, mountinfo: Iterable[str]) -> str | None:
    """The type of the file system that `path` is on; `mountinfo` are the lines of a mountinfo file (proc(5)).

    >>> type_of_mount("/home/me/p", ["1 0 8:1 / / rw - ext4 a rw", "2 1 0:9 / /home rw shared:7 - nfs4 b:/ rw"])
    'nfs4'
    """
    best, kind = "", None
    for line in mountinfo:
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, rest.split(" ", 1)[0]
    return kind
