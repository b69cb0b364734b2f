"""Find the distributions that own a path, by their RECORDs (or the lists in `.egg-info`).

To read a thousand RECORDs takes a second. So for each distribution the areas of its files are cached; an area is an
entry of a library directory, or elsewhere a path of up to three components. To find the owners of a path, only the
RECORDs with files in the same area are read.

A cache entry is valid as long as the RECORD has the same content, which is usually known from its stat (see
`unchanged`), and the directories in it resolve to the same paths: one may have been moved and replaced by a link. (This
is checked for the directories above areas, not for those inside, because it takes an lstat(2) for each directory.)
"""

from __future__ import annotations

import json
import os
import time

from sage_wheels.errors import FileOperationFailed, NotRemovable
from sage_wheels.fs import presence
from sage_wheels.fs.files import regular
from sage_wheels.installed.claims import FileClaims, base_of
from sage_wheels.installed.distributions import NO_FILE
from sage_wheels.installed.files import owned, source_of
from sage_wheels.installed.record import digest_of
from sage_wheels.installed.unchanged import clock_of
from sage_wheels.prefix import memo
from sage_wheels.prefix.locator import Locator, landmarks
from sage_wheels.prefix.paths import parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.installed.unchanged import Clock
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath

_MEMO = "areas.json"
_LONGEST = 64 << 20  # bytes; longer lists of files are not read
# The list of files in each kind of metadata directory that has one.
_LISTINGS = {".dist-info": ("RECORD",), ".egg-info": ("installed-files.txt", "top_level.txt")}


def area(libraries: Iterable[str], path: str) -> str:
    """The area that contains `path`, a path in the prefix; `libraries` are its library directories."""
    for library in libraries:
        if path.startswith(f"{library}/"):
            depth = library.count("/") + 2
            break
    else:
        depth = 3
    return "/".join(path.split("/", depth)[:depth])


def areas(libraries: Iterable[str], paths: Iterable[str]) -> set[str]:
    """The areas that contain `paths`.

    >>> sorted(areas(["lib"], ["lib/a/b/c.py", "lib/a/b/d.py", "lib/a/e.py", "lib/f.py", "bin/g"]))
    ['bin/g', 'lib/a', 'lib/f.py']
    """
    result: set[str] = set()
    seen: set[str] = set()  # directories inside an area, whose files are all in the same area
    for path in paths:
        directory = path.rpartition("/")[0]
        if directory not in seen:
            found = area(libraries, path)
            result.add(found)
            if found != path:
                seen.add(directory)
    return result


def areas_of_new(libraries: Iterable[str], locator: Locator, paths: Iterable[PrefixPath]) -> set[str]:
    """The areas that contain the new files `paths`, in which links are not resolved yet."""
    found: set[str] = set()
    known: dict[PrefixPath, bool] = {}  # whether all files of a directory are in an area that was found

    def is_known(directory: PrefixPath) -> bool:
        if directory not in known:
            above = parent(directory)
            known[directory] = bool(above) and is_known(above) and locator.is_missing(above)
        return known[directory]

    for path in paths:
        directory = parent(path)
        if not is_known(directory):
            located = locator.locate("", path) or path
            here = area(libraries, located)
            found.add(here)
            known[directory] = here != located
    return found


class Owners:
    """Finds the owners of paths among `distributions`. A distribution whose list of files is missing owns nothing.

    The methods raise `FileOperationFailed` if a list exists and cannot be read.
    """

    def __init__(self, prefix: Prefix, distributions: Iterable[Distribution], *, remember: bool = True) -> None:
        self.prefix = prefix
        self._remember = remember  # false if only some distributions are given, or the lock is held
        self.locator = Locator(prefix.root)
        self._libraries = landmarks(prefix, self.locator).libraries
        self._distributions = {each.path: each for each in distributions if each.kind in _LISTINGS}
        self._known: dict[str, FileClaims] = {}
        self._areas: dict[str, list[str]] | None = None

    def owners(self, path: PrefixPath) -> list[Distribution]:
        """The distributions whose RECORD lists `path`."""
        where = area(self._libraries, path)
        return [
            each
            for metadata, each in self._distributions.items()
            if where in self.areas()[metadata] and path in self._owned(metadata).rows
        ]

    def of_file(self, path: PrefixPath) -> list[Distribution]:
        """As `owners`, but byte-code that no RECORD lists belongs to the owners of its source."""
        source = source_of(path)
        return self.owners(path) or (self.owners(source) if source else [])

    def of(self, path: PrefixPath) -> list[Distribution]:
        """The distributions that own the file at `path`, or have files in the directory that is there."""
        found = self.of_file(path)
        if found or not presence.is_real_directory(self.prefix.path(path)):
            return found
        inside = f"{path}/" if path else ""
        return [
            each
            for metadata, each in self._distributions.items()
            if any(f"{where}/".startswith(inside) or inside.startswith(f"{where}/") for where in self.areas()[metadata])
            and any(owned.startswith(inside) for owned in self._owned(metadata).rows)
        ]

    def claimed(self, paths: Iterable[PrefixPath]) -> set[PrefixPath]:
        """Those of `paths` that at least one of the distributions owns."""
        paths = set(paths)
        wanted = areas(self._libraries, paths)
        result: set[PrefixPath] = set()
        for metadata in self._distributions:
            if not wanted.isdisjoint(self.areas()[metadata]):
                result |= paths & self._owned(metadata).rows.keys()
        return result

    def areas(self) -> dict[str, list[str]]:
        """The areas of each distribution, by the path of its metadata directory, relative to the prefix."""
        if self._areas is None:
            self._areas = self._load()
        return self._areas

    def claims(self, distribution: Distribution) -> FileClaims:
        """What `distribution`, one of these, owns; nothing if that is not known."""
        return self._owned(distribution.path) if distribution.path in self._distributions else FileClaims({}, [])

    def _owned(self, path: str) -> FileClaims:
        if path not in self._known:
            try:
                self._known[path] = owned(self.prefix, self._distributions[path], self.locator)
            except NotRemovable:
                self._known[path] = FileClaims({}, [])  # its files are not known
        return self._known[path]

    def _load(self) -> dict[str, list[str]]:
        known: dict[str, Any] = memo.read_json(self.prefix, _MEMO, {str: ([int], str, dict, [str])}) or {}
        fresh: dict[str, list[Any]] = {}
        now = time.time_ns()
        clock = clock_of(self.prefix)
        for path in self._distributions:
            stat = self._stat(path, clock, now)
            entry = known.get(path)
            if entry and not self._still_resolves(entry[2]):
                entry = None
            if not entry or not stat or entry[0] != stat:
                digest = self._digest(path)
                if not entry or not digest or entry[1] != digest:  # an unreadable list is not known to be the same
                    found = areas(self._libraries, self._owned(path).rows)
                    entry = [stat, digest, self._resolved_above(path) if self._remember else {}, sorted(found)]
                entry = [stat, *entry[1:]]
            fresh[path] = entry
        is_new = any(known.get(path) != entry for path, entry in fresh.items())
        # entries of removed distributions stay; nothing is cached in a prefix into which this tool has not installed
        if self._remember and is_new and os.path.isdir(self.prefix.state):
            memo.write(self.prefix, _MEMO, json.dumps(fresh).encode())
        return {path: entry[3] for path, entry in fresh.items()}

    def _resolved_above(self, path: str) -> dict[str, str | None]:
        """The resolved path of each directory above an area in the list at `path`, by its unresolved path there."""
        distribution = self._distributions[path]
        found = self._owned(path)
        listed = [*(row.path for row in found.rows.values()), *found.ignored]
        base = base_of(distribution)
        named = {self.locator.unresolved(base, each) for each in set(map(os.path.dirname, listed))}
        scheme = self.prefix.scheme
        above = {area((scheme.purelib, scheme.platlib), each) for each in named if each}
        return {each: self.locator.directory(each) for each in sorted(above)}

    def _still_resolves(self, directories: dict[str, Any]) -> bool:
        """Whether `directories` from the cache still have the same resolved paths."""
        try:
            return all(self.locator.directory(each) == resolved for each, resolved in directories.items())
        except (ValueError, RecursionError):  # invalid paths in a damaged cache
            return False

    def _stat(self, path: str, clock: Clock | None, now: int) -> list[int]:
        """Numbers from the stat of the list at `path` that change with it; empty if the stat cannot be relied on."""
        try:
            status = os.stat(self._listing(path))
        except OSError:
            return []
        if clock is None or not clock.tells(status, now):
            return []
        return [status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size]

    def _digest(self, path: str) -> str:
        """The digest of the list at `path`; "" if it does not exist. Raises `FileOperationFailed`."""
        try:
            with open(self._listing(path), "rb", opener=regular) as f:
                # a longer list is not used anyway, so the rest need not be read
                return digest_of(f.read()) if os.fstat(f.fileno()).st_size <= _LONGEST else ""
        except OSError as error:
            if error.errno in NO_FILE:
                return ""
            doing = f"reading what belongs to {self._distributions[path]}"
            raise FileOperationFailed.from_os_error(error, doing) from error

    def _listing(self, path: str) -> str:
        listings = [f"{self.prefix.root}/{path}/{name}" for name in _LISTINGS[self._distributions[path].kind]]
        return next(filter(os.path.lexists, listings), listings[0])
