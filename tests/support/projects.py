"""Source trees with a build backend of their own, which needs nothing and runs what a test gives it."""

from __future__ import annotations

import socket
import tarfile
from pathlib import Path

# `hook.py` in the tree is run before each build. What the wheel holds depends on the settings, and on nothing else.
BACKEND = """
import base64, hashlib, os, re, zipfile

def _project():
    text = open("pyproject.toml").read()
    return [re.search(key + r' = "([^"]+)"', text)[1] for key in ("name", "version")]

def _files(text):
    name, version = _project()
    info = f"{name}-{version}.dist-info"
    return {
        **text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }

def _row(path, text):
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"{path},sha256={digest},{len(text)}\\n"

def _write(directory, text):
    if os.path.exists("hook.py"):
        exec(open("hook.py").read(), {})
    name, version = _project()
    files = _files(text)
    record = f"{name}-{version}.dist-info/RECORD"
    files[record] = "".join(_row(*each) for each in files.items()) + f"{record},,\\n"
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{wheel}", "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel

def _metadata(directory):
    for path, text in _files({}).items():
        os.makedirs(os.path.dirname(f"{directory}/{path}"), exist_ok=True)
        with open(f"{directory}/{path}", "w") as f:
            f.write(text)
    return "{}-{}.dist-info".format(*_project())

def prepare_metadata_for_build_wheel(directory, settings=None):
    return _metadata(directory)

def prepare_metadata_for_build_editable(directory, settings=None):
    return _metadata(directory)

def build_wheel(directory, settings=None, metadata=None):
    name, version = _project()
    return _write(directory, {f"{name}.py": f"version, settings = {version!r}, {settings!r}\\n"})

def build_editable(directory, settings=None, metadata=None):
    return _write(directory, {f"{_project()[0]}.pth": os.getcwd() + "/code\\n"})
"""


def make_tree(tree: Path, name: str, version: str, *, hook: str = "") -> Path:
    """Write the source tree of the project `name`."""
    (tree / "backend").mkdir(parents=True)
    (tree / "code").mkdir()
    (tree / "code" / f"{name}.py").write_text(f"version = {version!r}\n")
    (tree / "backend" / "tiny.py").write_text(BACKEND)
    (tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "tiny"\nbackend-path = ["backend"]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    if hook:
        (tree / "hook.py").write_text(hook)
    return tree


def make_sdist(directory: Path, tree: Path, name: str, version: str) -> Path:
    """Pack a source tree."""
    path = directory / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, f"{name}-{version}")
        info = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        archive.addfile(info)
    return path


class Gate:
    """Where a build reports and then waits; its connection ends with its process."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._port = listening.getsockname()[1]

    @property
    def hook(self) -> str:
        """The program that makes a build wait."""
        return f"import socket\ns = socket.create_connection(('127.0.0.1', {self._port}))\ns.recv(1)\n"

    def wait(self) -> socket.socket:
        """Until a build is in the middle: its connection, at whose end the build goes on, and which ends with it."""
        connection, _ = self._listening.accept()
        connection.settimeout(60)
        return connection
