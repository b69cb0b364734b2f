"""The recipe of an image in docs/recipes/Dockerfile: its lines are run here, one after the other, with other paths."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.run import names, tool_environment
from support.trees import STATE, leftovers
from support.wheels import make_wheel


def run(recipe: Path, context: Path, root: Path) -> None:
    """What ENV, RUN and COPY of the recipe do in an image whose root is `root`."""
    environment = tool_environment()
    for line in recipe.read_text().splitlines():
        word, _, rest = line.partition(" ")
        rest = re.sub(r"(?<![\w/])/(opt|tmp|usr/local)/", rf"{root}/\1/", rest)
        if word == "ENV":
            name, _, value = rest.partition("=")
            environment[name] = os.path.expandvars(value)
        elif word == "COPY":
            source, target = rest.split()
            if (context / source).is_dir():
                shutil.copytree(context / source, target)
            else:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(context / source, target)
        elif word == "RUN":
            environment["PATH"] = f"{root}/usr/local/bin:{os.environ['PATH']}"
            subprocess.run(rest, shell=True, env=environment, check=True)
        else:
            assert word in ("FROM", "#", ""), line


def test_the_recipe_keeps_nothing(checkout: Path, tmp_path: Path) -> None:
    recipe, context, root = checkout / "docs/recipes/Dockerfile", tmp_path / "context", tmp_path / "root"
    assert "ENV SAGE_WHEELS_HISTORY=0" in recipe.read_text().splitlines(), "one line"
    for version in ("1", "2"):
        shutil.rmtree(context, ignore_errors=True)
        make_wheel(context / "wheels", "demo", version, {"demo/__init__.py": version, f"demo/m{version}.py": ""})
        (context / "sage-wheels.pyz").write_text(f'#!/bin/sh\nexec {sys.executable} -m sage_wheels "$@"\n')
        (context / "sage-wheels.pyz").chmod(0o755)
        run(recipe, context, root)
        assert names(root / "opt/venv") == [f"demo {version}"]
        assert not (root / "tmp/wheels").exists()
    state = root / "opt/venv" / STATE
    assert not (state / "kept").exists()
    assert list((state / "history").iterdir()) == []
    assert leftovers(root / "opt/venv") == []
