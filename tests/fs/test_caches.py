"""`sage_wheels.fs.caches`: a cache that others can write in is none."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.errors import FileOperationFailed, UnsafePath
from sage_wheels.fs import caches
from sage_wheels.fs.files import regular

SOMEBODY = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with something of each kind in it, which anybody may read."""
    root = tmp_path / "above" / "cache"
    for name in ("build", "content/aa", "results/aa", "trees/aa/x/tree", "staging", "wheels"):
        (root / name).mkdir(parents=True)
    (root / "wheels/a-1-py3-none-any.whl").touch()
    (root / "evict.lock").touch()
    for each in (root.parent, root, *root.rglob("*")):
        each.chmod(0o755)
    return root


def own(path: Path) -> None:
    os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


def test_what_is_ours_is_used(cache: Path) -> None:
    assert caches.problem(str(cache)) is None
    assert caches.named(str(cache)) == str(cache)
    assert caches.choose(str(cache)) == (str(cache), ())


@pytest.mark.parametrize("below", ["", "build", "content", "results", "trees", "staging", "wheels"])
@pytest.mark.parametrize(
    ("mode", "who"), [(0o777, "everybody"), (0o1777, "everybody"), (0o775, "its group"), (0o2770, "its group")]
)
def test_where_others_may_write(cache: Path, below: str, mode: int, who: str) -> None:
    (cache / below).chmod(mode)
    expected = f"{who} may write in {cache / below}".removesuffix("/")
    assert caches.problem(str(cache)) == expected
    advice = "name a directory of your own with --cache-dir or SAGE_WHEELS_CACHE"
    with pytest.raises(UnsafePath) as caught:
        caches.named(str(cache))
    assert str(caught.value) == f"{expected}, so others may have written into the cache {cache}; {advice}"
    chosen = caches.choose(str(cache))
    assert chosen.directory is None
    assert chosen.notes == (
        f"the cache {cache} is not used, because {expected}; delete it, or let nobody but you write there",
    )


@as_root
@pytest.mark.parametrize("below", ["", "..", "build", "results", "trees", "wheels", "wheels/a-1-py3-none-any.whl"])
def test_what_belongs_to_somebody_else(cache: Path, below: str) -> None:
    own(cache / below)
    found = caches.problem(str(cache)) or ""
    assert found == f"{os.path.normpath(cache / below)} belongs to another user (uid {SOMEBODY})"


@as_root
def test_what_belongs_to_root_is_used_by_everybody(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in cache.parents:
        if each.stat().st_mode & 0o055 == 0:
            each.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    assert caches.problem(str(cache)) is None


@pytest.mark.parametrize("there", [True, False])
def test_a_directory_above_in_which_others_may_rename(cache: Path, there: bool) -> None:
    destination = cache if there else cache.parent / "not there" / "cache"
    cache.parent.chmod(0o777)
    assert caches.problem(str(destination)) == f"others may write in {cache.parent}"
    cache.parent.chmod(0o1777)  # like /tmp
    assert caches.problem(str(destination)) is None


@as_root
def test_a_group_above_counts_unless_it_is_the_users_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.chmod(0o775)
    user = pwd.getpwuid(os.geteuid())
    os.chown(cache.parent, -1, user.pw_gid)
    real = grp.getgrgid(user.pw_gid)

    def members(*names: str) -> Callable[[int], object]:
        return lambda number: grp.struct_group((user.pw_name, real.gr_passwd, number, list(names)))

    for names, expected in (((), None), ((user.pw_name,), None), (("other",), f"others may write in {cache.parent}")):
        monkeypatch.setattr(grp, "getgrgid", members(*names))
        assert caches.problem(str(cache)) == expected
    os.chown(cache.parent, -1, SOMEBODY)
    assert caches.problem(str(cache)) == f"others may write in {cache.parent}"


@as_root
def test_every_link_on_the_way_counts(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to(tmp_path / "above/../above")
    way = str(tmp_path / "first" / "cache")
    assert caches.problem(way) is None
    own(tmp_path / "second")
    assert caches.problem(way) == f"{tmp_path}/second belongs to another user (uid {SOMEBODY})"
    os.unlink(tmp_path / "second")
    (tmp_path / "second").symlink_to(tmp_path / "above")
    own(tmp_path / "above")
    assert caches.problem(way) == f"{tmp_path}/above belongs to another user (uid {SOMEBODY})"


def test_a_link_in_the_cache_leads_to_what_counts(tmp_path: Path, cache: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (cache / "trees").rename(other / "trees")
    (cache / "trees").symlink_to(other / "trees")
    assert caches.problem(str(cache)) is None
    (other / "trees").chmod(0o777)
    assert caches.problem(str(cache)) == f"everybody may write in {cache}/trees"
    (other / "trees").chmod(0o755)
    other.chmod(0o777)
    assert caches.problem(str(cache)) == f"others may write in {other}"


def test_links_without_end_are_no_cache(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    chosen = caches.choose(f"{tmp_path}/loop/cache")
    assert chosen.directory is None
    assert "it cannot be examined (Too many levels of symbolic links)" in chosen.notes[0]
    with pytest.raises(FileOperationFailed, match="using the cache"):
        caches.named(f"{tmp_path}/loop/cache")


def test_the_first_that_can_be_used_is_chosen(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").touch()
    open_one = tmp_path / "open"
    open_one.mkdir()
    open_one.chmod(0o777)
    chosen = caches.choose(str(tmp_path / "file"), str(open_one), str(cache), "/other")
    assert chosen.directory == str(cache)
    assert [each.partition("because ")[2] for each in chosen.notes] == [
        "it cannot be examined (Not a directory); name a directory of your own",
        f"everybody may write in {open_one}; delete it, or let nobody but you write there",
    ]


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_what_we_make_we_use_again(tmp_path: Path, umask: int) -> None:
    """A umask of 002 is usual where each user has a group: it must not spoil the cache for the next time."""
    root, memo = tmp_path / "new" / "cache", tmp_path / "new" / "cache" / "choices" / "memo"
    old = os.umask(umask)
    try:
        caches.make_directory(str(memo.parent))
        caches.write(str(memo), b'["x"]')
        (root / "locks").mkdir()  # by who does not think of it
    finally:
        os.umask(old)
    assert caches.read_json(str(memo), [str]) == ["x"]
    assert root.stat().st_mode & 0o777 == 0o700
    if umask != 0o000:  # `trust.masked` sees to it that everybody never may
        assert caches.problem(str(root)) is None


def test_where_a_file_stands_no_directory_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(NotADirectoryError):
            caches.make_directory(str(path))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_where_nothing_can_be_made_that_is_an_error() -> None:
    with pytest.raises(OSError, match="/proc/nothing"):
        caches.make_directory("/proc/nothing/in/it")


def test_a_directory_that_somebody_makes_before_us_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted").chmod(0o777)
    with pytest.raises(PermissionError):
        caches.make_directory(str(tmp_path / "planted"))


# --- memos ---


@as_root
@pytest.mark.parametrize("how", ["owner", "group", "everybody"])
def test_a_memo_that_others_could_have_written(tmp_path: Path, how: str) -> None:
    memo = tmp_path / "memo"
    caches.write(str(memo), b"[]")
    assert caches.read_json(str(memo), [str]) == []
    if how == "owner":
        own(memo)
    else:
        memo.chmod(0o664 if how == "group" else 0o646)
    assert caches.read_json(str(memo), [str]) is None
    assert caches.read_json(str(memo), [str], regular) == []


@pytest.mark.parametrize(
    "damage", ["missing", "directory", "pipe", "link to itself", "cut off", "binary", "deep", "empty"]
)
def test_a_memo_that_cannot_be_read_is_none(tmp_path: Path, damage: str) -> None:
    memo = tmp_path / "memo"
    if damage == "directory":
        memo.mkdir()
    elif damage == "pipe":
        os.mkfifo(memo)
    elif damage == "link to itself":
        memo.symlink_to(memo)
    elif damage != "missing":
        memo.write_bytes({"cut off": b'["x', "binary": b"\xff\0", "deep": b"[" * 100_000, "empty": b""}[damage])
    assert caches.read_json(str(memo), object) is None


@pytest.mark.parametrize("content", ["null", "5", '"x"', "[1]", "{}", '[["a"]]', '[["a", 2]]', '[["a", "b", "c"]]'])
def test_a_memo_of_another_shape_is_none(tmp_path: Path, content: str) -> None:
    memo = tmp_path / "memo"
    memo.write_text(content)
    memo.chmod(0o644)
    assert caches.read_json(str(memo), [(str, str)]) is None


# --- where it is ---


@pytest.mark.parametrize(
    ("xdg", "home", "expected"),
    [
        ("/x", "/home/me", ("/x/sage-wheels",)),
        ("", "/home/me", ("/home/me/.cache/sage-wheels",)),
        ("not/absolute", "/home/me", ("/home/me/.cache/sage-wheels",)),
        ("", "not/absolute", ()),
    ],
)
def test_the_users_cache(monkeypatch: pytest.MonkeyPatch, xdg: str, home: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", home)
    assert caches.directories_of_user() == expected


def test_a_sentence_is_said_once() -> None:
    heard: list[str] = []
    for _ in range(2):
        caches.say_once(["a", "b"], heard.append)
    assert heard == ["a", "b"]
