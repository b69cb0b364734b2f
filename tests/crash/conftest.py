"""One puppet for all crash tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.scenarios")

from support.puppet import Puppet  # noqa: E402


@pytest.fixture(scope="session")
def puppet() -> Iterator[Puppet]:
    with Puppet() as it:
        yield it


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: thousands of installations are made and killed there."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)
