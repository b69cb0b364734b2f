"""`sage_wheels.fs.syncing`: on the file system that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.fs import syncing


def test_sync_of_what_is_there_and_of_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    syncing.sync_file_system(str(tmp_path))
    syncing.sync_path(str(tmp_path))
    syncing.sync_path(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "x"
    with pytest.raises(FileNotFoundError):
        syncing.sync_path(str(tmp_path / "gone"))
