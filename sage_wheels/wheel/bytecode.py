"""Compile byte-code for the target interpreter, with the final paths of the sources in the prefix.

If the target interpreter is not the one that runs the tool, it runs this file as a script (`-I -S -B`), which compiles
the files listed on standard input. So this file uses only the standard library and the syntax of Python 3.8.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import marshal
import os
import struct
import sys
import warnings

_CODE = ord("c")  # marshal's TYPE_CODE
_LONGEST_NAME = 255  # bytes, on all common file systems
_SHORT_ASCII = b"zZ"  # marshal's TYPE_SHORT_ASCII and TYPE_SHORT_ASCII_INTERNED


def cache_path(path: str, cache_tag: str | None = sys.implementation.cache_tag, optimize: int = 0) -> str:
    """The path of the byte-code for the source at `path` (PEP 3147, PEP 488).

    >>> cache_path("lib/six.py", "cpython-311")
    'lib/__pycache__/six.cpython-311.pyc'
    """
    directory, slash, name = path.rpartition("/")
    level = f".opt-{optimize}" if optimize else ""
    return f"{directory}{slash}__pycache__/{name[:-3]}.{cache_tag}{level}.pyc"


def compile_code(source: bytes, path: str, optimize: int = -1) -> bytes:
    """Compile `source` to marshalled code with `path` as its file name; b"" if it is not valid for this Python.

    Wheels contain sources for other Pythons, and invalid ones for tests; pip ignores such errors, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return marshal.dumps(compile(source, path, "exec", dont_inherit=True, optimize=optimize))
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return b""


def relocate(code: bytes, old_path: str, path: str) -> bytes | None:
    """Replace the placeholder `old_path` in the marshalled `code` by `path`.

    In the format of `marshal`, a string is a type byte (whose high bit marks an object that is referred to later), the
    length, and the characters. None if `code` is invalid, or has the placeholder in an unknown form.

    >>> source = b"def f(): pass"
    >>> code = relocate(compile_code(source, "placeholder"), "placeholder", "/p/x.py")
    >>> marshal.loads(code).co_consts[0].co_filename
    '/p/x.py'
    """
    old = old_path.encode()
    pieces = code.split(bytes([len(old)]) + old)
    if len(pieces) < 2 or code.count(old) != len(pieces) - 1 or code[0] & 0x7F != _CODE:
        return None
    for number, piece in enumerate(pieces[:-1]):
        kind = piece[-1] & 0x7F
        if kind not in _SHORT_ASCII:
            return None
        pieces[number] = piece[:-1] + _marshalled(path, interned=kind == _SHORT_ASCII[1], flag=piece[-1] & 0x80)
    return b"".join(pieces)


def _marshalled(text: str, *, interned: bool, flag: int) -> bytes:
    """`text` as written by `marshal`: TYPE_SHORT_ASCII, TYPE_ASCII or TYPE_UNICODE, or their interned variants."""
    data = text.encode("utf-8", "surrogatepass")
    if not text.isascii():
        return bytes([(b"t" if interned else b"u")[0] | flag]) + struct.pack("<l", len(data)) + data
    if len(data) < 256:
        return bytes([_SHORT_ASCII[interned] | flag, len(data)]) + data
    return bytes([(b"A" if interned else b"a")[0] | flag]) + struct.pack("<l", len(data)) + data


def pyc(code: bytes, source: bytes, mtime: float, mode: str) -> bytes:
    """The content of a byte-code file (PEP 552) of `source`, whose modification time is `mtime` (seconds).

    `mode` is "timestamp", "checked-hash" or "unchecked-hash".
    """
    if mode != "timestamp":
        header = struct.pack("<L", 0b11 if mode == "checked-hash" else 0b01) + importlib.util.source_hash(source)
    else:
        header = struct.pack("<3L", 0, int(mtime) & 0xFFFFFFFF, len(source) & 0xFFFFFFFF)
    return importlib.util.MAGIC_NUMBER + header + code


def write_beside(
    path: str, content: bytes, mode: int, optimize: int = 0, cache_tag: str | None = sys.implementation.cache_tag
) -> bool:
    """Write the byte-code of the source at `path` into the `__pycache__` there; both are new.

    Returns False, and writes nothing, if the name of that file would be too long for a file system.
    """
    destination = cache_path(path, cache_tag, optimize)
    if len(os.fsencode(os.path.basename(destination))) > _LONGEST_NAME:
        return False
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(destination, flags, mode)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another process may have just made it
            os.mkdir(os.path.dirname(destination))
        fd = os.open(destination, flags, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
    return True


def compile_file(path: str, final_path: str, optimize: int = -1, *, mode: str) -> bool:
    """Write the byte-code of the source at `path`, which will be moved to `final_path`; False if there can be none."""
    with open(path, "rb") as f:
        source = f.read()
        status = os.fstat(f.fileno())
    code = compile_code(source, final_path, optimize)
    if not code:
        return False
    content = pyc(code, source, status.st_mtime, mode)
    return write_beside(path, content, status.st_mode & 0o666, max(optimize, 0))


def main() -> None:
    """Compile each [path, final path, level] in a JSON list on standard input; print the cache tag and what was
    compiled.

    The optimisation level may be left out. The argument is the `mode` of `pyc`.
    """
    mode, jobs = sys.argv[1], json.load(sys.stdin)
    done = [compile_file(path, final, level[0] if level else -1, mode=mode) for path, final, *level in jobs]
    print(json.dumps([sys.implementation.cache_tag, done]))


if __name__ == "__main__":
    main()
