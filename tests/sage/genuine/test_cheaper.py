"""build/lib/cheaper.py in the genuine trees of Sage 10.7 and 11.0.beta1."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

from .conftest import Sage
from .test_undo import each_tree

__all__ = ("each_tree",)  # a fixture


def test_the_scripts_have_every_line(each_tree: Sage, checkout: Path) -> None:
    cheaper = runpy.run_path(str(checkout / "build/lib/cheaper.py"))
    each_tree.overlay()
    for script in cheaper["_LINES"]:
        text = (each_tree.root / script).read_text()
        assert text.count("# sage-wheels: as before, fewer processes\n") == len(cheaper["lines"](script)), script
        subprocess.run(["bash", "-n", each_tree.root / script], check=True)
    each_tree.overlay("--undo")
