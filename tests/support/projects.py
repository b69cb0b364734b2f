"""Build backends of two kinds, which need nothing, and source trees that have them. A special backend is one of these
with a function defined again."""

from __future__ import annotations

import socket
import tarfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

# It copies the wheel that is in the tree.
COPYING = """
import os, shutil

def build_wheel(directory, settings=None, metadata=None):
    [wheel] = [name for name in os.listdir() if name.endswith(".whl")]
    return os.path.basename(shutil.copy(wheel, directory))

build_editable = build_wheel
"""

# It writes a wheel. What a test wants of it stands in the project: `hook.py` is run at each hook that builds, or says
# what that requires, with the name of the hook and the settings, and may put members for the wheel into `content`; each
# line of `more.txt` is a requirement for the second round.
WRITING = """
import base64, hashlib, os, re, zipfile

def _project():
    text = open("pyproject.toml").read()
    return [re.search(key + r' = "([^"]+)"', text)[1] for key in ("name", "version")]

def _lines(file):
    return open(file).read().splitlines() if os.path.exists(file) else []

def _hook(name, settings):
    content = {}
    if os.path.exists("hook.py"):
        exec(open("hook.py").read(), {"hook": name, "settings": settings, "content": content})
    return content

def _metadata():
    name, version = _project()
    info = f"{name}-{version}.dist-info"
    return {
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
        + "".join(f"Requires-Dist: {line}\\n" for line in _lines("requires-dist.txt")),
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }

def _row(path, text):
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"{path},sha256={digest},{len(text)}\\n"

def _write(directory, files):
    name, version = _project()
    files = {**files, **_metadata()}
    record = f"{name}-{version}.dist-info/RECORD"
    files[record] = "".join(_row(*each) for each in files.items()) + f"{record},,\\n"
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{wheel}", "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel

def get_requires_for_build_wheel(config_settings=None):
    _hook("get_requires_for_build_wheel", config_settings)
    return _lines("more.txt")

get_requires_for_build_editable = get_requires_for_build_wheel

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    for path, text in _metadata().items():
        os.makedirs(os.path.dirname(f"{metadata_directory}/{path}"), exist_ok=True)
        with open(f"{metadata_directory}/{path}", "w") as f:
            f.write(text)
    return "{}-{}.dist-info".format(*_project())

prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name, version = _project()
    module = f"version = {version!r}\\nsettings = {config_settings!r}\\n"
    return _write(wheel_directory, {f"{name}.py": module, **_hook("build_wheel", config_settings)})

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    path = {f"{_project()[0]}.pth": os.getcwd() + "/code\\n"}
    return _write(wheel_directory, {**path, **_hook("build_editable", config_settings)})

def build_sdist(sdist_directory, config_settings=None):
    import tarfile
    name, version = _project()
    with tarfile.open(f"{sdist_directory}/{name}-{version}.tar.gz", "w:gz") as archive:
        for file in ("pyproject.toml", "hook.py", "backend/tiny.py"):
            if os.path.exists(file):
                archive.add(file, f"{name}-{version}/{file}")
    return f"{name}-{version}.tar.gz"
"""


def backend_tree(tree: Path, name: str, version: str, code: str, *, requires: Sequence[str] = ()) -> None:
    """Write the pyproject.toml of the project `name`, and its backend, which has that `code`."""
    (tree / "backend").mkdir(parents=True)
    (tree / "backend" / "tiny.py").write_text(code)
    (tree / "pyproject.toml").write_text(
        f'[build-system]\nrequires = {list(requires)}\nbuild-backend = "tiny"\nbackend-path = ["backend"]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )


def make_tree(
    tree: Path,
    name: str,
    version: str,
    *,
    hook: str = "",
    requires: Sequence[str] = (),
    asks: Sequence[str] = (),
    needs: Sequence[str] = (),
) -> Path:
    """Write the source tree of the project `name`; `hook` is run when something is made.

    It `requires` those lines to be built, its backend `asks` for more, and what is built `needs` others to run.
    """
    backend_tree(tree, name, version, WRITING, requires=requires)
    (tree / "code").mkdir()
    (tree / "code" / f"{name}.py").write_text(f"version = {version!r}\n")
    for file, lines in (("more.txt", asks), ("requires-dist.txt", needs)):
        if lines:
            (tree / file).write_text("".join(f"{line}\n" for line in lines))
    if hook:
        (tree / "hook.py").write_text(f"if hook.startswith('build'):\n{textwrap.indent(hook, '    ')}\n")
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
