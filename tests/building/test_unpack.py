from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.unpack import Limits, unpack_sdist
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

    def run(*members: Member, kind: str = ".tar.gz", limits: Limits | None = None, mode: int = 0o644) -> Path:
        archive = tmp_path / f"foo-1.0{kind}"
        if kind == ".zip":
            _write_zip(archive, members, mode)
        else:
            _write_tar(archive, members, mode)
        (tmp_path / "goal").mkdir()
        return Path(unpack_sdist(str(archive), str(tmp_path / "goal"), limits))

    return run


def _write_tar(archive: Path, members: tuple[Member, ...], mode: int) -> None:
    with tarfile.open(archive, "w:gz") as opened:
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


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
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
    assert {path.name for path in tmp_path.iterdir()} <= {f"foo-1.0{kind}", "goal"}


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


def test_a_zip_has_no_links(unpack: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="a link, a device or something else"):
        unpack(PROJECT, ("foo-1.0/link", "symlink", "pyproject.toml"), kind=".zip")


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_sizes_are_bounded_by_a_named_option(unpack: Callable[..., Path], kind: str) -> None:
    with pytest.raises(SourceError, match="--max-sdist-size"):
        unpack(PROJECT, ("foo-1.0/bomb", "file", "0" * 5000), kind=kind, limits=Limits(size=4999))


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_counts_are_bounded_by_a_named_option(unpack: Callable[..., Path], kind: str) -> None:
    files: list[Member] = [(f"foo-1.0/{number}", "file", "") for number in range(10)]
    with pytest.raises(SourceError, match="--max-sdist-members"):
        unpack(PROJECT, *files, kind=kind, limits=Limits(members=10))


@pytest.mark.parametrize(("size", "fits"), [(2000, True), (1999, False)])
def test_hard_links_count(unpack: Callable[..., Path], size: int, fits: bool) -> None:
    members: list[Member] = [
        PROJECT,
        ("foo-1.0/file", "file", "0" * 1000),
        ("foo-1.0/link", "hardlink", "foo-1.0/file"),
    ]
    with contextlib.nullcontext() if fits else pytest.raises(SourceError, match="--max-sdist-size"):
        unpack(*members, limits=Limits(size=size))


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([], "nothing"),
        ([PROJECT, ("bar-1.0/setup.py", "file", "")], r"bar-1\.0, foo-1\.0"),
        ([("pyproject.toml", "file", "")], "instead of one project directory"),
        ([("foo-1.0/README", "file", "")], "neither pyproject.toml nor setup.py"),
        ([("real/setup.py", "file", ""), ("foo", "symlink", "real")], "leads out of it"),
    ],
)
def test_anything_but_one_project_is_refused(unpack: Callable[..., Path], members: list[Member], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        unpack(*members)


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_a_damaged_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive, goal = tmp_path / f"foo-1.0{kind}", tmp_path / "goal"
    write = _write_zip if kind == ".zip" else _write_tar
    write(archive, (PROJECT, ("foo-1.0/file", "file", "content " * 1000)), 0o644)
    whole = archive.read_bytes()
    for number, broken in enumerate((b"", whole[: len(whole) // 2], whole[:30] + b"\xff" * 9 + whole[39:])):
        archive.write_bytes(broken)
        place = goal / str(number)
        place.mkdir(parents=True)
        with pytest.raises(SourceError, match="get the sdist"):
            unpack_sdist(str(archive), str(place))
