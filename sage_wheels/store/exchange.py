"""Send files and results from one machine to another through a store.

A `Tier` never raises an error: it may have nothing and keep nothing. Here a content has to arrive, so each failure is
an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os

from sage_wheels.errors import FileOperationFailed
from sage_wheels.store import results, signing
from sage_wheels.store.storage import Damaged, Trouble, failure_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.store.results import Content, Result
    from sage_wheels.store.signing import Signer, Trust
    from sage_wheels.store.storage import Storage

ANYBODY = "any"


class Exchange:
    """The store in `storage`; messages call it `shown`.

    `signer` signs the results that are sent, and `trust` says whose results are accepted.
    """

    def __init__(self, storage: Storage, shown: str, *, trust: Trust, signer: Signer | None) -> None:
        self.shown = shown
        self._storage = storage
        self._trust = trust
        self._signer = signer
        self._given: set[str] = set()

    def give(self, content: Content, path: str, *, anew: bool = False) -> None:
        """Put `content`, from the file `path`, into the store; with `anew`, even if it seems to be there.

        Raises `FileOperationFailed` if the store cannot be used, `OSError` if the file cannot be read.
        """
        if content.digest in self._given and not anew:
            return
        with open(path, "rb") as file:
            try:
                if anew or not self._storage.has(f"cas/{content.digest}", content.size):
                    self._storage.put(f"cas/{content.digest}", file, content.size)
            except (Trouble, OSError) as error:
                raise self._failure(error) from error
        self._given.add(content.digest)

    def take(self, content: Content, path: str) -> bool:
        """Write `content` to the new file `path`. Returns whether the store had it, undamaged.

        Raises `FileOperationFailed` if the store cannot be used, `OSError` if the file cannot be written.
        """
        found, size, is_there = hashlib.sha256(), 0, False
        with open(path, "xb") as file:

            def write(block: bytes) -> None:
                nonlocal size
                found.update(block)
                size += file.write(block)

            try:
                is_there = self._storage.get(f"cas/{content.digest}", content.size, write)
            except Damaged:
                is_there = False
            except (Trouble, OSError) as error:
                raise self._failure(error) from error
        if is_there and (found.hexdigest(), size) == (content.digest, content.size):
            return True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return False

    def trusted(self) -> list[str]:
        """The public keys whose results are accepted here, in hexadecimal digits; `[ANYBODY]` if none is needed."""
        keys = self._trust.keys
        return [ANYBODY] if keys is None else sorted(key.hex() for key in keys)

    def is_among(self, trusted: list[str]) -> bool:
        """Whether what is signed here is accepted by whoever accepts the keys `trusted`."""
        return ANYBODY in trusted or (self._signer is not None and self._signer.public.hex() in trusted)

    def sealed(self, result: Result) -> str:
        """`result` with our signature, or without one if we have no key."""
        return signing.sealed(results.encode(result), self._signer).decode()

    def unsealed(self, text: str, kind: str, key: str) -> Result:
        """The result in `text`, which `sealed` has made elsewhere. Raises `signing.Untrusted` if it is not accepted."""
        sealed = text.encode(errors="replace")
        found = results.decode(self._trust.unsealed(sealed))
        if found is None or (found.kind, found.key) != (kind, key):
            raise signing.Untrusted("is not what was asked for")
        self._trust.check_time(sealed, found.time)
        return found

    def _failure(self, error: Exception) -> FileOperationFailed:
        return FileOperationFailed(
            f"the store {self.shown} {failure_of(error)}", "repair it: builds on several machines need it"
        )
