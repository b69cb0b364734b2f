"""The wheels in some directories that fit an interpreter, best first.

Only file names are read here. Other programs may write to a wheelhouse at the same time: temporary names are ignored,
and a wheel in the list may be deleted before it is opened.
"""

from __future__ import annotations

import os

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from sage_wheels.errors import FileOperationFailed, UsageError
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class WheelEntry(NamedTuple):
    """A wheel that fits: `rank` is the position of its best tag among those of the interpreter (0 is the best)."""

    name: str
    version: Version
    build: tuple[int, str] | tuple[()]
    rank: int
    path: str


class Wheelhouse:
    """The wheels that fit `tags` (of the interpreter, best first). The directories are read once.

    Those in the directory `preferred`, which is one of them, come before all others, whatever their versions. `located`
    has the paths of the only wheels of some projects (canonical names).
    """

    def __init__(
        self,
        directories: Iterable[str],
        tags: Iterable[str],
        *,
        preferred: str | None = None,
        located: Mapping[str, str] | None = None,
    ) -> None:
        self.located = located or {}
        self.directories = [os.path.abspath(directory) for directory in directories]
        self._ranks = {tag: rank for rank, tag in reversed(list(enumerate(tags)))}
        self._preferred = preferred and os.path.abspath(preferred)
        self._paths: dict[str, list[str]] | None = None
        self._entries: dict[str, list[WheelEntry]] = {}

    def __str__(self) -> str:
        """For messages: the directories, but not the one that a run has made for what it builds."""
        return ", ".join("what this run has built" if each == self._preferred else each for each in self.directories)

    def of(self, name: str) -> list[WheelEntry]:
        """The wheels of the project `name` (canonical): newest version first, then best tag, then highest build.

        If two directories have the same wheel, that of the first directory comes first.
        """
        if name not in self._entries:
            found = [entry for path in self._paths_of(name) if (entry := self._entry(path))]
            found.sort(
                key=lambda entry: (self._is_preferred(entry), entry.version, -entry.rank, entry.build), reverse=True
            )
            self._entries[name] = found
        return self._entries[name]

    def _is_preferred(self, entry: WheelEntry) -> bool:
        return os.path.dirname(entry.path) == self._preferred

    def others(self, name: str) -> list[str]:
        """The file names of wheels of that project that are for other interpreters or platforms."""
        fitting = {entry.path for entry in self.of(name)}
        return [os.path.basename(path) for path in self._paths_of(name) if path not in fitting]

    def _paths_of(self, name: str) -> list[str]:
        return [self.located[name]] if name in self.located else self._listing().get(name, [])

    def _listing(self) -> dict[str, list[str]]:
        if self._paths is None:
            self._paths = {}
            for directory in self.directories:
                try:
                    names = os.listdir(directory)
                except (FileNotFoundError, NotADirectoryError) as error:
                    raise UsageError(
                        f"the wheelhouse {directory} cannot be read ({error.strerror})", "check --find-links"
                    ) from error
                except OSError as error:
                    raise FileOperationFailed.from_os_error(error, "reading the wheelhouse") from error
                for name in names:
                    if name.endswith(".whl") and not name.startswith("."):
                        project = canonicalize_name(name.partition("-")[0])
                        self._paths.setdefault(project, []).append(os.path.join(directory, name))
        return self._paths

    def _entry(self, path: str) -> WheelEntry | None:
        try:
            name, version, build, tags = parse_wheel_filename(os.path.basename(path))
        except InvalidWheelFilename:
            return None
        ranks = [self._ranks[str(tag)] for tag in tags if str(tag) in self._ranks]
        return WheelEntry(name, version, build, min(ranks), path) if ranks else None
