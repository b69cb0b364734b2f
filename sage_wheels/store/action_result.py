"""An entry of a remote cache: the few fields of an ActionResult (build.bazel.remote.execution.v2) that matter here.

    message ActionResult { repeated OutputFile output_files = 2; ... }
    message OutputFile { string path = 1; Digest digest = 2; ... }
    message Digest { string hash = 1; int64 size_bytes = 2; }

A server may encode the message again, with other fields and in another order. So unknown fields are skipped. The
encoding is that of protocol buffers (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import re

from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_OUTPUT_FILES, _PATH, _DIGEST, _HASH, _SIZE = 2, 1, 2, 1, 2  # numbers of fields
_HEXADECIMAL = re.compile("[0-9a-f]{64}")
_LARGEST = (1 << 63) - 1  # of an int64


class OutputFile(NamedTuple):
    """A file of the entry: its `path`, the SHA-256 of its content in hexadecimal digits, and its size in bytes."""

    path: str
    digest: str
    size: int


def encode(files: Iterable[OutputFile]) -> bytes:
    """The message that names these files.

    >>> encode([OutputFile("a", "00", 3)]).hex()
    '120b0a016112060a0230301003'
    """
    return b"".join(_field(_OUTPUT_FILES, _of_file(each)) for each in files)


def decode(data: bytes) -> list[OutputFile] | None:
    """The files of the message `data`; None if it is no ActionResult, or the digest of a file is invalid."""
    try:
        return [_file(value) for number, value in _fields(data) if number == _OUTPUT_FILES]
    except (IndexError, TypeError, ValueError):
        return None


def _of_file(file: OutputFile) -> bytes:
    digest = _field(_HASH, file.digest.encode())
    if file.size:  # a number that is zero is left out
        digest += _varint(_SIZE << 3 | _VARINT) + _varint(file.size)
    return _field(_PATH, file.path.encode()) + _field(_DIGEST, digest)


def _file(data: int | bytes) -> OutputFile:
    path = digest = ""
    size = 0
    for number, value in _fields(_content(data)):
        if number == _PATH:
            path = _content(value).decode()
        elif number == _DIGEST:
            for inner, part in _fields(_content(value)):
                if inner == _HASH:
                    digest = _content(part).decode()
                elif inner == _SIZE:
                    size = _number(part)
    if not path or not _HEXADECIMAL.fullmatch(digest) or size > _LARGEST:
        raise ValueError("an invalid OutputFile")
    return OutputFile(path, digest, size)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*result, number])


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field. Raises `ValueError` or `IndexError` if `data` is no message."""
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        number, wire = key >> 3, key & 7
        if not number:
            raise ValueError("no field has the number 0")
        if wire == _VARINT:
            value, position = _read_varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _read_varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"the unknown wire type {wire}")
        if length > len(data) - position:
            raise ValueError("cut off")
        yield number, data[position : position + length]
        position += length


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, position
    raise ValueError("a number of more than ten bytes")


def _content(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number where a text is due")
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise TypeError("a text where a number is due")
    return value
