"""Where a remote store keeps its files, `ac/KEY` (an entry) and `cas/SHA256` (a content): a server or a directory.

A storage raises `Trouble` if it fails; `remote` and `exchange` decide what that means.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.errors import reason_of
from sage_wheels.fs import caches
from sage_wheels.fs.files import regular, replacing
from sage_wheels.named import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

BLOCK = 1 << 16  # bytes


class Trouble(Exception):
    """A storage has failed. The message is the end of a sentence that begins with "the store STORE"."""


class Refused(Trouble):
    """A storage works, but does not take a certain file."""


class Damaged(Trouble):
    """A storage works, but the file `name` in it is not what was put there; `why` says what is wrong with it."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"has a damaged file {name} ({why})")


OTHER_BYTES = "its bytes are not those that its name says"
TOO_LARGE = "it has more bytes than it may have"


def failure_of(error: Exception) -> str:
    """What to say of a store that has failed with `error`, after its name."""
    return f"cannot be used ({reason_of(error)})" if isinstance(error, OSError) else str(error)


class Storage(Protocol):
    """Keeps files under names. Each method raises `Trouble` or `OSError`, and may take any time."""

    def get(self, name: str, most: int, write: Callable[[bytes], object]) -> bool:
        """Call `write` with each piece of the file `name`. Returns whether that file exists.

        Raises `Damaged` if it has more than `most` bytes, or is no file.
        """

    def has(self, name: str, size: int) -> bool:
        """Whether there is a file `name` of that size. After a crash, there may be a part of one."""

    def put(self, name: str, file: IO[bytes], size: int) -> None:
        """Make or replace the file `name` with the `size` bytes of `file`, which is open at its beginning.

        Raises `Refused` if there may be no such file.
        """


class Directory:
    """A directory that several machines or users share. With `is_own`, files that others could write are refused."""

    def __init__(self, root: str, *, is_own: bool) -> None:
        self._root = root
        self._opener = caches.own if is_own else regular

    def get(self, name: str, most: int, write: Callable[[bytes], object]) -> bool:
        try:
            with open(f"{self._root}/{name}", "rb", opener=self._opener) as f:
                left = os.fstat(f.fileno()).st_size
                if left > most:
                    raise Damaged(name, TOO_LARGE)
                while left > 0 and (block := f.read(min(BLOCK, left))):
                    write(block)
                    left -= len(block)
        except FileNotFoundError:
            self._see_that_it_is_there()
            return False
        except OSError as error:
            if error.errno in caches.NO_FILE:
                raise Damaged(name, "it is no file that may be read") from error
            raise
        return True

    def has(self, name: str, size: int) -> bool:
        path = f"{self._root}/{name}"
        return os.path.isfile(path) and os.path.getsize(path) == size

    def put(self, name: str, file: IO[bytes], size: int) -> None:
        self._see_that_it_is_there()
        path = f"{self._root}/{name}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path))
        temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
        with replacing(path, temporary, f"{temporary}.aside"), open(temporary, "xb") as target:
            while block := file.read(BLOCK):
                target.write(block)

    def _see_that_it_is_there(self) -> None:
        if not os.path.isdir(self._root):
            raise Trouble("is not there")
