"""What was chosen before from the same wheelhouses for the same requirements: then nothing need be resolved.

A choice is remembered under everything that it depends on: the requirements, the interpreter, and name, size, time and
inode of every wheel in the directories. Like everything in the cache it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import NamedTuple

from sage_wheels.prefix.filesystem import regular, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.building.interpreter import Building

_FORMAT = 1  # to be raised when the resolver would choose otherwise
_MAX_CHOICES = 5000


class Pick(NamedTuple):
    """A wheel that was chosen."""

    name: str
    version: str
    path: str


class Choices:
    """The choices for one interpreter, kept below the cache at `root`."""

    def __init__(self, root: str, building: Building) -> None:
        self._directory = f"{root}/choices"
        self._interpreter = [building.executable, building.facts.full_version, building.facts.tags[0]]

    def recall(self, requirements: Iterable[str], directories: Iterable[str]) -> list[Pick] | None:
        """What was chosen, if it was and everything is as it was then."""
        try:
            with open(self._place(requirements, directories), encoding="utf-8", opener=regular) as f:
                return [Pick(*each) for each in json.load(f)]
        except (FileNotFoundError, ValueError, TypeError):  # not there, or not whole since the power went
            return None

    def remember(self, requirements: Iterable[str], directories: Iterable[str], picks: list[Pick]) -> None:
        """Keep a choice; a cache that cannot be written forgets it."""
        place = self._place(requirements, directories)
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, exist_ok=True)
            if len(os.listdir(self._directory)) > _MAX_CHOICES:
                shutil.rmtree(self._directory)
                os.mkdir(self._directory)
            write_whole(place, json.dumps(picks).encode())

    def _place(self, requirements: Iterable[str], directories: Iterable[str]) -> str:
        import hashlib

        wheels = [[directory, sorted(_identities(directory))] for directory in directories]
        known = json.dumps([_FORMAT, self._interpreter, sorted(requirements), wheels])
        return f"{self._directory}/{hashlib.sha256(known.encode(errors='surrogateescape')).hexdigest()}"


def _identities(directory: str) -> Iterable[tuple[str, int, int, int]]:
    """What tells a wheel in `directory` from another one of the same name."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".whl"):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        yield entry.name, status.st_size, status.st_mtime_ns, status.st_ino
    except OSError:
        return  # who resolves says that it cannot be read
