"""Who owns a path: the RECORDs of all distributions (and the lists in `.egg-info`), read as seldom as possible.

Reading a thousand RECORDs takes a second; so it is remembered which areas of the prefix each one speaks of (an area is
what lies directly below a library directory, or three components deep elsewhere), and only those that share an area
with the question are read. The memory is a cache under the identity of each RECORD and of where its directories led:
somebody may since have moved one and left a link. (That is seen down to areas, not inside: it would take an lstat(2) of
each directory that there is.) The cache may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os

from sage_wheels.errors import NotRemovable
from sage_wheels.installed.files import Owned, base_of, owned
from sage_wheels.prefix.filesystem import regular, write_whole
from sage_wheels.prefix.places import Places, landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

_CACHE = "cache/areas.json"
# The records that say what belongs to them, and where.
_LISTINGS = {".dist-info": "RECORD", ".egg-info": "installed-files.txt"}


def area(libraries: Iterable[str], place: str) -> str:
    """The area of a prefix that `place` lies in; `libraries` are its library directories, in the same form."""
    for library in libraries:
        if place.startswith(f"{library}/"):
            depth = library.count("/") + 2
            break
    else:
        depth = 3
    return "/".join(place.split("/", depth)[:depth])


class Owners:
    """Answers who else owns paths, among `distributions`; one without a list of its files owns nothing."""

    def __init__(self, prefix: Prefix, distributions: Iterable[Distribution], *, remember: bool = True) -> None:
        self.prefix = prefix
        self._remember = remember  # not if these are only a few of the distributions, or while the lock is held
        self.places = Places(prefix.root)
        self._libraries = landmarks(prefix, self.places).libraries
        self._distributions = {each.path: each for each in distributions if each.kind in _LISTINGS}
        self._known: dict[str, Owned] = {}
        self._areas: dict[str, list[str]] | None = None

    def owners(self, place: str) -> list[Distribution]:
        """The distributions whose RECORD lists `place`."""
        where = area(self._libraries, place)
        return [
            each
            for path, each in self._distributions.items()
            if where in self.areas()[path] and place in self._owned(path).rows
        ]

    def claimed(self, places: Iterable[str]) -> set[str]:
        """Those of `places` that any of the distributions owns."""
        places = set(places)
        wanted = {area(self._libraries, place) for place in places}
        result: set[str] = set()
        for path in self._distributions:
            if not wanted.isdisjoint(self.areas()[path]):
                result |= places & self._owned(path).rows.keys()
        return result

    def areas(self) -> dict[str, list[str]]:
        """The areas of each distribution, by the path of its record."""
        if self._areas is None:
            self._areas = self._load()
        return self._areas

    def _owned(self, path: str) -> Owned:
        if path not in self._known:
            try:
                self._known[path] = owned(self.prefix, self._distributions[path], self.places)
            except NotRemovable:
                self._known[path] = Owned({}, [])  # what it owns nobody knows
        return self._known[path]

    def _load(self) -> dict[str, list[str]]:
        cache = f"{self.prefix.state}/{_CACHE}"
        remembered: dict[str, Any] = {}
        with (
            contextlib.suppress(OSError, ValueError, RecursionError),
            open(cache, encoding="utf-8", opener=regular) as f,
        ):
            remembered = json.load(f)
        known: dict[str, Any] = remembered if isinstance(remembered, dict) else {}
        fresh: dict[str, list[Any]] = {}
        is_new = False
        for path in self._distributions:
            identity = self._identity(path)
            entry = known.get(path)
            if not (isinstance(entry, list) and len(entry) == 3 and entry[0] == identity and self._leads(entry[1])):
                areas = {area(self._libraries, place) for place in self._owned(path).rows}
                entry = [identity, self._ways(path) if self._remember else {}, sorted(areas)]
                is_new = True
            fresh[path] = entry
        # what is gone costs nothing; and reading leaves nothing in a prefix that is not ours
        if self._remember and is_new and os.path.isdir(self.prefix.state):
            _store(cache, fresh)
        return {path: entry[2] for path, entry in fresh.items()}

    def _ways(self, path: str) -> dict[str, str | None]:
        """Where the directories led that the record at `path` names, down to areas, by their names there."""
        distribution = self._distributions[path]
        found = self._owned(path)
        listed = [*(row.path for row in found.rows.values()), *found.ignored]
        base = base_of(distribution)
        named = {self.places.unresolved(base, each) for each in set(map(os.path.dirname, listed))}
        scheme = self.prefix.scheme
        ways = {area((scheme.purelib, scheme.platlib), each) for each in named if each}
        return {each: self.places.directory(each) for each in sorted(ways)}

    def _leads(self, ways: object) -> bool:
        """Whether `ways`, as the cache has them, still lead where they led."""
        try:
            return isinstance(ways, dict) and all(self.places.directory(each) == place for each, place in ways.items())
        except (ValueError, RecursionError):  # garbage that no path can be
            return False

    def _identity(self, path: str) -> list[int]:
        try:
            status = os.stat(f"{self.prefix.root}/{path}/{_LISTINGS[self._distributions[path].kind]}")
        except OSError:
            return []
        return [status.st_ino, status.st_mtime_ns, status.st_size]


def _store(path: str, content: dict[str, Any]) -> None:
    """Keep the cache, if that is possible: it saves time and nothing else."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, json.dumps(content).encode())
