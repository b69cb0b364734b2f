"""What the release workflow reads out of this project, and a maintainer sees only when a release has failed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import sage_wheels

ROOT = Path(__file__).parents[1]


def test_the_workflow_finds_the_version() -> None:
    workflow = (ROOT / ".github/workflows/release.yml").read_text()
    (command,) = re.findall(r"version=\$\((sed .*)\)$", workflow, re.MULTILINE)
    found = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == sage_wheels.__version__
