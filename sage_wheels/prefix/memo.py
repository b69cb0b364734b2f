"""A cache in a prefix: files in `cache/` of its state directory, each written by one rename.

Any file of it may be deleted; a file that is missing or damaged (each has a checksum) is made again. An entry also
contains what it was made from (sizes and times of files, for example), so that its reader can tell if it is outdated.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib

from sage_wheels.errors import UnsafePath
from sage_wheels.fs import caches
from sage_wheels.fs.files import regular
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.paths import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sage_wheels.prefix.model import Prefix

_DIRECTORY = below(STATE, "cache")


def read(prefix: Prefix, name: str) -> bytes | None:
    """The bytes of the cache entry `name`; None if there is none, or it is damaged."""
    try:
        with open(_path(prefix, name), "rb", opener=regular) as f:
            data = f.read()
    except (OSError, ValueError):
        return None
    head, _, body = data.partition(b"\n")
    return body if head == _head(body) else None


def read_json(prefix: Prefix, name: str, shape: object) -> Any:
    """The JSON of the cache entry `name`; None if there is none, or it lacks that shape (see `caches.has_shape`)."""
    return parsed(read(prefix, name), shape)


def parsed(body: bytes | None, shape: object) -> Any:
    """The JSON of the bytes of a cache entry; None if there are none, or it lacks that shape."""
    try:
        content = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return None
    return content if caches.has_shape(content, shape) else None


def write(prefix: Prefix, name: str, body: bytes) -> None:
    """Store `body` as the cache entry `name`. Errors are ignored; links out of the prefix are not followed."""
    from sage_wheels.prefix.tree import Tree  # not imported by commands that only read

    with contextlib.suppress(OSError, UnsafePath), Tree(prefix.root) as tree:
        tree.make_directories(_DIRECTORY)
        unfinished = below(_DIRECTORY, f"{name}.{os.getpid()}")
        try:
            with open(tree.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as f:
                f.write(b"%s\n%s" % (_head(body), body))
            tree.rename(unfinished, below(_DIRECTORY, name))
        except BaseException:
            with contextlib.suppress(OSError):
                tree.unlink(unfinished)
            raise


def forget(prefix: Prefix, names: Iterable[str]) -> None:
    """Delete the cache entries `names`. Errors are ignored."""
    from sage_wheels.prefix.tree import Tree

    with contextlib.suppress(OSError, UnsafePath), Tree(prefix.root) as tree:
        for name in set(tree.names(_DIRECTORY)).intersection(names):
            with contextlib.suppress(OSError):
                tree.unlink(below(_DIRECTORY, name))


def _head(body: bytes) -> bytes:
    return b"%08x %d" % (zlib.crc32(body), len(body))


def _path(prefix: Prefix, name: str) -> str:
    return prefix.path(below(_DIRECTORY, name))
