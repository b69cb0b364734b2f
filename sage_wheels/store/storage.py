"""Where a remote store keeps its files: `ac/KEY` has an entry, `cas/SHA256` a content. A server, or a directory.

A storage does as it is told, and raises `Trouble` when it cannot; `remote` decides what follows.
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, Protocol

from sage_wheels.fs import caches
from sage_wheels.fs.files import regular, replacing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 16  # bytes


class Trouble(Exception):
    """A storage that does not do what it should; the argument says how it does not, for people."""


class Storage(Protocol):
    """Keeps files under names. Each method raises `Trouble` or `OSError`, and may take any time."""

    def get(self, name: str, most: int, write: Callable[[bytes], object]) -> bool:
        """Give `write` what the file `name` has, piece by piece; whether there is one. More than `most` is trouble."""

    def has(self, name: str) -> bool:
        """Whether there is a file `name`."""

    def put(self, name: str, file: IO[bytes], size: int) -> None:
        """Make or replace the file `name`, with the `size` bytes of `file`, which is at its beginning."""


class Directory:
    """A directory that several machines or users have. `is_own`: nothing is read that others could have written."""

    def __init__(self, root: str, *, is_own: bool) -> None:
        self._root = root
        self._opener = caches.own if is_own else regular

    def get(self, name: str, most: int, write: Callable[[bytes], object]) -> bool:
        try:
            with open(f"{self._root}/{name}", "rb", opener=self._opener) as f:
                left = os.fstat(f.fileno()).st_size
                if left > most:
                    raise Trouble("has a file that is larger than it may be")
                while left > 0 and (block := f.read(min(BLOCK, left))):
                    write(block)
                    left -= len(block)
        except FileNotFoundError:
            self._see_that_it_is_there()
            return False
        return True

    def has(self, name: str) -> bool:
        return os.path.isfile(f"{self._root}/{name}")

    def put(self, name: str, file: IO[bytes], size: int) -> None:
        self._see_that_it_is_there()
        path = f"{self._root}/{name}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path))
        temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
        with replacing(path, temporary), open(temporary, "xb") as target:
            while block := file.read(BLOCK):
                target.write(block)

    def _see_that_it_is_there(self) -> None:
        if not os.path.isdir(self._root):
            raise Trouble("is not there")
