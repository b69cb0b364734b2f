"""Check whether this machine has the shared libraries that a wheel needs and does not contain, in the right versions.

The key of a result contains the installed packages of the machine that built it, as far as its system tells them. But
with `--cache-system` a wheel can come from a machine with other packages, and a library can be installed without a
package. So before a wheel is taken from the store, each library is searched as the loader does (ld.so(8)): in the
directories that the wheel names, in LD_LIBRARY_PATH, in the prefix, beside the interpreter, in ld.so.cache and in the
usual directories. It must be for the same machine.

On macOS, its compatibility version must be the one that is needed, or a later one. Libraries of the system are in a
cache of the loader, and are not searched.

A library that was not found on the machine that built the wheel is not searched, either: another wheel contains it, or
nothing uses it.
"""

from __future__ import annotations

import mmap
import os
import struct

from sage_wheels.building.inputs import elf, macho
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sage_wheels.building.inputs.binary import Binary

_SHAPE = (str, [str], [str], [int])
_RPATH = "@rpath/"  # begins names that are looked for in the directories (dyld(1))
_CACHE = "/etc/ld.so.cache"
_MAGIC = b"glibc-ld.so.cache1.1"
_ENTRY = struct.Struct("=iIIIQ")  # flags, name, path, version of the system, processor
_USUAL = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


class Needed(NamedTuple):
    """A library that is needed: its `name`, and the `versions` that it must have. `directories` are searched first.
    `kind` is as in `Binary`."""

    name: str
    directories: tuple[str, ...]
    versions: tuple[str, ...]
    kind: tuple[int, ...]


class Collector:
    """Collects what the members of a wheel need: call `look` for each member, then `needed`."""

    def __init__(self) -> None:
        self._own: set[str] = set()
        self._found: list[Binary] = []

    def look(self, member: str, data: bytes) -> None:
        found = _read(data)
        if found:
            self._own |= {os.path.basename(each) for each in (member, *(part.name for part in found))}
            self._found += found

    def needed(self) -> list[Needed]:
        result: dict[tuple[str, tuple[int, ...], tuple[str, ...]], set[str]] = {}
        for each in self._found:
            directories = tuple(path for path in each.search if path.startswith("/"))
            for name in each.needed:
                if os.path.basename(name) not in self._own:
                    result.setdefault((name, each.kind, directories), set()).update(each.versions.get(name, ()))
        return sorted(
            Needed(name, directories, tuple(sorted(versions)), kind)
            for (name, kind, directories), versions in result.items()
        )


class Here:
    """The libraries of this machine; `directories` are searched before those that every program uses."""

    def __init__(self, environ: Mapping[str, str], directories: Iterable[str]) -> None:
        told = environ.get("LD_LIBRARY_PATH", "").split(":")
        self._directories = [*filter(None, told), *directories]
        self._cached: dict[str, list[str]] | None = None

    def lack(self, needed: Needed) -> str:
        """What is missing on this machine, as the end of a sentence; "" if nothing is."""
        found = self.find(needed)
        if found is None:
            return f"{needed.name} is not here"
        missing = [each for each in needed.versions if not _has(found, each)]
        return f"{needed.name} has no {', '.join(missing)} here" if missing else ""

    def find(self, needed: Needed) -> Binary | None:
        for path in self._paths(needed):
            for found in _read_file(path):
                if found.kind == needed.kind:
                    return found
        return None

    def _paths(self, needed: Needed) -> Iterator[str]:
        name = needed.name.removeprefix(_RPATH)
        if "/" in name and name == needed.name:
            yield name
            return
        for directory in (*needed.directories, *self._directories):
            yield f"{directory}/{name}"
        if self._cached is None:
            self._cached = _cached_paths()
        yield from self._cached.get(name, ())
        for directory in _USUAL:
            yield f"{directory}/{name}"


def libraries_of(interpreter: str, prefixes: Iterable[str]) -> list[str]:
    """The directories of libraries of an interpreter, and of `prefixes`."""
    roots = [os.path.dirname(os.path.dirname(interpreter)), *prefixes]
    return [f"{root}/{name}" for root in dict.fromkeys(roots) for name in ("lib", "lib64")]


def from_values(values: object) -> list[Needed] | None:
    """The needed libraries in the `values` of a result; None if they are invalid."""
    from sage_wheels.fs.caches import has_shape

    if not has_shape(values, [_SHAPE]):
        return None
    told: list[tuple[str, list[str], list[str], list[int]]] = values  # type: ignore[assignment]
    return [Needed(name, tuple(where), tuple(versions), tuple(kind)) for name, where, versions, kind in told]


def _has(found: Binary, version: str) -> bool:
    return version in found.defined if found.kind[0] else macho.is_enough(version, found.defined)


def _read(data: bytes | mmap.mmap) -> list[Binary]:
    """The binaries in a file with these bytes (a fat Mach-O file has several); none if it is damaged."""
    try:
        found = elf.read(data)
        return [found] if found else macho.read(data)
    except ValueError:
        return []


def _read_file(path: str) -> list[Binary]:
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data)
    except (OSError, ValueError):
        return []


def _cached_paths() -> dict[str, list[str]]:
    """The paths in ld.so.cache by the names of libraries (dl-cache.h of the GNU C library); none without it."""
    try:
        with open(_CACHE, "rb") as f:
            data = f.read()
        start = data.index(_MAGIC)  # a table in an older format may be before it
        (count,) = struct.unpack_from("=I", data, start + len(_MAGIC))
        result: dict[str, list[str]] = {}
        entries = data[start + 48 : start + 48 + count * _ENTRY.size]
        for _, name, path, _, _ in _ENTRY.iter_unpack(entries):
            result.setdefault(_text(data, start + name), []).append(_text(data, start + path))
    except (OSError, ValueError, struct.error):
        return {}
    return result


def _text(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.index(b"\0", at)])
