"""Names, and the header fields of METADATA and WHEEL files.

Only the few fields that an installation record needs are read here, at a cost of microseconds; what wants the full
rules of the core metadata specification takes `packaging.metadata`.
"""

from __future__ import annotations

import re


def canonical_name(name: str) -> str:
    """The normalised form of a project name (PEP 503).

    >>> canonical_name("Ruamel.YAML__clib")
    'ruamel-yaml-clib'
    """
    return _SEPARATORS.sub("-", name).lower()


_SEPARATORS = re.compile(r"[-_.]+")


def headers(text: str) -> dict[str, list[str]]:
    """The header fields of `text`, by lower-case name, in order; continued lines joined; up to the first empty line.

    >>> headers("Name: six\\nTag: py2-none-any\\nTag: py3-none-any\\n\\nbody: no")["tag"]
    ['py2-none-any', 'py3-none-any']
    """
    fields: dict[str, list[list[str]]] = {}
    parts: list[str] = []
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t":
            parts.append(line.strip())
            continue
        key, colon, value = line.partition(":")
        if colon:
            parts = [value.strip()]
            fields.setdefault(key.strip().lower(), []).append(parts)
    return {key: ["\n".join(parts) for parts in values] for key, values in fields.items()}


def requirement_name(requirement: str) -> str:
    """The normalised name that a PEP 508 requirement begins with, without parsing the rest.

    >>> requirement_name("Pexpect[x]>=4; python_version<'4'")
    'pexpect'
    """
    found = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
    return canonical_name(found[1]) if found else ""
