"""Read the manifests of packages: which distributions each package has installed in a prefix.

A "package" here is a package of a collection of software (such as Sage), with its own build rules; it may install
several Python distributions. It has a manifest with one line

    NAME @ file:///PATH

for each distribution. PATH is the wheel that was installed, which must stay in the wheelhouse, or the source tree of an
editable installation. The manifest of the package PKG is one of these files:

    PREFIX/var/lib/sage-wheels/stamps/PKG        written by the make rules; any other tool may write it, too
    PREFIX/var/lib/sage-wheels/superseded/PKG    the old manifest, kept while another version of PKG is built

or a file that a provider knows (`providers`). Other lines and files are ignored. Commands that start often use this
module, so it imports very little.
"""

from __future__ import annotations

import os

from sage_wheels.errors import FileOperationFailed, SourceError
from sage_wheels.fs import presence
from sage_wheels.fs.files import regular
from sage_wheels.installed.distributions import NO_FILE
from sage_wheels.manifests import providers
from sage_wheels.manifests.providers import Manifest
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix

MANIFESTS = "var/lib/sage-wheels/stamps"
SUPERSEDED = "var/lib/sage-wheels/superseded"


class ManifestEntry(NamedTuple):
    """A distribution that a package has installed.

    `name` is the normalised name of the distribution, `package` the name of the package, `requirement` the line of the
    manifest, and `source` the path of the wheel, or of the source tree of an editable installation. `rebuild` is the
    command that builds the package again; "" if it is not known.
    """

    name: str
    package: str
    requirement: str
    source: str
    rebuild: str = ""

    @property
    def is_editable(self) -> bool:
        return not self.source.endswith(".whl")

    @property
    def version(self) -> str:
        """The version in the file name of the wheel; "" for a source tree."""
        if self.is_editable:
            return ""
        pieces = os.path.basename(self.source).split("-")
        return pieces[1] if len(pieces) > 4 and pieces[1].isprintable() else ""

    @property
    def is_restorable(self) -> bool:
        """Whether the wheel still exists, so that `restore` can install it again."""
        return not self.is_editable and presence.is_file(self.source)

    @property
    def way_back(self) -> str:
        """How to install the distribution of the package again, for messages: a command in quotes, if there is one."""
        if self.is_restorable:
            return f"'sage-wheels restore {self.name}'"
        return f"'{self.rebuild}'" if self.rebuild else f"building package {self.package} again"


def entries(prefix: Prefix) -> dict[str, ManifestEntry]:
    """The distributions that packages have installed in `prefix`, by normalised name. Raises `FileOperationFailed`.

    If there are a source tree and a wheel of the same name, the source tree counts: a package that is installed in
    editable mode may store a wheel, too.
    """
    found: dict[str, ManifestEntry] = {}
    for manifest in _manifests(prefix):
        for entry in entries_in(manifest.path, manifest.package, manifest.rebuild, manifest.wheels):
            other = found.get(entry.name)
            if other is None or (entry.is_editable and not other.is_editable and entry.package == other.package):
                found[entry.name] = entry
    return found


def _manifests(prefix: Prefix) -> Iterator[Manifest]:
    """All manifests; those below `superseded` last."""
    yield from providers.manifests(prefix)
    for relative in (MANIFESTS, SUPERSEDED):
        directory = prefix.path(relative)
        for package in packages_in(directory):
            yield Manifest(package, f"{directory}/{package}")


def packages_in(directory: str) -> list[str]:
    """The names in `directory`, sorted, that can be names of packages; temporary files begin with a dot."""
    try:
        names = os.listdir(directory)
    except OSError as error:
        if error.errno in NO_FILE:
            return []
        raise FileOperationFailed.from_os_error(error, "reading the manifests of the packages") from error
    return sorted(name for name in names if name[0] != "." and name.isprintable())


def entries_in(file: str, package: str = "", rebuild: str = "", wheels: str = "") -> Iterator[ManifestEntry]:
    """The entries in the manifest `file`; none if it does not exist, or is not a manifest.

    If a wheel does not exist, it is looked for in the directory `wheels`.
    """
    for line in _lines_in(file):
        reference = references.reference_in(line)
        if reference and reference.name and references.is_file_url(reference.url):
            try:
                path = references.location_of(reference.url).path
            except (SourceError, OSError):  # the URL of another host, or an invalid path
                continue
            if path.startswith("/"):
                source = _source_at(os.path.normpath(path), wheels)
                yield ManifestEntry(canonical_name(reference.name), package, line, source, rebuild)


def _source_at(path: str, wheels: str) -> str:
    """`path`; or, if it does not exist, the path of the wheel of the same name in the directory `wheels`."""
    moved = os.path.join(wheels, os.path.basename(path))
    is_moved = bool(wheels) and path.endswith(".whl") and not os.path.lexists(path) and presence.is_file(moved)
    return moved if is_moved else path


def add_entry(path: str, name: str, where: str) -> None:
    """Add an entry to the manifest `path`, unless it is there: the distribution `name`, from `where`.

    Raises `OSError`, and `FileOperationFailed` if it cannot be read.
    """
    line = references.written(name, where)
    if line not in _lines_in(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write(f"{line}\n")


def _lines_in(path: str) -> list[str]:
    """The lines of a manifest without comments; none if it does not exist."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", opener=regular) as f:
            return [line.partition(" #")[0].strip() for line in f.read().split("\n")]
    except OSError as error:
        if error.errno in NO_FILE:
            return []
        raise FileOperationFailed.from_os_error(error, "reading the manifests of the packages") from error
