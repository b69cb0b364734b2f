from __future__ import annotations

from pathlib import Path

import pytest

from support import house as shared
from support.house import House

pip, prefix = shared.pip, shared.prefix  # fixtures


@pytest.fixture
def house(tmp_path: Path, prefix: Path) -> House:
    return House(tmp_path, prefix)
