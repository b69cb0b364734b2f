"""Read the manifests of packages: which distributions each package has installed in a prefix.

A "package" here is a package of a collection of software (such as Sage), with its own build rules; it may install
several Python distributions. It has a manifest with one line

    NAME @ file:///PATH

for each distribution. PATH is the wheel that was installed, which must stay in the wheelhouse, or the source tree of an
editable installation. The manifest of the package PKG is one of these files:

    PREFIX/var/lib/sage-wheels/stamps/PKG        written by the make rules; any other tool may write it, too
    PREFIX/var/lib/sage-wheels/superseded/PKG    the old manifest, kept while another version of PKG is built

or a file that a provider knows (`providers`). Lines are read by pip's rules (`requirements.lines`): encodings,
byte-order marks, continued lines, ${VARIABLES}, comments. A line of another form is ignored, and a sentence says so.
Commands that start often use this module, so it imports very little.
"""

from __future__ import annotations

import contextlib
import os
import re

from sage_wheels.errors import FileOperationFailed, SourceError, printable
from sage_wheels.fs import presence
from sage_wheels.fs.files import regular
from sage_wheels.installed.distributions import NO_FILE
from sage_wheels.manifests import providers
from sage_wheels.manifests.providers import Manifest
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import advice
from sage_wheels.requirements import lines, references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.prefix import Prefix

MANIFESTS = "var/lib/sage-wheels/stamps"
SUPERSEDED = "var/lib/sage-wheels/superseded"
# What may follow a URL in a requirements file: a marker, or options such as --hash.
_REST = r"\s*;|\s+--?[A-Za-z]"


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

    def is_wheel(self, digest: str) -> bool:
        """Whether `digest` is the SHA-256 of the wheel that the package has installed, and that still exists."""
        from sage_wheels.requirements.sources import digest_of

        with contextlib.suppress(SourceError):
            return bool(digest) and self.is_restorable and digest_of(self.source) == digest
        return False

    def way_back(self, prefix: Prefix) -> str:
        """How to install the distribution of the package again, for messages: a command in quotes, if there is one."""
        if self.is_restorable:
            return f"'{advice.command(prefix.root, f'restore {self.name}')}'"
        return f"'{self.rebuild}'" if self.rebuild else f"building package {self.package} again"


def entries(prefix: Prefix, on_note: Callable[[str], object]) -> dict[str, ManifestEntry]:
    """The distributions that packages have installed in `prefix`, by normalised name. Raises `FileOperationFailed`.

    `on_note` is called with a sentence for each line that is not an entry.
    If there are a source tree and a wheel of the same name, the source tree counts: a package that is installed in
    editable mode may store a wheel, too.
    """
    found: dict[str, ManifestEntry] = {}
    for manifest in _manifests(prefix):
        for entry in entries_in(manifest.path, on_note, manifest.package, manifest.rebuild, manifest.wheels):
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


def entries_in(
    file: str, on_note: Callable[[str], object], package: str = "", rebuild: str = "", wheels: str = ""
) -> Iterator[ManifestEntry]:
    """The entries in the manifest `file`; none if it does not exist.

    `on_note` is called with a sentence for each line that is not an entry, and for a file that cannot be decoded. If a
    wheel does not exist, it is looked for in the directory `wheels`.
    """
    try:
        found = _lines_in(file)
    except (ValueError, LookupError) as error:
        on_note(f"{printable(file)} is ignored, because it cannot be decoded ({error})")
        return
    for number, line in found:
        name, path = _name_and_path(line)
        if name:
            source = _source_at(os.path.normpath(path), wheels)
            yield ManifestEntry(canonical_name(name), package, line, source, rebuild)
        else:
            form = "NAME @ file:///PATH"
            on_note(f"line {number} of {printable(file)} is ignored, because it is not of the form {form}")


def _name_and_path(line: str) -> tuple[str, str]:
    """The name and the path in `NAME @ file:///PATH`, which a marker and options may follow; "" for another line."""
    reference = references.reference_in(line)
    if not reference or not reference.name or not references.is_file_url(reference.url):
        return "", ""
    try:
        path = references.location_of(reference.url).path
        shorter = re.split(_REST, reference.url, maxsplit=1)[0]
        if shorter != reference.url and not presence.leads_somewhere(path):
            other = references.location_of(shorter).path
            path = other if other.endswith(".whl") or presence.leads_somewhere(other) else path
    except (SourceError, OSError):  # the URL of another host, or an invalid path
        return "", ""
    return (reference.name, path) if path.startswith("/") else ("", "")


def _source_at(path: str, wheels: str) -> str:
    """`path`; or, if it does not exist, the path of the wheel of the same name in the directory `wheels`."""
    moved = os.path.join(wheels, os.path.basename(path))
    is_moved = bool(wheels) and path.endswith(".whl") and not os.path.lexists(path) and presence.is_file(moved)
    return moved if is_moved else path


def add_entry(path: str, name: str, where: str) -> None:
    """Add an entry to the manifest `path`, unless it is there: the distribution `name`, from `where`.

    Raises `OSError`, and `FileOperationFailed` if it cannot be read.
    """
    line = references.requirement(name, references.file_url(where))
    try:
        is_there = line in (text for _, text in _lines_in(path))
    except (ValueError, LookupError):  # a file that cannot be decoded
        is_there = False
    if not is_there:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write(f"{line}\n")


def _lines_in(path: str) -> list[tuple[int, str]]:
    """The number and text of the lines of a manifest; none if it does not exist.

    Raises `FileOperationFailed` if it cannot be read, and `ValueError` or `LookupError` if it cannot be decoded.
    """
    try:
        with open(path, "rb", opener=regular) as f:
            data = f.read()
    except OSError as error:
        if error.errno in NO_FILE:
            return []
        raise FileOperationFailed.from_os_error(error, "reading the manifests of the packages") from error
    return list(lines.logical_lines(lines.decoded(data)))
