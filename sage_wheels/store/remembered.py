"""Answers that cost time, remembered in the store by the stat of the files that they depend on.

A file that somebody changes and whose size, times and inode all stay the same is not noticed; the time of the last
change of a file (ctime) cannot be set back by a program.
"""

from __future__ import annotations

import os

from sage_wheels.fs.caches import has_shape
from sage_wheels.store.results import is_digest, key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_wheels.store.store import Store


def stat_of(path: str) -> list[Any]:
    """What changes when the file at `path` does; only the path while it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return [path]
    return [path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def remembered(store: Store, kind: str, depends_on: object, shape: object, ask: Callable[[], Any]) -> Any:
    """What `ask` answered the last time that everything was as `depends_on` says; asked now if need be."""
    key = key_of(kind, depends_on)
    known = store.result(kind, key)
    if known and has_shape(known.values.get("answer"), shape):
        return known.values["answer"]
    answer = ask()
    store.keep(kind, key, {"answer": answer})
    return answer


def remembered_digest(store: Store, status: list[Any], ask: Callable[[], str]) -> str:
    """The SHA-256 of the file with this `status` (`stat_of` without the path), in hexadecimal digits, as `ask` says."""
    known = str(remembered(store, "digest", status, str, ask))
    return known if is_digest(known) else ask()
