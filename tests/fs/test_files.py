"""`sage_wheels.fs.files`: whether two files are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.fs.files import has_same_content

SIZE = (1 << 20) + 7  # more than is read at once


@pytest.mark.parametrize(
    ("other", "same"),
    [(b"x" * SIZE, True), (b"x" * (SIZE - 1) + b"y", False), (b"y" + b"x" * (SIZE - 1), False), (b"x", False)],
)
def test_content_is_compared_to_the_end(tmp_path: Path, other: bytes, same: bool) -> None:
    one, second = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * SIZE)
    second.write_bytes(other)
    assert has_same_content(str(one), str(second)) == same
    assert has_same_content(str(second), str(one)) == same


def test_only_regular_files_are_the_same(tmp_path: Path) -> None:
    one, link = tmp_path / "one", tmp_path / "link"
    one.write_bytes(b"x")
    link.symlink_to(one)
    for other in (link, tmp_path, tmp_path / "missing", one / "below a file"):
        assert not has_same_content(str(one), str(other))
        assert not has_same_content(str(other), str(one))
