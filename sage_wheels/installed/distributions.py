"""The distributions that are installed in a prefix: found by name in the library directories, nothing imported.

Each has a `.dist-info` directory (PEP 376, "Recording installed projects") or the metadata of an older tool
(`.egg-info`, `.egg-link`, `.egg`). One listing of each library directory finds them all. An `.egg-info`, `.egg-link` or
`.egg` that is listed in the RECORD of a `.dist-info` was part of that wheel, and is not a distribution of its own.
"""

from __future__ import annotations

import codecs
import errno
import os
import re

from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs.files import read_most, regular
from sage_wheels.installed import record
from sage_wheels.metadata import canonical_name, headers
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_wheels.prefix import Prefix

# The errors that mean that there is no regular file at a path; ENXIO is that of `regular` for a pipe.
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)
_LONGEST = 64 << 20  # bytes or characters; the largest RECORD that was seen has 12 MB
KINDS = (".dist-info", ".egg-info", ".egg-link", ".egg")


class Distribution(NamedTuple):
    """An installed distribution, as known from the name of its metadata directory (for older tools, or file).

    `path` is the path of the metadata directory, and `library` that of its parent, both relative to the prefix. `kind`
    is one of `KINDS`, such as ".dist-info". `inode` is the inode number of the metadata directory, which changes if the
    distribution is installed again.
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
    """The library directories, relative to the prefix: purelib, and platlib if that is a different directory."""
    scheme = prefix.scheme
    if scheme.platlib == scheme.purelib:
        return [scheme.purelib]
    same = os.path.realpath(prefix.path(scheme.platlib)) == os.path.realpath(prefix.path(scheme.purelib))
    return [scheme.purelib] if same else [scheme.purelib, scheme.platlib]


def find_all(prefix: Prefix) -> list[Distribution]:
    """Every distribution in `prefix`, sorted by name. Raises `FileOperationFailed`."""
    found = [
        _distribution(prefix, library, name, inode)
        for library in libraries(prefix)
        for name, inode in entries(prefix, library)
    ]
    brought = _brought_by_wheels(prefix, found)
    return sorted(
        (each for each in found if each.name and each.path not in brought),
        key=lambda each: (each.canonical_name, each.version, each.path),
    )


def find(prefix: Prefix, name: str) -> list[Distribution]:
    """The distributions called `name`, which need not be normalised. Raises `FileOperationFailed`.

    There are several only if another tool was interrupted.
    """
    wanted = canonical_name(name)
    return [each for each in find_all(prefix) if each.canonical_name == wanted]


def find_in(directory: str, prefix: Prefix) -> list[Distribution]:
    """Every distribution in `directory`, a library directory outside `prefix` that the Python of `prefix` searches.

    Metadata that cannot be read count as empty. Raises `FileOperationFailed` if the directory cannot be listed.
    """
    there = prefix._replace(root=os.path.abspath(directory), scheme=prefix.scheme._replace(purelib="", platlib=""))
    return [spelt(each, readable_metadata(there, each)) for each in find_all(there)]


def described(prefix: Prefix, distribution: Distribution) -> Distribution:
    """`distribution` with name and version as in its metadata; in the name of the directory they are escaped.

    Raises `FileOperationFailed`.
    """
    return spelt(distribution, read_metadata(prefix, distribution))


def spelt(distribution: Distribution, about: Mapping[str, list[str]]) -> Distribution:
    """`distribution` with name and version as its metadata `about` spell them, if these can be believed."""
    name, version = about.get("name", [""])[0], about.get("version", [""])[0]
    if canonical_name(name) != distribution.canonical_name or not name.isprintable():
        name = distribution.name
    if not version.isprintable() or len(version.split()) != 1:
        version = distribution.version
    return distribution._replace(name=name, version=version)


def _brought_by_wheels(prefix: Prefix, found: list[Distribution]) -> set[str]:
    """The paths of those in `found` that are not `.dist-info`, but listed in the RECORD of a `.dist-info`."""
    waiting = {os.path.normpath(prefix.path(each.path)): each for each in found if each.kind != ".dist-info"}
    names = {each.canonical_name for each in waiting.values()}
    brought: set[str] = set()
    # first the wheels of the same name, which are nearly always enough
    wheels = [each for each in found if each.kind == ".dist-info"] if waiting else []
    for wheel in sorted(wheels, key=lambda each: each.canonical_name not in names):
        if not waiting:
            break
        for path in _legacy_in_record(prefix, wheel):
            full = os.path.normpath(os.path.join(prefix.path(wheel.library), path))
            if full in waiting:
                brought.add(waiting.pop(full).path)
    return brought


def _legacy_in_record(prefix: Prefix, wheel: Distribution) -> set[str]:
    """The paths of `.egg-info` and similar entries in the RECORD of `wheel`, or of directories of such a path."""
    try:
        with open(prefix.path(f"{wheel.path}/RECORD"), "rb", opener=regular) as f:
            data = read_most(f, _LONGEST)
        rows = _parse_record(data) if b".egg" in data else []  # parse only RECORDs with such a row, which are few
    except (OSError, ValueError):
        return set()  # a command that needs this RECORD will report the error
    return {found[0] for row in rows if (found := re.match(r".*?\.egg(-info|-link)?(?=/|$)", row.path))}


def entries(prefix: Prefix, library: str) -> list[tuple[str, int]]:
    """The name and inode number of each metadata directory in `library`. Every installation changes one of them.

    Raises `FileOperationFailed`.
    """
    try:
        scan = os.scandir(prefix.path(library))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, "listing what is installed") from error
    with scan:
        # pip renames a directory that it removes to "~ame"; if it is killed, that stays
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
    if dash and kind != ".egg-info":
        return name, version
    # old setuptools wrote NAME.egg-info, and did not escape dashes, so the name is ambiguous: read the metadata
    for metadata in ("METADATA", "PKG-INFO", ""):
        try:
            about = read_headers(prefix, f"{library}/{entry}/{metadata}".rstrip("/"))
        except FileOperationFailed:
            if not dash:
                raise
            continue
        if about.get("name"):
            return about["name"][0], about.get("version", [version])[0]
    return (name, version) if dash else (stem, "")


def read_headers(prefix: Prefix, path: str) -> dict[str, list[str]]:
    """The header fields of the metadata file at `path`; empty if it does not exist. Raises `FileOperationFailed`."""
    return headers(read_text(prefix, path) or "")


def read_text(prefix: Prefix, path: str) -> str | None:
    """The text of the file at `path`, at most 64 MiB; None if it does not exist. Raises `FileOperationFailed`."""
    try:
        with open(prefix.path(path), encoding="utf-8", errors="replace", opener=regular) as f:
            return read_most(f, _LONGEST)  # the header fields stand at the beginning
    except OSError as error:
        if error.errno in NO_FILE:
            return None
        raise FileOperationFailed.from_os_error(error, "reading what is installed") from error


def read_metadata(prefix: Prefix, distribution: Distribution) -> dict[str, list[str]]:
    """The header fields of the core metadata of an installed distribution, by lower-case name (`metadata.headers`).

    Raises `FileOperationFailed`.
    """
    if distribution.kind == ".dist-info":
        return read_headers(prefix, f"{distribution.path}/METADATA")
    text = read_text(prefix, f"{distribution.path}/PKG-INFO")
    return headers(text) if text is not None else read_headers(prefix, distribution.path)


def readable_metadata(prefix: Prefix, distribution: Distribution) -> dict[str, list[str]]:
    """As `read_metadata`, but metadata that cannot be read count as empty: for what is only said in messages."""
    try:
        return read_metadata(prefix, distribution)
    except FileOperationFailed:
        return {}


def read_record(prefix: Prefix, distribution: Distribution) -> list[record.Row]:
    """The rows of the RECORD of `distribution`. Raises `OSError`, and `ValueError` if it is invalid."""
    with open(prefix.path(f"{distribution.path}/RECORD"), "rb", opener=regular) as f:
        data = read_most(f, _LONGEST + 1)
    if len(data) > _LONGEST:
        raise ValueError(f"it has more than the {_LONGEST} bytes that are allowed")
    return _parse_record(data)


def _parse_record(data: bytes) -> list[record.Row]:
    return record.parse(data.removeprefix(codecs.BOM_UTF8))  # an editor may have added a BOM
