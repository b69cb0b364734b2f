"""Unpack an sdist into an empty directory, trusting nothing in it.

The rules are those of the `data` filter of PEP 706, which is applied, too, if this Python has it: no absolute name, no
`..`, no device, no link to a target outside, no special permission bits. In addition:

- No file is written through a link: links are made after all files, and checked when all of them exist.
- If a name appears twice, both files must have the same content.
- The size and number of members, and the memory for headers, are limited: by what the headers say, and by counting.
- The archive ends where it says that it ends, and its checksum is right.

Zip files follow the same rules, and `strict_zip` must accept them, as it must accept a wheel. pip makes a file with the
target as its content of a link in a zip file; unzip(1), `git archive` and the author of the sdist mean a link.
"""

from __future__ import annotations

import errno
import os
import tarfile
import zipfile
import zlib

from sage_wheels.archive import compression
from sage_wheels.archive.sdist_members import (
    Inflated,
    Member,
    SdistLimits,
    check_zip,
    damaged,
    plain,
    refused,
    tar_members,
    too_large,
    zip_members,
)
from sage_wheels.errors import FileOperationFailed, SourceError, path_of
from sage_wheels.fs.files import below
from sage_wheels.metadata import PROJECT_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


_END_OF_TIME = 1 << 34  # seconds: the year 2514, where the timestamps of ext4 end
# Entries beside the project directory that are ignored: they are made by `git archive`, and by Finder and tar on macOS.
_NOBODYS = ("pax_global_header", ".DS_Store", "__MACOSX")
_OUTSIDE = getattr(tarfile, "FilterError", ())  # where Python has PEP 706


def unpack_sdist(
    path: str, directory: str, limits: SdistLimits | None = None, subdirectory: str = "", origin: str = ""
) -> str:
    """Unpack the archive at `path` (zip, or tar with any compression) into the empty `directory`.

    Returns the path of the project directory. It is the single directory at the top level of the archive (PEP 625), or
    the top level itself, as in many old .zip files; if `subdirectory` is given, it is that directory inside. Messages
    call the archive `origin`, which is the URL of a download, or its path.

    Raises `SourceError` for an archive that is damaged or hostile, exceeds `limits`, or does not hold exactly one
    project, and `FileOperationFailed` if the files cannot be written. The caller then removes what was written.
    """
    limits, archive = limits or SdistLimits(), origin or path
    try:
        if compression.of(path) == "zip":
            check_zip(archive, path, limits)
            with zipfile.ZipFile(path) as opened_zip:
                links = _extract(archive, zip_members(archive, opened_zip), opened_zip, directory, limits)
        else:
            with Inflated(archive, path, limits) as inflated, tarfile.open(fileobj=inflated, mode="r:") as opened_tar:
                members = tar_members(archive, opened_tar, inflated, directory, limits)
                links = _extract(archive, members, opened_tar, directory, limits)
                inflated.check_end()
        top = _top(directory)
        _check_links(archive, links, directory, top)
    except _OUTSIDE as error:
        raise refused(archive, str(error)) from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise damaged(archive, str(error)) from error
    except (RecursionError, ValueError, OverflowError) as error:  # tarfile raises these for invalid headers
        raise damaged(archive, "its headers are invalid") from error
    except OSError as error:
        if error.errno is None:  # gzip.BadGzipFile has none
            raise damaged(archive, str(error)) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise refused(archive, f"two of its members have the same path {_destination_of(error)!r}") from error
        raise FileOperationFailed.from_os_error(
            error, f"unpacking {os.path.basename(path)} into {directory}"
        ) from error
    return _project(archive, directory, top, subdirectory)


def _destination_of(error: OSError) -> str:
    """The name of the file that could not be made; errors of link(2) and symlink(2) have it as the second name."""
    return os.path.basename(path_of(error))


class _Directories:
    """Makes directories, with mode 755 whatever the umask is; `_left` is how many more may be made."""

    def __init__(self, archive: str, top: str, limits: SdistLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._made = {top}
        self._left = limits.members

    def make(self, path: str) -> None:
        if path in self._made:
            return
        self.make(os.path.dirname(path))
        self._left -= 1
        if self._left < 0:
            raise too_large(self._archive, f"{self._limits.members} members", "--max-sdist-members")
        os.mkdir(path)
        os.chmod(path, 0o755)
        self._made.add(path)


def _extract(
    archive: str,
    members: Iterator[Member],
    opened: tarfile.TarFile | zipfile.ZipFile,
    directory: str,
    limits: SdistLimits,
) -> list[Member]:
    """Write directories and files, then symbolic links, and return the links.

    Timestamps are kept; modes become 755 or 644. If the archive has a file twice, with the same content, mode and time
    are those of the later one, as with tar(1).
    """
    left = limits.size
    links: dict[str, Member] = {}
    files: set[str] = set()
    directories = _Directories(archive, directory, limits)
    for member in members:
        if not member.name:
            continue
        path = os.path.join(directory, member.name)
        if member.kind == "directory":
            directories.make(path)
            continue
        if member.kind == "symlink":
            earlier = links.setdefault(member.name, member)
            if member.name in files or member.link != earlier.link:
                raise refused(archive, f"it has two different files named {member.name!r}")
            continue
        if member.name in links:
            raise refused(archive, f"it has two different files named {member.name!r}")
        if member.kind == "hardlink":  # a second name of an earlier member: it becomes a copy of that file
            if member.link not in files:
                raise refused(archive, f"{member.name!r} is a link to {member.link!r}, which is no earlier file in it")
            target = os.path.join(directory, member.link)
            status = os.stat(target)
            member = member._replace(size=status.st_size, mode=status.st_mode, mtime=status.st_mtime)
        if member.size > left:
            raise too_large(archive, f"{limits.size} bytes", "--max-sdist-size")
        left -= member.size
        directories.make(os.path.dirname(path))
        with open(target, "rb") if member.kind == "hardlink" else _content(archive, opened, member) as source:
            (_compare if member.name in files else _write)(archive, source, path, member)
        files.add(member.name)
    _make_links(list(links.values()), directory, directories)
    return list(links.values())


def _content(archive: str, opened: tarfile.TarFile | zipfile.ZipFile, member: Member) -> IO[bytes]:
    if isinstance(opened, zipfile.ZipFile):
        assert isinstance(member.handle, zipfile.ZipInfo)
        return opened.open(member.handle)
    assert isinstance(member.handle, tarfile.TarInfo)
    source = opened.extractfile(member.handle)
    if source is None:
        raise damaged(archive, f"{member.name!r} has no content")
    return source


def _write(archive: str, source: IO[bytes], path: str, member: Member) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as target:
        left = member.size
        while block := source.read(min(1 << 20, left + 1)):
            left -= len(block)
            if left < 0:
                raise damaged(archive, f"{member.name!r} is longer than it says")
            target.write(block)
        if left:
            raise damaged(archive, f"{member.name!r} is shorter than it says")
    _settle(path, member)


def _settle(path: str, member: Member) -> None:
    """Set mode and time of the file. The mode is 755 or 644, as with a umask of 022."""
    os.chmod(path, 0o755 if member.mode & 0o111 else 0o644)
    if 0 <= member.mtime < _END_OF_TIME:  # false for NaN, too
        os.utime(path, (member.mtime, member.mtime))


def _compare(archive: str, source: IO[bytes], path: str, member: Member) -> None:
    """Compare a second member of the same name with the file at `path`; raise `SourceError` if they differ."""
    with open(path, "rb") as earlier:
        while block := source.read(1 << 20):
            if earlier.read(len(block)) != block:
                break
        if block or earlier.read(1):
            raise refused(archive, f"it has two different files named {member.name!r}")
    _settle(path, member)


def _make_links(links: list[Member], directory: str, directories: _Directories) -> None:
    paths = [os.path.join(directory, member.name) for member in links]
    for path in paths:  # all of them before the first link, so that no directory is made through one
        directories.make(os.path.dirname(path))
    for path, member in zip(paths, links, strict=True):
        os.symlink(member.link, path)


def _check_links(archive: str, links: list[Member], directory: str, top: str) -> None:
    """Raise `SourceError` for a symbolic link whose target is outside the directory `top`."""
    root, inside = os.path.realpath(directory), os.path.join(os.path.realpath(top), "")
    for member in links:
        path = os.path.join(directory, member.name)
        destination = os.path.realpath(path) if not _is_endless(path) else os.path.join(root, _next(member))
        if os.path.isabs(member.link) or not os.path.join(destination, "").startswith(inside):
            raise refused(archive, f"the link {member.name!r} leads out of it, to {member.link!r}")


def _is_endless(path: str) -> bool:
    """Whether `path` is in a loop of links, or in a chain of more links than the system follows (ELOOP).

    Such links are not given to `os.path.realpath`, which would take very long for chains of many thousand links.
    """
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _next(member: Member) -> str:
    """The target of a link, relative to the root of the archive, without following further links."""
    return os.path.normpath(os.path.join(os.path.dirname(member.name), member.link))


def _listed(directory: str) -> list[str]:
    return sorted(each for each in os.listdir(directory) if each not in _NOBODYS and not each.startswith("._"))


def _top(directory: str) -> str:
    """The single directory in `directory` (PEP 625: `{name}-{version}`); `directory` itself if there is anything else
    in it."""
    found = _listed(directory)
    only = os.path.join(directory, found[0]) if len(found) == 1 else directory
    return only if os.path.isdir(only) and not os.path.islink(only) else directory


def _project(archive: str, directory: str, top: str, subdirectory: str) -> str:
    """The project directory: `subdirectory` below `top`. Links were checked before. Raises `SourceError` if there is
    no project in it."""
    project = below(top, subdirectory)
    if any(os.path.isfile(os.path.join(project, name)) for name in PROJECT_FILES):
        return project
    advice = "get the project's own sdist"
    if subdirectory:
        raise SourceError(f"{archive} has no project in its subdirectory {subdirectory}", "check the subdirectory")
    if top == directory:
        listed = ", ".join(map(plain, _listed(directory)[:5])) or "nothing"
        raise SourceError(f"{archive} holds {listed} instead of one project directory", advice)
    where = plain(os.path.basename(top))
    raise SourceError(f"{archive} has neither {' nor '.join(PROJECT_FILES)} in {where}", advice)
