"""The process that holds a lock file, as one line of JSON in that file, for messages.

The lock file of a prefix also has the number of the last change of the prefix, which the next holder keeps.

`build/lib/flock.py` imports this module too, so this module may import only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time

_NUMBER = re.compile(rb'\{"pid": \d{1,18}, "number": (\d{1,18}), ')


def number(fd: int) -> int | None:
    """The number of the last change of the prefix, from the lock file; None if it is not there."""
    try:
        found = _NUMBER.match(os.pread(fd, 80, 0))
    except OSError:
        return None
    return int(found[1]) if found else None


def write(fd: int, command: list[str], last: int | None = None) -> None:
    """Write into the lock file `fd` that this process holds it, running `command`; and the number of the `last` change,
    if it is given.

    Errors are ignored (a full disk, a read-only file): the lock is held nevertheless.
    """
    last = number(fd) if last is None else last
    numbered = {} if last is None else {"number": last}
    about = {
        "pid": os.getpid(),
        **numbered,
        "host": os.uname().nodename,
        "since": int(time.time()),
        "command": command[:4],
    }
    with contextlib.suppress(OSError):
        os.pwrite(fd, json.dumps(about).encode().ljust(os.fstat(fd).st_size), 0)


def is_lock_file(fd: int) -> bool:
    """Whether the file is empty or has the line of JSON. If not, it is used for something else, and is not changed."""
    with contextlib.suppress(OSError):
        return os.pread(fd, 7, 0).strip(b"\0 ") in (b"", b'{"pid":')
    return False


def read(fd: int) -> str:
    """ "held by process PID on HOST since TIME (COMMAND)", from the lock file; "" if it does not say that."""
    try:
        about = json.loads(os.pread(fd, 4096, 0))
        since = time.strftime("%H:%M:%S", time.localtime(about["since"]))
        command = " ".join(map(str, about["command"]))
        return f"held by process {about['pid']} on {about['host']} since {since} ({command})"
    except (ValueError, KeyError, TypeError, OSError):
        return ""


def sentence(fd: int) -> str:
    """As `read`, but never ""."""
    return read(fd) or "held by an unknown process"


def is_still_at(fd: int, path: str, directory: int | None = None) -> bool:
    """Whether the open file `fd` is still the file at `path`. If that was deleted, the lock excludes nobody."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, dir_fd=directory))
    except FileNotFoundError:
        return False
