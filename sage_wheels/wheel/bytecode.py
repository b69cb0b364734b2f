"""Byte-code for the target interpreter, with the paths that the files will have when they stand in the prefix.

Run as a script by a target interpreter other than ours (`-I -S -B`), this file compiles what standard input lists;
so it needs nothing but the standard library and no syntax newer than that of Python 3.8.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import struct
import sys
import warnings


def cache_path(path: str, cache_tag: str | None = sys.implementation.cache_tag) -> str:
    """Where the byte-code of the source at `path` stands (PEP 3147).

    >>> cache_path("lib/six.py", "cpython-311")
    'lib/__pycache__/six.cpython-311.pyc'
    """
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}__pycache__/{name[:-3]}.{cache_tag}.pyc"


def compile_source(source: bytes, final_path: str, mtime: float) -> bytes | None:
    """The byte-code file of `source`, which will stand at `final_path`; None if it is no Python of this version.

    As `py_compile` does: with the time stamp and size of the source, or with its hash if SOURCE_DATE_EPOCH is set
    (PEP 552). Wheels hold sources for other Pythons and broken ones for tests; pip passes over them silently, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = compile(source, final_path, "exec", dont_inherit=True, optimize=-1)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return None
    if os.environ.get("SOURCE_DATE_EPOCH"):
        header = struct.pack("<L", 0b11) + importlib.util.source_hash(source)
    else:
        header = struct.pack("<3L", 0, int(mtime) & 0xFFFFFFFF, len(source) & 0xFFFFFFFF)
    return importlib.util.MAGIC_NUMBER + header + marshal.dumps(code)


def write_beside(path: str, source: bytes, final_path: str, mtime: float, mode: int) -> bool:
    """Compile `source`, which stands at `path` for now, into the `__pycache__` there; whether there was a result."""
    code = compile_source(source, final_path, mtime)
    if code is None:
        return False
    goal = cache_path(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(goal, flags, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        fd = os.open(goal, flags, mode)
    with open(fd, "wb") as f:
        f.write(code)
    return True


def main() -> None:
    """Compile each [path, final path] of the JSON list on standard input; print the tag and who was compiled."""
    done = []
    for path, final_path in json.load(sys.stdin):
        with open(path, "rb") as f:
            source = f.read()
            status = os.fstat(f.fileno())
        done.append(write_beside(path, source, final_path, status.st_mtime, status.st_mode & 0o666))
    print(json.dumps([sys.implementation.cache_tag, done]))


if __name__ == "__main__":
    main()
