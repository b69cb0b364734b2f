"""Choose the directory of a cache: one in which only root and the user can write. If there is none, there is no cache.

Whoever can write in a cache can change what a build runs and what is installed. So before a cache is used, the
directory, its entries, and all directories and links on the way to it are checked. All caches use this module. Each
file of a cache is opened by `own`, which also refuses files of other users.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import stat

from sage_wheels import environment
from sage_wheels.errors import FileOperationFailed, UnsafePath
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.fs.files import regular, write_whole
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

# The errors of `own` that mean that there is no file that may be read, but something else, such as a directory.
NO_FILE = (errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.EPERM)
OTHERS = 0o022  # the bits that let a group, or everybody, write
_EVERYBODY = 0o002
_MOST_LINKS = 40  # symbolic links in one path, as in the Linux kernel
_WHEELS = "wheels"  # the subdirectory of wheels that were downloaded for builds, which are found by their names


class Choice(NamedTuple):
    """The directory to use, or None; `notes` has a sentence for each directory that cannot be used."""

    directory: str | None
    notes: tuple[str, ...] = ()


@functools.cache
def choose(*candidates: str) -> Choice:
    """The first of `candidates`, absolute paths, that can be written by this user and by no other one but root.

    No directory is made.
    """
    notes: list[str] = []
    for each in candidates:
        why = _why_not(each)
        if not why:
            return Choice(each, tuple(notes))
        notes.append(f"the cache {each} is not used, because {why}")
    return Choice(None, tuple(notes))


def _why_not(directory: str) -> str:
    """Why `directory` cannot be used as a cache, and what to do; "" if it can."""
    try:
        if found := problem(directory):
            return f"{found}; delete it, or let nobody but you write there"
    except OSError as error:
        return f"it cannot be examined ({error.strerror}); name a directory of your own"
    return "" if can_be_written(directory) else "it cannot be written; name a directory of your own"


def of_user() -> Choice:
    """The user's cache: $SAGE_WHEELS_CACHE, else $XDG_CACHE_HOME/sage-wheels or ~/.cache/sage-wheels (XDG base
    directory specification).

    Raises what `named` does, but only for $SAGE_WHEELS_CACHE: if nobody has named a cache, one that is not safe, or
    cannot be written, is not used.
    """
    if told := environment.get(environment.SAGE_WHEELS_CACHE):
        return _told(os.path.abspath(told))
    return choose(*directories_of_user())


@functools.cache
def _told(directory: str) -> Choice:
    return Choice(named(directory))


def directories_of_user() -> tuple[str, ...]:
    """Where the user's cache is, or would be; nowhere if the user has no home. $SAGE_WHEELS_CACHE counts first."""
    if told := environment.get(environment.SAGE_WHEELS_CACHE):
        return (os.path.abspath(told),)
    base = environment.get(environment.XDG_CACHE_HOME)
    if not os.path.isabs(base):  # "consider the path invalid and ignore it"
        base = os.path.expanduser("~/.cache")
    return (f"{base}/sage-wheels",) if os.path.isabs(base) else ()


def named(directory: str) -> str:
    """Check `directory`, an absolute path that the user chose for a cache, and return it.

    Raises `UnsafePath` if other users can write there, and `FileOperationFailed` if it cannot be examined, or is not
    there and cannot be made. It may be read-only.
    """
    advice = "name a directory of your own with --cache-dir or SAGE_WHEELS_CACHE"
    try:
        found = problem(directory)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"using the cache {directory}") from error
    if found:
        raise UnsafePath(f"{found}, so others may have written into the cache {directory}", advice)
    if not os.path.isdir(directory) and not can_be_written(directory):
        raise FileOperationFailed(f"the cache {directory} is not there and cannot be made", advice)
    return directory


@functools.cache
def temporary() -> str:
    """A cache for this process only. At exit it is deleted, except for `build`, the logs and directories of failed
    builds, if there are any."""
    import atexit
    import tempfile

    directory = tempfile.mkdtemp(prefix="sage-wheels-cache-")
    atexit.register(_forget, directory, os.getpid())
    return directory


def is_temporary(directory: str) -> bool:
    """Whether `directory` is that of `temporary`."""
    return temporary.cache_info().currsize > 0 and directory == temporary()


def _forget(directory: str, owner: int) -> None:
    if os.getpid() != owner:  # a child that was forked
        return
    with contextlib.suppress(OSError):
        builds = f"{directory}/build"
        failed = os.path.isdir(builds) and any(entry.is_dir() for entry in os.scandir(builds))
        for name in os.listdir(directory):
            if not failed or name != "build":
                delete_tree(f"{directory}/{name}")
        if not failed:
            os.rmdir(directory)


def problem(directory: str) -> str | None:
    """A sentence that says which other user could have written into the cache `directory`, an absolute path; or None.

    None for a directory that does not exist. Raises `OSError` if it cannot be examined.
    """
    return _problem_of_way(directory) or _problem_inside(directory)


def problem_of_file(path: str) -> str | None:
    """A sentence that says which other user could have written or replaced the file at the absolute `path`; or None.

    Raises `OSError` if it cannot be examined.
    """
    return _problem_of_way(path)


def _problem_of_way(directory: str) -> str | None:
    """Which other user could replace `directory` or write in it, by its mode and by each directory above it."""
    for path, status, above in _way(directory):
        if status and status.st_uid not in trusted_owners():
            return f"{path} belongs to another user (uid {status.st_uid})"
        if above.st_mode & OTHERS and not above.st_mode & stat.S_ISVTX and not _is_only_ours(above):
            return f"others may write in {os.path.dirname(path)}"
    with contextlib.suppress(FileNotFoundError):
        return _problem_of(directory, os.stat(directory))
    return None


def _problem_inside(directory: str) -> str | None:
    """Which other user could write to the entries of `directory`, or to those of its subdirectory `wheels`."""
    with contextlib.suppress(FileNotFoundError):
        is_closed = not os.stat(directory).st_mode & 0o077
        return _problem_of_entries(directory, _EVERYBODY if is_closed else OTHERS)
    return None


def _problem_of_entries(directory: str, bits: int) -> str | None:
    for each in (directory, f"{directory}/{_WHEELS}"):
        with contextlib.suppress(FileNotFoundError), os.scandir(each) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    found = _problem_of(entry.path, entry.stat(follow_symlinks=False), bits)
                    found = found or (_problem_of_way(entry.path) if entry.is_symlink() else None)
                    if found:
                        return found
    return None


def _way(path: str) -> Iterator[tuple[str, os.stat_result | None, os.stat_result]]:
    """Each directory and symbolic link on the way to `path`: its path, its lstat(2), and that of its directory.

    Links are followed. Ends with the first that does not exist, whose status is None. Raises `OSError`.
    """
    here, above = "/", os.lstat("/")
    names = path.split("/")[::-1]
    links = 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        each = os.path.join(here, name)
        try:
            status = os.lstat(each)
        except FileNotFoundError:
            yield each, None, above
            return
        if name != "..":
            yield each, status, above
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(each)
            names += target.split("/")[::-1]
            if target.startswith("/"):
                here, above = "/", os.lstat("/")
        else:
            here, above = each, status


def _problem_of(path: str, status: os.stat_result, bits: int = OTHERS) -> str | None:
    if is_own(status, bits):
        return None
    if status.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to another user (uid {status.st_uid})"
    who = "everybody" if status.st_mode & _EVERYBODY else "its group"
    return f"{who} may write in {path}"


def is_own(status: os.stat_result, bits: int = OTHERS) -> bool:
    """Whether the file with this `status` belongs to root or the user, and has none of the mode `bits`."""
    open_to_others = status.st_mode & bits and not stat.S_ISLNK(status.st_mode)  # a link has no mode of its own
    return status.st_uid in (0, os.geteuid()) and not open_to_others


def own(path: str, flags: int) -> int:
    """An opener, for `open(path, opener=own)`: opens only a regular file that belongs to the user or to root.

    Raises `OSError`; EPERM if other users could have written the file.
    """
    fd = regular(path, flags)
    if not is_own(os.fstat(fd)):
        os.close(fd)
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
    return fd


def make_directory(path: str) -> None:
    """Make the directory `path` of a cache, and missing ones above it, with mode 0700.

    Raises `OSError`; EPERM if it exists and belongs to another user.
    """
    try:
        _make_directory(path)
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        _make_directory(path)  # this fails where nothing can be made, as in /proc


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        if not is_own(status, _EVERYBODY):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path) from None


def write(path: str, content: bytes) -> None:
    """Write `content` to the file `path` of a cache, with mode 0600 and by one rename. Raises `OSError`."""
    write_whole(path, content, 0o600)


def read_json(path: str, shape: object, opener: Callable[[str, int], int] = own) -> Any:
    """The content of the JSON file at `path`; None if it cannot be read or does not have `shape` (see `has_shape`)."""
    try:
        with open(path, encoding="utf-8", opener=opener) as f:
            content = json.load(f)
    except (OSError, ValueError, RecursionError):
        return None
    return content if has_shape(content, shape) else None


def has_shape(value: object, shape: object) -> bool:
    """Whether `value`, read from JSON, has the structure that `shape` describes.

    In `shape`, a type stands for any instance of it, `[each]` for a list of any length, `(one, other)` for a list of
    exactly these elements, `{str: each}` for an object with any keys, `{"name": each}` for one with exactly these keys.

    >>> has_shape([["a", 1], {"b": []}], ([object], {str: [int]}))
    True
    >>> has_shape({"a": 1, "b": 2}, {"a": int})
    False
    """
    if isinstance(shape, type):
        return isinstance(value, shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(each, shape[0]) for each in value)
    if isinstance(shape, tuple):
        same_length = isinstance(value, list) and len(value) == len(shape)
        return same_length and all(map(has_shape, value, shape))  # type: ignore[call-overload]
    assert isinstance(shape, dict)
    if not isinstance(value, dict):
        return False
    if str in shape:
        return all(has_shape(each, shape[str]) for each in value.values())
    return value.keys() == shape.keys() and all(has_shape(value[name], shape[name]) for name in shape)


def say_once(notes: Iterable[str], say: Callable[[str], object]) -> None:
    """Call `say` with each of `notes`, unless this process has done that before."""
    for each in notes:
        if each not in said:
            said.add(each)
            say(each)


said: set[str] = set()  # what this process need not say again


def can_be_written(directory: str) -> bool:
    """Whether files can be made in `directory`, which need not exist yet."""
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def trusted_owners() -> frozenset[int]:
    """The user IDs that may own a directory on the way to a cache: root, the user, and, in a user namespace, "nobody".

    In a sandbox (bubblewrap, rootless containers), directories of the real root are shown as owned by the overflow user
    ID (user_namespaces(7)), and no process in the sandbox can write to them.
    """
    return frozenset({0, os.geteuid(), *_overflow_owners()})


@functools.cache
def _overflow_owners() -> frozenset[int]:
    owners = set[int]()
    try:
        with open("/proc/self/uid_map", encoding="utf-8") as f:
            everybody = f.read().split() == ["0", "0", str(2**32 - 1)]
        if not everybody:
            with open("/proc/sys/kernel/overflowuid", encoding="utf-8") as f:
                owners.add(int(f.read()))
    except (OSError, ValueError):
        pass  # no Linux
    return frozenset(owners)


def _is_only_ours(status: os.stat_result) -> bool:
    """Whether a directory with this `status` is writable for a group that has the user as its only member.

    Many systems give each user such a group, with the same name, and a umask of 002.
    """
    if status.st_mode & _EVERYBODY:
        return False
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return user.pw_gid == group.gr_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
