"""Open a wheel: what it says of itself, checked, before any of it is written (PEP 427, PEP 376, PEP 440, PEP 566).

A `Wheel` can only exist if its file name, `.dist-info`, WHEEL, METADATA and RECORD exist, agree with one another and
with the list of members, both ways. That the contents are what RECORD says is checked while they are written
(`wheel.image`), in one pass.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed, WheelRefused
from sage_wheels.installed import record
from sage_wheels.installed.metadata import canonical_name, headers
from sage_wheels.wheel.archive import Archive, Damaged, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.wheel.archive import Limits, Member

# RECORD cannot list its own hash; signatures are made after it (PEP 427; PEP 815 says to ignore them).
UNHASHED = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
SCHEMES = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
# The largest seen: 4 MB of METADATA (a readme with pictures), 12 MB of RECORD (100,000 files).
_METADATA_LIMIT = 64 << 20  # bytes
_NAME = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_GET_AGAIN = "get the wheel again, or rebuild it"


class FileName(NamedTuple):
    """The parts of a wheel's file name (PEP 427): `tags` are compressed sets, as they stand there."""

    name: str
    version: str
    tags: str


def parse_file_name(path: str) -> FileName:
    """Take a wheel's file name apart. Raises `WheelRefused`.

    >>> parse_file_name("/w/six-1.16.0-py2.py3-none-any.whl")
    FileName(name='six', version='1.16.0', tags='py2.py3-none-any')
    """
    base = os.path.basename(path)
    parts = base.removesuffix(".whl").split("-")
    if not base.endswith(".whl") or len(parts) not in (5, 6) or not all(parts):
        raise WheelRefused(
            f"{path} is not named as a wheel is (NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl)",
            "give it the name it was published or built with",
        )
    if len(parts) == 6 and not parts[2][0].isdigit():
        raise WheelRefused(f"{path} has a build tag that does not begin with a digit", _GET_AGAIN)
    return FileName(parts[0], parts[1], "-".join(parts[-3:]))


class Wheel:
    """An open wheel whose description of itself holds together.

    `name` and `version` are METADATA's, `dist_info` is the directory's name; `rows` are RECORD's, by path, and
    `record` is RECORD itself. `limits` bound what it may unpack to.
    """

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        self.path = path
        self.file_name = parse_file_name(path)
        try:
            self.archive = Archive(path, limits)
        except TooLarge as error:
            advice = f"if you trust it, raise the bound with --max-wheel-{error.limit}"
            raise WheelRefused(f"{path} unpacks to more than {error.bound}", advice) from error
        except Damaged as error:
            raise WheelRefused(f"{path} is damaged: {error}", _GET_AGAIN) from error
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, "opening the wheel") from error
        try:
            self._describe()
        except Damaged as error:
            self.close()
            raise WheelRefused(f"{path} is damaged: {error}", _GET_AGAIN) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.archive.close()

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def canonical_name(self) -> str:
        return canonical_name(self.name)

    def read_text(self, name: str) -> str | None:
        """The text of a file in the `.dist-info`; None if there is none."""
        member = f"{self.dist_info}/{name}"
        if member not in self.archive.members:
            return None
        try:
            return self.archive.read(member, _METADATA_LIMIT).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refused(f"its {member} is not UTF-8") from error
        except Damaged as error:
            raise self.damaged(error) from error

    def damaged(self, error: Damaged) -> WheelRefused:
        return WheelRefused(f"{self.path} is damaged: {error}", _GET_AGAIN)

    def refused(self, what: str, advice: str = _GET_AGAIN) -> WheelRefused:
        return WheelRefused(f"{self.path}: {what}", advice)

    def is_unhashed(self, member: str) -> bool:
        return member.startswith(self.dist_info) and member[len(self.dist_info) + 1 :] in UNHASHED

    def place(self, member: str) -> tuple[str, str]:
        """The scheme that `member` belongs to, and its path below that scheme's directory."""
        if not member.startswith(self._data_prefix):
            return self.root_scheme, member
        scheme, _, rest = member[len(self._data_prefix) :].partition("/")
        if scheme not in SCHEMES or not rest:
            raise self.refused(f"it has {member}, but {scheme!r} is none of {', '.join(sorted(SCHEMES))}")
        return scheme, rest

    def _describe(self) -> None:
        self.dist_info = self._find_dist_info()
        self._data_prefix = f"{self.dist_info.removesuffix('.dist-info')}.data/"
        about = headers(self._require("WHEEL"))
        major = about.get("wheel-version", [""])[0].partition(".")[0]
        if major != "1":
            raise self.refused(f"it has Wheel-Version {major or 'none'}, and only 1.x is known", "rebuild it")
        self._check_tags(about.get("tag", []))
        self.root_scheme = "purelib" if about.get("root-is-purelib", ["true"])[0].lower() == "true" else "platlib"
        self.metadata = headers(self._require("METADATA"))
        self.name = self.metadata.get("name", [""])[0]
        self.version = self.metadata.get("version", [""])[0]
        # core metadata, "Name"; and what no version has, whatever its scheme: both become parts of paths and messages
        if not _NAME.fullmatch(self.name) or not self.version.isprintable() or not self.version.isascii():
            raise self.refused(f"its METADATA says {self.name!r} {self.version!r}, which is no name and version")
        for what, theirs in (("METADATA", (self.name, self.version)), ("dist-info", self._dist_info_name())):
            if not _same_project(theirs, self.file_name[:2]):
                raise self.refused(f"its {what} says {theirs[0]} {theirs[1]}, its file name something else")
        self.rows = self._read_record()

    def _check_tags(self, lines: list[str]) -> None:
        """The file name decides whether a wheel fits, so it may not name a Python or ABI that WHEEL does not know.

        Platforms differ in real wheels: who makes `manylinux` of `linux` does not always tell WHEEL.
        """
        own = [line.split("-") for line in lines]
        if not all(len(parts) == 3 for parts in own):
            raise self.refused("its WHEEL has a Tag that is not of the form PYTHON-ABI-PLATFORM")
        pythons, abis = (frozenset(each.split(".")) for each in self.file_name.tags.split("-")[:2])
        if own and all(pythons.isdisjoint(each[0].split(".")) or abis.isdisjoint(each[1].split(".")) for each in own):
            raise self.refused(f"its WHEEL says that it is for {lines[0]}, its file name something else")

    def _dist_info_name(self) -> tuple[str, str]:
        name, _, version = self.dist_info.removesuffix(".dist-info").rpartition("-")
        return name, version

    def _find_dist_info(self) -> str:
        found = sorted({name.split("/", 1)[0] for name in self.archive.members if ".dist-info/" in name})
        found = [name for name in found if name.endswith(".dist-info")]
        if len(found) != 1:
            raise self.refused(f"it has {len(found)} .dist-info directories instead of one")
        return found[0]

    def _require(self, name: str) -> str:
        text = self.read_text(name)
        if text is None:
            raise self.refused(f"it has no {self.dist_info}/{name}")
        return text

    def _read_record(self) -> dict[str, record.Row]:
        member = f"{self.dist_info}/RECORD"
        if member not in self.archive.members:
            raise self.refused(f"it has no {member}")
        try:
            self.record = self.archive.read(member, _METADATA_LIMIT)
            listed = record.parse(self.record)
        except ValueError as error:
            raise self.refused(f"its {member} cannot be read: {error}") from error
        rows = {row.path: row for row in listed}
        if len(rows) != len(listed):
            raise self.refused(f"its {member} lists a file twice")
        for path in rows:
            if path not in self.archive.members and not (self.is_unhashed(path) or path.endswith("/")):
                raise self.refused(f"its {member} lists {path!r}, which is not in it")
        for name, each in self.archive.members.items():
            if not self.is_unhashed(name):
                self._check_row(each, rows.get(name))
            self.place(name)
        return rows

    def _check_row(self, member: Member, row: record.Row | None) -> None:
        if row is None:
            raise self.refused(f"{member.name!r} is not listed in its RECORD")
        algorithm, equals, digest = row.digest.partition("=")
        if not equals or not digest or algorithm not in record.ALGORITHMS:
            known = "no hash" if not row.digest else f"the hash {row.digest!r}, which is weak or unknown,"
            raise self.refused(f"its RECORD has {known} for {member.name!r}")
        if row.size is not None and row.size != member.size:
            raise self.refused(f"{member.name!r} has {member.size} bytes, but {row.size} in its RECORD")


def _same_project(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether (name, version) pairs speak of the same thing."""
    if canonical_name(one[0]) != canonical_name(other[0]):
        return False
    return one[1] == other[1] or _release(one[1]) == _release(other[1])


def _release(version: str) -> object:
    """`version` in a form that compares; `_` stands in file names for the `-` or `+` of old spellings (PEP 427)."""
    from packaging.version import InvalidVersion, Version

    for separator in "-+":
        try:
            return Version(version.replace("_", separator, 1))
        except InvalidVersion:
            continue
    return version
