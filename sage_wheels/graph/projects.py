"""Name, version and requirements of a source, as far as they are known before it is built.

They are read from file names, pyproject.toml and PKG-INFO; nothing is unpacked or run. What cannot be read in this way
is None; then it becomes known when the source is built.
"""

from __future__ import annotations

import os

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from sage_wheels.archive.sdist_members import read_files
from sage_wheels.building.source.pyproject import build_system
from sage_wheels.fs.files import below, regular
from sage_wheels.metadata import canonical_name, headers
from sage_wheels.named import NamedTuple
from sage_wheels.requirements import toml
from sage_wheels.requirements.sources import SdistFile, SourceTree, check_asked, project_of_file, sdist_stem, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.requirements.sources import Source

_MAX_FILE = 4 << 20  # bytes of a pyproject.toml or PKG-INFO that is still read


class Project(NamedTuple):
    """A source of this run. `name` is canonical, `version` None if only its build can tell.

    `build_requires` are the lines of build-system.requires, None if they cannot be read. `requires` are the
    Requires-Dist lines if the source says that they are the same for every build (PEP 643), else None. `size` is that
    of an sdist, in bytes.
    """

    number: int
    source: Source
    name: str
    version: Version | None
    build_requires: tuple[str, ...] | None
    requires: tuple[str, ...] | None
    size: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    @property
    def text(self) -> str:
        """What the user wrote."""
        return written(self.source)


def read(number: int, source: Source, name: str) -> Project:
    """The project in `source`, as far as it can be read; `name` is its name if the source does not say another.

    Raises `SourceError` if the project has another name than the one that was asked for.
    """
    if isinstance(source, SdistFile):
        version = _version(sdist_stem(source.path)[len(project_of_file(source.path)) + 1 :])
        files, size = _files_of_archive(source)
    elif isinstance(source, SourceTree):
        version, size = None, 0
        files = {each: _content(os.path.join(source.project, each)) for each in _FILES}
    else:  # it has to be downloaded first
        return Project(number, source, name, None, None, None)
    metadata = headers((files["PKG-INFO"] or b"").decode(errors="replace"))
    table = _table(files.get("pyproject.toml"))
    told = _project_table(table)
    found = metadata.get("name", [""])[0] or str(told.get("name") or "")
    if found:
        check_asked(source, found)
        name = canonical_name(found)
    version = version or _version(metadata.get("version", [""])[0] or str(told.get("version") or ""))
    return Project(number, source, name, version, _build_requires(table), _requires(metadata), size)


_FILES = ("pyproject.toml", "PKG-INFO")


def _files_of_archive(source: SdistFile) -> tuple[dict[str, bytes | None], int]:
    """pyproject.toml and PKG-INFO of the project in an sdist, None for what is not there; and the size of the sdist."""
    wanted = {below(source.subdirectory, each): each for each in _FILES}
    found: dict[str, bytes | None] = dict.fromkeys(_FILES)
    try:
        size = os.stat(source.path).st_size
        found.update({wanted[name]: content for name, content in read_files(source.path, wanted, _MAX_FILE).items()})
    except Exception:  # a damaged archive can raise many kinds; the build will report what is wrong
        return dict.fromkeys(_FILES, b"\0"), 0
    return found, size


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb", opener=regular) as f:
            return f.read(_MAX_FILE)
    except FileNotFoundError:
        return None
    except OSError:
        return b"\0"  # unreadable: then nothing is known


def _table(content: bytes | None) -> dict[str, Any] | None:
    """What pyproject.toml has; {} if there is none, None if it cannot be read."""
    if content is None:
        return {}
    try:
        return toml.loads(content.decode())
    except (ValueError, RecursionError):
        return None


def _project_table(table: dict[str, Any] | None) -> dict[str, Any]:
    told = (table or {}).get("project")
    return told if isinstance(told, dict) else {}


def _build_requires(table: dict[str, Any] | None) -> tuple[str, ...] | None:
    found = None if table is None else build_system(table)
    return tuple(sorted(found.requires)) if found and all(map(_is_requirement, found.requires)) else None


def _requires(metadata: dict[str, list[str]]) -> tuple[str, ...] | None:
    version = _version(metadata.get("metadata-version", [""])[0])
    dynamic = {each.lower() for each in metadata.get("dynamic", [])}
    if version is None or version < Version("2.2") or "requires-dist" in dynamic:
        return None
    lines = metadata.get("requires-dist", [])
    return tuple(lines) if all(map(_is_requirement, lines)) else None


def _is_requirement(line: object) -> bool:
    if not isinstance(line, str):
        return False
    try:
        Requirement(line)
    except (InvalidRequirement, RecursionError):
        return False
    return True


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
