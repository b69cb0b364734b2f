"""Write and read `NAME @ URL`, and file: URLs in it.

Manifests and requirements files say in this form where a distribution comes from. pip quotes the path in a file: URL
(RFC 8089), as `file_url` does. But shell scripts write the path unquoted, with spaces and percent signs. So when a
file: URL is read, both readings are tried, and the one whose path exists is used.
"""

from __future__ import annotations

import os
import re

from sage_wheels.errors import SourceError
from sage_wheels.fs import presence
from sage_wheels.named import NamedTuple

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
# Patterns are compiled when they are needed: an installation of a wheel named by its path needs none.
_REFERENCE = rf"(?:({NAME})\s*(?:\[([^\[\]]*)\])?\s*@\s*)?((?:file|https?|git\+[a-z]+):.*)"
_FILE = r"file:(?://([^/]*))?(.*)"
_EXTRAS = r"(.+?)\s*\[([^\[\]]*)\]"


class Reference(NamedTuple):
    """`NAME[EXTRAS] @ URL`; `name` and `extras` are "" if there is only a URL."""

    name: str
    extras: str
    url: str


class Location(NamedTuple):
    """The parts of a file: URL: the unquoted path, the fragment, and extras in brackets after the path."""

    path: str
    fragment: str = ""
    extras: str = ""


def requirement(name: str, url: str, **fragment: str) -> str:
    """`NAME @ URL`, with those parts of the `fragment` that are not "".

    >>> requirement("six", file_url("/w/six 1.whl"), subdirectory="", sha256="0a")
    'six @ file:///w/six%201.whl#sha256=0a'
    """
    parts = "&".join(f"{key}={value}" for key, value in fragment.items() if value)
    return f"{name} @ {url}{f'#{parts}' if parts else ''}"


def file_url(path: str) -> str:
    """The file: URL of an absolute path (RFC 8089), as pip writes it."""
    plain = os.path.normpath(path)
    if not re.fullmatch(r"[\w./~-]+", plain, re.ASCII):
        from urllib.parse import quote

        plain = quote(os.fsencode(plain))  # not every path is UTF-8
    return f"file://{plain}"


def reference_in(text: str) -> Reference | None:
    """Parse `text`; None if it is not `[NAME @] URL` with a URL that begins with file:, http:, https: or git+.

    >>> reference_in("six[more] @ file:///w/six.whl")
    Reference(name='six', extras='more', url='file:///w/six.whl')
    """
    found = re.fullmatch(_REFERENCE, text, re.IGNORECASE | re.DOTALL) if ":" in text else None
    return Reference(found[1] or "", found[2] or "", found[3]) if found else None


def is_file_url(url: str) -> bool:
    return url[:5].lower() == "file:"


def location_of(url: str) -> Location:
    """The path in the file: URL `url`, by the first reading of it (see the top of this module) whose path exists.

    Raises `SourceError` if it names another host, or its path contains a NUL, and `OSError`.

    >>> location_of("file:///no%20where/six.whl#sha256=0")
    Location(path='/no where/six.whl', fragment='sha256=0', extras='')
    """
    found = re.fullmatch(_FILE, url, re.IGNORECASE | re.DOTALL)
    assert found
    if (found[1] or "").lower() not in ("", "localhost"):
        raise SourceError(f"{url} names the host {found[1]}", "a file: URL must name a file of this machine")
    text = found[2]
    if not re.search(r"[%#\]\0]", text):
        return Location(text)  # there is only one way to read it
    hashes = [each.start() for each in re.finditer("#", text)]
    for end in [len(text), *reversed(hashes)]:
        for path, extras in with_extras(text[:end]):
            for plain in (path, unquoted(path)):
                if presence.leads_somewhere(plain):
                    return Location(plain, text[end + 1 :], extras)
    path, _, fragment = text.partition("#")
    return Location(unquoted(path), fragment)


def with_extras(text: str) -> list[tuple[str, str]]:
    """The ways to split `text` into a path and extras, the more likely one first."""
    found = re.fullmatch(_EXTRAS, text, re.DOTALL) if text.endswith("]") else None
    return [*([(found[1], found[2])] if found else []), (text, "")]


def unquoted(text: str) -> str:
    """`text`, percent-decoded, as a path. Raises `SourceError` if it contains a NUL."""
    from urllib.parse import unquote_to_bytes

    plain = os.fsdecode(unquote_to_bytes(os.fsencode(text)))
    if "\0" in plain:
        raise SourceError(f"{text} has a NUL in it, which no path has", "correct the URL")
    return plain
