"""What the store knows about a wheel that was opened, verified and installed before: all that is in its archive but the
contents, and the stats of the files that are unpacked.

It is a tuple written by `marshal`. In a second file are the entries for `installed.unchanged`, which are as long as all
else, and not needed where the prefix remembers no stats. Both files begin with a checksum; a damaged one counts as
missing.
"""

from __future__ import annotations

import marshal
import zlib

from sage_wheels.archive.strict_zip import WheelLimits
from sage_wheels.fs import caches
from sage_wheels.fs.digest import sha256
from sage_wheels.fs.files import read_most
from sage_wheels.named import NamedTuple
from sage_wheels.store import trees
from sage_wheels.wheel.groups import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMAT = 4
_CHECKSUM = 4  # bytes
_MOST = 1 << 30  # bytes
_MARSHAL = 4  # the version of its format that every Python can read


class WheelFacts(NamedTuple):
    """What the metadata of a wheel say, as in `Wheel`. `texts` are those files of the `.dist-info` that are read each
    time (None: there is none), `record` is the SHA-256 of RECORD."""

    dist_info: str
    root_scheme: str
    newer_format: str
    name: str
    version: str
    metadata: dict[str, list[str]]
    texts: dict[str, str | None]
    record: str
    launchers: dict[str, bytes]


class WheelIndex(NamedTuple):
    """The `facts` and `groups` of a wheel that had this `file_name`, and was opened with these `limits`.

    For each group, `stored` has the stats of its files in the store.
    """

    file_name: str
    limits: WheelLimits
    facts: WheelFacts
    groups: list[Group]
    stored: list[bytes]

    def allows(self, file_name: str, limits: WheelLimits) -> bool:
        """Whether a wheel with that `file_name` would be accepted with these `limits`, too."""
        return self.file_name == file_name and all(now >= then for now, then in zip(limits, self.limits, strict=True))


def key(digest: str) -> str:
    """The key of the unpacked wheel with that SHA-256."""
    return sha256(f"unpacked {_FORMAT} {digest}".encode()).hexdigest()


def directory_of(root: str, digest: str) -> str:
    """Where the store in `root` has the wheel with that SHA-256, if at all."""
    return trees.path_of(root, key(digest))


def write(directory: str, index: WheelIndex, entries: bytes) -> None:
    """Write `index` and `entries` to new files in `directory`.

    `entries` are those for `installed.unchanged` of all files, in their order, if they are links to the stored ones; an
    empty one has zeros. Raises `OSError`.
    """
    plain: Any = (*index[:1], *map(tuple, index[1:3]), [tuple(each) for each in index.groups], index.stored)
    _write(f"{directory}/about", marshal.dumps(plain, _MARSHAL))
    _write(f"{directory}/entries", entries)


def read(directory: str) -> WheelIndex | None:
    """The index of the unpacked wheel in `directory`; None if there is none, or it is damaged."""
    body = _read(f"{directory}/about")
    if body is None:
        return None
    try:
        file_name, limits, facts, groups, stored = marshal.loads(body)
        found = list(map(Group._make, groups))
        return WheelIndex(file_name, WheelLimits(*limits), WheelFacts(*facts), found, stored)
    except (EOFError, ValueError, TypeError):
        return None


def read_entries(directory: str) -> bytes:
    """The entries for `installed.unchanged`, as in `write`; b"" if there are none, or they are damaged."""
    return bytes(_read(f"{directory}/entries") or b"")


def _write(path: str, body: bytes) -> None:
    caches.write(path, _checksum(body) + body)


def _read(path: str) -> memoryview | None:
    try:
        with open(path, "rb", buffering=0, opener=caches.own) as f:
            data = read_most(f, _MOST)
    except OSError:
        return None
    body = memoryview(data)[_CHECKSUM:]
    return body if data[:_CHECKSUM] == _checksum(body) else None


def _checksum(body: bytes | memoryview) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECKSUM, "big")
