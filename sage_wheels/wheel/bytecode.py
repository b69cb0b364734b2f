"""Byte-code for the target interpreter, with the paths that the files will have when they stand in the prefix.

Run as a script by a target interpreter other than ours (`-I -S -B`), this file compiles what standard input lists;
so it needs nothing but the standard library and no syntax newer than that of Python 3.8.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import struct
import sys
import warnings

_SHORT_ASCII = b"zZ"  # marshal's TYPE_SHORT_ASCII and TYPE_SHORT_ASCII_INTERNED


def cache_path(path: str, cache_tag: str | None = sys.implementation.cache_tag) -> str:
    """Where the byte-code of the source at `path` stands (PEP 3147).

    >>> cache_path("lib/six.py", "cpython-311")
    'lib/__pycache__/six.cpython-311.pyc'
    """
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}__pycache__/{name[:-3]}.{cache_tag}.pyc"


def compile_code(source: bytes, path: str) -> bytes:
    """The marshalled code of `source`, which says that it comes from `path`; empty if it is no Python of this version.

    Wheels hold sources for other Pythons and broken ones for tests; pip passes over them silently, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return marshal.dumps(compile(source, path, "exec", dont_inherit=True, optimize=-1))
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return b""


def placeholder(source: bytes) -> str:
    """What stands for the path of `source` until that is known; no source can hold its own hash as a constant."""
    return f"sage-wheels image {hashlib.sha256(source).hexdigest()}"


def relocate(code: bytes, old_path: str, path: str) -> bytes | None:
    """Marshalled `code` that was compiled for the place-holder `old_path`, as if it had been compiled for `path`.

    In marshal's format a string is a type byte (its high bit marks what is referred to again), its length, its
    characters. None if the place-holder stands there in a form that is not known.

    >>> source = b"def f(): pass"
    >>> code = relocate(compile_code(source, placeholder(source)), placeholder(source), "/p/x.py")
    >>> marshal.loads(code).co_consts[0].co_filename
    '/p/x.py'
    """
    old = old_path.encode()
    pieces = code.split(bytes([len(old)]) + old)
    if len(pieces) < 2 or code.count(old) != len(pieces) - 1:
        return None
    for number, piece in enumerate(pieces[:-1]):
        kind = piece[-1] & 0x7F
        if kind not in _SHORT_ASCII:
            return None
        pieces[number] = piece[:-1] + _marshalled(path, interned=kind == _SHORT_ASCII[1], flag=piece[-1] & 0x80)
    return b"".join(pieces)


def _marshalled(text: str, *, interned: bool, flag: int) -> bytes:
    """`text` as `marshal` writes it: TYPE_SHORT_ASCII, TYPE_ASCII or TYPE_UNICODE, or what is interned of these."""
    data = text.encode("utf-8", "surrogatepass")
    if not text.isascii():
        return bytes([(b"t" if interned else b"u")[0] | flag]) + struct.pack("<l", len(data)) + data
    if len(data) < 256:
        return bytes([_SHORT_ASCII[interned] | flag, len(data)]) + data
    return bytes([(b"A" if interned else b"a")[0] | flag]) + struct.pack("<l", len(data)) + data


def pyc(code: bytes, source: bytes, mtime: float) -> bytes:
    """A byte-code file (PEP 552): with the time stamp and size of the source, or its hash under SOURCE_DATE_EPOCH.

    That is what `py_compile` chooses, too.
    """
    if os.environ.get("SOURCE_DATE_EPOCH"):
        header = struct.pack("<L", 0b11) + importlib.util.source_hash(source)
    else:
        header = struct.pack("<3L", 0, int(mtime) & 0xFFFFFFFF, len(source) & 0xFFFFFFFF)
    return importlib.util.MAGIC_NUMBER + header + code


def write_beside(path: str, content: bytes, mode: int) -> None:
    """Write the byte-code of the source at `path` into the `__pycache__` there; both are new."""
    goal = cache_path(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(goal, flags, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        fd = os.open(goal, flags, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def main() -> None:
    """Compile each [path, final path] of the JSON list on standard input; print the tag and who was compiled."""
    done = []
    for path, final_path in json.load(sys.stdin):
        with open(path, "rb") as f:
            source = f.read()
            status = os.fstat(f.fileno())
        code = compile_code(source, final_path)
        if code:
            write_beside(path, pyc(code, source, status.st_mtime), status.st_mode & 0o666)
        done.append(bool(code))
    print(json.dumps([sys.implementation.cache_tag, done]))


if __name__ == "__main__":
    main()
