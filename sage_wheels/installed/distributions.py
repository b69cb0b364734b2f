"""The distributions that are installed in a prefix: found by name in the library directories, nothing imported.

`.dist-info` directories are the record (PEP 376, "Recording installed projects"); what older tools left (`.egg-info`,
`.egg-link`, `.egg`) is recognised, so that it can be named. One scandir(2) of each library directory finds them all.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed import record
from sage_wheels.installed.metadata import canonical_name, headers
from sage_wheels.prefix.filesystem import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix

# What the system says of a path that leads to no file; the last one of a pipe, too (see `regular`).
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)
_LONGEST = 64 << 20  # bytes or characters; the largest RECORD that was seen has 12 MB
KINDS = (".dist-info", ".egg-info", ".egg-link", ".egg")


class Distribution(NamedTuple):
    """One installation record.

    `library` is the directory it lies in and `path` the record itself, both relative to the prefix; `kind` is one of
    `KINDS`; `inode` tells one record from another of the same name.
    """

    name: str
    canonical_name: str
    version: str
    kind: str
    library: str
    path: str
    inode: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


def libraries(prefix: Prefix) -> list[str]:
    """The library directories, relative to the prefix: purelib, and platlib if it is another."""
    scheme = prefix.scheme
    if scheme.platlib == scheme.purelib:
        return [scheme.purelib]
    same = os.path.realpath(prefix.path(scheme.platlib)) == os.path.realpath(prefix.path(scheme.purelib))
    return [scheme.purelib] if same else [scheme.purelib, scheme.platlib]


def find_all(prefix: Prefix) -> list[Distribution]:
    """Every distribution in `prefix`, by name."""
    found = [
        _distribution(prefix, library, name, inode)
        for library in libraries(prefix)
        for name, inode in entries(prefix, library)
    ]
    return sorted(
        (each for each in found if each.name), key=lambda each: (each.canonical_name, each.version, each.path)
    )


def find(prefix: Prefix, name: str) -> list[Distribution]:
    """The distributions of that name; more than one after a crash of another tool."""
    wanted = canonical_name(name)
    return [each for each in find_all(prefix) if each.canonical_name == wanted]


def entries(prefix: Prefix, library: str) -> list[tuple[str, int]]:
    """The names and inode numbers of the records in the directory `library`: what changes when anything does."""
    try:
        scan = os.scandir(prefix.path(library))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, "listing what is installed") from error
    with scan:
        # pip renames what it removes to "~ame" and forgets it there when it is killed
        return [(each.name, each.inode()) for each in scan if each.name.endswith(KINDS) and each.name[0] not in "~."]


def _distribution(prefix: Prefix, library: str, entry: str, inode: int) -> Distribution:
    stem, dot, kind = entry.rpartition(".")
    name, version = _name_and_version(prefix, library, entry, stem, dot + kind)
    return Distribution(name, canonical_name(name), version, dot + kind, library, f"{library}/{entry}", inode)


def _name_and_version(prefix: Prefix, library: str, entry: str, stem: str, kind: str) -> tuple[str, str]:
    if kind == ".egg-link":
        return stem, ""
    if kind != ".dist-info":
        stem = re.sub(r"-py\d.*$", "", stem)  # setuptools: NAME-VERSION-py3.11[-PLATFORM].egg-info
    name, dash, version = stem.rpartition("-")
    if dash:
        return name, version
    # older setuptools wrote NAME.egg-info; a hand may have made anything: the metadata knows better
    for metadata in ("METADATA", "PKG-INFO", ""):
        about = read_headers(prefix, f"{library}/{entry}/{metadata}".rstrip("/"))
        if about.get("name"):
            return about["name"][0], about.get("version", [""])[0]
    return stem, ""


def read_headers(prefix: Prefix, path: str) -> dict[str, list[str]]:
    """The header fields of the metadata file at `path`; none if there is none. Raises `FileOperationFailed`."""
    return headers(read_text(prefix, path) or "")


def read_text(prefix: Prefix, path: str) -> str | None:
    """The file at `path` (64 MiB of it), None if there is none. Raises `FileOperationFailed` if it cannot be read."""
    try:
        with open(prefix.path(path), encoding="utf-8", errors="replace", opener=regular) as f:
            return f.read(_LONGEST)  # what counts stands at the beginning
    except OSError as error:
        if error.errno in NO_FILE:
            return None
        raise FileOperationFailed.from_os_error(error, "reading what is installed") from error


def read_metadata(prefix: Prefix, distribution: Distribution) -> dict[str, list[str]]:
    """The core metadata of an installed distribution."""
    if distribution.kind == ".dist-info":
        return read_headers(prefix, f"{distribution.path}/METADATA")
    text = read_text(prefix, f"{distribution.path}/PKG-INFO")
    return headers(text) if text is not None else read_headers(prefix, distribution.path)


def read_record(prefix: Prefix, distribution: Distribution) -> list[record.Row]:
    """The rows of its RECORD. Raises `OSError` if there is none and `ValueError` if it cannot be parsed."""
    with open(prefix.path(f"{distribution.path}/RECORD"), "rb", opener=regular) as f:
        data = f.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise ValueError(f"it has more than the {_LONGEST} bytes that make sense")
    return record.parse(data.removeprefix(codecs.BOM_UTF8))  # an editor's; no path begins with one
