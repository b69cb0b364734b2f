"""What the key has of a repository, and what cannot be read of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sage_wheels.building.inputs.repositories import states
from sage_wheels.building.source.git import Git, Repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """One whose files are read, because there is no git."""
    monkeypatch.setenv("PATH", "/nowhere")
    own = tmp_path / "tree/.git"
    (own / "refs/heads").mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "refs/heads/main").write_text("1" * 40)
    return Repository(str(tmp_path / "tree"), str(own), str(own), 20)


def refs_of(repository: Repository) -> str:
    return str(states({"": repository}, Git(), repository.top)[""]["refs"])


def test_files_that_are_missing_are_no_fault(repository: Repository) -> None:
    before = refs_of(repository)
    Path(repository.common, "refs/heads/main").write_text("2" * 40)
    assert refs_of(repository) != before


@pytest.mark.parametrize("name", ["HEAD", "packed-refs", "refs/heads/other"])
def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(repository: Repository, name: str) -> None:
    """Or two different states would have the same key."""
    path = Path(repository.common, name)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(path))
        with pytest.raises(OSError, match="No such device or address"):
            refs_of(repository)
