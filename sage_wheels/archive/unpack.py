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
import io
import os
import stat
import tarfile
import zipfile
import zlib
from typing import IO, NamedTuple

from sage_wheels.archive import compression, strict_zip
from sage_wheels.errors import FileOperationFailed, SourceError, path_of
from sage_wheels.fs.files import below
from sage_wheels.metadata import PROJECT_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from _typeshed import WriteableBuffer

# The largest sdists on PyPI unpack to some 700 MB; a decompression bomb unpacks to far more.
MAX_SIZE = 2 << 30  # bytes
MAX_MEMBERS = 200_000
# tarfile reads a PAX header or a long name by one `read` of the size in its header, or, since 2026, by many of a
# mebibyte; contents in smaller pieces, with a `seek` before each.
MAX_READ = 4 << 20  # bytes
_ANY_RATIO = 2000  # no limit: deflate reaches 1,032:1. Here only the size is limited.
_END_OF_TIME = 1 << 34  # seconds: the year 2514, where the timestamps of ext4 end
_PER_MEMBER = 4096  # bytes of headers and padding that a member may take beyond its content
_NO_TARGET = "the link {!r} has a target that is not a path"
# Entries beside the project directory that are ignored: they are made by `git archive`, and by Finder and tar on macOS.
_NOBODYS = ("pax_global_header", ".DS_Store", "__MACOSX")
_OUTSIDE = getattr(tarfile, "FilterError", ())  # where Python has PEP 706


class SdistLimits(NamedTuple):
    """Limits for unpacking an sdist: `size`, in bytes, of all files together; `members`, files and directories."""

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
            _check_zip(archive, path, limits)
            with zipfile.ZipFile(path) as opened_zip:
                links = _extract(archive, _zip_members(archive, opened_zip), opened_zip, directory, limits)
        else:
            with _Inflated(archive, path, limits) as inflated, tarfile.open(fileobj=inflated, mode="r:") as opened_tar:
                members = _tar_members(archive, opened_tar, inflated, directory, limits)
                links = _extract(archive, members, opened_tar, directory, limits)
                inflated.check_end()
        top = _top(directory)
        _check_links(archive, links, directory, top)
    except _OUTSIDE as error:
        raise _refuse(archive, str(error)) from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise _damaged(archive, str(error)) from error
    except (RecursionError, ValueError, OverflowError) as error:  # tarfile raises these for invalid headers
        raise _damaged(archive, "its headers are invalid") from error
    except OSError as error:
        if error.errno is None:  # gzip.BadGzipFile has none
            raise _damaged(archive, str(error)) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise _refuse(archive, f"two of its members have the same path {_destination_of(error)!r}") from error
        raise FileOperationFailed.from_os_error(
            error, f"unpacking {os.path.basename(path)} into {directory}"
        ) from error
    return _project(archive, directory, top, subdirectory)


def read_files(path: str, names: Collection[str], most: int) -> dict[str, bytes]:
    """Read the regular files in the archive at `path` whose names, without the first directory, are among `names`.

    Files of more than `most` bytes are left out. Nothing is unpacked, and a tar archive is read only until all are
    found. Raises `SourceError`, `OSError`, and what zipfile, tarfile and the decompressors raise for a damaged archive.
    """
    found: dict[str, bytes] = {}
    if compression.of(path) == "zip":
        _check_zip(path, path, SdistLimits())
        with zipfile.ZipFile(path) as opened_zip:
            for info in opened_zip.infolist():
                name = info.filename.partition("/")[2]
                if name in names and info.file_size <= most:
                    found[name] = opened_zip.read(info)
        return found
    with _Inflated(path, path, SdistLimits()) as inflated, tarfile.open(fileobj=inflated, mode="r:") as opened_tar:
        for member in _each_member(opened_tar, inflated):
            name = member.name.removeprefix("./").partition("/")[2]
            if name in names and member.isreg() and member.size <= most and (file := opened_tar.extractfile(member)):
                found[name] = file.read()
                if len(found) == len(names):
                    break
    return found


def _destination_of(error: OSError) -> str:
    """The name of the file that could not be made; errors of link(2) and symlink(2) have it as the second name."""
    return os.path.basename(path_of(error))


def _damaged(archive: str, why: str) -> SourceError:
    return SourceError(f"{archive} is damaged ({why})", "get the sdist again")


def _refuse(archive: str, why: str) -> SourceError:
    return SourceError(f"{archive} is not unpacked: {why}", "get it from another source, or tell its authors")


def _too_large(archive: str, what: str, option: str) -> SourceError:
    return SourceError(f"{archive} unpacks to more than {what}", f"if you trust it, raise the bound with {option}")


class _Inflated(io.RawIOBase):
    """The decompressed tar stream, for tarfile. More than `MAX_READ` in one piece, or in several without a `seek` or
    `begin_header` between them, is refused, and so is a stream that is longer than an archive within `limits` can be.
    """

    def __init__(self, archive: str, path: str, limits: SdistLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._most = limits.size + _PER_MEMBER * (limits.members + 1) + tarfile.RECORDSIZE
        self._file = compression.opened(path)
        self._last = b""
        self._in_a_row = 0  # bytes

    def begin_header(self) -> None:
        """What is read from now on belongs to another header."""
        self._in_a_row = 0

    def read(self, size: int = -1, /) -> bytes:
        self._in_a_row += size
        if size < 0 or self._in_a_row > MAX_READ:
            raise _refuse(self._archive, "one of its headers is unreasonably large")
        return self._read(size)

    def _read(self, size: int) -> bytes:
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
            raise tarfile.ReadError("a header points outside the archive")
        while (missing := offset - self._file.tell()) > 0:
            if not self._read(min(missing, MAX_READ)):
                break
        self._in_a_row = 0
        return self._file.seek(offset) if missing < 0 else self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def check_end(self) -> None:
        """Read to the end of the file, so that its checksum is verified; only zeros may follow the archive (pax(1)).

        tarfile stops at a header that it cannot read, as if the archive ended there: then other bytes follow.
        """
        while self._last:
            if self._last.strip(b"\0"):
                raise _damaged(self._archive, "a header is invalid, or other data follows the archive")
            self._read(MAX_READ)

    def close(self) -> None:
        self._file.close()
        super().close()


def _check_zip(archive: str, path: str, limits: SdistLimits) -> None:
    """Refuse a zip file that `strict_zip` refuses. Members are then read by zipfile, which checks the CRCs."""
    try:
        bounds = strict_zip.WheelLimits(limits.size, limits.members, ratio=_ANY_RATIO)
        with strict_zip.Archive(path, bounds, sdist=True):
            pass
    except strict_zip.TooLarge as error:
        raise _too_large(archive, error.bound, f"--max-sdist-{error.limit}") from error
    except strict_zip.Damaged as error:
        raise _refuse(archive, str(error)) from error


def _each_member(opened: tarfile.TarFile, inflated: _Inflated) -> Iterator[tarfile.TarInfo]:
    """The members of the archive `opened`, which is read from `inflated`; their headers are bounded one by one."""
    for info in opened:
        yield info
        inflated.begin_header()


def _tar_members(
    archive: str, opened: tarfile.TarFile, inflated: _Inflated, directory: str, limits: SdistLimits
) -> Iterator[_Member]:
    data_filter = getattr(tarfile, "data_filter", None)
    for count, info in enumerate(_each_member(opened, inflated), 1):
        if count > limits.members:
            raise _too_large(archive, f"{limits.members} members", "--max-sdist-members")
        name = checked_name(archive, info.name)
        kind = _tar_kind(info)
        if info.size < 0:
            raise _damaged(archive, f"{info.name!r} has a negative size")
        if not kind:
            raise _refuse(archive, f"{info.name!r} is neither file, directory nor link")
        link = checked_name(archive, info.linkname) if kind == "hardlink" else info.linkname
        if data_filter and kind != "symlink":  # `_check_links` checks these more strictly
            data_filter(info, directory)
        if kind == "symlink" and not _is_target(link):
            raise _refuse(archive, _NO_TARGET.format(info.name))
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
        kind, link = "directory" if info.is_dir() else "file", ""
        name = checked_name(archive, info.filename)
        if stat.S_ISLNK(mode):
            kind, link = "symlink", _zip_link(archive, opened, info)
        yield _Member(name, kind, mode, info.file_size, _zip_time(info), link, info)


def _zip_link(archive: str, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """The target of a symbolic link, which is its content. Raises `SourceError`."""
    try:
        target = opened.read(info).decode() if info.file_size <= strict_zip.MAX_PATH else ""
    except UnicodeDecodeError:
        target = ""
    if not _is_target(target):
        raise _refuse(archive, _NO_TARGET.format(info.filename))
    return target


def _is_target(link: str) -> bool:
    return 0 < len(link) <= strict_zip.MAX_PATH and _is_text(link)


def _zip_time(info: zipfile.ZipInfo) -> float:
    import calendar

    try:
        return float(calendar.timegm((*info.date_time, 0, 0, 0)))
    except ValueError:  # month 0: the program that wrote the file had no time
        return -1.0


def checked_name(archive: str, name: str) -> str:
    """`name` without `.` components. Absolute names, `..`, backslashes, control characters and overlong names raise
    `SourceError`."""
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
            raise _too_large(self._archive, f"{self._limits.members} members", "--max-sdist-members")
        os.mkdir(path)
        os.chmod(path, 0o755)
        self._made.add(path)


def _extract(
    archive: str,
    members: Iterator[_Member],
    opened: tarfile.TarFile | zipfile.ZipFile,
    directory: str,
    limits: SdistLimits,
) -> list[_Member]:
    """Write directories and files, then symbolic links, and return the links.

    Timestamps are kept; modes become 755 or 644. If the archive has a file twice, with the same content, mode and time
    are those of the later one, as with tar(1).
    """
    left = limits.size
    links: dict[str, _Member] = {}
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
                raise _refuse(archive, f"it has two different files named {member.name!r}")
            continue
        if member.name in links:
            raise _refuse(archive, f"it has two different files named {member.name!r}")
        if member.kind == "hardlink":  # a second name of an earlier member: it becomes a copy of that file
            if member.link not in files:
                raise _refuse(archive, f"{member.name!r} is a link to {member.link!r}, which is no earlier file in it")
            target = os.path.join(directory, member.link)
            status = os.stat(target)
            member = member._replace(size=status.st_size, mode=status.st_mode, mtime=status.st_mtime)
        if member.size > left:
            raise _too_large(archive, f"{limits.size} bytes", "--max-sdist-size")
        left -= member.size
        directories.make(os.path.dirname(path))
        with open(target, "rb") if member.kind == "hardlink" else _content(archive, opened, member) as source:
            (_compare if member.name in files else _write)(archive, source, path, member)
        files.add(member.name)
    _make_links(list(links.values()), directory, directories)
    return list(links.values())


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
    _settle(path, member)


def _settle(path: str, member: _Member) -> None:
    """Set mode and time of the file. The mode is 755 or 644, as with a umask of 022."""
    os.chmod(path, 0o755 if member.mode & 0o111 else 0o644)
    if 0 <= member.mtime < _END_OF_TIME:  # false for NaN, too
        os.utime(path, (member.mtime, member.mtime))


def _compare(archive: str, source: IO[bytes], path: str, member: _Member) -> None:
    """Compare a second member of the same name with the file at `path`; raise `SourceError` if they differ."""
    with open(path, "rb") as earlier:
        while block := source.read(1 << 20):
            if earlier.read(len(block)) != block:
                break
        if block or earlier.read(1):
            raise _refuse(archive, f"it has two different files named {member.name!r}")
    _settle(path, member)


def _make_links(links: list[_Member], directory: str, directories: _Directories) -> None:
    paths = [os.path.join(directory, member.name) for member in links]
    for path in paths:  # all of them before the first link, so that no directory is made through one
        directories.make(os.path.dirname(path))
    for path, member in zip(paths, links, strict=True):
        os.symlink(member.link, path)


def _check_links(archive: str, links: list[_Member], directory: str, top: str) -> None:
    """Raise `SourceError` for a symbolic link whose target is outside the directory `top`."""
    root, inside = os.path.realpath(directory), os.path.join(os.path.realpath(top), "")
    for member in links:
        path = os.path.join(directory, member.name)
        destination = os.path.realpath(path) if not _is_endless(path) else os.path.join(root, _next(member))
        if os.path.isabs(member.link) or not os.path.join(destination, "").startswith(inside):
            raise _refuse(archive, f"the link {member.name!r} leads out of it, to {member.link!r}")


def _is_endless(path: str) -> bool:
    """Whether `path` is in a loop of links, or in a chain of more links than the system follows (ELOOP).

    Such links are not given to `os.path.realpath`, which would take very long for chains of many thousand links.
    """
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _next(member: _Member) -> str:
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
        listed = ", ".join(map(_plain, _listed(directory)[:5])) or "nothing"
        raise SourceError(f"{archive} holds {listed} instead of one project directory", advice)
    where = _plain(os.path.basename(top))
    raise SourceError(f"{archive} has neither {' nor '.join(PROJECT_FILES)} in {where}", advice)
