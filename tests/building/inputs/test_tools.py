"""What the tools say of their version."""

from __future__ import annotations

import os
from pathlib import Path

from sage_wheels.building.inputs import tools
from sage_wheels.store.store import Store

# As rustup: both names are one program, which writes its settings when it is first called.
ONE_AT_A_TIME = """#!/bin/sh
mkdir "$HOME/busy" 2>/dev/null || { echo "error: could not parse settings in $HOME"; exit 1; }
sleep 0.2
rmdir "$HOME/busy"
echo "${0##*/} 1.0"
"""


def test_a_program_of_two_names_is_asked_for_one_after_the_other(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cargo").write_text(ONE_AT_A_TIME)
    (programs / "cargo").chmod(0o755)
    os.link(programs / "cargo", programs / "rustc")
    (programs / "ninja").symlink_to("cargo")
    environ = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    said = tools.versions(environ, "", Store(str(tmp_path / "store")))
    assert {name: said[name] for name in ("cargo", "ninja", "rustc")} == {
        name: f"{name} 1.0" for name in ("cargo", "ninja", "rustc")
    }
