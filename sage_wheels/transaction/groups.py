"""Give new files the group and the access control list (ACL) that they would have if they had been made in their final
directory.

If a library directory has the set-group-ID bit, new files in it get its group, and new directories the bit as well
(mkdir(2), open(2)). If it has a default ACL, they get that, and the umask does not count (acl(5)). A file that is
staged in another directory and then renamed would keep what it got in the stage.

A file system may refuse to change groups or ACLs (NFS, FUSE, a group that a user namespace does not know). That is no
error, because then nobody who installs there has a choice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import sys

from sage_wheels.fs import copies
from sage_wheels.fs.files import current_umask
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSED = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
# Linux <linux/posix_acl_xattr.h>: a version, then entries of tag, permissions and ID.
_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_VERSION, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_OWNER, _GROUP, _MASK, _OTHERS = 0x01, 0x04, 0x10, 0x20


class Given(NamedTuple):
    """What new entries of a directory get: the group, the set-group-ID bit (S_ISGID or 0, of directories), and the
    default ACL (b"" for none)."""

    group: int
    bit: int
    acl: bytes


def given_by(directory: str) -> Given:
    """What the system gives to entries that are made in `directory`. Raises `OSError`."""
    status = os.stat(directory)
    bit = status.st_mode & stat.S_ISGID
    # on BSD and macOS, new entries always get the group of the directory
    group = status.st_gid if bit or sys.platform != "linux" else os.getegid()
    return Given(group, bit, _acl_of(directory))


def given_in(tree: str) -> Given:
    """What the entries of the staged directory `tree` got, which was staged with them. Raises `OSError`."""
    status = os.lstat(tree)
    return Given(status.st_gid, status.st_mode & stat.S_ISGID, _acl_of(tree))


def inherit(staged: str, old: Given, new: Given) -> None:
    """Give `staged`, and everything in it, what is `new`, instead of what is `old`.

    The group of an entry that has another one than the old is not changed. Raises `OSError`.
    """
    if old != new:
        _Handover(old, new).run(staged)


class _Handover:
    """Replaces what the entries of a staged tree got by what they get in their final directory."""

    def __init__(self, old: Given, new: Given) -> None:
        self._old = old
        self._new = new
        self._changes_acl = old.acl != new.acl
        self._umask = current_umask() if self._changes_acl else 0

    def run(self, path: str) -> None:
        status = os.lstat(path)
        is_directory, is_file = stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode)
        changes_group = status.st_gid == self._old.group != self._new.group
        changes_acl = self._changes_acl and (is_directory or is_file)
        if is_file and status.st_nlink > 1 and (changes_group or changes_acl):
            copies.make_own(path)  # what other names of it have stays
        if changes_group:
            with _tolerant():
                os.chown(path, -1, self._new.group, follow_symlinks=False)
        if changes_acl:
            with _tolerant():
                self._give_acl(path, status.st_mode)
        if not is_directory:
            return
        if status.st_mode & stat.S_ISGID == self._old.bit != self._new.bit:
            with _tolerant():
                os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) ^ stat.S_ISGID)
        with os.scandir(path) as scan:
            inside = [entry.path for entry in scan]
        for each in inside:
            self.run(each)

    def _give_acl(self, path: str, mode: int) -> None:
        """Exchange the ACL of the file at `path`, which has that `mode`. A mode that somebody chose is kept."""
        bits, kept = mode & 0o777, stat.S_IMODE(mode) & ~0o777
        is_program = stat.S_ISREG(mode) and bool(bits & stat.S_IXUSR)
        usual = 0o777 if is_program or stat.S_ISDIR(mode) else 0o666
        is_usual = bits == _bits(usual, self._old.acl, self._umask)
        _take_acl(path)
        if self._new.acl:
            made = 0o666 if is_program else usual if is_usual else bits
            os.setxattr(path, _ACCESS, _narrowed(self._new.acl, made))
            if stat.S_ISDIR(mode):
                os.setxattr(path, _DEFAULT, self._new.acl)
        if is_program or not self._new.acl:  # programs are made executable when they exist
            os.chmod(path, kept | (usual & ~self._umask | 0o111 * is_program if is_usual else bits))


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise


def _acl_of(directory: str) -> bytes:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # there is none, or the file system has no ACLs
            return os.getxattr(directory, _DEFAULT)
    return b""


def _take_acl(path: str) -> None:
    for name in (_ACCESS, _DEFAULT):
        with contextlib.suppress(OSError):  # it has none
            os.removexattr(path, name)


def _bits(made: int, acl: bytes, umask: int) -> int:
    """The permissions of a file that is made with the mode `made` in a directory with the default `acl`; without one,
    the umask counts."""
    if not acl:
        return made & ~umask
    allowed = {tag: bits for tag, bits, _ in _entries(_narrowed(acl, made))}
    return allowed[_OWNER] << 6 | allowed.get(_MASK, allowed[_GROUP]) << 3 | allowed[_OTHERS]


def _narrowed(acl: bytes, mode: int) -> bytes:
    """The ACL of a file that is made with `mode` in a directory with the default `acl`."""
    entries = _entries(acl)
    of_group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP
    bounds = {_OWNER: mode >> 6 & 7, of_group: mode >> 3 & 7, _OTHERS: mode & 7}
    narrowed = (_ENTRY.pack(tag, bits & bounds.get(tag, 7), who) for tag, bits, who in entries)
    return acl[: _VERSION.size] + b"".join(narrowed)


def _entries(acl: bytes) -> list[tuple[int, int, int]]:
    return list(_ENTRY.iter_unpack(acl[_VERSION.size :]))
