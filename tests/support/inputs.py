"""A project for whose build every input can be changed; what it is built with is all in one directory."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, parse_source
from support import wheels
from support.projects import WRITING

# It runs what the project says, and tells of it in the wheel.
BACKEND = f"""{WRITING}
def _project():
    return "hello", "1.0"

def _hook(name, settings):
    if name != "build_wheel":
        return {{}}
    about = {{"settings": settings}}
    exec(open("hook.py").read(), {{"about": about}})
    return {{"hello.py": repr(about)}}
"""


class Project:
    """A source tree and its surroundings, all in `top`."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self.tree = top / "work" / "hello"
        self.home = top / "home"
        self.house = top / "wheelhouse"
        self.tools = top / "tools"
        self.notes: list[str] = []
        self.options = BuildOptions(
            cache_dir=str(top / "cache"),
            find_links=(str(self.house),),
            cache_system="tests",  # somebody may install packages meanwhile
            on_note=self.notes.append,
        )
        for each in (self.tree, self.home, self.tools):
            each.mkdir(parents=True)
        (self.tree / "pyproject.toml").write_text('[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n')
        self.hook("")
        self.wheel("tiny", BACKEND)
        self.wheel("tool", "x = 1\n")
        monkeypatch.setenv("HOME", str(self.home))

    def hook(self, program: str) -> None:
        (self.tree / "hook.py").write_text(f"import os\n{program}\n")

    def wheel(self, name: str, text: str, version: str = "1.0") -> None:
        wheels.make_wheel(self.house, name, version, {f"{name}.py": text})

    def program(self, name: str, says: str) -> None:
        path = self.tools / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)

    def build(self, source: Path | None = None, **more: Any) -> BuiltWheel:
        options = self.options._replace(**more)
        return build_wheel(parse_source(str(source or self.tree)), wheel_dir=self.top / "dist", options=options)

    def is_stored(self, source: Path | None = None, **more: Any) -> bool:
        return self.build(source, **more).is_stored

    def about(self, source: Path | None = None, **more: Any) -> str:
        return self.about_of(self.build(source, **more))

    @staticmethod
    def about_of(built: BuiltWheel) -> str:
        """What the wheel says of its build."""
        with zipfile.ZipFile(built.path) as archive:
            return archive.read("hello.py").decode()
