"""What was not used for longest goes; what is in use stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sage_wheels.fs import waiting
from sage_wheels.store import eviction
from sage_wheels.store.results import key_of
from sage_wheels.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def fill(store: Store, tmp_path: Path, number: int, size: int, age: float) -> str:
    path = tmp_path / f"{number}.whl"
    path.write_bytes(bytes([number]) * size)
    key = key_of("wheel", number)
    store.keep("wheel", key, {}, {"w": str(path)})
    for each in eviction.entries(store.root):
        if each.used > time.time() - 1800:
            os.utime(each.path, (time.time() - age,) * 2)
    return key


def contents(store: Store) -> int:
    return sum(each.kind == "content" for each in eviction.entries(store.root))


def test_what_is_oldest_goes_first(store: Store, tmp_path: Path) -> None:
    keys = [fill(store, tmp_path, number, 1000, 100_000 - number * 1000) for number in range(10)]
    assert eviction.evict(store.root, 1 << 30).freed == 0
    assert contents(store) == 10
    store.result("wheel", keys[0])  # used now
    eviction.evict(store.root, 8000)
    assert 0 < contents(store) < 8
    assert store.result("wheel", keys[0])
    assert store.result("wheel", keys[1]) is None
    assert store.result("wheel", keys[9])
    assert sum(each.size for each in eviction.entries(store.root)) <= 8000


def test_what_is_in_use_stays(store: Store, tmp_path: Path) -> None:
    key = fill(store, tmp_path, 1, 5000, 60)
    assert eviction.evict(store.root, 10).freed == 0
    assert store.result("wheel", key)


def test_it_is_due_when_enough_was_added(store: Store, tmp_path: Path) -> None:
    assert not eviction.is_due(store.root, 10)  # there is no store
    fill(store, tmp_path, 1, 5000, 60)
    assert not eviction.is_due(store.root, 10_000)
    fill(store, tmp_path, 2, 5000, 60)
    assert eviction.is_due(store.root, 10_000)
    eviction.evict(store.root, 20_000)
    assert not eviction.is_due(store.root, 20_000)
    assert eviction.is_due(store.root, 10_000)


def test_what_was_abandoned_goes(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path, 1, 10, 60)
    old, new = Path(store.root, "staging", "old"), Path(store.root, "staging", "new")
    old.mkdir()
    (old / "x").write_text("x")
    new.write_text("x")
    os.utime(old, (1, 1))
    eviction.evict(store.root, 1 << 30)
    assert (old.exists(), new.exists()) == (False, True)


def test_directories_of_builds(store: Store) -> None:
    """Those of failed builds are counted, and go after a week, or with everything; one that runs stays."""
    builds = [Path(store.root, "build", name) for name in ("new", "old", "running")]
    for each in builds:
        (each / "src").mkdir(parents=True)
        (each / "src" / "x").write_bytes(bytes(1000))
        each.with_name(f"{each.name}.lock").touch()
        os.utime(each, (time.time() - (3600 if each.name == "new" else 8 * 86400),) * 2)
    running = builds[2]
    with waiting.hold(f"{running}.lock"):
        assert eviction.summary(store.root)["build"] == (3, 3000)
        eviction.evict(store.root, 1 << 30)
        assert [each.exists() for each in builds] == [True, False, True]
        assert eviction.clear(store.root) == 1000
        assert [each.exists() for each in builds] == [False, False, True]
    assert eviction.clear(store.root) == 1000
    assert not running.exists()


def test_one_at_a_time(store: Store, tmp_path: Path) -> None:
    import filelock

    fill(store, tmp_path, 1, 5000, 100_000)
    with filelock.FileLock(f"{store.root}/evict.lock"):
        assert eviction.evict(store.root, 10).freed == 0
    assert contents(store) == 1
    assert eviction.evict(store.root, 10).freed > 0
    assert contents(store) == 0


@pytest.mark.parametrize("kind", ["content", "results", "trees"])
def test_clear_deletes_also_what_should_not_be_there(tmp_path: Path, kind: str) -> None:
    shard = tmp_path / kind / "ab"
    (shard / "abcd" / "deep").mkdir(parents=True)
    os.mkfifo(shard / "abce")
    (shard / "abcf").symlink_to("/etc")
    eviction.clear(str(tmp_path))
    assert list(shard.iterdir()) == []
