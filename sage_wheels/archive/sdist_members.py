"""The members of an sdist, as they are read from a zip or tar file: checked one by one, trusting nothing in it.

The rules are at the top of `unpack`, which writes the members to the disk.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile

from sage_wheels.archive import compression, strict_zip
from sage_wheels.errors import SourceError
from sage_wheels.named import NamedTuple

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
_PER_MEMBER = 4096  # bytes of headers and padding that a member may take beyond its content
_NO_TARGET = "the link {!r} has a target that is not a path"


class SdistLimits(NamedTuple):
    """Limits for unpacking an sdist: `size`, in bytes, of all files together; `members`, files and directories."""

    size: int = MAX_SIZE
    members: int = MAX_MEMBERS


class Member(NamedTuple):
    """One member, checked: `name` is relative, without `.` and `..`; `link` is the target of a symbolic link."""

    name: str
    kind: str  # "file", "directory", "symlink", "hardlink"
    mode: int
    size: int
    mtime: float
    link: str
    handle: tarfile.TarInfo | zipfile.ZipInfo


def damaged(archive: str, why: str) -> SourceError:
    """The error for an archive that cannot be read to its end."""
    return SourceError(f"{archive} is damaged ({why})", "get the sdist again")


def refused(archive: str, why: str) -> SourceError:
    """The error for an archive that could be read, and breaks a rule."""
    return SourceError(f"{archive} is not unpacked: {why}", "get it from another source, or tell its authors")


def too_large(archive: str, what: str, option: str) -> SourceError:
    """The error for an archive that exceeds a limit; `option` raises that limit."""
    return SourceError(f"{archive} unpacks to more than {what}", f"if you trust it, raise the bound with {option}")


class Inflated(io.RawIOBase):
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
            raise refused(self._archive, "one of its headers is unreasonably large")
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
            raise too_large(self._archive, f"{self._limits.size} bytes", "--max-sdist-size")

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
                raise damaged(self._archive, "a header is invalid, or other data follows the archive")
            self._read(MAX_READ)

    def close(self) -> None:
        self._file.close()
        super().close()


def check_zip(archive: str, path: str, limits: SdistLimits) -> None:
    """Refuse a zip file that `strict_zip` refuses. Members are then read by zipfile, which checks the CRCs."""
    try:
        bounds = strict_zip.WheelLimits(limits.size, limits.members, ratio=_ANY_RATIO)
        with strict_zip.Archive(path, bounds, sdist=True):
            pass
    except strict_zip.TooLarge as error:
        raise too_large(archive, error.bound, f"--max-sdist-{error.limit}") from error
    except strict_zip.Damaged as error:
        raise refused(archive, str(error)) from error


def _each_member(opened: tarfile.TarFile, inflated: Inflated) -> Iterator[tarfile.TarInfo]:
    """The members of the archive `opened`, which is read from `inflated`; their headers are bounded one by one."""
    for info in opened:
        yield info
        inflated.begin_header()


def tar_members(
    archive: str, opened: tarfile.TarFile, inflated: Inflated, directory: str, limits: SdistLimits
) -> Iterator[Member]:
    """The members of a tar file that is to be unpacked into `directory`.

    Raises `SourceError`, and what tarfile raises for invalid headers, or for what its `data` filter (PEP 706) refuses.
    """
    data_filter = getattr(tarfile, "data_filter", None)
    for count, info in enumerate(_each_member(opened, inflated), 1):
        if count > limits.members:
            raise too_large(archive, f"{limits.members} members", "--max-sdist-members")
        name = checked_name(archive, info.name)
        kind = _tar_kind(info)
        if info.size < 0:
            raise damaged(archive, f"{info.name!r} has a negative size")
        if not kind:
            raise refused(archive, f"{info.name!r} is neither file, directory nor link")
        link = checked_name(archive, info.linkname) if kind == "hardlink" else info.linkname
        if data_filter and kind != "symlink":  # `_check_links` checks these more strictly
            data_filter(info, directory)
        if kind == "symlink" and not _is_target(link):
            raise refused(archive, _NO_TARGET.format(info.name))
        yield Member(name, kind, info.mode, info.size, info.mtime, link, info)


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return "file"
    if info.isdir():
        return "directory"
    if info.issym():
        return "symlink"
    return "hardlink" if info.islnk() else ""


def zip_members(archive: str, opened: zipfile.ZipFile) -> Iterator[Member]:
    """The members of a zip file that `check_zip` has accepted. Raises `SourceError`."""
    for info in opened.infolist():
        mode = info.external_attr >> 16
        kind, link = "directory" if info.is_dir() else "file", ""
        name = checked_name(archive, info.filename)
        if stat.S_ISLNK(mode):
            kind, link = "symlink", _zip_link(archive, opened, info)
        yield Member(name, kind, mode, info.file_size, _zip_time(info), link, info)


def _zip_link(archive: str, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """The target of a symbolic link, which is its content. Raises `SourceError`."""
    try:
        target = opened.read(info).decode() if info.file_size <= strict_zip.MAX_PATH else ""
    except UnicodeDecodeError:
        target = ""
    if not _is_target(target):
        raise refused(archive, _NO_TARGET.format(info.filename))
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
        raise refused(archive, f"the name {_shown(name)} leads out of the project or is no file name")
    if strict_zip.is_too_long("/".join(parts)):
        raise refused(archive, f"the name {_shown(name)} is longer or deeper than a file system takes")
    return "/".join(parts)


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 100 else f"{name[:100]!r}..."


def plain(name: str) -> str:
    """`name` for a message: quoted and shortened, unless it is short and printable."""
    return name if name.isprintable() and len(name) <= 100 else _shown(name)


def _is_text(name: str) -> bool:
    return not any(ord(character) < 32 or ord(character) == 127 for character in name)


def read_files(path: str, names: Collection[str], most: int) -> dict[str, bytes]:
    """Read the regular files in the archive at `path` whose names, without the first directory, are among `names`.

    Files of more than `most` bytes are left out. Nothing is unpacked, and a tar archive is read only until all are
    found. Raises `SourceError`, `OSError`, and what zipfile, tarfile and the decompressors raise for a damaged archive.
    """
    found: dict[str, bytes] = {}
    if compression.of(path) == "zip":
        check_zip(path, path, SdistLimits())
        with zipfile.ZipFile(path) as opened_zip:
            for info in opened_zip.infolist():
                name = info.filename.partition("/")[2]
                if name in names and info.file_size <= most:
                    found[name] = opened_zip.read(info)
        return found
    with Inflated(path, path, SdistLimits()) as inflated, tarfile.open(fileobj=inflated, mode="r:") as opened_tar:
        for member in _each_member(opened_tar, inflated):
            name = member.name.removeprefix("./").partition("/")[2]
            if name in names and member.isreg() and member.size <= most and (file := opened_tar.extractfile(member)):
                found[name] = file.read()
                if len(found) == len(names):
                    break
    return found
