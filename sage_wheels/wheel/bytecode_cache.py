"""Byte-code that was compiled before: kept for the next prefix that the same wheel goes into.

One file holds the code of one piece of a wheel, compiled for no path in particular. Its name is made of everything
that the code depends on: the wheel's RECORD (and thereby the hash of each source), the piece, and the interpreter's
magic number. The cache is in $XDG_CACHE_HOME/sage-wheels/bytecode (XDG base directory specification); it may be
deleted at any time and is used only if it belongs to the user who runs the tool and nobody else may write there. Under
sudo with the caller's HOME, there is none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import marshal
import os
import stat

from sage_wheels.prefix import trust
from sage_wheels.prefix.filesystem import regular, write_whole

LIMIT = 1 << 30  # bytes; byte-code of 15,000 sources takes 150 MB
_KEPT = LIMIT * 3 // 4  # what is left after a clean-up, so that not every installation has to clean up


@functools.cache
def directory() -> str | None:
    """The directory of the cache, made if need be; None if there can be none that is safe."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = f"{base}/sage-wheels/bytecode"
    if not os.path.isabs(path):
        return None
    try:
        if not all(trust.is_own(each) for each in (base, f"{base}/sage-wheels", path)):
            return None
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
    except OSError:
        return None
    ours = status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o022
    return path if ours else None


def key(record: bytes, piece: str) -> str:
    """The name of the file for a piece of the wheel with that RECORD."""
    about = b"\0".join((importlib.util.MAGIC_NUMBER, piece.encode(), record))
    return hashlib.sha256(about).hexdigest()


def load(name: str) -> dict[str, bytes]:
    """The codes kept under `name`, by member; empty if there are none that can be read."""
    where = directory()
    if where is None:
        return {}
    try:
        with open(f"{where}/{name}", "rb", opener=regular) as f:
            data = f.read()
    except OSError:
        return {}
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return {}
    with contextlib.suppress(OSError):
        os.utime(f"{where}/{name}")  # used now: the last to be cleaned up
    codes: dict[str, bytes] = marshal.loads(data[32:])
    return codes


def store(name: str, codes: dict[str, bytes]) -> None:
    """Keep `codes`; a cache that cannot be written is no error."""
    where = directory()
    if where is None:
        return
    data = marshal.dumps(codes)
    with contextlib.suppress(OSError):
        write_whole(f"{where}/{name}", hashlib.sha256(data).digest() + data)


def clean_up() -> None:
    """Delete what was not used for the longest time, if the cache is larger than `LIMIT`."""
    where = directory()
    if where is None:
        return
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        files = [(each.stat().st_mtime, each.stat().st_size, each.path) for each in entries]
        total = sum(size for _, size, _ in files)
        if total <= LIMIT:
            return
        for _, size, path in sorted(files):
            if total <= _KEPT:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
