"""What an argument on the command line is: a wheel, an sdist, a source tree, or a requirement.

The rules are pip's, so that `sage-wheels install X` means what `pip install X` means: a directory needs a separator
or a leading dot (a bare word is a requirement even where a directory of that name exists), an archive is known by its
extension, `NAME @ URL` is a direct reference (PEP 508). A reference to a local file is that file, without pip.

Deciding costs no heavy import: `packaging` is loaded for requirements only.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from sage_wheels.errors import FileOperationFailed, SourceError
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.prefix import presence

_SDIST_EXTENSIONS = (".tar.gz", ".zip")  # PEP 625, and what it replaced
_OTHER_ARCHIVES = (".tar", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".egg", ".7z")

# `NAME @ file:///path` without extras or markers: what a distribution writes into its own requirement files. Its shell
# scripts write the path as it is, with spaces and all. The groups: name, host, path.
_LOCAL_REFERENCE = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*@\s*file:(?=/)(?://([^/]*))?(.*)")

DirectUrl = dict[str, Any]
"""The content of direct_url.json (PEP 610)."""


class WheelFile(NamedTuple):
    """A local wheel; `path` is absolute."""

    path: str

    def direct_url(self) -> DirectUrl:
        return archive_direct_url(file_url(self.path), self.path)


class SdistFile(NamedTuple):
    """A local sdist, .tar.gz or .zip; `path` is absolute."""

    path: str

    def direct_url(self) -> DirectUrl:
        return archive_direct_url(file_url(self.path), self.path)


class SourceTree(NamedTuple):
    """A local directory with a pyproject.toml or setup.py; `path` is absolute."""

    path: str

    def direct_url(self, *, editable: bool = False) -> DirectUrl:
        return {"dir_info": {"editable": True} if editable else {}, "url": file_url(self.path)}


class RemoteFile(NamedTuple):
    """A direct reference `NAME @ URL` to a file that is not here; `text` is all of it."""

    text: str
    name: str
    url: str

    def direct_url(self) -> DirectUrl:
        """What is known before the file is here: the URL, and the hash that its fragment claims."""
        url, _, fragment = without_credentials(self.url).partition("#")
        found = re.search(r"(?:^|&)(sha256|sha384|sha512)=([0-9a-f]+)", fragment)
        return {"archive_info": _archive_info(found[1], found[2]) if found else {}, "url": url}


class Requirement(NamedTuple):
    """A PEP 508 requirement by name; `text` is all of it, `name` its name as written."""

    text: str
    name: str

    def direct_url(self) -> None:
        """A requirement that an index answers has no direct URL (PEP 610)."""


LocalSource = WheelFile | SdistFile | SourceTree
Source = LocalSource | RemoteFile | Requirement


def parse_source(text: str) -> Source:
    """Decide what `text` is.

    Raises `SourceError` if it is none of the five, or a file or directory that is not there, and
    `FileOperationFailed` if that cannot be told.

    >>> parse_source("six >= 1.16")
    Requirement(text='six >= 1.16', name='six')
    >>> parse_source("six @ https://example.org/six.tar.gz").name
    'six'
    """
    try:
        return _parse(text.strip())
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"looking for {text}") from error


def _parse(text: str) -> Source:
    if not text:
        raise SourceError("an empty argument is no source", "name a wheel, an sdist, a directory or a requirement")
    reference = _LOCAL_REFERENCE.fullmatch(text)
    if reference and (";" not in reference[3] or presence.leads_somewhere(reference[3])):  # or it has a marker
        return _local_reference(reference[1], reference[2] or "", reference[3])
    if _looks_like_path(text) and presence.is_directory(text):
        return _source_tree(text)
    if presence.is_file(text) and (_looks_like_path(text) or _is_archive(text)):
        return _archive(text)
    if _is_reference(text):
        return _requirement(text)
    if "://" in text:
        raise SourceError(f"{text} is a URL without a name", f"write NAME @ {text}")
    if _is_archive(text) or _looks_like_path(text):
        raise SourceError(f"{text} is neither a file nor a directory", "check the path")
    return _requirement(text)


def file_url(path: str) -> str:
    """The file: URL of an absolute path (RFC 8089), as pip writes it."""
    plain = os.path.normpath(path)
    if not re.fullmatch(r"[\w./~-]+", plain, re.ASCII):
        from urllib.parse import quote

        plain = quote(os.fsencode(plain))  # not every path is UTF-8
    return f"file://{plain}"


def archive_direct_url(url: str, path: str) -> DirectUrl:
    """direct_url.json for an archive that came from `url` and is at `path` (PEP 610, `archive_info`).

    pip writes the hash in both forms, the old `hash` and the newer `hashes`.
    """
    return {"archive_info": _archive_info("sha256", sha256(path)), "url": url}


def sha256(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises `SourceError` if it cannot be read."""
    return _digest(path, "sha256")


def _digest(path: str, algorithm: str) -> str:
    import hashlib

    digest = hashlib.new(algorithm, usedforsecurity=False)  # or a Python might refuse MD5
    try:
        with open(path, "rb") as f:
            while block := f.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})", "check its permissions") from error
    return digest.hexdigest()


def without_credentials(url: str) -> str:
    """`url` without user and password, unless they are environment variables (PEP 610, "security considerations").

    >>> without_credentials("https://me:secret@example.org/x.whl")
    'https://example.org/x.whl'
    >>> without_credentials("https://${USER}:${TOKEN}@example.org/x.whl")
    'https://${USER}:${TOKEN}@example.org/x.whl'
    """
    variables = r"(?:\$\{[A-Za-z0-9_-]+\}(?::\$\{[A-Za-z0-9_-]+\})?@)"
    return re.sub(rf"^([a-z+.-]+://)(?!{variables})[^/@]*@", r"\1", url)


def _archive_info(algorithm: str, value: str) -> dict[str, Any]:
    return {"hash": f"{algorithm}={value}", "hashes": {algorithm: value}}


def _looks_like_path(text: str) -> bool:
    return os.sep in text or text.startswith(".")


def _is_archive(text: str) -> bool:
    return text.lower().endswith((".whl", *_SDIST_EXTENSIONS, *_OTHER_ARCHIVES))


def _is_reference(text: str) -> bool:
    """Whether `text` is `NAME @ URL`: the part before the @ is no path."""
    before, at, _ = text.partition("@")
    return bool(at) and bool(re.fullmatch(r"\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*", before))


def _source_tree(text: str) -> SourceTree:
    path = os.path.abspath(text)
    if not any(presence.is_file(os.path.join(path, name)) for name in ("pyproject.toml", "setup.py")):
        raise SourceError(f"{path} has neither pyproject.toml nor setup.py", "name the directory of a project")
    return SourceTree(path)


def _archive(text: str) -> WheelFile | SdistFile:
    path = os.path.abspath(text)
    if path.endswith(".whl"):
        return WheelFile(path)
    if path.endswith(_SDIST_EXTENSIONS):
        return SdistFile(path)
    raise SourceError(
        f"{path} is no wheel (.whl) and no sdist ({', '.join(_SDIST_EXTENSIONS)})", "unpack it and name the directory"
    )


def _local_reference(name: str, host: str, path: str) -> LocalSource:
    if host not in ("", "localhost"):
        raise SourceError(f"the URL of {name} names the host {host}", "a file: URL must name a file of this machine")
    fragment = ""
    if not presence.leads_somewhere(path):
        from urllib.parse import unquote_to_bytes

        quoted, _, fragment = path.partition("#")
        path = os.fsdecode(unquote_to_bytes(quoted))
    if presence.is_directory(path):
        return _source_tree(path)
    if not presence.is_file(path):
        raise SourceError(f"{path}, which {name} is said to be at, is not there", "check the path")
    _check_name(name, path)
    _check_fragment(fragment, path)
    return _archive(path)


def _check_name(name: str, path: str) -> None:
    """Refuse `six @ file:///numpy-2.0.whl`; an sdist may have hyphens in its name (older than PEP 625)."""
    file = canonical_name(os.path.basename(path))
    if not file.startswith(canonical_name(name) + "-"):
        raise SourceError(f"{path} is no file of {name}", "name the file that belongs to that project")


def _check_fragment(fragment: str, path: str) -> None:
    for algorithm, wanted in re.findall(r"(?:^|&)(md5|sha1|sha224|sha256|sha384|sha512)=([^&]*)", fragment):
        if _digest(path, algorithm) != wanted.lower():
            raise SourceError(f"{path} does not have the {algorithm} that its URL claims", "get the file again")


def _requirement(text: str) -> Requirement | RemoteFile:
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    try:
        parsed = Parsed(text)
    except (InvalidRequirement, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"{text!r} is neither a file, nor a directory, nor a requirement ({reason})",
            "write a path with a separator, or a requirement as in PEP 508",
        ) from error
    if parsed.url is None:
        return Requirement(text, parsed.name)
    scheme = parsed.url.partition(":")[0]
    if scheme not in ("http", "https", "file"):
        raise SourceError(f"{text} is a reference by {scheme}:", "check it out and name the directory")
    return RemoteFile(text, parsed.name, parsed.url)
