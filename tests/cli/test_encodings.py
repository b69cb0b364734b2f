"""No command reads or writes a file as the user's locale says: Python warns of that, and here each warning is an error.

What a text means must not depend on who reads it: a lock file, and what the tool and pip tell each other, are UTF-8.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.projects import make_tree
from support.run import tool_environment
from support.wheels import make_wheel


def test_no_command_depends_on_the_locale(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    subprocess.run([sys.executable, "-I", "-m", "venv", prefix], check=True)
    wheel = str(make_wheel(tmp_path, "known", "1", {"known.py": ""}))
    other = str(make_wheel(tmp_path, "other", "1", {"other.py": ""}))
    tree = str(make_tree(tmp_path / "tree", "built", "1"))
    here = ["--prefix", str(prefix)]
    for line in (
        ["install", *here, wheel],
        ["install", *here, tree],
        ["pip", *here, "install", "--no-index", other],
        ["pip", *here, "list"],
        ["lock", *here, "--output", str(tmp_path / "pylock.toml")],
        ["undo", *here],
        ["verify", *here],
        ["uninstall", *here, "known"],
        ["cache", "explain", tree],
        ["--version", "--verbose"],
    ):
        command = [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning", "-m", "sage_wheels"]
        done = subprocess.run([*command, *line], capture_output=True, text=True, env=tool_environment(), cwd=tmp_path)
        assert done.returncode == (4 if "lock" in line else 0), (line, done.stderr)  # 4: not all have an origin
        assert "EncodingWarning" not in done.stderr
