"""The demonstration: what it shows happens, and what it prints can be copied."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.network
@pytest.mark.slow
def test_the_demo(checkout: Path, index_environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", str(checkout / "build/demo")], env=index_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    work = Path(shlex.split(said.splitlines()[0])[2])
    try:
        assert "\nexit status 137\n" in said
        assert re.search(r"undid an interrupted installation of \d+ steps", said)
        assert re.search(r"jwt would replace .*, which belongs to PyJWT 2.10.1", said)
        assert "0 differences" in said
        assert not [*work.glob("prefix/lib/python3*/site-packages/*")]
        lines = [line[2:] for line in said.splitlines() if line.startswith("$ ")]
        assert lines[-1] == f"rm -r {work}"
        again = [*lines[:2], *(line for line in lines if line.startswith("sage-wheels install --prefix prefix wheels"))]
        script = "\n".join([*again, "sage-wheels list --prefix prefix"])
        copied = subprocess.run(["sh", "-ec", script], env=index_environment, capture_output=True, text=True)
        assert copied.returncode == 0, copied.stderr
        assert "pexpect 4.9.0" in copied.stdout
    finally:
        shutil.rmtree(work)
