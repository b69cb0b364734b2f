"""`sage_wheels.fs.exchange`: on the file system that is here."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from sage_wheels.fs import exchange


def test_exchange_swaps_and_is_audited(tmp_path: Path) -> None:
    if not exchange.can_exchange(str(tmp_path)):
        pytest.skip("this file system has no exchange")
    assert list(tmp_path.iterdir()) == []
    one, other = tmp_path / "one", tmp_path / "other ü"
    one.mkdir()
    (one / "file").write_text("first")
    other.write_text("second")
    heard: list[tuple[object, ...]] = []
    listening = True
    sys.addaudithook(lambda e, args: heard.append(args) if listening and e == "sage_wheels.exchange" else None)
    exchange.exchange(str(one), str(other))
    listening = False
    assert one.read_text() == "second"
    assert (other / "file").read_text() == "first"
    assert heard == [(str(one), str(other), -1, -1)]


def test_exchange_with_nothing_fails_and_names_both(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(OSError, match="one") as caught:
        exchange.exchange(str(tmp_path / "one"), str(tmp_path / "other"))
    if caught.value.errno == errno.ENOSYS:
        pytest.skip("this platform has no exchange")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename2 == str(tmp_path / "other")
    assert os.listdir(tmp_path) == ["one"]


def test_can_exchange_cleans_up_after_a_failure(tmp_path: Path) -> None:
    (tmp_path / "exchange-b").mkdir()
    with pytest.raises(FileExistsError):
        exchange.can_exchange(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
