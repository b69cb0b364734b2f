"""A project for whose build every input can be changed; what it is built with is all in one directory."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, parse_source
from support import wheels

# A backend that runs what the project says, as that of `support.projects`.
BACKEND = """
import base64, hashlib, os, zipfile

def get_requires_for_build_wheel(settings=None):
    return open("more.txt").read().split() if os.path.exists("more.txt") else []

def build_wheel(directory, settings=None, metadata=None):
    about = {"settings": settings}
    exec(open("hook.py").read(), {"about": about})
    content = {
        "hello.py": repr(about),
        "hello-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n",
        "hello-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
    rows = [f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},\\n"
        for name, text in content.items()]
    content["hello-1.0.dist-info/RECORD"] = "".join(rows) + "hello-1.0.dist-info/RECORD,,\\n"
    with zipfile.ZipFile(f"{directory}/hello-1.0-py3-none-any.whl", "w") as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return "hello-1.0-py3-none-any.whl"

def build_sdist(directory, settings=None):
    import tarfile
    with tarfile.open(f"{directory}/hello-1.0.tar.gz", "w:gz") as archive:
        for file in ("pyproject.toml", "hook.py"):
            archive.add(file, f"hello-1.0/{file}")
    return "hello-1.0.tar.gz"
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
