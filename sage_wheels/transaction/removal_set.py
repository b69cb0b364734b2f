"""The set of files that a transaction removes: those of the distributions that it replaces or removes."""

from __future__ import annotations

import os
import stat

from sage_wheels.errors import NotRemovable
from sage_wheels.fs import presence
from sage_wheels.fs.files import DIRECTORY
from sage_wheels.installed import files
from sage_wheels.installed.files import source_of
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.record import Row
from sage_wheels.installed.unchanged import UnchangedFiles
from sage_wheels.prefix.locator import landmarks
from sage_wheels.prefix.paths import ancestors, below, parent
from sage_wheels.transaction.plan import Identity, identity_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from sage_wheels.fs.mounts import Volume
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree

# Files that build backends and installers write into a .dist-info. They are not foreign, even if not in RECORD.
_METADATA = frozenset(
    ("METADATA", "WHEEL", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "entry_points.txt", "top_level.txt")
)

Hashes = dict[tuple[str, str, Identity], str]  # results of `state_of`, by path, digest and identity


class RemovalSet:
    """The files to remove for `distributions`, if the files `new` (distribution by path) are installed.

    - `rows`: by path, the rows of the RECORDs of `distributions` for the file there; none for a foreign file.
    - `shared`: those of these paths that one of `others` owns, too, so that they stay.
    - `metadata_directories`: those of `distributions`.
    - `unknown`: those of `distributions` whose list of files is missing.
    - `ignored`: the rows of RECORDs that are ignored.

    Without `whole_directories`, no existing directory is moved. Raises `NotRemovable`, `OSError`.
    """

    def __init__(
        self,
        prefix: Prefix,
        tree: Tree,
        distributions: list[Distribution],
        new: dict[PrefixPath, str],
        others: Owners,
        *,
        whole_directories: bool = True,
    ) -> None:
        self.whole_directories = whole_directories
        locator = others.locator
        self.unchanged = UnchangedFiles(prefix, {each.canonical_name for each in distributions})
        self._prefix = prefix
        self._tree = tree
        self._locator = locator
        self._skeleton = landmarks(prefix, locator).skeleton
        self._overwritten: set[PrefixPath] = set()
        self._as_installed: set[PrefixPath] = set()  # directories in which `unchanged` knows each file
        self._known_whole: dict[PrefixPath, dict[PrefixPath, int] | None] = {}
        self._distributions = distributions
        self.unknown: list[Distribution] = []
        self.ignored: list[str] = []
        self.metadata_directories: list[PrefixPath] = []
        self.rows: dict[PrefixPath, list[Row]] = {}
        for each in distributions:
            self._add_rows(each, new)
        self.shared = others.claimed(self.rows) if self.rows else set()
        # directories __pycache__ are made by Python, and need not be in RECORD
        caches = {below(parent(path), "__pycache__") for path in self.rows if path.endswith(".py")}
        listed = {parent(path) for path in self.rows} - {""}
        self._directories = {
            *self.metadata_directories,
            *caches,
            *listed,
            *(above for each in listed for above in ancestors(each)),
        }

    def _add_rows(self, distribution: Distribution, new: dict[PrefixPath, str]) -> None:
        """Add the files of `distribution`, and all files in its metadata directory, which must not stay."""
        inside = self._inside(distribution)
        try:
            rows, ignored = files.owned(self._prefix, distribution, self._locator)
            self.ignored += [f"{distribution}: {row}" for row in ignored]
        except NotRemovable as error:
            if distribution.canonical_name not in new.values():  # pip's words, for which scripts may look
                raise NotRemovable(f"Cannot uninstall {distribution}: {error.what}", error.advice) from error
            # a new wheel replaces it: remove those files of its metadata directory that are not foreign
            self.unknown.append(distribution)
            is_dist_info = distribution.kind == ".dist-info"
            rows = {each: Row(each) for each in inside if not is_dist_info or os.path.basename(each) in _METADATA}
        if self.rows:
            for path, row in rows.items():
                self.rows.setdefault(path, []).append(row)
        else:
            self.rows = {path: [row] for path, row in rows.items()}
        comes_again = self._locator.locate("", f"{distribution.path}/RECORD") in new
        if distribution in self.unknown or not comes_again:
            for path in inside:
                self.rows.setdefault(path, [])

    def _inside(self, distribution: Distribution) -> list[PrefixPath]:
        """The files in the metadata directory; also adds its directories to `metadata_directories`."""
        metadata = self._locator.locate("", distribution.path)
        status = metadata and presence.lstat(self._prefix.path(metadata))
        if not metadata or not status:
            return []
        if not stat.S_ISDIR(status.st_mode):
            return [metadata]
        inside: list[PrefixPath] = []
        waiting = [metadata]
        while waiting:
            directory = waiting.pop()
            self.metadata_directories.append(directory)
            with os.scandir(self._prefix.path(directory)) as scan:
                for entry in scan:
                    found = waiting if entry.is_dir(follow_symlinks=False) else inside
                    found.append(below(directory, entry.name))
        return inside

    def overwrite(self, path: PrefixPath) -> None:
        """Add the file at `path`, whoever owns it."""
        self._overwritten.add(path)
        self._directories.add(below(parent(path), "__pycache__"))

    def goes(self, path: PrefixPath) -> bool:
        """Whether the file at `path` is removed: it belongs to distributions that are removed, and to no other one.

        Byte-code is removed with its source, even if another RECORD lists it: Python would use it for a new source with
        the same size and modification time (in seconds).
        """
        if path in self.rows and path not in self.shared:
            return True
        source = source_of(path)
        if source in self._overwritten:
            return True
        return path not in self.rows and source in self.rows and source not in self.shared

    def whole(self, path: PrefixPath) -> dict[PrefixPath, int] | None:
        """If everything in the directory `path` is removed: it and the directories below, with their times; else
        None."""
        if not self.whole_directories or path in self._skeleton or path not in self._directories:
            return None
        if path not in self._known_whole:
            above = parent(path)
            volume = self._tree.volume(above, os.stat(self._prefix.path(above)))
            self._known_whole[path] = self._all_goes(path, volume)
        return self._known_whole[path]

    def _all_goes(self, path: PrefixPath, volume: Volume) -> dict[PrefixPath, int] | None:
        fd = os.open(self._prefix.path(path), DIRECTORY)  # to look up its entries in it is quicker than by their paths
        try:
            status = os.fstat(fd)
            if self._tree.volume(path, status) != volume:
                return None  # a mount point cannot be renamed
            with os.scandir(fd) as scan:
                entries = list(scan)
            is_cache = path.endswith("/__pycache__")
            if not entries and not is_cache and path not in self.metadata_directories:
                return None  # nobody owns an empty directory
            inside = []
            is_known = True
            for entry in entries:
                each = below(path, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    inside.append(each)
                    continue
                rows = self.rows.get(each)
                if (rows is None or each in self.shared) and not self.goes(each):
                    return None
                if is_known and rows is not None:
                    is_known = self._is_known(rows, entry)
        finally:
            os.close(fd)
        directories = {path: status.st_mtime_ns}
        if is_known:
            self._as_installed.add(path)
        for each in inside:
            deeper = self._all_goes(each, volume)
            if deeper is None:
                return None
            directories.update(deeper)
        if is_cache:
            del directories[path]  # __pycache__ may change whenever the package is imported
        return directories

    def _is_known(self, rows: list[Row], entry: os.DirEntry[str]) -> bool:
        """Whether the file `entry`, which goes and has these rows, is certainly as it was installed, or need not be."""
        for row in rows:
            if row.digest:
                return self.unchanged.holds(entry.stat(follow_symlinks=False), row.digest)
        return bool(rows)

    def unlisted_bytecode(self) -> Iterator[PrefixPath]:
        """Byte-code of removed sources that is not in RECORD: of other interpreters or optimisation levels.

        Byte-code beside its source is not named if all of the directory is removed.
        """
        sources = [path for path in [*self.rows, *self._overwritten] if path.endswith(".py")]
        done: set[PrefixPath] = set()
        for directory in sorted({parent(path) for path in sources}):
            caches = [below(directory, "__pycache__")]
            if presence.is_real_directory(self._prefix.path(directory)) and self.whole(directory) is None:
                caches.append(directory)
            for cache in caches:
                if cache in done or self._locator.directory(cache) != cache:
                    continue  # it was listed, because it has sources of its own; or it is a link to another directory
                done.add(cache)
                try:
                    names = os.listdir(self._prefix.path(cache))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                found = (below(cache, name) for name in names if ".pyc" in name or name.endswith(".pyo"))
                yield from (each for each in found if each not in self.rows and self.goes(each))

    def edited(
        self,
        hashes: Hashes,
        identify: Callable[[FullPath, os.stat_result], Identity | None],
        moved: Container[PrefixPath] = (),
    ) -> Iterable[PrefixPath]:
        """The files to remove that are not as they were installed.

        Results are stored in `hashes`, together with the identity of the file, which `identify` returns. Files in the
        directories `moved` that were unchanged when `whole` listed them are not examined again: if one is edited
        after that, the sweep will find it (see `sweep`).
        """
        enough = {each for each in self._as_installed if each in moved}
        for path, rows in self.rows.items():
            if path.rpartition("/")[0] in enough:
                continue
            told = [row for row in rows if row.digest]
            if (rows and not told) or path in self.shared:
                continue  # there is no hash, as for byte-code; or the file stays
            full = self._prefix.path(path)
            status = presence.lstat(full)
            if status is None or (told and self.unchanged.holds(status, told[0].digest)):
                continue
            if stat.S_ISDIR(status.st_mode):
                continue
            seen = identify(full, status)
            known = status if seen == identity_of(status) else None
            if seen and self._is_edited(path, told, seen, hashes, known):
                yield path

    def _is_edited(
        self, path: PrefixPath, told: list[Row], seen: Identity, hashes: Hashes, status: os.stat_result | None
    ) -> bool:
        """Whether the file at `path` has none of the hashes in the rows `told`."""
        for row in [row for row in told if files.has_hash(row)] or told:
            key = (path, row.digest, seen)
            if key not in hashes:
                hashes[key] = files.state_of(self._prefix, path, row, status)
            if hashes[key] not in ("changed", "unreadable"):
                return False
        return True
