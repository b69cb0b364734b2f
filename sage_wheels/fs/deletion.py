"""Delete directory trees, also those with directories that lack permissions, without following symbolic links."""

from __future__ import annotations

import errno
import os
import stat
import sys

from sage_wheels.fs.files import DIRECTORY, LinkInTheWay, open_at


def delete_tree(path: str) -> None:
    """Delete the directory tree at `path`, if it exists; see `delete_at`. Raises `OSError`."""
    above, name = os.path.split(path)
    try:
        directory = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        delete_at(name, directory, path)
    finally:
        os.close(directory)


def delete_at(name: str, directory: int, path: str) -> None:
    """Delete the directory tree `name` in the directory with the descriptor `directory`, if it exists.

    `path` is the full path, for messages. No symbolic link is followed, and no directory is looked up twice, so nothing
    outside the tree can be deleted. (`shutil.rmtree` of Python 3.10 does not take a descriptor.) If a directory of the
    tree lacks permissions, they are added. Raises `LinkInTheWay` if `name` is a symbolic link, and `OSError`.
    """
    try:
        if stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode):
            raise LinkInTheWay(path)
        _delete(name, directory, path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise _full(error, path) from error


def _delete(name: str, directory: int, path: str) -> None:
    try:
        fd = open_at(name, DIRECTORY, directory)
    except PermissionError:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
            raise
        let_owner_in(name, directory)
        fd = open_at(name, DIRECTORY, directory)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=directory)
        return
    try:
        _empty(fd, path)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=directory)


def _empty(fd: int, path: str) -> None:
    """Delete all entries of the directory `fd`. It is no error if another process deletes some of them meanwhile."""
    with os.scandir(fd) as scan:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in scan]
    for name, is_directory in entries:
        try:
            try:
                _delete(name, fd, f"{path}/{name}") if is_directory else os.unlink(name, dir_fd=fd)
            except PermissionError:
                mode = stat.S_IMODE(os.fstat(fd).st_mode)
                if mode & stat.S_IRWXU == stat.S_IRWXU:
                    raise
                os.chmod(fd, mode | stat.S_IRWXU)
                _delete(name, fd, f"{path}/{name}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _full(error, f"{path}/{name}") from error


def _full(error: OSError, path: str) -> OSError:
    """`error` with the full path as its file name, unless it has a full path already."""
    if isinstance(error.filename, str) and error.filename.startswith("/"):
        return error
    return OSError(error.errno, os.strerror(error.errno or 0), path)


def let_owner_in(name: str, directory: int) -> None:
    """Add mode 0700 to the directory `name` in the directory with the descriptor `directory`. Raises `OSError`."""
    if sys.platform == "linux":
        # O_PATH works without read permission; chmod by name would follow a link
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(os.fstat(fd).st_mode) | stat.S_IRWXU)
        finally:
            os.close(fd)
    else:
        mode = stat.S_IMODE(os.lstat(name, dir_fd=directory).st_mode)
        os.chmod(name, mode | stat.S_IRWXU, dir_fd=directory, follow_symlinks=False)
