"""Which distributions in a prefix are the distribution's own, and whether they still are what its wheelhouse holds.

A package of the distribution (in Sage: an spkg) leaves a record of what it has brought, with one line

    NAME @ file:///PATH

for each: PATH is the wheel that was installed, in the wheelhouse, where it has to stay; or the source tree of an
editable installation. The record of the package PKG is one of these files, and anybody's tools may write it:

    PREFIX/var/lib/sage-wheels/stamps/PKG                   what the make rules leave; any distribution may do the same
    PREFIX/var/lib/sage/scripts/PKG/spkg-requirements.txt   Sage's; `spkg-piprm` beside it says that it was installed
    PREFIX/var/lib/sage-wheels/superseded/PKG               what stays while Sage builds another version of PKG

Other lines, and other files, mean nothing here. This is read by commands that start often: it imports next to nothing.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed.distributions import NO_FILE, read_text
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.prefix import presence
from sage_wheels.prefix.filesystem import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

    State = Literal["same", "replaced", "missing", "no wheel"]

STAMPS = "var/lib/sage-wheels/stamps"
SUPERSEDED = "var/lib/sage-wheels/superseded"
SPKG_SCRIPTS = "var/lib/sage/scripts"

_LINE = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*@\s*file:(?://(?:localhost)?)?(/.*)", re.DOTALL)


class Part(NamedTuple):
    """A distribution that a package has brought: `name` is canonical, `package` that of the package, `requirement` the
    line of the record, `source` the path of the wheel, or of the source tree of an editable one."""

    name: str
    package: str
    requirement: str
    source: str

    @property
    def is_editable(self) -> bool:
        return not self.source.endswith(".whl")

    @property
    def version(self) -> str:
        """The version that the file name of the wheel says; empty for a source tree."""
        if self.is_editable:
            return ""
        pieces = os.path.basename(self.source).split("-")
        return pieces[1] if len(pieces) > 4 and pieces[1].isprintable() else ""

    @property
    def is_restorable(self) -> bool:
        """Whether there is a wheel to put back."""
        return not self.is_editable and presence.is_file(self.source)

    @property
    def way_back(self) -> str:
        """The command that brings again what the package has brought."""
        build = f"make {self.package}-clean && make {self.package}"
        return f"sage-wheels restore {self.name}" if self.is_restorable else build


def parts(prefix: Prefix, environ: Mapping[str, str] = os.environ) -> dict[str, Part]:
    """What the packages have brought into `prefix`, by canonical name. Raises `FileOperationFailed`.

    A source tree goes before a wheel of the same name: Sage stores a wheel of what it installs to be edited, too.
    """
    found: dict[str, Part] = {}
    for package, file in _records(prefix, environ):
        for part in parts_in(file, package):
            other = found.get(part.name)
            if other is None or (part.is_editable and not other.is_editable and part.package == other.package):
                found[part.name] = part
    return found


def _records(prefix: Prefix, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The name of each package, and the path of its record; what was superseded last."""
    for directory in _script_directories(prefix, environ):
        for package in _entries(directory):
            scripts = f"{directory}/{package}"
            # a package whose wheel is only stored, for others to build with, has nothing to be uninstalled
            if presence.is_there(f"{scripts}/spkg-piprm"):
                yield package, f"{scripts}/spkg-requirements.txt"
    for place in (STAMPS, SUPERSEDED):
        directory = prefix.path(place)
        for package in _entries(directory):
            yield package, f"{directory}/{package}"


def _script_directories(prefix: Prefix, environ: Mapping[str, str]) -> list[str]:
    """The usual one, and $SAGE_SPKG_SCRIPTS if that is about this prefix: in Sage it may be that of $SAGE_LOCAL."""
    usual = prefix.path(SPKG_SCRIPTS)
    named = os.path.normpath(environ.get("SAGE_SPKG_SCRIPTS") or usual)
    ours = named.startswith(f"{prefix.root}/") or os.path.abspath(environ.get("SAGE_VENV") or "/") == prefix.root
    return [usual, named] if ours and named != usual else [usual]


def _entries(directory: str) -> list[str]:
    """The names in `directory`, in order, that can be a package's; temporary files begin with a dot."""
    try:
        names = os.listdir(directory)
    except OSError as error:
        if error.errno in NO_FILE:
            return []
        raise FileOperationFailed.from_os_error(error, "reading the records of the packages") from error
    return sorted(name for name in names if name[0] != "." and name.isprintable())


def parts_in(file: str, package: str = "") -> Iterator[Part]:
    """What the record `file` says that a package has brought; nothing if it is not there, or is none."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape", opener=regular) as f:
            lines = f.read().split("\n")
    except OSError as error:
        if error.errno in NO_FILE:
            return
        raise FileOperationFailed.from_os_error(error, "reading the records of the packages") from error
    for line in lines:
        line = line.partition(" #")[0].strip()
        found = _LINE.fullmatch(line)
        if found:
            yield Part(canonical_name(found[1]), package, line, _path_of(found[2]))


def _path_of(url: str) -> str:
    """The path in a file: URL; shell scripts write paths as they are, others quote them."""
    if ("%" not in url and "#" not in url) or os.path.exists(url):
        return os.path.normpath(url)
    from urllib.parse import unquote

    return os.path.normpath(unquote(url.partition("#")[0]))


def state(prefix: Prefix, part: Part, distribution: Distribution | None) -> State:
    """Whether `distribution`, which is installed under the name of `part`, still is what the package has brought.

    RECORD is compared with the RECORD of the wheel, and nothing else is looked at: files that somebody edited are
    `verify`'s business. "no wheel" is one of the right version when there is nothing left to compare it with.
    """
    if distribution is None:
        return "missing"
    if part.is_editable:
        if not is_from(prefix, distribution, part.source, editable=True):
            return "replaced"
        return "same" if presence.is_directory(part.source) else "no wheel"
    from sage_wheels.sage.comparison import has_files_of

    is_same = has_files_of(prefix, distribution, part.source)
    if is_same is None:
        return "no wheel" if distribution.version == part.version else "replaced"
    return "same" if is_same else "replaced"


def is_from(prefix: Prefix, distribution: Distribution, path: str, *, editable: bool = False) -> bool:
    """Whether its direct_url.json says that `distribution` was installed from `path` (PEP 610)."""
    if distribution.kind == ".egg-link":
        return editable and is_linked(prefix, distribution, path)
    import json

    from sage_wheels.building.sources import file_url

    try:
        origin = json.loads(read_text(prefix, f"{distribution.path}/direct_url.json") or "{}")
        is_editable = bool(origin.get("dir_info", {}).get("editable"))
        return bool(origin.get("url") == file_url(path)) and is_editable == editable
    except (ValueError, AttributeError, RecursionError):
        return False


def is_linked(prefix: Prefix, distribution: Distribution, tree: str) -> bool:
    """Whether `distribution` is what `setup.py develop` leaves in a prefix of the source tree at `tree`."""
    if distribution.kind != ".egg-link":
        return False
    return (read_text(prefix, distribution.path) or "").partition("\n")[0] == os.path.realpath(tree)


def remark(part: Part, version: str, found: State) -> str:
    """What is to be said of a distribution of that `version` whose state is `found`; nothing if all is well."""
    if found == "same":
        return ""
    head = f"replaced: package {part.package} brings" if found == "replaced" else f"package {part.package} brings it"
    if part.is_editable:
        tree = part.source if part.source.isprintable() else ascii(part.source)
        return f"{head} the source tree {tree}" if found == "replaced" else f"{head}, but its source tree is gone"
    gone = "" if presence.is_file(part.source) else ", but its wheel is gone"
    if found == "no wheel":
        return f"{head}{gone or ', but its wheel is damaged'}"
    return f"{head} {'another build of ' if version == part.version else ''}{part.version}{gone}"


def as_json(part: Part, found: State) -> dict[str, str]:
    """What programs are told of the wheelhouse; of an editable one the path is that of the source tree."""
    return {"version": part.version, "path": part.source, "state": found}
