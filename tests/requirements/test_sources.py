from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sage_wheels.errors import SourceError
from sage_wheels.requirements.references import file_url
from sage_wheels.requirements.sources import (
    Asked,
    RemoteFile,
    Requirement,
    SdistFile,
    Source,
    SourceTree,
    check_asked,
    project_name,
    written,
)


def test_direct_url_of_an_archive_has_both_forms_of_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "foo-1.0.tar.gz"
    path.write_bytes(b"what is in it")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert SdistFile(str(path)).direct_url() == {
        "archive_info": {"hash": f"sha256={digest}", "hashes": {"sha256": digest}},
        "url": f"file://{path}",
    }


def test_direct_url_of_a_directory() -> None:
    assert SourceTree("/a b").direct_url() == {"dir_info": {}, "url": "file:///a%20b"}
    assert SourceTree("/a").direct_url(editable=True) == {"dir_info": {"editable": True}, "url": "file:///a"}
    assert SourceTree("/a", subdirectory="b/c").direct_url() == {
        "dir_info": {},
        "subdirectory": "b/c",
        "url": "file:///a",
    }


def test_direct_url_of_a_reference_has_no_password() -> None:
    source = RemoteFile("", "https://me:secret@example.org/foo-1.0.tar.gz#sha256=ab", Asked("foo"))
    assert source.direct_url() == {
        "archive_info": {"hash": "sha256=ab", "hashes": {"sha256": "ab"}},
        "url": "https://example.org/foo-1.0.tar.gz",
    }


def test_a_requirement_has_no_direct_url() -> None:
    assert Requirement("six", Asked("six")).direct_url() is None


def test_file_url_quotes() -> None:
    assert file_url("/x/a+b c~ü.whl") == "file:///x/a%2Bb%20c~%C3%BC.whl"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (SdistFile("/x/Foo_bar-1.0.tar.gz"), "foo-bar"),
        (SdistFile("/x/foo-bar-1.0.TAR.XZ"), "foo-bar"),
        (SdistFile("/x/v1.zip", Asked("Foo")), "foo"),
        (SourceTree("/x/tree"), "tree"),
        (SourceTree("/x/tree", subdirectory="a/sub"), "sub"),
        (RemoteFile("", "https://example.org/a%20b/foo-1.0.tgz?x=y#subdirectory=z"), "foo"),
        (RemoteFile("", "https://example.org/main.zip", Asked("foo")), "foo"),
        (Requirement("Foo==1", Asked("Foo", "==1")), "foo"),
    ],
)
def test_the_name_of_the_project_before_the_build(source: Source, name: str) -> None:
    assert project_name(source) == name


def test_no_password_is_written_down() -> None:
    url = "https://me:secret@example.org/a.zip"
    assert written(RemoteFile(f"a @ {url}", url)) == "a @ https://example.org/a.zip"


def test_names_are_compared_normalised() -> None:
    check_asked(SdistFile("/x/a.zip", Asked("Foo.Bar")), "foo_bar")
    check_asked(SdistFile("/x/a.zip"), "anything")
    check_asked(SdistFile("/x/a.zip", Asked("a", ">=1")), "a", "1.1rc1")
    with pytest.raises(SourceError, match=r"/x/a\.zip was asked for as a>=1, but makes 0\.9"):
        check_asked(SdistFile("/x/a.zip", Asked("a", ">=1")), "a", "0.9")
    with pytest.raises(SourceError, match=r"/x/a\.zip was asked for as Foo\.Bar, but the project there is foo"):
        check_asked(SdistFile("/x/a.zip", Asked("Foo.Bar")), "foo")
