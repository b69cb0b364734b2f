from __future__ import annotations

import contextlib
import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.archive.sdist_members import SdistLimits
from sage_wheels.archive.unpack import unpack_sdist
from sage_wheels.errors import SourceError

Member = tuple[str, str, str]  # name, kind, content or target
PROJECT: Member = ("foo-1.0/pyproject.toml", "file", "")
_KINDS = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    """Pack members into a .tar.gz or .zip, unpack it, and return the project directory."""

    def run(
        *members: Member,
        kind: str = ".tar.gz",
        limits: SdistLimits | None = None,
        mode: int = 0o644,
        subdirectory: str = "",
    ) -> Path:
        archive = tmp_path / f"foo-1.0{kind}"
        if kind == ".zip":
            _write_zip(archive, members, mode)
        else:
            _write_tar(archive, members, mode)
        (tmp_path / "destination").mkdir()
        return Path(unpack_sdist(str(archive), str(tmp_path / "destination"), limits, subdirectory))

    return run


def _write_tar(archive: Path, members: tuple[Member, ...], mode: int) -> None:
    compression = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".tbz": "bz2", ".xz": "xz", ".txz": "xz", ".tar": ""}
    with tarfile.open(archive, f"w:{compression[archive.suffix]}") as opened:  # type: ignore[call-overload]
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = _KINDS[kind], mode, 1_000_000_000
            if kind == "file":
                info.size = len(content)
            else:
                info.linkname = content
            opened.addfile(info, io.BytesIO(content.encode()))


def _write_zip(archive: Path, members: tuple[Member, ...], mode: int) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, kind, content in members:
            info = zipfile.ZipInfo(name)
            types = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "device": stat.S_IFCHR}
            info.external_attr = (types[kind] | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(info, content)


KINDS = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["main", "v1.0", "archive.bin"])
def test_what_a_file_is_without_an_extension(unpack: Callable[..., Path], tmp_path: Path, kind: str, name: str) -> None:
    """As a URL may end (/tarball/main)."""
    unpack(("foo-1.0/setup.py", "file", ""), kind=kind)
    archive = (tmp_path / f"foo-1.0{kind}").rename(tmp_path / name)
    (tmp_path / "again").mkdir()
    assert unpack_sdist(str(archive), str(tmp_path / "again")) == str(tmp_path / "again/foo-1.0")


@pytest.mark.parametrize("content", [b"", b"<html>" + b"no such file" * 999, b"PK", b"\x1f\x8b"])
def test_what_is_no_archive_is_named_as_people_know_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page").write_bytes(content)
    (tmp_path / "destination").mkdir()
    with pytest.raises(SourceError, match=r"^foo @ https://example\.org/page is damaged"):
        unpack_sdist(str(tmp_path / "page"), str(tmp_path / "destination"), origin="foo @ https://example.org/page")


@pytest.mark.parametrize("kind", KINDS)
def test_one_project_directory_comes_out(unpack: Callable[..., Path], kind: str) -> None:
    dot = "" if kind == ".zip" else "./"  # what `tar -c .` writes; zip archives are read as strictly as wheels
    project = unpack(("foo-1.0/", "directory", ""), PROJECT, (dot + "foo-1.0/a/b.py", "file", "b"), kind=kind)
    assert project.name == "foo-1.0"
    assert (project / "a" / "b.py").read_text() == "b"


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
@pytest.mark.parametrize(("packed", "unpacked"), [(0o4777, 0o755), (0o600, 0o644), (0o2750, 0o755)])
def test_modes_are_settled(unpack: Callable[..., Path], kind: str, packed: int, unpacked: int) -> None:
    project = unpack(PROJECT, kind=kind, mode=packed)
    assert (project / "pyproject.toml").stat().st_mode & 0o7777 == unpacked


def test_times_are_kept(unpack: Callable[..., Path]) -> None:
    assert (unpack(PROJECT) / "pyproject.toml").stat().st_mtime == 1_000_000_000


def test_links_inside_are_made(unpack: Callable[..., Path]) -> None:
    project = unpack(
        ("foo-1.0/link", "symlink", "a/b.py"),
        PROJECT,
        ("foo-1.0/a/b.py", "file", "b"),
        ("foo-1.0/hard", "hardlink", "foo-1.0/a/b.py"),
        ("foo-1.0/a/up", "symlink", "../pyproject.toml"),
    )
    assert os.readlink(project / "link") == "a/b.py"
    assert (project / "hard").read_text() == "b"
    assert (project / "hard").stat().st_nlink == 1


HOSTILE: list[Member] = [
    ("/etc/evil", "file", ""),
    ("../evil", "file", ""),
    ("foo-1.0/../../evil", "file", ""),
    ("foo-1.0\\evil", "file", ""),
    ("foo-1.0/new\nline", "file", ""),
    ("foo-1.0/device", "device", ""),
    ("foo-1.0/pyproject.toml", "file", "twice"),
    ("foo-1.0/pyproject.toml/inside-a-file", "file", ""),
]


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
@pytest.mark.parametrize("member", HOSTILE, ids=lambda member: member[0])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_members_are_refused(unpack: Callable[..., Path], tmp_path: Path, kind: str, member: Member) -> None:
    with pytest.raises(SourceError, match="not unpacked") as raised:
        unpack(PROJECT, member, kind=kind)
    assert "\n" not in str(raised.value)
    assert {path.name for path in tmp_path.iterdir()} <= {f"foo-1.0{kind}", "destination"}


@pytest.mark.parametrize(
    "links",
    [
        [("foo-1.0/link", "symlink", "/etc/passwd")],
        [("foo-1.0/link", "symlink", "../..")],
        [("foo-1.0/link", "symlink", "a/../../..")],
        # each link stays inside by its text alone
        [("foo-1.0/here", "symlink", "."), ("foo-1.0/link", "symlink", "here/here/../../..")],
        [("foo-1.0/link", "hardlink", "../evil")],
        [("foo-1.0/link", "hardlink", "/etc/passwd")],
        [("foo-1.0/link", "hardlink", "foo-1.0/later")],
        [("foo-1.0/one", "symlink", "pyproject.toml"), ("foo-1.0/two", "hardlink", "foo-1.0/one")],
        [("foo-1.0/fifo", "fifo", "")],
    ],
    ids=str,
)
def test_links_that_lead_out_are_refused(unpack: Callable[..., Path], links: list[Member]) -> None:
    with pytest.raises(SourceError, match="not unpacked"):
        unpack(PROJECT, *links)


@pytest.mark.parametrize("order", [1, -1])
def test_nothing_is_written_through_a_link(unpack: Callable[..., Path], tmp_path: Path, order: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    members = [("foo-1.0/a", "symlink", str(outside)), ("foo-1.0/a/evil", "file", "")][::order]
    with pytest.raises(SourceError, match="not unpacked"):
        unpack(PROJECT, *members)
    assert not list(outside.iterdir())


def test_no_directory_is_made_through_a_link(unpack: Callable[..., Path], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(SourceError, match="not unpacked"):
        unpack(PROJECT, ("foo-1.0/a", "symlink", str(outside)), ("foo-1.0/a/b/c", "symlink", "x"))
    assert not list(outside.iterdir())


def test_a_link_in_a_zip_is_what_unzip_makes_of_it(unpack: Callable[..., Path], tmp_path: Path) -> None:
    """As in the .zip that GitHub makes of a repository with links."""
    members = [PROJECT, ("foo-1.0/a/b.py", "file", "b"), ("foo-1.0/a/up", "symlink", "../pyproject.toml")]
    project = unpack(*members, ("foo-1.0/link", "symlink", "a"), ("foo-1.0/gone", "symlink", "not/there"), kind=".zip")
    assert (project / "link/b.py").read_text() == "b"
    links = {name: os.readlink(project / name) for name in ("a/up", "link", "gone")}
    assert links == {"a/up": "../pyproject.toml", "link": "a", "gone": "not/there"}
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-q", tmp_path / "foo-1.0.zip", "-d", tmp_path / "unzip"], check=True)
        assert {name: os.readlink(tmp_path / "unzip/foo-1.0" / name) for name in links} == links


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "", "nul\0", "x" * 5000])
def test_a_link_in_a_zip_that_is_none_or_leads_out_is_refused(unpack: Callable[..., Path], target: str) -> None:
    with pytest.raises(SourceError, match="not unpacked"):
        unpack(PROJECT, ("foo-1.0/link", "symlink", target), kind=".zip")


def test_nothing_is_written_through_a_link_in_a_zip(unpack: Callable[..., Path], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(SourceError, match="not unpacked"):
        unpack(PROJECT, ("foo-1.0/a", "symlink", str(outside)), ("foo-1.0/a/evil", "file", ""), kind=".zip")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_sizes_are_bounded_by_a_named_option(unpack: Callable[..., Path], kind: str) -> None:
    with pytest.raises(SourceError, match="--max-sdist-size"):
        unpack(PROJECT, ("foo-1.0/bomb", "file", "0" * 5000), kind=kind, limits=SdistLimits(size=4999))


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_counts_are_bounded_by_a_named_option(unpack: Callable[..., Path], kind: str) -> None:
    files: list[Member] = [(f"foo-1.0/{number}", "file", "") for number in range(10)]
    with pytest.raises(SourceError, match="--max-sdist-members"):
        unpack(PROJECT, *files, kind=kind, limits=SdistLimits(members=10))


@pytest.mark.parametrize(("size", "fits"), [(2000, True), (1999, False)])
def test_hard_links_count(unpack: Callable[..., Path], size: int, fits: bool) -> None:
    members: list[Member] = [
        PROJECT,
        ("foo-1.0/file", "file", "0" * 1000),
        ("foo-1.0/link", "hardlink", "foo-1.0/file"),
    ]
    with contextlib.nullcontext() if fits else pytest.raises(SourceError, match="--max-sdist-size"):
        unpack(*members, limits=SdistLimits(size=size))


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([], "nothing"),
        ([PROJECT, ("bar-1.0/setup.py", "file", "")], r"bar-1\.0, foo-1\.0"),
        ([("a/setup.py", "file", ""), ("b", "file", "")], "holds a, b instead of one project directory"),
        ([("._foo-1.0", "file", ""), (".DS_Store", "file", "")], "nothing"),
        ([("foo-1.0/README", "file", "")], "neither pyproject.toml nor setup.py"),
        ([("real/setup.py", "file", ""), ("foo", "symlink", "real")], "holds foo, real instead of one"),
    ],
)
def test_anything_but_one_project_is_refused(unpack: Callable[..., Path], members: list[Member], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        unpack(*members)


@pytest.mark.parametrize("kind", [".tar.gz", ".zip", ".tar.xz"])
@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py"])
def test_a_project_without_a_directory_around_it(unpack: Callable[..., Path], kind: str, name: str) -> None:
    project = unpack((name, "file", ""), ("a/b.py", "file", "b"), ("README", "file", ""), kind=kind)
    assert project.name == "destination"
    assert (project / "a" / "b.py").read_text() == "b"


def test_links_of_a_project_without_a_directory_around_it(unpack: Callable[..., Path]) -> None:
    project = unpack(("setup.py", "file", ""), ("a/link", "symlink", "../setup.py"), ("b", "symlink", "a"))
    assert (project / "b" / "link").exists()


@pytest.mark.parametrize("target", ["../evil", "..", "a/../../evil"])
def test_links_out_of_a_project_without_a_directory_around_it(unpack: Callable[..., Path], target: str) -> None:
    with pytest.raises(SourceError, match="leads out of it"):
        unpack(("setup.py", "file", ""), ("a/x", "file", ""), ("link", "symlink", target))


def test_what_is_nobodys_may_lie_beside_the_project(unpack: Callable[..., Path]) -> None:
    names = (".DS_Store", "._foo-1.0", "pax_global_header", "__MACOSX/foo-1.0/._x")
    project = unpack(*((name, "file", "") for name in names), PROJECT)
    assert project.name == "foo-1.0"


@pytest.mark.parametrize("beside", ["._link", "__MACOSX/link"])
def test_but_no_link_out_of_it(unpack: Callable[..., Path], beside: str) -> None:
    with pytest.raises(SourceError, match="leads out of it"):
        unpack(PROJECT, (beside, "symlink", "../.."))


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
@pytest.mark.parametrize(
    ("members", "subdirectory"),
    [
        (["foo-1.0/pyproject.toml", "foo-1.0/a/b/setup.py"], "a/b"),
        (["foo-1.0/README", "foo-1.0/sub/pyproject.toml"], "sub"),
        (["one/pyproject.toml", "two/pyproject.toml"], "two"),  # as with pip, which then looks from the top
        (["setup.py", "sub/setup.py"], "sub"),
    ],
)
def test_a_project_in_a_subdirectory(
    unpack: Callable[..., Path], kind: str, members: list[str], subdirectory: str
) -> None:
    project = unpack(*((name, "file", "") for name in members), kind=kind, subdirectory=subdirectory)
    assert str(project).endswith(f"/{subdirectory}")
    assert any((project / name).is_file() for name in ("pyproject.toml", "setup.py"))


@pytest.mark.parametrize("subdirectory", ["nowhere", "empty", "pyproject.toml"])
def test_a_subdirectory_without_a_project(unpack: Callable[..., Path], subdirectory: str) -> None:
    with pytest.raises(SourceError, match=f"has no project in its subdirectory {subdirectory}"):
        unpack(PROJECT, ("foo-1.0/empty/x", "file", ""), subdirectory=subdirectory)


@pytest.mark.parametrize("kind", [".tar.gz", ".zip", ".tar.bz2"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_twice(unpack: Callable[..., Path], kind: str) -> None:
    big = "x" * (3 << 20)
    members: list[Member] = [
        PROJECT,
        ("foo-1.0/big", "file", big),
        ("foo-1.0/docs/", "directory", ""),
        ("foo-1.0/docs/x", "file", "x"),
    ]
    links: list[Member] = [("foo-1.0/link", "symlink", "big"), ("foo-1.0/hard", "hardlink", "foo-1.0/docs/x")]
    links += [("foo-1.0/hard", "file", "x")]  # what its other name says
    project = unpack(*(members + ([] if kind == ".zip" else links)) * 2, kind=kind)
    assert (project / "big").read_text() == big
    if kind != ".zip":
        assert os.readlink(project / "link") == "big"


def test_of_two_times_and_modes_the_later_one_counts(tmp_path: Path) -> None:
    """As for tar(1)."""
    archive, destination = tmp_path / "foo-1.0.tar.gz", tmp_path / "destination"
    destination.mkdir()
    with tarfile.open(archive, "w:gz") as opened:
        for mode, mtime in ((0o644, 5), (0o755, 7)):
            info = tarfile.TarInfo("foo-1.0/setup.py")
            info.mode, info.mtime = mode, mtime
            opened.addfile(info)
    status = (Path(unpack_sdist(str(archive), str(destination))) / "setup.py").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o755, 7)


TWICE: list[tuple[Member, Member]] = [
    (("foo-1.0/x", "file", "one"), ("foo-1.0/x", "file", "two")),
    (("foo-1.0/x", "file", "one"), ("foo-1.0/x", "file", "on")),
    (("foo-1.0/x", "file", "on"), ("foo-1.0/x", "file", "one")),
    (("foo-1.0/x", "file", ""), ("./foo-1.0//x", "file", "one")),
    (("foo-1.0/x", "file", "one"), ("foo-1.0/x", "hardlink", "foo-1.0/pyproject.toml")),
    (("foo-1.0/x", "symlink", "a"), ("foo-1.0/x", "symlink", "b")),
    (("foo-1.0/x", "symlink", "pyproject.toml"), ("foo-1.0/x", "file", "")),
    (("foo-1.0/x", "file", ""), ("foo-1.0/x", "symlink", "pyproject.toml")),
    (("foo-1.0/x", "file", ""), ("foo-1.0/x", "directory", "")),
    (("foo-1.0/x", "directory", ""), ("foo-1.0/x", "symlink", "pyproject.toml")),
    (("foo-1.0/x", "directory", ""), ("foo-1.0/x", "hardlink", "foo-1.0/pyproject.toml")),
]


@pytest.mark.parametrize("members", TWICE, ids=str)
def test_two_of_one_name(unpack: Callable[..., Path], members: tuple[Member, Member]) -> None:
    with pytest.raises(SourceError, match="not unpacked"):
        unpack(PROJECT, *members)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_of_one_name_size_and_check_sum(tmp_path: Path) -> None:
    """CRC-32 tells nothing of what somebody has made on purpose."""
    one, other = b"plumless", b"buckeroo"
    assert zlib.crc32(one) == zlib.crc32(other)
    archive, destination = tmp_path / "foo-1.0.zip", tmp_path / "destination"
    destination.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in (("setup.py", b""), ("x", one), ("x", other)):
            opened.writestr(f"foo-1.0/{name}", content)
    with pytest.raises(SourceError, match="two different files named"):
        unpack_sdist(str(archive), str(destination))


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_there_again_counts(unpack: Callable[..., Path], kind: str) -> None:
    members: list[Member] = [("foo-1.0/x", "file", "0" * 1000)] * 3
    with pytest.raises(SourceError, match="--max-sdist-size"):
        unpack(PROJECT, *members, kind=kind, limits=SdistLimits(size=2999))


def test_a_link_and_a_directory_of_one_name(unpack: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="two of its members have the same path 'docs'"):
        unpack(
            ("foo-1.0/setup.py", "file", ""), ("foo-1.0/docs", "symlink", "setup.py"), ("foo-1.0/docs/a", "file", "")
        )


@pytest.mark.parametrize("link", ["../evil", "/etc/passwd", "foo-1.0/../../evil"])
def test_a_hard_link_out_is_no_damage(unpack: Callable[..., Path], link: str) -> None:
    """On no version of Python, whatever its tarfile says of it."""
    with pytest.raises(SourceError, match="is not unpacked: ") as raised:
        unpack(PROJECT, ("foo-1.0/link", "hardlink", link))
    assert "damaged" not in str(raised.value)


def test_xz_in_several_streams(tmp_path: Path) -> None:
    """What `xz` makes of several processors' work, with padding between."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:") as opened:
        for name, content in (("setup.py", b""), ("big", os.urandom(300_000))):
            info = tarfile.TarInfo(f"foo-1.0/{name}")
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    data = whole.getvalue()
    archive, destination = tmp_path / "foo-1.0.tar.xz", tmp_path / "destination"
    destination.mkdir()
    half = len(data) // 2
    archive.write_bytes(lzma.compress(data[:half]) + bytes(8) + lzma.compress(data[half:]) + bytes(4))
    assert (Path(unpack_sdist(str(archive), str(destination))) / "big").read_bytes() == content


def test_xz_that_wants_much_memory(tmp_path: Path) -> None:
    archive, destination = tmp_path / "foo-1.0.tar.xz", tmp_path / "destination"
    destination.mkdir()
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 4 << 10}]
    data = bytearray(lzma.compress(bytes(1024), filters=filters))
    assert data[16] == 0  # the size of the dictionary, in the only filter of the first block: 4 KiB
    data[16] = 40  # 4 GiB
    data[20:24] = zlib.crc32(bytes(data[12:20])).to_bytes(4, "little")
    archive.write_bytes(data)
    with pytest.raises(SourceError, match=r"(?i)is damaged \(memory usage limit"):
        unpack_sdist(str(archive), str(destination))


@pytest.mark.parametrize("kind", [".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tar"])
def test_a_damaged_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive, destination = tmp_path / f"foo-1.0{kind}", tmp_path / "destination"
    write = _write_zip if kind == ".zip" else _write_tar
    write(archive, (PROJECT, ("foo-1.0/file", "file", "content " * 1000)), 0o644)
    whole = archive.read_bytes()
    for number, broken in enumerate((b"", whole[: len(whole) // 2], whole[:30] + b"\xff" * 9 + whole[39:])):
        archive.write_bytes(broken)
        place = destination / str(number)
        place.mkdir(parents=True)
        with pytest.raises(SourceError, match=r"get the sdist again|get it from another"):
            unpack_sdist(str(archive), str(place))
