"""Names of projects and of their files, and the header fields of METADATA and WHEEL files.

This reads only the few fields that an installation needs, and takes microseconds. `packaging.metadata` implements all
rules of the core metadata specification.
"""

from __future__ import annotations

import re

PROJECT_FILES = ("pyproject.toml", "setup.py")
"""A directory with one of these files is the source tree of a project."""

# The extension of PEP 625 comes first; then those that it has replaced, and others that pip accepts.
SDIST_EXTENSIONS = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar")
# The extensions of files that pip accepts.
_ARCHIVE_EXTENSIONS = (".whl", *SDIST_EXTENSIONS, ".tlz", ".tar.lz", ".tar.lzma")


def canonical_name(name: str) -> str:
    """The normalised form of a project name (PEP 503).

    >>> canonical_name("Ruamel.YAML__clib")
    'ruamel-yaml-clib'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def is_sdist_name(path: str) -> bool:
    return path.lower().endswith(SDIST_EXTENSIONS)


def is_archive_name(path: str) -> bool:
    """Whether `path` has the extension of a wheel, or of an archive that pip accepts."""
    return path.lower().endswith(_ARCHIVE_EXTENSIONS)


def headers(text: str) -> dict[str, list[str]]:
    """The header fields of `text`, up to the first line that is none: the values of each, by its name in lower case.

    A continued line is joined to the one before it with a line feed. As for Python's `email`, with which every other
    tool reads these files, the text begins at the first line that is empty or no field; a byte-order mark makes one.

    >>> headers("Name: six\\nTag: py2-none-any\\nTag: py3-none-any\\n\\nbody: no")["tag"]
    ['py2-none-any', 'py3-none-any']
    """
    fields: dict[str, list[list[str]]] = {}
    parts: list[str] = []
    for line in text.partition("\n\n")[0].split("\n"):  # the description that follows may be long
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t":
            parts.append(line.strip())
            continue
        key, colon, value = line.partition(":")
        if not colon or not key.isascii() or not key.isprintable() or " " in key:
            break
        parts = [value.strip()]
        fields.setdefault(key.lower(), []).append(parts)
    return {key: ["\n".join(parts) for parts in values] for key, values in fields.items()}


def is_data(member: str) -> bool:
    """Whether `member` of a wheel is in a directory such as NAME-VERSION.data; any name ending so is one, as for pip.

    >>> is_data("Six-1.0.0.data/scripts/six"), is_data("six/x.data/scripts"), is_data("six.data")
    (True, False, False)
    """
    top, slash, _ = member.partition("/")
    return bool(slash) and top.endswith(".data")


def in_data(member: str) -> tuple[str, str]:
    """The scheme of a `member` for which `is_data` holds, and its path in the directory of that scheme.

    >>> in_data("Six-1.0.0.data/scripts/six")
    ('scripts', 'six')
    """
    scheme, _, path = member.partition("/")[2].partition("/")
    return scheme, path


def requirement_name(requirement: str) -> str:
    """The normalised name that a PEP 508 requirement begins with, without parsing the rest.

    >>> requirement_name("Pexpect[x]>=4; python_version<'4'")
    'pexpect'
    """
    found = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
    return canonical_name(found[1]) if found else ""
