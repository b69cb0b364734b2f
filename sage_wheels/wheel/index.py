"""What the store knows about a wheel that was opened, verified and installed before: all that is in its archive but the
contents, and the stats of the files that are unpacked.

It is a tuple written by `marshal`, after its SHA-256. A damaged one counts as missing.
"""

from __future__ import annotations

import marshal

from sage_wheels.archive.strict_zip import WheelLimits
from sage_wheels.fs import caches
from sage_wheels.fs.digest import sha256
from sage_wheels.named import NamedTuple
from sage_wheels.store import trees
from sage_wheels.wheel.groups import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMAT = 2
_DIGEST = 32  # bytes
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

    For each group, `stored` has the stats of its files in the store, and `remembered` the entries for
    `installed.unchanged` if all of them are links to these.
    """

    file_name: str
    limits: WheelLimits
    facts: WheelFacts
    groups: list[Group]
    stored: list[bytes]
    remembered: list[bytes]

    def allows(self, file_name: str, limits: WheelLimits) -> bool:
        """Whether a wheel with that `file_name` would be accepted with these `limits`, too."""
        return self.file_name == file_name and all(now >= then for now, then in zip(limits, self.limits, strict=True))


def key(digest: str) -> str:
    """The key of the unpacked wheel with that SHA-256."""
    return sha256(f"unpacked {_FORMAT} {digest}".encode()).hexdigest()


def directory_of(root: str, digest: str) -> str:
    """Where the store in `root` has the wheel with that SHA-256, if at all."""
    return trees.path_of(root, key(digest))


def write(path: str, index: WheelIndex) -> None:
    """Write `index` to the new file `path`. Raises `OSError`."""
    plain: Any = (*index[:1], *map(tuple, index[1:3]), [tuple(each) for each in index.groups], *index[4:])
    body = marshal.dumps(plain, _MARSHAL)
    caches.write(path, sha256(body).digest() + body)


def read(directory: str) -> WheelIndex | None:
    """The index of the unpacked wheel in `directory`; None if there is none, or it is damaged."""
    try:
        with open(f"{directory}/about", "rb", opener=caches.own) as f:
            data = f.read()
    except OSError:
        return None
    body = data[_DIGEST:]
    if data[:_DIGEST] != sha256(body).digest():
        return None
    try:
        file_name, limits, facts, groups, stored, remembered = marshal.loads(body)
        found = [Group(*each) for each in groups]
        return WheelIndex(file_name, WheelLimits(*limits), WheelFacts(*facts), found, stored, remembered)
    except (EOFError, ValueError, TypeError):
        return None
