"""Open a wheel and check its metadata, before any file is written (PEP 427, PEP 376, PEP 440, PEP 566).

If a `Wheel` object exists, its file name, `.dist-info`, WHEEL, METADATA and RECORD agree with one another, and RECORD
lists exactly the members of the archive. The contents are compared with RECORD later, while they are written
(`wheel.image`).
"""

from __future__ import annotations

import functools
import os
import re

from sage_wheels.archive.strict_zip import Archive, Damaged, TooLarge, member_in
from sage_wheels.errors import FileOperationFailed, UsageError, WheelRefused
from sage_wheels.fs.digest import sha256
from sage_wheels.installed import record
from sage_wheels.metadata import canonical_name, headers, in_data, is_data
from sage_wheels.named import NamedTuple
from sage_wheels.store import remembered
from sage_wheels.wheel import index
from sage_wheels.wheel.groups import grouped
from sage_wheels.wheel.index import WheelFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.archive.strict_zip import Member, MemberName, WheelLimits
    from sage_wheels.installed.record import Row
    from sage_wheels.store.store import Store
    from sage_wheels.wheel.groups import Group
    from sage_wheels.wheel.index import WheelIndex

# RECORD cannot contain its own hash, nor that of signatures, which are made later (PEP 427; PEP 815: ignore them).
UNHASHED = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
SCHEMES = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
# The largest seen: 4 MB of METADATA (a readme with pictures), 12 MB of RECORD (100,000 files).
_METADATA_LIMIT = 64 << 20  # bytes
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_READ_EACH_TIME = ("entry_points.txt",)
_GET_AGAIN = "get the wheel again, or rebuild it"


class FileName(NamedTuple):
    """The parts of the file name of a wheel (PEP 427); `tags` is the compressed tag set in lower case, not expanded."""

    name: str
    version: str
    tags: str


def parse_file_name(path: str) -> FileName:
    """Parse the file name of the wheel at `path`. Raises `WheelRefused`.

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
    return FileName(parts[0], parts[1], "-".join(parts[-3:]).lower())


class Wheel:
    """An open wheel whose metadata were checked; use it as a context manager.

    `name` and `version` are those in METADATA; `dist_info` and `data` the names of these directories; `record` is the
    content of RECORD, `rows` its rows by path. `limits` bound the size to which it may unpack; `inflater` is as for
    `Archive`. If `store` has an `index` of the wheel, its archive is not read until that is needed. The constructor
    raises `WheelRefused` and `FileOperationFailed`. `launchers` has the text of the script for each reference of an
    entry point, if it was made.
    """

    def __init__(
        self, path: str, limits: WheelLimits | None = None, *, inflater: Any = None, store: Store | None = None
    ) -> None:
        self.path = path
        self.file_name = parse_file_name(path)
        self.index: WheelIndex | None = None
        self.launchers: dict[str, bytes] = {}
        try:
            self.archive = Archive(path, limits, inflater=inflater, lazily=True)
            try:
                if not (store and self._is_known(store)):
                    self._describe()
            except BaseException:
                self.close()
                raise
        except TooLarge as error:
            advice = f"if you trust it, raise the bound with --max-wheel-{error.limit}"
            raise WheelRefused(f"{path} unpacks to more than {error.bound}", advice) from error
        except Damaged as error:
            raise WheelRefused(f"{path} is damaged: {error}", _GET_AGAIN) from error
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, "opening the wheel") from error

    def close(self) -> None:
        self.archive.close()

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def canonical_name(self) -> str:
        return canonical_name(self.name)

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of the file that is open, in hexadecimal digits. Raises `FileOperationFailed`."""
        try:
            return self.archive.digest()
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"reading {self.path}") from error

    @functools.cached_property
    def groups(self) -> list[Group]:
        """The members by directory, without RECORD."""
        if self.index:
            return self.index.groups
        return grouped(self.archive.members.values(), self.rows, self.own_record)

    @property
    def own_record(self) -> MemberName:
        return member_in(self.dist_info, "RECORD")

    def is_script(self, group: Group) -> bool:
        """Whether the members of `group` belong to the scheme "scripts"."""
        return is_data(f"{group.head}/") and self.scheme_and_path(group.member(0))[0] == "scripts"

    @functools.cached_property
    def rows(self) -> dict[str, Row]:
        """The rows of RECORD by path."""
        return self._read_record()

    @functools.cached_property
    def record(self) -> bytes:
        """The content of RECORD."""
        return self.archive.read(self.own_record, _METADATA_LIMIT)

    @functools.cached_property
    def record_digest(self) -> str:
        """The SHA-256 of RECORD, in hexadecimal digits."""
        return sha256(self.record).hexdigest()

    def facts(self) -> WheelFacts:
        texts = {name: self.read_text(name) for name in _READ_EACH_TIME}
        about = (self.dist_info, self.root_scheme, self.newer_format, self.name, self.version, self.metadata)
        return WheelFacts(*about, texts, self.record_digest, self.launchers)

    def note_digest(self, digest: str) -> None:
        """Use `digest`, which another process or the store has found, so that the file is not hashed again."""
        self.digest = digest

    def read_text(self, name: str) -> str | None:
        """The text of the file `name` in the `.dist-info`; None if it does not exist. Raises `WheelRefused`."""
        if self.index and name in self.index.facts.texts:
            return self.index.facts.texts[name]
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

    def wrong_hash(self, member: Member) -> WheelRefused:
        return self.refused(f"the content of {member.name!r} does not have the hash in its RECORD")

    def is_unhashed(self, member: str) -> bool:
        return member.startswith(self.dist_info) and member[len(self.dist_info) + 1 :] in UNHASHED

    def scheme_and_path(self, member: MemberName) -> tuple[str, str]:
        """The scheme to which `member` belongs ("purelib" ...), and its path in the directory of that scheme."""
        if not is_data(member):
            return self.root_scheme, member
        scheme, rest = in_data(member)
        if scheme not in SCHEMES or not rest:
            raise self.refused(f"it has {member}, but {scheme!r} is none of {', '.join(sorted(SCHEMES))}")
        return scheme, rest

    def _is_known(self, store: Store) -> bool:
        """Take over what `store` knows about this file, if that is all that has to be known, so that it is not read."""
        digest = remembered.known_digest(store, self.archive.identity())
        found = index.read(index.directory_of(store.root, digest)) if digest else None
        if not digest or not found or not found.allows(os.path.basename(self.path), self.archive.limits):
            return False
        self.index = found
        self.digest = digest
        facts = found.facts
        self.dist_info, self.root_scheme, self.newer_format = facts.dist_info, facts.root_scheme, facts.newer_format
        self.name, self.version, self.metadata = facts.name, facts.version, facts.metadata
        self.record_digest, self.launchers = facts.record, facts.launchers
        self._name_data()
        return True

    def _name_data(self) -> None:
        self.data = f"{self.dist_info.removesuffix('.dist-info')}.data"

    def _describe(self) -> None:
        self.dist_info = self._find_dist_info()
        self._name_data()
        about = headers(self._require("WHEEL"))
        major, _, minor = about.get("wheel-version", [""])[0].partition(".")
        if major not in ("0", "1"):  # the specification only requires to refuse greater versions
            raise self.refused(f"it has Wheel-Version {major or 'none'}, and only 0.x and 1.x are known", "rebuild it")
        is_newer = major == "1" and minor.isdecimal() and minor.strip("0")
        self.newer_format = f"1.{minor[:10]}" if is_newer else ""
        self._check_tags(about.get("tag", []))
        self.root_scheme = "purelib" if about.get("root-is-purelib", ["true"])[0].lower() == "true" else "platlib"
        self.metadata = headers(self._require("METADATA"))
        self.name = self.metadata.get("name", [""])[0]
        self.version = self.metadata.get("version", [""])[0]
        # the pattern of "Name" in the core metadata; characters that no version has. Both are used in paths and
        # messages.
        if not (_NAME.fullmatch(self.name) and self.version and self.version.isprintable() and self.version.isascii()):
            raise self.refused(f"its METADATA says {self.name!r} {self.version!r}, which is no name and version")
        for what, theirs in (("METADATA", (self.name, self.version)), ("dist-info", self._dist_info_name())):
            if not _same_project(theirs, self.file_name[:2]):
                raise self.refused(f"its {what} says {theirs[0]} {theirs[1]}, its file name something else")
        self.rows = self._read_record()
        for group in self.groups:
            self.scheme_and_path(group.member(0))

    def _check_tags(self, lines: list[str]) -> None:
        """Raise `WheelRefused` if the file name has a Python or ABI tag that is not in WHEEL.

        The file name decides whether a wheel fits. Platform tags may differ: tools that change `linux` to `manylinux`
        do not always change WHEEL.
        """
        own = [line.lower().split("-") for line in lines]
        if not all(len(parts) == 3 for parts in own):
            raise self.refused("its WHEEL has a Tag that is not of the form PYTHON-ABI-PLATFORM")
        pythons, abis = (frozenset(each.split(".")) for each in self.file_name.tags.split("-")[:2])
        if own and all(pythons.isdisjoint(each[0].split(".")) or abis.isdisjoint(each[1].split(".")) for each in own):
            raise self.refused(f"its WHEEL says that it is for {lines[0]}, its file name something else")

    def _dist_info_name(self) -> tuple[str, str]:
        name, _, version = self.dist_info.removesuffix(".dist-info").partition("-")  # as for others
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

    def _read_record(self) -> dict[str, Row]:
        member = f"{self.dist_info}/RECORD"
        if member not in self.archive.members:
            raise self.refused(f"it has no {member}")
        try:
            listed = record.parse(self.record)
        except ValueError as error:
            raise self.refused(f"its {member} cannot be read: {error}") from error
        rows: dict[str, Row] = {}
        for row in listed:
            if not record.agree(rows.setdefault(row.path, row), row):
                raise self.refused(f"its {member} lists a file twice, and differently")
        for path in rows:
            if path not in self.archive.members and not (self.is_unhashed(path) or path.endswith("/")):
                raise self.refused(f"its {member} lists {path!r}, which is not in it")
        for name, each in self.archive.members.items():
            if not self.is_unhashed(name):
                self._check_row(each, rows.get(name))
        return rows

    def _check_row(self, member: Member, row: Row | None) -> None:
        if row is None:
            raise self.refused(f"{member.name!r} is not listed in its RECORD")
        algorithm, equals, digest = row.digest.partition("=")
        if not equals or not digest or algorithm not in record.ALGORITHMS:
            known = "no hash" if not row.digest else f"the hash {row.digest!r}, which is weak or unknown,"
            raise self.refused(f"its RECORD has {known} for {member.name!r}")
        if row.size is not None and row.size != member.size:
            raise self.refused(f"{member.name!r} has {member.size} bytes, but {row.size} in its RECORD")


def _same_project(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two pairs (name, version) are the same project and version after normalisation."""
    if canonical_name(one[0]) != canonical_name(other[0]):
        return False
    return one[1] == other[1] or _release(one[1]) == _release(other[1])


def _release(version: str) -> object:
    """`version` in a form that can be compared; in file names, `_` stands for `-` or `+` (PEP 427)."""
    from packaging.version import InvalidVersion, Version

    for separator in "-+":
        try:
            return Version(version.replace("_", separator, 1))
        except InvalidVersion:
            continue
    return version


def refuse_twice(wheels: list[Wheel]) -> None:
    """Raise `UsageError` if two of `wheels` are of one project."""
    seen: dict[str, Wheel] = {}
    for wheel in wheels:
        other = seen.setdefault(wheel.canonical_name, wheel)
        if other is not wheel:
            raise UsageError(f"{other.path} and {wheel.path} are both {wheel.name}", "give only one of them")
