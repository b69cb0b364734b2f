"""Write zip archives field by field, so that they can lie (APPNOTE 6.3.10)."""

from __future__ import annotations

import dataclasses
import stat
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

STORED, DEFLATED = 0, 8
FILE = stat.S_IFREG | 0o644


@dataclasses.dataclass
class Entry:
    """One member. `local` and `central` replace fields of the one header, `raw` is what stands there as its data.

    Fields: magic, version, flags, method, crc, compressed, size, name, extra; the central header has mode, disk,
    offset and comment, too.
    """

    name: str | bytes
    content: bytes = b""
    method: int = DEFLATED
    mode: int = FILE
    flags: int = 0x800
    raw: bytes | None = None
    local: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    central: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    padding: bytes = b""


def zip_bytes(
    entries: Iterable[Entry],
    *,
    before: bytes = b"",
    between: bytes = b"",
    after: bytes = b"",
    shift: int = 0,
    end: Mapping[str, int] | None = None,
    comment: bytes = b"",
    zip64: Mapping[str, int] | None = None,
) -> bytes:
    """An archive of `entries`, right unless something says otherwise.

    `before`, `between` and `after` are bytes in front of the archive, of its central directory, and behind it; `shift`
    is added to every offset; `end` replaces fields of the end record: disk, first, here, count, size, start, comment.
    With `zip64` there are ZIP64 end records, of which it replaces fields in the same way (and magic, at, length).
    """
    body, directory, count = before, b"", 0
    for each in entries:
        name = each.name.encode() if isinstance(each.name, str) else each.name
        raw = each.raw if each.raw is not None else _compress(each.content, each.method)
        facts: dict[str, Any] = {
            "version": 20,
            "flags": each.flags,
            "method": each.method,
            "crc": zlib.crc32(each.content),
            "compressed": len(raw),
            "size": len(each.content),
            "name": name,
            "extra": b"",
            "mode": each.mode,
            "disk": 0,
            "offset": len(body) + shift,
            "comment": b"",
        }
        directory += _central({"magic": b"PK\x01\x02", **facts, **each.central})
        body += _local({"magic": b"PK\x03\x04", **facts, **each.local}) + raw + each.padding
        count += 1
    body += between
    start = len(body) + shift
    ends: dict[str, int] = {
        "disk": 0,
        "first": 0,
        "here": count,
        "count": count,
        "size": len(directory),
        "start": start,
    }
    records = b""
    if zip64 is not None:
        z: dict[str, Any] = {**ends, "at": start + len(directory), "length": 44, **zip64}
        records = struct.pack(
            "<4sQ2H2L4Q",
            *(b"PK\x06\x06", z["length"], 45, 45, z["disk"], z["first"], z["here"], z["count"], z["size"], z["start"]),
        )
        records += struct.pack("<4sLQL", b"PK\x06\x07", 0, z["at"], 1)
        ends.update(here=0xFFFF, count=0xFFFF, size=0xFFFFFFFF, start=0xFFFFFFFF)
    ends.update(comment=len(comment))
    ends.update(end or {})
    fields = (ends[key] for key in ("disk", "first", "here", "count", "size", "start", "comment"))
    return body + directory + records + struct.pack("<4s4H2LH", b"PK\x05\x06", *fields) + comment + after


def _compress(content: bytes, method: int) -> bytes:
    if method != DEFLATED:
        return content
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


def _local(f: Mapping[str, Any]) -> bytes:
    numbers = (f["version"], f["flags"], f["method"], 0, 0x5021, f["crc"], f["compressed"], f["size"])
    head = struct.pack("<4s5H3L2H", f["magic"], *numbers, len(f["name"]), len(f["extra"]))
    return bytes(head + f["name"] + f["extra"])


def _central(f: Mapping[str, Any]) -> bytes:
    numbers = (0x0314, f["version"], f["flags"], f["method"], 0, 0x5021, f["crc"], f["compressed"], f["size"])
    lengths = (len(f["name"]), len(f["extra"]), len(f["comment"]))
    head = struct.pack(
        "<4s6H3L5H2L", f["magic"], *numbers, *lengths, f["disk"], 0, (f["mode"] & 0xFFFF) << 16, f["offset"]
    )
    return bytes(head + f["name"] + f["extra"] + f["comment"])
