"""Remember in the store what took time to find out, under the stat of the files that it depends on.

What a process has read from the store once, it keeps; so do the processes that are forked from it.

A change that leaves size, times and inode of a file as they were is not noticed. But no program can set back the time
of the last change of a file (ctime).
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

_known: dict[tuple[str, str], Any] = {}  # what this process has read or found out, by store and key


def stat_of(path: str) -> list[Any]:
    """Numbers that change when the file at `path` changes, after the path; only the path if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return [path]
    return [path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def remembered(store: Store, kind: str, depends_on: object, shape: object, ask: Callable[[], Any]) -> Any:
    """What `ask` returned when `depends_on` had this value before. If that is not known, `ask` is called now.

    A stored answer is used only if it has the `shape` that `has_shape` expects. It must not be changed.
    """
    key = key_of(kind, depends_on)
    here = (store.root, key)
    if here not in _known:
        stored = store.result(kind, key)
        if stored and has_shape(stored.values.get("answer"), shape):
            _known[here] = stored.values["answer"]
        else:
            _known[here] = ask()
            store.keep(kind, key, {"answer": _known[here]})
    return _known[here]


def known_digest(store: Store, status: list[Any]) -> str | None:
    """What `remembered_digest` would return without asking; None if it is not known."""
    stored = store.result("digest", key_of("digest", status))
    answer = stored.values.get("answer") if stored else None
    return answer if isinstance(answer, str) and is_digest(answer) else None


def remembered_digest(store: Store, status: list[Any], ask: Callable[[], str]) -> str:
    """The SHA-256 (hexadecimal digits) of the file with this `status`, which is `stat_of` without the path.

    If it is not known, `ask` is called.
    """
    known = str(remembered(store, "digest", status, str, ask))
    return known if is_digest(known) else ask()
