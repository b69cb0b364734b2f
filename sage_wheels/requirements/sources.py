"""The six kinds of source from which a wheel can be made, and what direct_url.json (PEP 610) says of each of them.

`arguments` parses an argument of the command line into one of these.
"""

from __future__ import annotations

import os
import re

from sage_wheels.errors import SourceError
from sage_wheels.fs.files import below, regular
from sage_wheels.metadata import SDIST_EXTENSIONS, canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements import direct_url
from sage_wheels.requirements.references import file_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.requirements.direct_url import DirectUrl


class Asked(NamedTuple):
    """The conditions that the user gave for a source.

    `name` is the project name, not normalised, or ""; `specifier` the accepted versions (PEP 440); `extras` are
    normalised and sorted. `hashes` are of the form "sha256=HEX"; the file must have one of them, unless there are none.
    """

    name: str = ""
    specifier: str = ""
    extras: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()


class WheelFile(NamedTuple):
    """A local wheel; `path` is absolute."""

    path: str
    asked: Asked = Asked()

    def direct_url(self) -> DirectUrl:
        return archive_direct_url(file_url(self.path), self.path)


class SdistFile(NamedTuple):
    """A local sdist, or another archive of a source tree; `path` is absolute.

    `subdirectory` is the directory of the project in the archive: a relative path without `..`, or "" for the top
    level. Messages call a downloaded file `origin`, which is its URL.
    """

    path: str
    asked: Asked = Asked()
    subdirectory: str = ""
    origin: str = ""

    def direct_url(self) -> DirectUrl:
        return archive_direct_url(file_url(self.path), self.path, self.subdirectory)


class SourceTree(NamedTuple):
    """A local directory; `path` is absolute. The project lies in its `subdirectory`, as in an `SdistFile`."""

    path: str
    asked: Asked = Asked()
    subdirectory: str = ""

    @property
    def project(self) -> str:
        """The directory with the pyproject.toml or setup.py."""
        return below(self.path, self.subdirectory)

    def direct_url(self, *, editable: bool = False) -> DirectUrl:
        return direct_url.of_directory(file_url(self.path), self.subdirectory, editable=editable)


class RemoteFile(NamedTuple):
    """The URL of a file to download, with its fragment; `text` is the whole argument."""

    text: str
    url: str
    asked: Asked = Asked()
    subdirectory: str = ""

    @property
    def name(self) -> str:
        """The name of the project, as far as it is known before the download; "" if it is not."""
        from urllib.parse import unquote, urlsplit

        return self.asked.name or project_of_file(unquote(urlsplit(self.url).path))

    def direct_url(self) -> DirectUrl:
        """The direct_url.json that is known before the download: the URL, and the hash in its fragment."""
        url, _, fragment = without_credentials(self.url).partition("#")
        found = re.search(r"(?:^|&)(sha256|sha384|sha512)=([0-9a-f]+)", fragment)
        algorithm, digest = found.groups() if found else ("", "")
        return direct_url.of_archive(url, algorithm, digest, self.subdirectory)


class GitRepository(NamedTuple):
    """A git repository to clone; `text` is the whole argument, `url` that of the repository itself.

    `revision` is a branch, a tag, a commit or any other name of a commit; "" stands for HEAD of the repository.
    """

    text: str
    url: str
    revision: str = ""
    asked: Asked = Asked()
    subdirectory: str = ""

    @property
    def name(self) -> str:
        """The name that the user gave for the project, else the last part of the URL, else "repository"."""
        return self.asked.name or os.path.basename(self.url.rstrip("/")).removesuffix(".git") or "repository"

    def direct_url(self, commit: str) -> DirectUrl:
        """The direct_url.json for the checked out `commit` (its full hash)."""
        return direct_url.of_repository(without_credentials(self.url), commit, self.revision, self.subdirectory)


class Requirement(NamedTuple):
    """A requirement by name (PEP 508); `text` is the whole argument."""

    text: str
    asked: Asked

    @property
    def name(self) -> str:
        return self.asked.name

    def direct_url(self) -> None:
        """None: a project from an index has no direct_url.json (PEP 610)."""


LocalSource = WheelFile | SdistFile | SourceTree
Source = LocalSource | RemoteFile | GitRepository | Requirement


def project_of_file(path: str) -> str:
    """The name of the project that a wheel or sdist is named after.

    >>> project_of_file("/x/Foo_bar-1.0.tar.gz"), project_of_file("foo-1.0-py3-none-any.whl"), project_of_file("v1.zip")
    ('Foo_bar', 'foo', 'v1')
    """
    if path.endswith(".whl"):
        return os.path.basename(path).partition("-")[0]
    stem = sdist_stem(path)
    return stem.rpartition("-")[0] or stem


def version_of_wheel(path: str) -> str:
    """The version in the name of a wheel; "" if it has none, which is refused when the wheel is opened."""
    return (*os.path.basename(path).split("-"), "")[1]


def sdist_stem(path: str) -> str:
    """The name of an sdist without its extension."""
    base = os.path.basename(path)
    extension = next((each for each in SDIST_EXTENSIONS if base.lower().endswith(each)), "")
    return base.removesuffix(base[len(base) - len(extension) :])


def project_name(source: Source) -> str:
    """The canonical name of the project, as far as it can be told before the build.

    >>> project_name(SdistFile("/x/Foo_bar-1.0.tar.gz"))
    'foo-bar'
    """
    name = certain_name(source)
    if not name and isinstance(source, GitRepository):
        return canonical_name(re.sub(r"[^\w.-]", "-", source.name))
    if not name and isinstance(source, SourceTree):
        return canonical_name(os.path.basename(source.project))
    return name


def certain_name(source: Source) -> str:
    """The canonical name of the project; "" if it is not certain before the build."""
    name = source.asked.name
    if not name and isinstance(source, RemoteFile):
        name = source.name
    elif not name and isinstance(source, (WheelFile, SdistFile)):
        name = project_of_file(source.path)
    elif not name and isinstance(source, SourceTree):
        name = _name_in(source.project)
    return canonical_name(name)


def _name_in(tree: str) -> str:
    """The name in a source tree's pyproject.toml, PKG-INFO or setup.cfg; a line that looks like one is enough."""
    for file, pattern in (
        ("PKG-INFO", r"^Name:\s*([\w.-]+)\s*$"),
        ("pyproject.toml", r"^name\s*=\s*[\"']([\w.-]+)[\"']"),
        ("setup.cfg", r"^name\s*=\s*([\w.-]+)\s*$"),
    ):
        try:
            with open(os.path.join(tree, file), encoding="utf-8", errors="replace", opener=regular) as f:
                found = re.search(pattern, f.read(), re.MULTILINE)
        except OSError:
            continue  # missing, or unreadable: the next file, then the name of the directory
        if found:
            return found[1]
    return ""


def check_asked(source: Source, name: str, version: str = "") -> None:
    """Raise `SourceError` if the project that was found does not have the name and versions given for `source`.

    `name` and `version` are those found; `version` is "" if it is not known.
    """
    asked, what = source.asked, written(source)
    if asked.name and canonical_name(asked.name) != canonical_name(name):
        raise SourceError(
            f"{what} was asked for as {asked.name}, but the project there is {name}",
            f"ask for {name}, or name another source",
        )
    if asked.specifier and version:
        from packaging.specifiers import SpecifierSet

        if not SpecifierSet(asked.specifier).contains(version, prereleases=True):
            raise SourceError(
                f"{what} was asked for as {asked.name}{asked.specifier}, but makes {version}", "ask for that version"
            )


def written(source: Source) -> str:
    """`source` for messages: the argument of the user without passwords, or the path."""
    if isinstance(source, (RemoteFile, GitRepository)):
        return source.text.replace(source.url, without_credentials(source.url))
    if isinstance(source, SdistFile) and source.origin:
        return source.origin
    return source.text if isinstance(source, Requirement) else source.path


def archive_direct_url(url: str, path: str, subdirectory: str = "") -> DirectUrl:
    """The direct_url.json for the archive at `path`, downloaded from `url`. Raises `SourceError`."""
    return direct_url.of_archive(url, "sha256", digest_of(path), subdirectory)


def has_one_of(path: str, hashes: Iterable[str]) -> bool:
    """Whether the file at `path` has one of `hashes`, which are as in `Asked`. Raises `SourceError`."""
    told = [each.partition("=") for each in hashes]
    return any(digest_of(path, algorithm) == value for algorithm, _, value in told)


def digest_of(path: str, algorithm: str = "sha256") -> str:
    """The hash of a file, in hexadecimal digits. Raises `SourceError` if it cannot be read."""
    from sage_wheels.fs import digest

    try:
        return digest.of_file(path, algorithm).hex()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})", "check its permissions") from error


def without_credentials(url: str) -> str:
    """`url` without user and password, unless they are environment variables (PEP 610, "security considerations").

    >>> without_credentials("https://me:secret@example.org/x.whl")
    'https://example.org/x.whl'
    >>> without_credentials("https://${USER}:${TOKEN}@example.org/x.whl")
    'https://${USER}:${TOKEN}@example.org/x.whl'
    >>> without_credentials("ssh://git@example.org/x")
    'ssh://git@example.org/x'
    """
    variables = r"(?:(?:git|\$\{[A-Za-z0-9_-]+\}(?::\$\{[A-Za-z0-9_-]+\})?)@)"
    return re.sub(rf"^([a-z+.-]+://)(?!{variables})[^/@]*@", r"\1", url)
