"""A result: what was made from certain inputs. Its bytes are canonical JSON: equal results have equal bytes.

These bytes are what is stored, signed and sent.
"""

from __future__ import annotations

import json

from sage_wheels.fs.caches import has_shape
from sage_wheels.fs.digest import sha256
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1  # of the bytes of a result
MOST = 16 << 20  # bytes; a result has names and values, no files
_DIGITS = frozenset("0123456789abcdef")
_SHAPE = {
    "contents": [{"digest": str, "name": str, "size": int}],
    "format": int,
    "key": str,
    "kind": str,
    "time": int,
    "values": {str: object},
}

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


class Content(NamedTuple):
    """A file of a result: its `name` there, the SHA-256 of its bytes (hexadecimal digits), and its `size` in bytes."""

    name: str
    digest: str
    size: int


class Result(NamedTuple):
    """What was made: `key` is the digest of the inputs, `kind` says what it is, `time` when it was made (seconds)."""

    kind: str
    key: str
    contents: tuple[Content, ...]
    values: dict[str, Any]
    time: int

    def content(self, name: str) -> Content | None:
        return next((each for each in self.contents if each.name == name), None)


def canonical(value: object) -> bytes:
    """JSON with sorted names, without spaces, in ASCII: equal values have equal bytes.

    >>> canonical({"b": 1, "a": ["x"]})
    b'{"a":["x"],"b":1}'
    """
    return _ENCODER.encode(value).encode()


def key_of(kind: str, inputs: object) -> str:
    """The key of a result of that kind that was made from `inputs`, which JSON must be able to represent."""
    return sha256(canonical({"format": FORMAT, "inputs": inputs, "kind": kind})).hexdigest()


def encode(result: Result) -> bytes:
    contents = [each._asdict() for each in result.contents]
    return canonical({**result._asdict(), "contents": contents, "format": FORMAT})


def decode(data: bytes) -> Result | None:
    """The result with the bytes `data`; None if they are no result, or not in canonical form."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not has_shape(found, _SHAPE) or found.pop("format") != FORMAT:
        return None
    contents = tuple(Content(**each) for each in found.pop("contents"))
    if not all(map(is_digest, (found["key"], *(content.digest for content in contents)))):
        return None
    if any(each.size < 0 or not is_plain(each.name) for each in contents):
        return None
    result = Result(contents=contents, **found)
    return result if encode(result) == data else None


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 as it is written here."""
    return len(text) == 64 and _DIGITS.issuperset(text)


def is_plain(name: str) -> bool:
    """Whether `name` is the name of a file in a directory, without a path."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name and name.isprintable()
