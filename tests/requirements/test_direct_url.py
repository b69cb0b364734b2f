"""`sage_wheels.requirements.direct_url`: it reads what `packaging` reads, and writes what `packaging` accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_wheels.requirements import direct_url

theirs = pytest.importorskip("packaging.direct_url")  # since packaging 26.1

TEXTS = st.sampled_from(
    ["", "git", "ab", "sha256=ab", "sha256", "https://h/a.zip", "file:///a%20b", "file:a", "http://[a"]
)
JUNK: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | TEXTS | st.just([]) | st.just({})
DIGESTS = st.dictionaries(st.sampled_from(["sha256", "md5"]), st.sampled_from(["ab", "cd"]) | JUNK)


def table(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of the fields, each nearly always of the right type."""
    return st.fixed_dictionaries({}, optional={name: each | JUNK for name, each in fields.items()}) | JUNK


DOCUMENTS = table(
    url=TEXTS,
    subdirectory=TEXTS,
    archive_info=table(hash=TEXTS, hashes=DIGESTS),
    dir_info=table(editable=st.booleans()),
    vcs_info=table(vcs=TEXTS, commit_id=TEXTS, requested_revision=TEXTS),
)


def as_packaging_reads(text: str) -> direct_url.Origin | None:
    try:
        found = theirs.DirectUrl.from_dict(json.loads(text))
    except (theirs.DirectUrlValidationError, ValueError, AttributeError):  # it may be no object, or its URL may be none
        return None
    common = (found.url, found.subdirectory or "")
    if found.vcs_info:
        vcs = found.vcs_info
        more = {"vcs": vcs.vcs, "commit_id": vcs.commit_id, "requested_revision": vcs.requested_revision or ""}
        return direct_url.Origin(common[0], "vcs", common[1], **more)
    if found.dir_info:
        return direct_url.Origin(common[0], "directory", common[1], bool(found.dir_info.editable))
    return direct_url.Origin(common[0], "archive", common[1], hashes=dict(found.archive_info.hashes or {}))


@given(DOCUMENTS)
def test_it_is_read_as_packaging_reads_it(document: Any) -> None:
    text = json.dumps(document)
    assert direct_url.parse(text) == as_packaging_reads(text)


WRITTEN = {
    "an archive": direct_url.of_archive("https://h/a.zip", "sha256", "ab", "sub"),
    "an archive without a hash": direct_url.of_archive("https://h/a.zip"),
    "a directory": direct_url.of_directory("file:///a"),
    "an editable installation": direct_url.of_directory("file:///a", "sub", editable=True),
    "a repository": direct_url.of_repository("https://h/a.git", "ab", "main", "sub"),
    "its HEAD": direct_url.of_repository("https://h/a.git", "ab"),
}


@pytest.mark.parametrize("told", WRITTEN.values(), ids=WRITTEN)
def test_what_is_written_is_what_packaging_writes(told: direct_url.DirectUrl) -> None:
    text = direct_url.to_bytes(told).decode()
    assert theirs.DirectUrl.from_dict(json.loads(text)).to_dict(generate_legacy_hash=True) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1", '{"url": "file:///a"}'])
def test_what_is_none(text: str) -> None:
    assert direct_url.parse(text) is None
