"""A destination for frontends that use PyPA's `installer`: a `WheelDestination` that installs in one transaction.

The files that the frontend writes are kept in a stage. In `finalize_installation`, a wheel is made of them, and is
checked and installed like any other wheel, so the frontend and its source need not be trusted. Until then the prefix
does not change and is not locked.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import weakref
import zipfile

from installer.destinations import WheelDestination
from installer.records import Hash, RecordEntry

from sage_wheels.errors import FileOperationFailed, WheelRefused
from sage_wheels.fs import trust
from sage_wheels.installed import record
from sage_wheels.metadata import headers, is_data
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import Prefix, find_prefix
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions, install
from sage_wheels.transaction.sweep import own_stage
from sage_wheels.wheel import scripts
from sage_wheels.wheel.image import Request
from sage_wheels.wheel.wheel import SCHEMES, Wheel
from sage_wheels.wheel.writer import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from installer.scripts import ScriptSection
    from installer.utils import Scheme

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.prefix.model import PrefixLike
    from sage_wheels.transaction.report import Report

_BLOCK = 1 << 20  # bytes
_METADATA_LIMIT = 64 << 20  # bytes, as of a wheel
_ADVICE = "this is an error of the program that installs, or of the wheel"


class PrefixDestination(WheelDestination):
    """Use it instead of `installer.destinations.SchemeDictionaryDestination`: a failed installation changes nothing,
    and an older version is replaced.

    >>> import installer
    >>> with installer.sources.WheelFile.open("six-1.16.0-py2.py3-none-any.whl") as source:  # doctest: +SKIP
    ...     installer.install(source, PrefixDestination("/opt/prefix"), {"INSTALLER": b"mine"})

    `prefix`, `options`, `commit_options` and `limits` are as for `sage_wheels.install`; but by default, a distribution
    that is installed already is installed again. `report` is None until the installation is done. Scripts and byte-code
    are made for the Python of the prefix.
    """

    def __init__(
        self,
        prefix: PrefixLike = None,
        options: InstallOptions | None = None,
        commit_options: CommitOptions | None = None,
        limits: WheelLimits | None = None,
    ) -> None:
        self.report: Report | None = None
        self._prefix = prefix if isinstance(prefix, Prefix) else find_prefix(prefix)
        self._options = options or InstallOptions(reinstall=True)
        self._commit_options = commit_options or CommitOptions()
        self._limits = limits
        self._incoming: _Incoming | None = None

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:
        """Note the name of a script. All scripts are made later, from the `entry_points.txt` that is written."""
        self._kept().scripts.add(name)
        return RecordEntry(name, None, None)

    def write_file(
        self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool
    ) -> RecordEntry:
        """Write a file to the stage; returns its row for RECORD. Raises `WheelRefused`, `FileOperationFailed`."""
        try:
            with trust.masked():
                kept = self._kept().add(scheme, os.fspath(path), stream, is_executable)
        except OSError as error:
            raise self._failed(error) from error
        return kept.entry()

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Install the files that were written. Raises the errors of `sage_wheels.install`; nothing is changed then."""
        incoming = self._kept()
        try:
            with trust.masked():
                incoming.check(scheme, record_file_path, records)
                made = incoming.make_wheel(scheme, os.path.dirname(record_file_path))
                with Wheel(made, self._limits) as wheel:
                    if wheel.root_scheme != scheme:
                        raise wheel.refused(f"its WHEEL says {wheel.root_scheme}, and not {scheme}", _ADVICE)
                    incoming.check_scripts(wheel)
                    by = incoming.content(scheme, f"{wheel.dist_info}/INSTALLER")
                    request = Request(wheel, requested=False, installer=by or b"")
                    self.report = install(self._prefix, [request], self._options, self._commit_options)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            incoming.close()
            self._incoming = None

    def _kept(self) -> _Incoming:
        if self._incoming is None:
            self._incoming = _Incoming(self._prefix, self._commit_options)
            weakref.finalize(self, self._incoming.close)  # if the frontend fails, nothing is called
        return self._incoming

    def _failed(self, error: OSError) -> FileOperationFailed:
        return FileOperationFailed.from_os_error(error, f"installing into {self._prefix.root}")


class _File(NamedTuple):
    """A file that was written: its scheme and path, and the offset and size of its content in `contents`."""

    scheme: str
    path: str
    start: int
    size: int
    digest: str
    executable: bool

    def entry(self) -> RecordEntry:
        return RecordEntry(self.path, Hash.parse(self.digest), self.size)


class _Incoming:
    """The files that one installation has written so far: their contents are in one file of a stage, `contents`."""

    def __init__(self, prefix: Prefix, commit_options: CommitOptions) -> None:
        self.scripts: set[str] = set()
        self._files: dict[tuple[str, str], _File] = {}
        self._size = 0
        self._process = os.getpid()
        self._is_closed = False
        with trust.masked():
            self._open = contextlib.ExitStack()
            self._stage = self._open.enter_context(own_stage(prefix, commit_options.say, commit_options.history))
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._contents = os.open(f"{self._stage.path}/contents", flags, 0o600)

    def close(self) -> None:
        """Empty the stage, unless this is a forked child of the process that made it."""
        if not self._is_closed and self._process == os.getpid():
            self._is_closed = True
            os.close(self._contents)
            self._open.close()

    def add(self, scheme: str, path: str, stream: BinaryIO, executable: bool) -> _File:
        if scheme not in SCHEMES:
            raise WheelRefused(f"{path!r} is written to {scheme!r}, which is no scheme of a wheel", _ADVICE)
        if (scheme, path) in self._files:
            raise WheelRefused(f"{path!r} is written twice into {scheme}", _ADVICE)
        digest, start = hashlib.sha256(), self._size
        while block := stream.read(_BLOCK):
            digest.update(block)
            self._size += write_all(self._contents, block)
        file = _File(
            scheme, path, start, self._size - start, record.encode("sha256", digest.digest()), bool(executable)
        )
        self._files[scheme, path] = file
        return file

    def content(self, scheme: str, path: str) -> bytes | None:
        """The content of a small file; None if it was not written. Raises `WheelRefused` if it is large."""
        file = self._files.get((scheme, path))
        if file is None:
            return None
        if file.size > _METADATA_LIMIT:
            raise WheelRefused(f"{path!r} has {file.size} bytes, which is too large", _ADVICE)
        return os.pread(self._contents, file.size, file.start)

    def check(self, root: str, record_path: str, records: Iterable[tuple[Scheme, RecordEntry]]) -> None:
        """Raise `WheelRefused` if `records` do not list exactly what was written, and RECORD in the scheme `root`."""
        if not re.fullmatch(r"[^/]+\.dist-info/RECORD", record_path):
            raise WheelRefused(f"{record_path!r} is no path of a RECORD", _ADVICE)
        listed = {(str(scheme), entry.path): entry for scheme, entry in records}
        listed.pop((root, record_path), None)
        wanted = {key: file.entry() for key, file in self._files.items()}
        wanted.update({("scripts", name): RecordEntry(name, None, None) for name in self.scripts})
        for key in sorted(listed.keys() | wanted.keys()):
            if listed.get(key) != wanted.get(key):
                raise WheelRefused(f"the row of RECORD for {key[1]!r} does not fit the file that was written", _ADVICE)

    def check_scripts(self, wheel: Wheel) -> None:
        """Raise `WheelRefused` if a script was asked for that the entry points of `wheel` do not name."""
        if unknown := self.scripts.difference(scripts.names(wheel)):
            raise wheel.refused(f"the script {min(unknown)!r} is not one of its entry points", _ADVICE)

    def make_wheel(self, root: str, dist_info: str) -> str:
        """Write a wheel with these files into the stage; returns its path."""
        stem = dist_info.removesuffix(".dist-info")
        tag = _tag(headers((self.content(root, f"{dist_info}/WHEEL") or b"").decode(errors="replace")).get("tag", []))
        path = f"{self._stage.path}/{stem}-{tag}.whl"
        rows = []
        with zipfile.ZipFile(path, "x") as archive:
            for file in self._files.values():
                if file.scheme == root and is_data(file.path):
                    raise WheelRefused(f"{file.path!r} is no path in {root}", _ADVICE)
                member = file.path if file.scheme == root else f"{stem}.data/{file.scheme}/{file.path}"
                self._write_member(archive, member, file)
                rows.append(record.Row(member, file.digest, file.size))
            name = f"{dist_info}/RECORD"
            archive.writestr(name, record.format_rows([*rows, record.Row(name)]))
        return path

    def _write_member(self, archive: zipfile.ZipFile, member: str, file: _File) -> None:
        about = zipfile.ZipInfo(member)
        if about.filename != member or not member.isprintable():
            raise WheelRefused(f"{member!r} is no plain path inside a wheel", _ADVICE)
        about.external_attr = (0o100755 if file.executable else 0o100644) << 16
        about.file_size = file.size
        with archive.open(about, "w") as copy:
            position, end = file.start, file.start + file.size
            while position < end:
                block = os.pread(self._contents, min(_BLOCK, end - position), position)
                if not block:
                    raise WheelRefused(f"the content of {member!r} is not there any more", _ADVICE)
                position += copy.write(block)


def _tag(lines: list[str]) -> str:
    """The tag set for a file name from the `Tag` lines of WHEEL; "py3-none-any" if there are none.

    Raises `WheelRefused` if no file name can have these tags.

    >>> _tag(["py2-none-any", "py3-none-any"])
    'py2.py3-none-any'
    """
    if not lines:
        return "py3-none-any"
    told: set[tuple[str, ...]] = set()
    for line in lines:
        if not re.fullmatch(r"[\w.]+-[\w.]+-[\w.]+", line, re.ASCII):
            raise WheelRefused("the WHEEL has a Tag that is not of the form PYTHON-ABI-PLATFORM", _ADVICE)
        told.update(itertools.product(*(part.split(".") for part in line.split("-"))))
    columns = [sorted(set(column)) for column in zip(*told, strict=True)]
    if told != set(itertools.product(*columns)):
        raise WheelRefused("the WHEEL has tags that no file name can have", _ADVICE)
    return "-".join(map(".".join, columns))
