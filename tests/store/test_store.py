"""The store: what is kept is found, what is damaged or gone is not, and nothing that happens to it is an error.

Promise 8.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.fs import caches
from sage_wheels.store.results import Content, Result, encode, key_of
from sage_wheels.store.store import Store, digest_of
from support.memory_tier import MemoryTier

KEY = key_of("wheel", {"source": "x"})


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "a-1.0-py3-none-any.whl"
    path.write_bytes(b"content of a wheel" * 1000)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def keep(store: Store, wheel: Path) -> None:
    store.keep("wheel", KEY, {"seconds": 3}, {wheel.name: str(wheel)}, shared=True)


def take(store: Store, wheel: Path, to: Path) -> bytes | None:
    """What the store has of the wheel; None if it has to be made again."""
    result = store.result("wheel", KEY, shared=True)
    if result is None or not store.fetch(result, wheel.name, str(to), shared=True):
        assert not to.exists()
        return None
    data = to.read_bytes()
    to.unlink()
    return data


def files_of(root: Path) -> list[Path]:
    return sorted(path for kind in ("content", "results") for path in (root / kind).rglob("*") if path.is_file())


def test_what_is_kept_is_found(root: Path, wheel: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    store = Store(str(root), on_note=notes.append)
    assert store.result("wheel", KEY) is None
    keep(store, wheel)
    result = store.result("wheel", KEY)
    assert result
    assert (result.kind, result.key, result.values) == ("wheel", KEY, {"seconds": 3})
    assert result.contents == (Content(wheel.name, *digest_of(str(wheel))),)
    assert take(store, wheel, tmp_path / "out") == wheel.read_bytes()
    assert store.result("requires", KEY) is None  # of another kind
    assert not store.fetch(result, "other", str(tmp_path / "out"))
    assert os.listdir(root / "staging") == []
    assert not notes


def test_a_byte_that_is_damaged_anywhere_is_noticed_and_mended(root: Path, wheel: Path, tmp_path: Path) -> None:
    store = Store(str(root))
    keep(store, wheel)
    for path in files_of(root):
        whole = path.read_bytes()
        step = max(1, len(whole) // 97)
        for offset in {*range(0, len(whole), step), len(whole) - 1}:
            path.unlink(missing_ok=True)
            path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
            assert take(store, wheel, tmp_path / "out") is None, (path, offset)
            keep(store, wheel)
            assert take(store, wheel, tmp_path / "out") == wheel.read_bytes()


@pytest.mark.parametrize("left", [0, 1, 64, 65, 66])
def test_a_file_that_was_cut_off_is_noticed(root: Path, wheel: Path, tmp_path: Path, left: int) -> None:
    store = Store(str(root))
    keep(store, wheel)
    for path in files_of(root):
        whole = path.read_bytes()
        path.write_bytes(whole[:left])
        assert take(store, wheel, tmp_path / "out") is None
        keep(store, wheel)


def test_what_vanished_is_made_again(root: Path, wheel: Path, tmp_path: Path) -> None:
    store = Store(str(root))
    for which in (0, 1, None):
        keep(store, wheel)
        assert take(store, wheel, tmp_path / "out") == wheel.read_bytes()
        if which is None:
            shutil.rmtree(root)
        else:
            files_of(root)[which].unlink()
        assert take(store, wheel, tmp_path / "out") is None
    keep(store, wheel)
    assert take(store, wheel, tmp_path / "out") == wheel.read_bytes()


def test_a_result_under_a_false_name_is_none(root: Path, wheel: Path) -> None:
    """Somebody has moved one result to the place of another: its own key is in its bytes."""
    store = Store(str(root))
    keep(store, wheel)
    other = key_of("wheel", {"source": "y"})
    moved = Path(store.local.result_path(other))
    moved.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(store.local.result_path(KEY), moved)
    assert store.result("wheel", other) is None
    assert not moved.exists()


def test_files_of_others_are_not_read(root: Path, wheel: Path, tmp_path: Path) -> None:
    store = Store(str(root))
    keep(store, wheel)
    for path in files_of(root):
        path.chmod(0o666)
        assert take(store, wheel, tmp_path / "out") is None
        path.unlink(missing_ok=True)
        keep(store, wheel)


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "notes").write_text("mine")


def make_link(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [make_directory, make_link, os.mkfifo, Path.touch], ids=lambda each: each.__name__)
@pytest.mark.parametrize("up", [0, 1, 2], ids=["file", "shard", "kind"])
def test_what_is_in_the_place_of_a_file_is_noticed_once(
    root: Path, wheel: Path, tmp_path: Path, make: Callable[[Path], object], up: int
) -> None:
    store = Store(str(root))
    keep(store, wheel)
    for path in files_of(root):
        place = [path, *path.parents][up]
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
        make(place)
        notes: list[str] = []
        caches.said.clear()
        assert take(Store(str(root), on_note=notes.append), wheel, tmp_path / "out") is None
        assert len(notes) <= 1
        assert all(str(path) in note for note in notes)
        keep(Store(str(root), on_note=notes.append), wheel)
        again: list[str] = []
        caches.said.clear()
        assert take(Store(str(root), on_note=again.append), wheel, tmp_path / "out") == wheel.read_bytes()
        assert len(notes) <= 1
        assert again == []


def test_a_directory_in_the_place_of_a_file_is_not_lost(root: Path, wheel: Path) -> None:
    store = Store(str(root))
    keep(store, wheel)
    path = Path(store.local.result_path(KEY))
    path.unlink()
    make_directory(path)
    keep(store, wheel)
    assert store.result("wheel", KEY)
    [aside] = (root / "staging").iterdir()
    assert (aside / "notes").read_text() == "mine"


def test_nothing_that_stands_in_the_way_is_an_error(root: Path, wheel: Path, tmp_path: Path) -> None:
    root.write_text("a file")
    notes: list[str] = []
    store = Store(str(root), on_note=notes.append)
    keep(store, wheel)
    keep(store, wheel)
    assert take(store, wheel, tmp_path / "out") is None
    assert len(notes) == 1
    assert str(root) in notes[0]


_FULL = """
import os, resource, signal, sys
from sage_wheels.store.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
Store(sys.argv[1], on_note=print).keep("wheel", sys.argv[4], {}, {"a.whl": sys.argv[2]})
"""


@pytest.mark.parametrize("most", [0, 10, 100, 10_000])
def test_a_store_that_fills_up_keeps_nothing_half(root: Path, wheel: Path, tmp_path: Path, most: int) -> None:
    """A limit to the size of files stands for a full disk: a write fails in the middle, wherever that is."""
    command = [sys.executable, "-c", _FULL, str(root), str(wheel), str(most), KEY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    store = Store(str(root))
    assert take(store, wheel, tmp_path / "out") is None
    assert all(digest_of(str(path))[0] == path.name for path in (root / "content").rglob("*") if path.is_file())
    assert os.listdir(root / "staging") == []


_KILLED = """
import os, sys
from sage_wheels.store.store import Store
events = 0
def count(event, arguments):
    global events
    if event in ("open", "os.rename", "os.mkdir", "os.chmod") and sys.argv[1] in str(arguments):
        events += 1
        if events == int(sys.argv[3]):
            os.kill(os.getpid(), 9)
sys.addaudithook(count)
Store(sys.argv[1]).keep("wheel", sys.argv[4], {}, {"a.whl": sys.argv[2]})
"""


def test_a_writer_that_is_killed_anywhere_leaves_nothing_half(root: Path, wheel: Path, tmp_path: Path) -> None:
    number, status = 0, -9
    while status == -9:
        number += 1
        shutil.rmtree(root, ignore_errors=True)
        command = [sys.executable, "-c", _KILLED, str(root), str(wheel), str(number), KEY]
        status = subprocess.run(command, check=False).returncode
        store = Store(str(root))
        found = store.result("wheel", KEY)
        if found:
            assert store.fetch(found, "a.whl", str(tmp_path / f"out{number}"))
        assert all(digest_of(str(path))[0] == path.name for path in (root / "content").rglob("*") if path.is_file())
    assert status == 0
    assert number > 5
    assert Store(str(root)).result("wheel", KEY)


def test_the_second_tier_fills_the_first(root: Path, wheel: Path, tmp_path: Path) -> None:
    remote = MemoryTier()
    keep(Store(str(root), remote=remote), wheel)
    assert remote.calls == ["keep"]
    second = Store(str(tmp_path / "other"), remote=remote)
    assert take(second, wheel, tmp_path / "out") == wheel.read_bytes()
    remote.calls.clear()
    assert take(second, wheel, tmp_path / "out") == wheel.read_bytes()
    assert remote.calls == []


def test_what_is_not_shared_stays_here(root: Path, wheel: Path) -> None:
    remote = MemoryTier()
    store = Store(str(root), remote=remote)
    store.keep("digest", KEY, {"of": "a file"}, {"x": str(wheel)})
    assert store.result("digest", KEY)
    shutil.rmtree(root)
    assert store.result("digest", KEY) is None
    assert remote.calls == []


def test_a_lying_tier_is_not_believed(root: Path, wheel: Path, tmp_path: Path) -> None:
    remote = MemoryTier()
    keep(Store(str(root), remote=remote), wheel)
    other = key_of("wheel", {"source": "y"})
    remote.results[other] = remote.results[KEY]
    store = Store(str(tmp_path / "other"), remote=remote)
    assert store.result("wheel", other, shared=True) is None
    for digest in remote.contents:
        remote.contents[digest] += b"x"
    assert take(store, wheel, tmp_path / "out") is None
    huge = Result("wheel", KEY, (Content("../x", "a" * 64, 1),), {}, 0)
    remote.results[KEY] = encode(huge)
    assert store.result("wheel", KEY, shared=True) is None
