"""A result: what was made of certain inputs. Its bytes are canonical JSON, the same for the same result everywhere.

Whoever signs or sends a result does so with these bytes, and nothing beside them counts.
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


class Content(NamedTuple):
    """A file of a result: its name there, the SHA-256 of its bytes, and how many they are."""

    name: str
    digest: str
    size: int


class Result(NamedTuple):
    """What was made: `key` is the digest of the inputs, `kind` says what sort of thing it is, `time` when (seconds)."""

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
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def key_of(kind: str, inputs: object) -> str:
    """The key of a result of that kind that was made of `inputs`, anything that JSON can say."""
    return sha256(canonical({"format": FORMAT, "inputs": inputs, "kind": kind})).hexdigest()


def encode(result: Result) -> bytes:
    contents = [each._asdict() for each in result.contents]
    return canonical({**result._asdict(), "contents": contents, "format": FORMAT})


def decode(data: bytes) -> Result | None:
    """The result that `data` is; None if it is none, or not in canonical form."""
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
    """Whether `name` is that of a file in a directory, and leads nowhere else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name and name.isprintable()
