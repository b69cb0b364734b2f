"""Remember which wheels were chosen from the same wheelhouses for the same requirements, so as not to resolve again.

A choice is kept in the store under everything that it depends on: the requirements, the interpreter, and name, size,
time and inode of every wheel in the directories.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.fs.caches import has_shape
from sage_wheels.named import NamedTuple
from sage_wheels.store.results import key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.building.environment.interpreter import BuildInterpreter
    from sage_wheels.store.store import Store

_KIND = "choice"
_FORMAT = 2  # raise it when the resolver chooses differently


class Pick(NamedTuple):
    """A wheel that was chosen: name and version of its project, and its path."""

    name: str
    version: str
    path: str


class Choices:
    """The choices for one interpreter, kept in `store`."""

    def __init__(self, store: Store, building: BuildInterpreter) -> None:
        self._store = store
        self._interpreter = [building.executable, building.facts.full_version, building.facts.tags[0]]

    def recall(self, requirements: Iterable[str], directories: Iterable[str]) -> list[Pick] | None:
        """The wheels that were chosen when everything was as it is now; None if that is not known."""
        found = self._store.result(_KIND, self._key(requirements, directories))
        known = found.values.get("picks") if found else None
        return [Pick(*each) for each in known] if has_shape(known, [(str, str, str)]) and known else None

    def remember(self, requirements: Iterable[str], directories: Iterable[str], picks: list[Pick]) -> None:
        """Keep a choice. Nothing happens if the store cannot be written."""
        self._store.keep(_KIND, self._key(requirements, directories), {"picks": picks})

    def _key(self, requirements: Iterable[str], directories: Iterable[str]) -> str:
        wheels = [[os.fsencode(each).hex(), sorted(_identities(each))] for each in directories]
        return key_of(_KIND, [_FORMAT, self._interpreter, sorted(requirements), wheels])


def _identities(directory: str) -> Iterable[tuple[str, int, int, int]]:
    """Name, size, time and inode of each wheel in `directory`."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".whl"):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        yield os.fsencode(entry.name).hex(), status.st_size, status.st_mtime_ns, status.st_ino
    except OSError:
        return  # the resolver reports that it cannot be read
