"""What goes: the files of the distributions that are replaced or removed, and the directories that go with them."""

from __future__ import annotations

import os
import stat

from sage_wheels.errors import NotRemovable
from sage_wheels.installed import files
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.record import Row
from sage_wheels.prefix import presence
from sage_wheels.prefix.places import Places, ancestors, landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

# What build backends and installers write into a .dist-info: not foreign there, even if no RECORD says so.
_METADATA = frozenset(
    ("METADATA", "WHEEL", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "entry_points.txt", "top_level.txt")
)

Hashes = dict[tuple[str, str, int, int, int], str]  # states of files, by place, digest, inode, size and time


class Going:
    """Answers what goes, of `distributions` and of what `new` (places and names of distributions) takes the place of.

    `rows` has, by place, what each distribution that goes says of the file there: nothing of what is foreign in its
    record. `shared` are those of these places that another one of `others` owns, too; `records` the directories of
    records; `unknown` the distributions of which no list of files is left. Raises `NotRemovable`, `OSError`.
    """

    def __init__(
        self, prefix: Prefix, distributions: list[Distribution], new: dict[str, str], others: Owners, places: Places
    ) -> None:
        self._prefix = prefix
        self._places = places
        self._skeleton = landmarks(prefix, places).skeleton
        self._overwritten: set[str] = set()
        self._known_whole: dict[str, dict[str, int] | None] = {}
        self.unknown: list[Distribution] = []
        self.records: list[str] = []
        self.rows: dict[str, list[Row]] = {}
        for each in distributions:
            self._add_rows(each, new)
        self.shared = others.claimed(self.rows) if self.rows else set()
        # Python makes __pycache__, listed or not
        caches = (f"{os.path.dirname(each)}/__pycache__" for each in self.rows if each.endswith(".py"))
        self._directories = {*self.records, *caches, *(above for place in self.rows for above in ancestors(place))}

    def _add_rows(self, distribution: Distribution, new: dict[str, str]) -> None:
        """A record goes with all that is in it, or it would still name a distribution."""
        inside = self._inside(distribution)
        try:
            rows = files.owned(self._prefix, distribution, self._places).rows
        except NotRemovable:
            if distribution.canonical_name not in new.values():
                raise
            # a wheel takes its place, and that of those files of its record that are not foreign there
            self.unknown.append(distribution)
            is_dist_info = distribution.kind == ".dist-info"
            rows = {each: Row(each) for each in inside if not is_dist_info or os.path.basename(each) in _METADATA}
        for place, row in rows.items():
            self.rows.setdefault(place, []).append(row)
        comes_again = self._places.locate("", f"{distribution.path}/RECORD") in new
        if distribution in self.unknown or not comes_again:
            for place in inside:
                self.rows.setdefault(place, [])

    def _inside(self, distribution: Distribution) -> list[str]:
        """The files of the record itself; notes the directories."""
        record = self._places.locate("", distribution.path)
        status = record and presence.lstat(self._prefix.path(record))
        if not record or not status:
            return []
        if not stat.S_ISDIR(status.st_mode):
            return [record]
        inside: list[str] = []
        waiting = [record]
        while waiting:
            directory = waiting.pop()
            self.records.append(directory)
            with os.scandir(self._prefix.path(directory)) as scan:
                for entry in scan:
                    below = waiting if entry.is_dir(follow_symlinks=False) else inside
                    below.append(f"{directory}/{entry.name}")
        return inside

    def overwrite(self, place: str) -> None:
        """The file at `place`, of whomever it is, goes, too."""
        self._overwritten.add(place)
        self._directories.add(f"{os.path.dirname(place)}/__pycache__")

    def goes(self, place: str) -> bool:
        """Whether the file at `place` belongs to what is replaced or removed, and to nobody else.

        Byte-code goes with its source, whoever lists it: Python would take it for that of a new source of the same
        size and second.
        """
        if place in self.rows and place not in self.shared:
            return True
        source = source_of_bytecode(place)
        if source in self._overwritten:
            return True
        return place not in self.rows and source in self.rows and source not in self.shared

    def whole(self, place: str) -> dict[str, int] | None:
        """The directories at and below `place`, with their times, if all that is in them goes; else None."""
        if place in self._skeleton or place not in self._directories:
            return None
        if place not in self._known_whole:
            device = os.stat(self._prefix.path(os.path.dirname(place))).st_dev
            self._known_whole[place] = self._all_goes(place, device)
        return self._known_whole[place]

    def _all_goes(self, place: str, device: int) -> dict[str, int] | None:
        path = self._prefix.path(place)
        status = os.lstat(path)
        if status.st_dev != device:
            return None  # a mount point cannot be renamed
        directories = {place: status.st_mtime_ns}
        with os.scandir(path) as scan:
            entries = list(scan)
        is_cache = place.endswith("/__pycache__")
        if not entries and not is_cache and place not in self.records:
            return None  # an empty directory is nobody's
        inside = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(f"{place}/{entry.name}")
            elif not self.goes(f"{place}/{entry.name}"):
                return None
        for each in inside:
            below = self._all_goes(each, device)
            if below is None:
                return None
            directories.update(below)
        if is_cache:
            del directories[place]  # whoever imports the package writes there, and that goes with it
        return directories

    def unlisted_bytecode(self) -> Iterator[str]:
        """Byte-code of sources that go, which no RECORD of theirs lists: other interpreters, other optimisations."""
        sources = [place for place in [*self.rows, *self._overwritten] if place.endswith(".py")]
        for directory in sorted({os.path.dirname(place) for place in sources}):
            cache = f"{directory}/__pycache__" if directory else "__pycache__"
            try:
                names = os.listdir(self._prefix.path(cache))
            except (FileNotFoundError, NotADirectoryError):
                continue
            found = (f"{cache}/{name}" for name in names)
            yield from (each for each in found if each not in self.rows and self.goes(each))

    def edited(self, hashes: Hashes) -> Iterable[str]:
        """Files that go and are not what was installed; `hashes` remembers what was compared."""
        for place, rows in self.rows.items():
            if place not in self.shared and self._is_edited(place, rows, hashes):
                yield place

    def _is_edited(self, place: str, rows: list[Row], hashes: Hashes) -> bool:
        """Whether the file at `place` is none of those that were installed there, as far as a hash tells."""
        told = [row for row in rows if files.has_hash(row)] or [row for row in rows if row.digest]
        is_foreign = not rows
        if not told and not is_foreign:
            return False
        status = presence.lstat(self._prefix.path(place))
        if status is None or stat.S_ISDIR(status.st_mode):
            return False
        for row in told:
            key = (place, row.digest, status.st_ino, status.st_size, status.st_mtime_ns)
            if key not in hashes:
                hashes[key] = files.state_of(self._prefix, place, row)
            if hashes[key] not in ("changed", "unreadable"):
                return False
        return True
