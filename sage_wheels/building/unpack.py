"""Unpack an sdist into an empty directory, trusting nothing in it.

The rules are those of the `data` filter of PEP 706, which is applied as well where the running Python has it: no
absolute name, no `..`, no device, no link that leads out, no special permission bits. On top of it: a file never goes
through a link, because links are made after all files and checked when they stand; a name appears once; sizes, counts
and the memory that a header takes are bounded by what the archive says before and by what comes out; the archive ends
where it says, and its check sum is right. Zip sdists get the same rules, without links, and must be as strictly made as
a wheel (`wheel.archive`).
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from typing import IO, NamedTuple

from sage_wheels.errors import FileOperationFailed, SourceError
from sage_wheels.wheel import archive as strict_zip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

# The largest sdists on the index unpack to some 700 MB; a bomb wants more than that.
MAX_SIZE = 2 << 30  # bytes
MAX_MEMBERS = 200_000
# tarfile reads a PAX header or a long name in one piece, however long it says it is; contents come in smaller pieces.
_MAX_READ = 4 << 20  # bytes
_ANY_RATIO = 2000  # deflate reaches 1,032:1; what counts here is the size
_END_OF_TIME = 1 << 34  # seconds: the year 2514, where the time stamps of ext4 end
_PER_MEMBER = 4096  # bytes of headers and padding that a member may take beyond its content


class Limits(NamedTuple):
    """How much an sdist may unpack to: `size` in bytes over all files, `members` in number, directories included."""

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
            _check_zip(archive, limits)
            with zipfile.ZipFile(archive) as opened_zip:
                _extract(archive, _zip_members(archive, opened_zip), opened_zip, directory, limits)
        else:
            with _Inflated(archive, limits) as inflated, tarfile.open(fileobj=inflated, mode="r:") as opened_tar:
                _extract(archive, _tar_members(archive, opened_tar, directory, limits), opened_tar, directory, limits)
                inflated.check_end()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise _damaged(archive, str(error)) from error
    except (RecursionError, ValueError, OverflowError) as error:  # what tarfile makes of headers that make no sense
        raise _damaged(archive, "its headers make no sense") from error
    except OSError as error:
        if error.errno is None:  # gzip.BadGzipFile has none
            raise _damaged(archive, str(error)) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise _refuse(archive, f"two of its members want to be {os.path.basename(error.filename)!r}") from error
        raise FileOperationFailed.from_os_error(
            error, f"unpacking {os.path.basename(archive)} into {directory}"
        ) from error
    return _project_directory(archive, directory)


def _damaged(archive: str, why: str) -> SourceError:
    return SourceError(f"{archive} is damaged ({why})", "get the sdist again")


def _refuse(archive: str, why: str) -> SourceError:
    return SourceError(f"{archive} is not unpacked: {why}", "get the sdist from another place, or tell its authors")


def _too_large(archive: str, what: str, option: str) -> SourceError:
    return SourceError(f"{archive} unpacks to more than {what}", f"if you trust it, raise the bound with {option}")


class _Inflated(io.RawIOBase):
    """The tar file in a .tar.gz: never much of it at once, and not more of it than the limits can need."""

    def __init__(self, archive: str, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        self._most = limits.size + _PER_MEMBER * (limits.members + 1) + tarfile.RECORDSIZE
        self._file = gzip.GzipFile(archive)
        self._last = b""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise _refuse(self._archive, "one of its headers is larger than any that makes sense")
        self._last = self._file.read(size)
        self._check_position()
        return self._last

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        done = self._file.readinto(buffer)
        self._check_position()
        return done

    def _check_position(self) -> None:
        if self._file.tell() > self._most:
            raise _too_large(self._archive, f"{self._limits.size} bytes", "--max-sdist-size")

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or offset < 0:
            raise tarfile.ReadError("a header leads to nowhere")
        while (missing := offset - self._file.tell()) > 0:
            if not self.read(min(missing, _MAX_READ)):
                break
        return self._file.seek(offset) if missing < 0 else self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def check_end(self) -> None:
        """Read to the end, where gzip has its check sum; from what ended the archive on there are only zeros (pax(1)).

        tarfile takes a header that it cannot read for the end of the archive.
        """
        while self._last:
            if self._last.strip(b"\0"):
                raise _damaged(self._archive, "a header makes no sense, or something stands behind the archive")
            self.read(_MAX_READ)

    def close(self) -> None:
        self._file.close()
        super().close()


def _check_zip(archive: str, limits: Limits) -> None:
    """Refuse what has more than one meaning; the contents, and CRCs, are left to zipfile, which knows about times."""
    try:
        with strict_zip.Archive(archive, strict_zip.Limits(limits.size, limits.members, ratio=_ANY_RATIO)):
            pass
    except strict_zip.TooLarge as error:
        raise _too_large(archive, error.bound, f"--max-sdist-{error.limit}") from error
    except strict_zip.Damaged as error:
        raise _refuse(archive, str(error)) from error


def _tar_members(archive: str, opened: tarfile.TarFile, directory: str, limits: Limits) -> Iterator[_Member]:
    data_filter = getattr(tarfile, "data_filter", None)
    for count, info in enumerate(opened, 1):
        if count > limits.members:
            raise _too_large(archive, f"{limits.members} members", "--max-sdist-members")
        name = _checked_name(archive, info.name)
        kind = _tar_kind(info)
        if info.size < 0:
            raise _damaged(archive, f"{info.name!r} has a negative size")
        if not kind:
            raise _refuse(archive, f"{info.name!r} is neither file, directory nor link")
        if data_filter and kind != "symlink":  # links are checked when all of them stand, which is stricter
            data_filter(info, directory)
        if kind == "symlink" and not (0 < len(info.linkname) <= strict_zip.MAX_PATH and _is_text(info.linkname)):
            raise _refuse(archive, f"the link {info.name!r} leads to what is no path")
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


def _zip_members(archive: str, opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16
        kind = "directory" if info.is_dir() else "file"
        mtime = _zip_time(info)
        yield _Member(_checked_name(archive, info.filename), kind, mode, info.file_size, mtime, "", info)


def _zip_time(info: zipfile.ZipInfo) -> float:
    import calendar

    try:
        return float(calendar.timegm((*info.date_time, 0, 0, 0)))
    except ValueError:  # month 0: a writer that was told no time
        return -1.0


def _checked_name(archive: str, name: str) -> str:
    """The name without `.` components. Refused: absolute, `..`, backslash, control characters, far too long or deep."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or not _is_text(name):
        raise _refuse(archive, f"the name {_shown(name)} leads out of the project or is no file name")
    if strict_zip.is_too_long("/".join(parts)):
        raise _refuse(archive, f"the name {_shown(name)} is longer or deeper than a file system takes")
    return "/".join(parts)


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 100 else f"{name[:100]!r}..."


def _plain(name: str) -> str:
    return name if name.isprintable() and len(name) <= 100 else _shown(name)


def _is_text(name: str) -> bool:
    return not any(ord(character) < 32 or ord(character) == 127 for character in name)


class _Directories:
    """Makes the directories of the files, mode 755 whatever the umask; `left` is how many more there may be."""

    def __init__(self, archive: str, top: str, limits: Limits) -> None:
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
            raise _too_large(self._archive, f"{self._limits.members} members", "--max-sdist-members")
        os.mkdir(path)
        os.chmod(path, 0o755)
        self._made.add(path)


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
    directories = _Directories(archive, directory, limits)
    for member in members:
        if not member.name:
            continue
        path = os.path.join(directory, member.name)
        if member.kind == "directory":
            directories.make(path)
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
        directories.make(os.path.dirname(path))
        if member.kind == "hardlink":
            _copy_earlier(archive, member, seen, directory, path)
            left -= os.path.getsize(path)
            if left < 0:
                raise _too_large(archive, f"{limits.size} bytes", "--max-sdist-size")
            continue
        with _content(archive, opened, member) as source:
            _write(archive, source, path, member)
    _make_links(archive, links, directory, directories)


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
    if 0 <= member.mtime < _END_OF_TIME:  # not NaN either
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


def _make_links(archive: str, links: list[_Member], directory: str, directories: _Directories) -> None:
    paths = [os.path.join(directory, member.name) for member in links]
    for path in paths:  # all of them before the first link, so that no directory is made through one
        directories.make(os.path.dirname(path))
    for path, member in zip(paths, links, strict=True):
        os.symlink(member.link, path)
    root = os.path.realpath(directory)
    for path, member in zip(paths, links, strict=True):
        goal = os.path.realpath(path) if not _is_endless(path) else os.path.join(root, _next(member))
        project = os.path.join(root, member.name.partition("/")[0], "")
        if os.path.isabs(member.link) or not os.path.join(goal, "").startswith(project):
            raise _refuse(archive, f"the link {member.name!r} leads out of it, to {member.link!r}")


def _is_endless(path: str) -> bool:
    """Whether a path goes in a circle, or over more links than the system follows.

    It leads nowhere then; realpath would follow a chain of a hundred thousand links from each of them.
    """
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _next(member: _Member) -> str:
    """Where a link leads in one step."""
    return os.path.normpath(os.path.join(os.path.dirname(member.name), member.link))


def _project_directory(archive: str, directory: str) -> str:
    """The one directory that an sdist unpacks to (PEP 517: `{name}-{version}`)."""
    found = [entry for entry in os.listdir(directory) if entry != "pax_global_header"]
    project = os.path.join(directory, found[0]) if len(found) == 1 else ""
    if not project or os.path.islink(project) or not os.path.isdir(project):
        listed = ", ".join(map(_plain, sorted(found)[:5])) or "nothing"
        raise SourceError(f"{archive} holds {listed} instead of one project directory", "get the project's own sdist")
    names = ("pyproject.toml", "setup.py")
    if not any(os.path.isfile(os.path.join(project, name)) for name in names):
        raise SourceError(
            f"{archive} has neither pyproject.toml nor setup.py in {_plain(found[0])}", "get the project's own sdist"
        )
    return project
