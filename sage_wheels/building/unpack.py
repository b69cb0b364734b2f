"""Unpack an sdist into an empty directory, trusting nothing in it.

The rules are those of the `data` filter of PEP 706, which is applied as well where the running Python has it: no
absolute name, no `..`, no device, no link that leads out, no special permission bits. On top of it: a file never goes
through a link, because links are made after all files and checked when they stand; a name appears once; sizes and
counts are bounded by what the archive says before and by what comes out. Zip sdists get the same rules, without links.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from typing import IO, NamedTuple

from sage_wheels.errors import FileOperationFailed, SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The largest sdists on the index unpack to some 700 MB; a bomb wants more than that.
MAX_SIZE = 2 << 30  # bytes
MAX_MEMBERS = 200_000


class Limits(NamedTuple):
    """How much an sdist may unpack to: `size` in bytes over all files, `members` in number."""

    size: int = MAX_SIZE
    members: int = MAX_MEMBERS


class _Member(NamedTuple):
    """One member, checked: `name` is relative, without `.` and `..`; `link` is the target of a symbolic link."""

    name: str
    kind: str  # "file", "directory", "symlink", "hardlink"
    mode: int
    size: int
    mtime: float
    link: str
    handle: tarfile.TarInfo | zipfile.ZipInfo


def unpack_sdist(archive: str, directory: str, limits: Limits | None = None) -> str:
    """Unpack `archive` (.tar.gz or .zip) into `directory`, which must be empty; return its one project directory.

    Raises `SourceError` for a damaged or hostile archive, one that holds anything else than one project directory,
    and one that is larger than `limits`; `FileOperationFailed` if the disk does not take it. What has been written
    by then stays for the caller to remove.
    """
    limits = limits or Limits()
    try:
        if archive.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened_zip:
                _extract(archive, _zip_members(archive, opened_zip, limits), opened_zip, directory, limits)
        else:
            with tarfile.open(archive, "r:gz") as opened_tar:
                _extract(archive, _tar_members(archive, opened_tar, directory, limits), opened_tar, directory, limits)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise _damaged(archive, str(error)) from error
    except OSError as error:
        if error.errno is None:  # gzip.BadGzipFile has none
            raise _damaged(archive, str(error)) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise _refuse(archive, f"two of its members want to be {os.path.basename(error.filename)!r}") from error
        raise FileOperationFailed.from_os_error(error, f"unpacking {os.path.basename(archive)}") from error
    return _project_directory(archive, directory)


def _damaged(archive: str, why: str) -> SourceError:
    return SourceError(f"{archive} is damaged ({why})", "get the sdist again")


def _refuse(archive: str, why: str) -> SourceError:
    return SourceError(f"{archive} is not unpacked: {why}", "get the sdist from another place, or tell its authors")


def _too_large(archive: str, what: str, option: str) -> SourceError:
    return SourceError(f"{archive} unpacks to more than {what}", f"if you trust it, raise the bound with {option}")


def _tar_members(archive: str, opened: tarfile.TarFile, directory: str, limits: Limits) -> Iterator[_Member]:
    data_filter = getattr(tarfile, "data_filter", None)
    for count, info in enumerate(opened, 1):
        if count > limits.members:
            raise _too_large(archive, f"{limits.members} members", "--max-sdist-members")
        name = _checked_name(archive, info.name)
        kind = _tar_kind(info)
        if not kind:
            raise _refuse(archive, f"{info.name!r} is neither file, directory nor link")
        if data_filter and kind != "symlink":  # links are checked when all of them stand, which is stricter
            data_filter(info, directory)
        link = _checked_name(archive, info.linkname) if kind == "hardlink" else info.linkname
        yield _Member(name, kind, info.mode, info.size, info.mtime, link, info)


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return "file"
    if info.isdir():
        return "directory"
    if info.issym():
        return "symlink"
    return "hardlink" if info.islnk() else ""


def _zip_members(archive: str, opened: zipfile.ZipFile, limits: Limits) -> Iterator[_Member]:
    members = opened.infolist()
    if len(members) > limits.members:
        raise _too_large(archive, f"{limits.members} members", "--max-sdist-members")
    for info in members:
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refuse(archive, f"{info.filename!r} is neither file nor directory")
        if info.flag_bits & 0x1:
            raise _refuse(archive, f"{info.filename!r} is encrypted")
        kind = "directory" if info.is_dir() else "file"
        mtime = _zip_time(info)
        yield _Member(_checked_name(archive, info.filename), kind, mode, info.file_size, mtime, "", info)


def _zip_time(info: zipfile.ZipInfo) -> float:
    import calendar

    return float(calendar.timegm((*info.date_time, 0, 0, 0)))


def _checked_name(archive: str, name: str) -> str:
    """The name without `.` components. Refused: absolute, `..`, backslash, NUL and other control characters."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or any(ord(character) < 32 for character in name):
        raise _refuse(archive, f"the name {name!r} leads out of the project or is no file name")
    return "/".join(parts)


def _extract(
    archive: str,
    members: Iterator[_Member],
    opened: tarfile.TarFile | zipfile.ZipFile,
    directory: str,
    limits: Limits,
) -> None:
    """Write directories and files first, then links; time stamps are kept, modes become 755 or 644."""
    left = limits.size
    links: list[_Member] = []
    seen: set[str] = set()
    for member in members:
        if not member.name:
            continue
        path = os.path.join(directory, member.name)
        if member.kind == "directory":
            os.makedirs(path, exist_ok=True)
            continue
        if member.name in seen:
            raise _refuse(archive, f"{member.name!r} is in it twice")
        seen.add(member.name)
        if member.kind == "symlink":
            links.append(member)
            continue
        if member.size > left:
            raise _too_large(archive, f"{limits.size} bytes", "--max-sdist-size")
        left -= member.size
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if member.kind == "hardlink":
            _copy_earlier(archive, member, seen, directory, path)
            left -= os.path.getsize(path)
            if left < 0:
                raise _too_large(archive, f"{limits.size} bytes", "--max-sdist-size")
            continue
        with _content(archive, opened, member) as source:
            _write(archive, source, path, member)
    _make_links(archive, links, directory)


def _content(archive: str, opened: tarfile.TarFile | zipfile.ZipFile, member: _Member) -> IO[bytes]:
    if isinstance(opened, zipfile.ZipFile):
        assert isinstance(member.handle, zipfile.ZipInfo)
        return opened.open(member.handle)
    assert isinstance(member.handle, tarfile.TarInfo)
    source = opened.extractfile(member.handle)
    if source is None:
        raise _damaged(archive, f"{member.name!r} has no content")
    return source


def _write(archive: str, source: IO[bytes], path: str, member: _Member) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as target:
        left = member.size
        while block := source.read(min(1 << 20, left + 1)):
            left -= len(block)
            if left < 0:
                raise _damaged(archive, f"{member.name!r} is longer than it says")
            target.write(block)
        if left:
            raise _damaged(archive, f"{member.name!r} is shorter than it says")
        os.fchmod(fd, _mode(member.mode))
    os.utime(path, (member.mtime, member.mtime))


def _mode(mode: int) -> int:
    """755 or 644: what an umask of 022 leaves, whoever packed it."""
    return 0o755 if mode & 0o111 else 0o644


def _copy_earlier(archive: str, member: _Member, seen: set[str], directory: str, path: str) -> None:
    """A hard link in a tar file is another name of an earlier member: a copy of that file here."""
    source = os.path.join(directory, member.link)
    if member.link not in seen or not os.path.isfile(source) or os.path.islink(source):
        raise _refuse(archive, f"{member.name!r} is a link to {member.link!r}, which is no earlier file of it")
    shutil.copy2(source, path)


def _make_links(archive: str, links: list[_Member], directory: str) -> None:
    paths = [os.path.join(directory, member.name) for member in links]
    for path in paths:  # all of them before the first link, so that no directory is made through one
        os.makedirs(os.path.dirname(path), exist_ok=True)
    for path, member in zip(paths, links, strict=True):
        os.symlink(member.link, path)
    root = os.path.realpath(directory)
    for member in links:
        goal = os.path.realpath(os.path.join(directory, member.name))
        if os.path.isabs(member.link) or not goal.startswith(root + os.sep):
            raise _refuse(archive, f"the link {member.name!r} leads out of it, to {member.link!r}")


def _project_directory(archive: str, directory: str) -> str:
    """The one directory that an sdist unpacks to (PEP 517: `{name}-{version}`)."""
    found = [entry for entry in os.listdir(directory) if entry != "pax_global_header"]
    project = os.path.join(directory, found[0]) if len(found) == 1 else ""
    if not project or os.path.islink(project) or not os.path.isdir(project):
        listed = ", ".join(sorted(found)[:5]) or "nothing"
        raise SourceError(f"{archive} holds {listed} instead of one project directory", "get the project's own sdist")
    names = ("pyproject.toml", "setup.py")
    if not any(os.path.isfile(os.path.join(project, name)) for name in names):
        raise SourceError(
            f"{archive} has neither pyproject.toml nor setup.py in {found[0]}", "get the project's own sdist"
        )
    return project
