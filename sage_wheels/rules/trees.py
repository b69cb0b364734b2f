"""A digest of a source tree, by which a changed tree is known: of the path, executable bit and content of each file.

The key of the store is made of the same facts (`building.inputs.source`), but of a copy; this is for the tree itself. A
file with the same size, times and inode as when it was hashed is not read again, so a tree that did not change costs
milliseconds. As in git's index, a file that was changed just before it was hashed is not cached, because it could be
changed again within the same tick of the file system's clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time

from sage_wheels.fs import digest
from sage_wheels.fs.caches import read_json
from sage_wheels.fs.files import regular, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# These are neither written by people nor used for a wheel.
_NOT_LOOKED_AT = frozenset((".git", "__pycache__", ".tox", ".nox", ".mypy_cache", ".ruff_cache", ".pytest_cache"))


class Memory:
    """A cache of the digests of files, with their stat(2), in the file at `path`, which may be deleted at any time.

    A file that has changed within the last `tick` nanoseconds is not cached; the clocks of all file systems are finer
    than the default.
    """

    def __init__(self, path: str, tick: int = 2_000_000_000) -> None:
        self._path = path
        self._tick = tick
        self._known: dict[str, list[Any]] = read_json(path, {str: [object]}, regular) or {}
        self._new: dict[str, list[Any]] = {}

    def fingerprint(self, path: str) -> str:
        """The digest (32 hexadecimal digits) of the file or tree at `path`; that of nothing, if it does not exist."""
        whole = hashlib.sha256()
        for line in self._entries(path):
            whole.update(os.fsencode(line) + b"\0")
        if self._new != self._known or not os.path.exists(self._path):
            import json

            with contextlib.suppress(OSError):  # the directory does not exist before the first package is built
                write_whole(self._path, json.dumps(self._new).encode())
        return whole.hexdigest()[:32]

    def _entries(self, top: str) -> Iterator[str]:
        waiting = [("", top)]
        while waiting:
            name, path = waiting.pop()
            try:
                status = os.lstat(path) if name else os.stat(path)
                if stat.S_ISDIR(status.st_mode):
                    yield f"{name} directory"
                    names = sorted(set(os.listdir(path)) - _NOT_LOOKED_AT)
                    waiting += [(f"{name}/{each}", os.path.join(path, each)) for each in names]
                elif stat.S_ISLNK(status.st_mode):
                    yield f"{name} link {os.readlink(path)}"
                elif stat.S_ISREG(status.st_mode):
                    yield f"{name} {status.st_mode & 0o100} {self._digest(name, path, status)}"
            except OSError as error:
                yield f"{name} {error.errno}"

    def _digest(self, name: str, path: str, status: os.stat_result) -> str:
        looks = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(name, [])
        if known[:-1] == looks:
            self._new[name] = known
            return str(known[-1])
        found = digest.of_file(path).hex()
        if max(status.st_mtime_ns, status.st_ctime_ns) < time.time_ns() - self._tick:
            self._new[name] = [*looks, found]
        return found
