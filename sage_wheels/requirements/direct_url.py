"""Write and read direct_url.json (PEP 610), which says where an installed distribution came from.

`packaging.direct_url` does the same, but imports `dataclasses` and `inspect`, which the quick commands do without
(`tests/cli/test_start.py`). `tests/requirements/test_direct_url.py` compares the two.
"""

from __future__ import annotations

from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    DirectUrl = dict[str, Any]
else:
    DirectUrl = dict
"""The content of direct_url.json, to be written."""

FILE = "direct_url.json"


class Origin(NamedTuple):
    """What a direct_url.json says. `kind` is "archive", "directory" or "vcs"; what is not said is "", empty or False.

    `hashes` are those of an archive, hexadecimal digits by the name of the algorithm. `vcs` ("git"), `commit_id` and
    `requested_revision` belong to a "vcs".
    """

    url: str
    kind: str
    subdirectory: str = ""
    is_editable: bool = False
    hashes: dict[str, str] = {}  # noqa: RUF012  nobody changes it
    vcs: str = ""
    commit_id: str = ""
    requested_revision: str = ""

    @property
    def pip_url(self) -> str:
        """The URL in the form of pip's command line: that of a repository names git and the commit."""
        return f"{self.vcs}+{self.url}@{self.commit_id}" if self.kind == "vcs" else self.url

    @property
    def path(self) -> str:
        """The path in a file: URL."""
        from urllib.parse import unquote, urlsplit

        return unquote(urlsplit(self.url).path)


def of_archive(url: str, algorithm: str = "", digest: str = "", subdirectory: str = "") -> DirectUrl:
    """The content for an archive. Its hash, if it is known, is in both forms, `hash` and the newer `hashes`, as by pip.

    >>> of_archive("https://example.org/a.zip", "sha256", "ab")["archive_info"]
    {'hash': 'sha256=ab', 'hashes': {'sha256': 'ab'}}
    """
    info = {"hash": f"{algorithm}={digest}", "hashes": {algorithm: digest}} if algorithm else {}
    return _with_subdirectory({"archive_info": info, "url": url}, subdirectory)


def of_directory(url: str, subdirectory: str = "", *, editable: bool = False) -> DirectUrl:
    """The content for a local directory."""
    return _with_subdirectory({"dir_info": {"editable": True} if editable else {}, "url": url}, subdirectory)


def of_repository(url: str, commit_id: str, requested_revision: str = "", subdirectory: str = "") -> DirectUrl:
    """The content for a git repository; `commit_id` is the full hash."""
    info = {"vcs": "git", "commit_id": commit_id}
    info |= {"requested_revision": requested_revision} if requested_revision else {}
    return _with_subdirectory({"url": url, "vcs_info": info}, subdirectory)


def _with_subdirectory(told: DirectUrl, subdirectory: str) -> DirectUrl:
    return {**told, "subdirectory": subdirectory} if subdirectory else told


def to_bytes(told: DirectUrl) -> bytes:
    """The content of the file."""
    import json

    return json.dumps(told, sort_keys=True).encode()


def parse(text: str) -> Origin | None:
    """What the file with this `text` says; None if it is not as PEP 610 has it.

    >>> parse('{"url": "file:///six", "dir_info": {"editable": true}}')
    Origin(url='file:///six', kind='directory', subdirectory='', is_editable=True, hashes={}, vcs='', commit_id='', \
requested_revision='')
    """
    import json

    try:
        return _origin(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def may_be_editable(text: str | None) -> bool:
    """Whether the file with this `text` is of an editable installation, or is invalid. None: there is no such file."""
    origin = parse(text) if text else None
    return bool(text) and (origin is None or origin.is_editable)


def _origin(told: Any) -> Origin:
    url, subdirectory = _text(told, "url"), _text(told, "subdirectory", "")
    archive, directory, vcs = (told.get(key) for key in ("archive_info", "dir_info", "vcs_info"))
    if [archive, directory, vcs].count(None) != 2:
        raise ValueError("it has not exactly one of archive_info, dir_info and vcs_info")
    if archive is not None:
        return Origin(url, "archive", subdirectory, hashes=_hashes(archive))
    if vcs is not None:
        of_vcs = (_text(vcs, "vcs"), _text(vcs, "commit_id"), _text(vcs, "requested_revision", ""))
        return Origin(url, "vcs", subdirectory, False, {}, *of_vcs)
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "file" or not parts.path.startswith("/"):
        raise ValueError("a directory has no file: URL with a full path")
    editable = directory.get("editable")
    if editable is not None and not isinstance(editable, bool):
        raise TypeError("editable")
    return Origin(url, "directory", subdirectory, bool(editable))


def _text(told: Any, key: str, default: str | None = None) -> str:
    value = told.get(key)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _hashes(archive: Any) -> dict[str, str]:
    hashes = archive.get("hashes")
    if hashes is not None and not all(isinstance(each, str) for each in hashes.values()):
        raise TypeError("hashes")
    old_form = archive.get("hash")
    if old_form is not None:
        algorithm, digest = old_form.split("=", 1)
        hashes = {algorithm: digest} if hashes is None else hashes
        if hashes.get(algorithm) != digest:
            raise ValueError("its two forms of the hash differ")
    return dict(hashes or {})
