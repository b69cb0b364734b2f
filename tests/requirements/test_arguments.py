"""What an argument means: as with pip, and what pip passes over in silence is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.building import parse_source
from sage_wheels.errors import SourceError
from sage_wheels.requirements.arguments import applying, selected
from sage_wheels.requirements.references import file_url
from sage_wheels.requirements.sources import Asked, RemoteFile, Requirement, SdistFile, SourceTree, WheelFile

WHEEL = "foo-1.0-py3-none-any.whl"
OLD = {"python_version": "2.7"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with one of each, and a tree with a project in a subdirectory, too."""
    monkeypatch.chdir(tmp_path)
    for directory in ("tree", "tree/a b", "tree/sub", "my tree", "a;b", "brackets[1]"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "pyproject.toml").touch()
    (tmp_path / "tree" / "empty").mkdir()
    (tmp_path / "tree" / "out").symlink_to("..")
    (tmp_path / "unpacked.zip").mkdir()
    (tmp_path / "unpacked.zip/pyproject.toml").touch()
    for extension in (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar", ".tar.lz"):
        (tmp_path / f"foo-1.0{extension}").touch()
    (tmp_path / WHEEL).write_bytes(WHEEL.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (WHEEL, WheelFile),
        (f"./{WHEEL}", WheelFile),
        *((f"foo-1.0{each}", SdistFile) for each in (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tbz", ".tar.xz", ".tar")),
        ("./tree", SourceTree),
        (" tree/ ", SourceTree),
        ("./my tree", SourceTree),
        ("unpacked.zip", SourceTree),
        ("unpacked.zip[x]", SourceTree),
        ("tree", Requirement),
        ("tree[x]>=2; python_version>'3'", Requirement),
        ("foo @ https://example.org/foo-1.0.tar.gz", RemoteFile),
        (f"foo@https://example.org/{WHEEL}", RemoteFile),
        ("foo @ https://example.org/bad.whl", RemoteFile),
        ("https://example.org/foo-1.0.tar.gz", RemoteFile),
        ("HTTP://example.org/foo-1.0.tar.gz", RemoteFile),
    ],
)
def test_what_an_argument_is(here: Path, text: str, kind: type) -> None:
    assert type(parse_source(text)) is kind


def test_dot_is_the_current_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "tree")
    assert parse_source(".") == SourceTree(str(here / "tree"))
    assert parse_source(".[test]") == SourceTree(str(here / "tree"), Asked(extras=("test",)))


@pytest.mark.parametrize(
    "text",
    [
        "./tree[Foo_Bar]",
        "tree/[ foo-bar , foo.bar ]",
        "{here}/tree [foo_bar]",
        "file://{here}/tree[foo-bar]",
        "file:tree[foo-bar]",
        "./tree[foo-bar]; python_version > '3'",
        "./tree[foo-bar];python_version>'3'",
    ],
)
def test_extras_of_a_tree(here: Path, text: str) -> None:
    assert parse_source(text.replace("{here}", str(here))) == SourceTree(str(here / "tree"), Asked(extras=("foo-bar",)))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (f"./{WHEEL}[b,a]", Asked(extras=("a", "b"))),
        (f"{WHEEL}[]", Asked()),
        (f"Foo[x] @ file://{{here}}/{WHEEL}", Asked("Foo", "", ("x",))),
        (f"foo [x, y]@file://{{here}}/{WHEEL}", Asked("foo", "", ("x", "y"))),
        (f"file://{{here}}/{WHEEL}[x]", Asked(extras=("x",))),
        (f"file://{{here}}/{WHEEL}#egg=foo[x]", Asked("foo", "", ("x",))),
        (f"file://{{here}}/{WHEEL}", Asked()),
        (f"file://localhost{{here}}/{WHEEL}", Asked()),
        (f"FILE:{{here}}/{WHEEL}", Asked()),
        (f"file:{WHEEL}", Asked()),
        (f"file:./tree/../{WHEEL}", Asked()),
        (f"foo @ file:{WHEEL}", Asked("foo")),
        (f"foo @ file:./{WHEEL} ; python_version > '3'", Asked("foo")),
        (f"foo @ file://{{here}}/{WHEEL}#", Asked("foo")),
    ],
)
def test_what_is_asked_of_a_wheel(here: Path, text: str, asked: Asked) -> None:
    assert parse_source(text.replace("{here}", str(here))) == WheelFile(str(here / WHEEL), asked)


def test_a_name_with_brackets_in_it(here: Path) -> None:
    assert parse_source("./brackets[1]") == SourceTree(str(here / "brackets[1]"))
    (here / "brackets").mkdir()
    (here / "brackets" / "setup.py").touch()
    assert parse_source("./brackets[1]") == SourceTree(str(here / "brackets"), Asked(extras=("1",)))


def test_extras_of_requirements_and_urls(here: Path) -> None:
    asked = Asked("foo", "", ("x",))
    assert parse_source("foo[X]>=1,<2") == Requirement("foo[X]>=1,<2", asked._replace(specifier="<2,>=1"))
    url = "https://example.org/a.tar.gz"
    assert parse_source(f"foo[x] @ {url}") == RemoteFile(f"foo[x] @ {url}", url, asked)
    assert parse_source(f"{url}#egg=foo[x]&subdirectory=sub") == RemoteFile(
        f"{url}#egg=foo[x]&subdirectory=sub", f"{url}#egg=foo[x]&subdirectory=sub", asked, "sub"
    )


@pytest.mark.parametrize("what", ["tree", "foo-1.0.tar.gz"])
@pytest.mark.parametrize(
    ("fragment", "subdirectory"),
    [
        ("subdirectory=sub", "sub"),
        ("egg=foo&subdirectory=sub", "sub"),
        ("subdirectory=./sub//&egg=foo", "sub"),
        ("subdirectory=a%20b", "a b"),
        ("subdirectory=a b", "a b"),
        ("subdirectory=", ""),
        ("subdirectory=.", ""),
    ],
)
def test_a_subdirectory(here: Path, what: str, fragment: str, subdirectory: str) -> None:
    for text in (f"foo @ file://{here}/{what}#{fragment}", f"file:{what}#{fragment}"):
        source = parse_source(text)
        assert isinstance(source, (SourceTree, SdistFile))
        assert (source.path, source.subdirectory) == (str(here / what), subdirectory)
        assert source.direct_url().get("subdirectory", "") == subdirectory
        assert source.direct_url()["url"] == file_url(f"{here}/{what}")


@pytest.mark.parametrize(
    ("fragment", "says"),
    [
        ("subdirectory=../other", "leads out of it"),
        ("subdirectory=sub/../..", "leads out of it"),
        ("subdirectory=%2e%2e/other", "leads out of it"),
        ("subdirectory=/etc", "leads out of it"),
        ("subdirectory=a%00b", "a NUL in it"),
        ("subdirectory=out", "leads out of"),
        ("subdirectory=nowhere", "there is no directory nowhere"),
        ("subdirectory=empty", "neither pyproject.toml nor setup.py"),
        ("branch=main", "'branch=main' in .* is not understood"),
        ("sub", "is not understood"),
        ("sha3_256=00", "is not understood"),
        ("sha256=00", "a directory, which has no hash"),
        ("egg=bar", "says both foo and bar"),
    ],
)
def test_what_a_fragment_may_not_say_of_a_tree(here: Path, fragment: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as raised:
        parse_source(f"foo @ file://{here}/tree#{fragment}")
    assert raised.value.advice


@pytest.mark.parametrize("text", ["foo @ https://example.org/a.zip#{}", "foo @ file:foo-1.0.zip#{}"])
@pytest.mark.parametrize("fragment", ["subdirectory=../x", "branch=main", "egg=bar"])
def test_what_a_fragment_may_not_say_of_an_archive(here: Path, text: str, fragment: str) -> None:
    with pytest.raises(SourceError):
        parse_source(text.format(fragment))


@pytest.mark.parametrize("directory", ["a b", "ü", "50%25", "a;b", "a ;b", "a#b", "a?b", "a[b]", "\udcff", "~"])
def test_a_reference_may_be_quoted_or_not(tmp_path: Path, directory: str) -> None:
    """Shell scripts write the path as it is."""
    wheel = tmp_path / directory / WHEEL
    wheel.parent.mkdir()
    wheel.touch()
    digest = hashlib.sha256(b"").hexdigest()
    for url in (f"file://{wheel}", file_url(str(wheel))):
        for text in (f"foo @ {url}", f"foo @ {url} ; python_version > '3'", f"foo @ {url}#sha256={digest}"):
            source = parse_source(text)
            assert source == WheelFile(str(wheel), Asked("foo"))
            assert source.direct_url()["url"] == file_url(str(wheel))


def test_hashes_count(here: Path) -> None:
    right = {name: hashlib.new(name, WHEEL.encode()).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")}
    for name, digest in right.items():
        parse_source(f"foo @ file://{here}/{WHEEL}#{name}={digest}")
        parse_source(f"file:{WHEEL}#egg=foo&{name}={digest.upper()}")
    parse_source(f"./{WHEEL} --hash=sha256:00 --hash=sha512:{right['sha512']}")  # as in a requirements file of pip
    parse_source(f"./{WHEEL} ; python_version > '3' --hash=sha256:{right['sha256']}")
    with pytest.raises(SourceError, match="none of the hashes"):
        parse_source(f"./{WHEEL} --hash=sha256:00 --hash=sha512:{right['sha256']}")
    with pytest.raises(SourceError, match="no hash"):
        parse_source("./tree --hash=sha256:00")
    assert parse_source("foo==1 --hash=sha256:0A --hash sha256:0b").asked.hashes == ("sha256=0a", "sha256=0b")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no source"),
        ("foo-2.0-py3-none-any.whl", "neither a file nor a directory"),
        ("./nowhere", "neither a file nor a directory"),
        ("./nowhere[x]", "neither a file nor a directory"),
        ("~/tree", "neither a file nor a directory"),
        ("foo-1.0.tar.lz", "no wheel"),
        ("https://example.org/a b.tar.gz", "a space in it"),
        ("git+ftp://example.org/foo", "not supported"),
        ("git+https:///foo", "names no host"),
        ("git+https://example.org/foo@", "no revision"),
        ("git+https://example.org/foo@-x", "no revision"),
        ("git+https://example.org/foo#sha256=ab", "no hash"),
        ("git+https://example.org/foo#subdirectory=../x", "leads out"),
        ("git+https://example.org/foo#egg=bar baz", "a space in it"),
        ("ftp://example.org/foo.zip", "cannot be downloaded"),
        ("foo @ hg+https://example.org/foo", "not supported"),
        ("foo @ git+https://example.org/foo#egg=bar", "says both"),
        ("foo >< 1", "requirement"),
        ("./tree ; python_version", "is no marker"),
        ("foo @ file:///nowhere/foo-1.0.tar.gz", "not there"),
        ("foo @ file:///no where/foo-1.0.tar.gz", "not there"),
        ("foo @ file:///no%20where/foo-1.0.tar.gz ; python_version > '3'", "/no where/foo-1.0.tar.gz, to which"),
        ("file:nowhere.whl", "not there"),
        ("file:no%00where.whl", "a NUL in it"),
        ("foo @ file://elsewhere/foo-1.0.tar.gz", "host"),
        ("file://elsewhere/foo-1.0.tar.gz", "host"),
        ("foo @ file://[/foo-1.0.tar.gz", "host"),
        ("file:", "file: names no path"),
        ("foo @ file://", "names no path"),
        ("http://[bad/foo-1.0.tar.gz", "no URL"),
        ("foo @ https://[::1/foo-1.0.tar.gz", "no URL"),
        ("https:///foo-1.0.tar.gz", "names no host"),
        (f"bar @ https://example.org/x/{WHEEL}?a#sha256=00", "asked for as bar, but the project there is foo"),
        (f"https://me:secret@example.org/{WHEEL}#egg=bar", "^https://example.org/.* was asked for as bar"),
        (f"foo @ ./{WHEEL}", "follows the @ of .* is no URL"),
        ("foo @ ./tree", "follows the @ of .* is no URL"),
        (f"foo>=1 @ file://{{here}}/{WHEEL}", "nor a requirement"),
        ("@ file:///x", "nor a requirement"),
        ("git@example.org:me/it.git", r"is no URL; write git\+ssh://git@example.org/me/it.git"),
        (f"./{WHEEL} --hash=md5:00", "a --hash by md5"),
        ("foo==1 --hash=sha1:00", "a --hash by sha1"),
        (f"bar @ file://{{here}}/{WHEEL}", "asked for as bar, but the project there is foo"),
        (f"file:{WHEEL}#egg=bar", "asked for as bar, but the project there is foo"),
        (f"foo @ file://{{here}}/{WHEEL}#subdirectory=x", "has no subdirectory"),
        (f"foo @ file://{{here}}/{WHEEL}#sha256=00", "sha256"),
        (f"foo @ file://{{here}}/{WHEEL}#sha256=no", "sha256"),
        (f"foo @ file://{{here}}/{WHEEL}#egg=foo&sha512=00", "sha512"),
        (f"foo @ file://{{here}}/{WHEEL}#md5=00", "md5"),
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


@pytest.mark.parametrize(
    "text",
    [
        "foo",
        "foo[x]>=1",
        f"foo @ file:{WHEEL}",
        f"file:{WHEEL}",
        "./tree",
        f"./{WHEEL}[x]",
        "./a;b",
        "./nowhere-1.0-py3-none-any.whl",  # as with pip: nobody looks whether it is there
        "foo @ https://example.org/foo.zip",
    ],
)
@pytest.mark.parametrize("marker", ["python_version < '3'", "python_version<'3' and os_name != ''"])
def test_a_marker_that_does_not_hold(here: Path, text: str, marker: str) -> None:
    notes: list[str] = []
    assert selected([f"{text} ; {marker}"], lambda: {"python_version": "3.11"}, notes.append) == []
    assert len(notes) == 1
    assert notes[0].startswith(f"{text} is skipped, because python_version < ")
    assert applying(f"{text} ; {marker}", lambda: OLD) == text


@pytest.mark.parametrize("url", [f"file:{WHEEL}", "file:tree", "https://example.org/foo.zip#sha256=00"])
def test_a_marker_right_behind_the_url_of_a_name(here: Path, url: str) -> None:
    """As with pip; behind a URL alone it needs a space, because a URL may have a semicolon in it."""
    text = f"foo[x] @ {url};python_version<'3'"
    assert applying(text, lambda: {"python_version": "3.11"}) is None
    assert applying(text, lambda: OLD) == f"foo[x] @ {url}"
    alone = f"{url};python_version<'3'"
    assert applying(alone, lambda: {"python_version": "3.11"}) == alone
    assert applying(f"foo @ {url};a=b", dict) == f"foo @ {url};a=b" if url.startswith("https") else True


@pytest.mark.parametrize("path", ["tree", WHEEL, "foo-1.0.tar.gz"])
def test_what_is_named_twice_is_one_with_the_extras_of_both(here: Path, path: str) -> None:
    items = [f"./{path}[b]", f"foo[a] @ file://{here}/{path}", f"{here}/{path}; python_version > '3'"]
    (source,) = selected(items, lambda: {"python_version": "3.11"})
    assert source.asked == Asked("foo", "", ("a", "b"))
    if path != WHEEL:  # a wheel tells its name
        with pytest.raises(SourceError, match="as both foo and bar"):
            selected([items[1], f"bar @ file://{here}/{path}"], dict)


def test_what_is_no_marker(here: Path) -> None:
    assert parse_source("./a;b") == SourceTree(str(here / "a;b"))
    (here / "tree; python_version < '3'").mkdir()
    assert applying("./tree; python_version < '3'", dict) == "./tree; python_version < '3'"  # it is there
    with pytest.raises(SourceError, match="cannot be evaluated"):
        applying("foo; python_version > 'x' and python_full_version ~= 'x'", lambda: {"python_full_version": "3"})


def test_deciding_about_a_wheel_imports_nothing_heavy(here: Path) -> None:
    program = (
        "import sys; from sage_wheels.building import parse_source; "
        f"parse_source('{WHEEL}').direct_url(); parse_source('./{WHEEL}[x]'); parse_source('file:{WHEEL}'); "
        "print([name for name in ('packaging', 'build', 'subprocess', 'zipfile', 'tempfile') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_as_pip_reads_it(here: Path, tmp_path: Path) -> None:
    """What pip's own function for command lines takes for a name, a path, extras and a marker."""
    program = """
import os, sys
from pip._internal.req.constructors import install_req_from_line
for text in sys.argv[1:]:
    req = install_req_from_line(text)
    path = os.path.abspath(req.link.file_path) if req.link and req.link.is_file else ""
    print(path, ",".join(sorted(req.extras)), req.markers or (req.req and req.req.marker) or "", sep="|")
"""
    texts = [
        "./tree[x,y]",
        "./tree ; os_name == 'a'",
        f"{WHEEL}[x]",
        f"file:{WHEEL}",
        f"foo[x] @ file://{here}/{WHEEL}",
    ]
    texts += [f"foo @ file://{here}/{WHEEL} ; os_name == 'a'", "foo[x]; os_name=='a'", f"file:../{here.name}/tree"]
    texts += ["unpacked.zip", "foo[x];", "./tree ;", f"./{WHEEL}[x];", f"foo @ file://{here}/{WHEEL};"]
    command = [sys.executable, "-c", program, *texts]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for text, line in zip(texts, theirs, strict=True):
        path, extras, marker = line.split("|")
        source = parse_source(text)
        assert ("" if isinstance(source, Requirement) else getattr(source, "path", "")) == path, text
        assert ",".join(source.asked.extras) == extras, text
        assert (applying(text, lambda: {"os_name": "b"}) is None) == bool(marker), text
    assert os.getcwd() == str(here)
