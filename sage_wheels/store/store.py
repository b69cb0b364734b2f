"""The store as the rest of the program uses it: results and their files, local or on another machine.

    store = Store("/home/me/.cache/sage-wheels", on_note=print)
    key = key_of("wheel", inputs)
    result = store.result("wheel", key)                  # None: make it
    if result and store.fetch(result, name, path): ...   # else it has vanished, or was damaged: make it
    store.keep("wheel", key, values, {name: path})

Nothing here raises an error. A store that cannot be used has nothing and keeps nothing; a note says so once.
"""

from __future__ import annotations

import os
import time

from sage_wheels.errors import FileOperationFailed, LockUnusable, reason_of
from sage_wheels.fs import caches
from sage_wheels.fs.digest import of_open
from sage_wheels.fs.files import regular
from sage_wheels.store import results
from sage_wheels.store.local import LocalTier, NoFile
from sage_wheels.store.results import Content, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from sage_wheels.store.tiers import Tier

_LIMIT = 10 << 30  # bytes


class Store:
    """The directory `root` and, for results that other machines can use, `remote`.

    `limit` is that of the directory, in bytes; None: 10 GiB. `on_note` is called with one sentence if something is
    wrong with it.
    """

    def __init__(
        self,
        root: str,
        *,
        limit: int | None = None,
        remote: Tier | None = None,
        on_note: Callable[[str], object] | None = None,
    ) -> None:
        self.root = root
        self.limit = _LIMIT if limit is None else limit
        self.remote = remote
        self.local = LocalTier(root, self.report)
        self._on_note = on_note

    def result(
        self,
        kind: str,
        key: str,
        *,
        shared: bool = False,
        is_wanted: Callable[[Result], bool] | None = None,
    ) -> Result | None:
        """The result of that kind under `key`, the digest of its inputs; None if there is none.

        With `shared`, it may come from `remote`. A result for which `is_wanted` returns False is not used.
        """
        data = self.local.get_result(key)
        found = self._checked(data, kind, key)
        if data is not None and found is None:
            self.local.forget(self.local.result_path(key))
        if found and is_wanted and not is_wanted(found):
            found = None
        if found is None and shared and self.remote:
            data = self.remote.get_result(key)
            found = self._checked(data, kind, key)
            if found and is_wanted and not is_wanted(found):
                return None
            if found and data is not None:
                self.local.put_result(key, data)
        return found

    def _checked(self, data: bytes | None, kind: str, key: str) -> Result | None:
        found = results.decode(data) if data is not None else None
        return found if found and (found.kind, found.key) == (kind, key) else None

    def fetch(self, result: Result, name: str, path: str, *, shared: bool = False) -> bool:
        """Write the file `name` of `result` to the new file `path`. Returns whether it was there, undamaged."""
        content = result.content(name)
        if content is None:
            return False
        if self.local.get_content(content.digest, path):
            return True
        if shared and self.remote and self.remote.get_content(content, path, result.values.get("seconds")):
            if digest_of(path) == (content.digest, content.size):
                self.local.put_content(content.digest, path)
                return True
            os.unlink(path)
        self.local.forget(self.local.result_path(result.key))
        return False

    def read(self, result: Result, name: str) -> bytes | None:
        """The content of the file `name` of `result`, if the directory has it, undamaged."""
        content = result.content(name)
        return self.local.read_content(content.digest) if content else None

    def keep(
        self,
        kind: str,
        key: str,
        values: Mapping[str, Any],
        files: Mapping[str, str] | None = None,
        *,
        data: Mapping[str, bytes] | None = None,
        shared: bool = False,
    ) -> None:
        """Keep a result with its `files` (name: path): the contents first, then the result.

        With `shared`, it is sent to `remote`, too. A result that is not shared may also have files in `data` (name:
        content).
        """
        try:
            described = {name: (path, *digest_of(path)) for name, path in (files or {}).items()}
        except OSError as error:
            self.report(error)
            return
        contents = [Content(name, digest, size) for name, (_, digest, size) in described.items()]
        contents += [Content(name, self.local.put_bytes(each), len(each)) for name, each in (data or {}).items()]
        result = results.encode(Result(kind, key, tuple(sorted(contents)), dict(values), int(time.time())))
        for path, digest, _ in described.values():
            self.local.put_content(digest, path)
        self.local.put_result(key, result)
        if shared and self.remote:
            self.remote.keep(key, result, {digest: path for path, digest, _ in described.values()})

    def finish(self) -> None:
        """Wait, but not for long, until what was kept has been sent to `remote`."""
        if self.remote:
            self.remote.finish()

    def forget(self, key: str) -> None:
        """Delete the result `key` from the directory."""
        self.local.forget(self.local.result_path(key))

    def tidy(self) -> None:
        """Delete what was not used for longest, if the directory may have exceeded its limit."""
        from sage_wheels.store import eviction

        try:
            if eviction.is_due(self.root, self.limit):
                eviction.evict(self.root, self.limit)
        except (OSError, FileOperationFailed, LockUnusable) as error:
            self.report(error if isinstance(error, OSError) else error.__cause__)

    def report(self, error: BaseException | None) -> None:
        """Say, once, that the directory does not work, because of this error, or a single file of it."""
        if self._on_note:
            reason = reason_of(error)
            note = f"the store {self.root} does not work ({reason}); what it does not have is made again"
            if isinstance(error, NoFile):
                note = f"{error.filename} in the store is no file that may be used ({reason}); it is made again"
            caches.say_once([note], self._on_note)


def digest_of(path: str) -> tuple[str, int]:
    """The SHA-256 of the file at `path` in hexadecimal digits, and its size. Raises `OSError`."""
    with open(path, "rb", buffering=0, opener=regular) as f:
        found = of_open(f.fileno(), "sha256", os.fstat(f.fileno()).st_size)
        return found.hex(), f.tell()  # how much was hashed
