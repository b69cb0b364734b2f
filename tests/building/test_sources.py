from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.building import parse_source
from sage_wheels.building.sources import RemoteFile, Requirement, SdistFile, SourceTree, WheelFile, file_url
from sage_wheels.errors import SourceError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with one of each."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "pyproject.toml").touch()
    for name in ("foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz", "foo-1.0.zip", "foo-1.0.tar.bz2"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("foo-1.0-py3-none-any.whl", WheelFile),
        ("./foo-1.0-py3-none-any.whl", WheelFile),
        ("foo-1.0.tar.gz", SdistFile),
        ("foo-1.0.zip", SdistFile),
        ("./tree", SourceTree),
        ("tree/", SourceTree),
        ("tree", Requirement),
        ("tree[x]>=2; python_version>'3'", Requirement),
        ("foo @ https://example.org/foo-1.0.tar.gz", RemoteFile),
        ("foo@https://example.org/foo-1.0-py3-none-any.whl", RemoteFile),
    ],
)
def test_what_an_argument_is(here: Path, text: str, kind: type) -> None:
    assert type(parse_source(text)) is kind


def test_dot_is_the_current_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "tree")
    assert parse_source(".") == SourceTree(str(here / "tree"))


def test_a_reference_to_a_local_file_is_that_file(here: Path) -> None:
    wheel = here / "foo-1.0-py3-none-any.whl"
    assert parse_source(f"Foo @ file://{wheel}") == WheelFile(str(wheel))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert parse_source(f"foo @ file://{wheel}#sha256={digest}") == WheelFile(str(wheel))
    assert parse_source(f"foo @ file://{here}/tree") == SourceTree(str(here / "tree"))


@pytest.mark.parametrize("directory", ["a b", "ü", "50%25", "a;b", "a ;b", "a#b", "a?b", "\udcff"])
def test_a_reference_may_be_quoted_or_not(tmp_path: Path, directory: str) -> None:
    """Shell scripts write the path as it is."""
    wheel = tmp_path / directory / "foo-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    for url in (f"file://{wheel}", file_url(str(wheel))):
        source = parse_source(f"foo @ {url}")
        assert source == WheelFile(str(wheel))
        assert source.direct_url()["url"] == file_url(str(wheel))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no source"),
        ("foo-2.0-py3-none-any.whl", "neither a file nor a directory"),
        ("./nowhere", "neither a file nor a directory"),
        ("foo-1.0.tar.bz2", "no wheel"),
        ("https://example.org/foo-1.0.tar.gz", "without a name"),
        ("foo @ git+https://example.org/foo", "check it out"),
        ("foo >< 1", "requirement"),
        ("foo @ file:///nowhere/foo-1.0.tar.gz", "not there"),
        ("foo @ file:///no where/foo-1.0.tar.gz", "not there"),
        ("foo @ file://elsewhere/foo-1.0.tar.gz", "host"),
        ("foo @ file://[/foo-1.0.tar.gz", "host"),
        ("bar @ file://{here}/foo-1.0-py3-none-any.whl", "no file of bar"),
        ("foo @ file://{here}/foo-1.0-py3-none-any.whl#sha256=00", "sha256"),
        ("foo @ file://{here}/foo-1.0-py3-none-any.whl#sha256=no", "sha256"),
        ("foo @ file://{here}/foo-1.0-py3-none-any.whl#egg=foo&sha512=00", "sha512"),
        ("foo @ file://{here}/foo-1.0-py3-none-any.whl#md5=00", "md5"),
    ],
)
def test_what_is_no_source_is_refused_in_one_sentence(here: Path, text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as raised:
        parse_source(text.replace("{here}", str(here)))
    assert raised.value.advice
    assert "\n" not in str(raised.value)


def test_a_directory_without_project_is_refused(here: Path) -> None:
    (here / "empty").mkdir()
    with pytest.raises(SourceError, match=r"neither pyproject.toml nor setup.py"):
        parse_source("./empty")


def test_direct_url_of_an_archive_has_both_forms_of_its_hash(here: Path) -> None:
    path = here / "foo-1.0.tar.gz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert SdistFile(str(path)).direct_url() == {
        "archive_info": {"hash": f"sha256={digest}", "hashes": {"sha256": digest}},
        "url": f"file://{path}",
    }


def test_direct_url_of_a_directory() -> None:
    assert SourceTree("/a b").direct_url() == {"dir_info": {}, "url": "file:///a%20b"}
    assert SourceTree("/a").direct_url(editable=True) == {"dir_info": {"editable": True}, "url": "file:///a"}


def test_direct_url_of_a_reference_has_no_password() -> None:
    source = RemoteFile("", "foo", "https://me:secret@example.org/foo-1.0.tar.gz#sha256=ab")
    assert source.direct_url() == {
        "archive_info": {"hash": "sha256=ab", "hashes": {"sha256": "ab"}},
        "url": "https://example.org/foo-1.0.tar.gz",
    }


def test_a_requirement_has_no_direct_url() -> None:
    assert Requirement("six", "six").direct_url() is None


def test_file_url_quotes() -> None:
    assert file_url("/x/a+b c~ü.whl") == "file:///x/a%2Bb%20c~%C3%BC.whl"


def test_deciding_about_a_wheel_imports_nothing_heavy(here: Path) -> None:
    program = (
        "import sys; from sage_wheels.building import parse_source; "
        "parse_source('foo-1.0-py3-none-any.whl').direct_url(); "
        "print([name for name in ('packaging', 'build', 'subprocess', 'zipfile', 'tempfile') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
