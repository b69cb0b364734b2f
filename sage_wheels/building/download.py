"""Let pip answer what only an index can: the file of a requirement, and build requirements that no wheelhouse has.

pip runs as a process of the interpreter that runs us, with the user's own pip configuration: it is the user's index.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from sage_wheels.building.sources import (
    DirectUrl,
    RemoteFile,
    Requirement,
    SdistFile,
    WheelFile,
    archive_direct_url,
    without_credentials,
)
from sage_wheels.errors import BuildFailed, SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.building.interpreter import Building

_LAST_LINES = 20  # of pip's output, to show with a failure


class Fetched(NamedTuple):
    """A file that pip downloaded, and what direct_url.json shall say of it (None: it came by name)."""

    source: WheelFile | SdistFile
    direct_url: DirectUrl | None


def fetch(
    source: Requirement | RemoteFile,
    directory: str,
    *,
    from_source: bool = False,
    find_links: Iterable[str] = (),
    python: str | None = None,
) -> Fetched:
    """Download the one file that pip chooses for `source` into `directory`, which is made if need be.

    With `from_source` it is an sdist. `python` is the interpreter to choose for, if it is not the one that runs us.
    Dependencies are not looked at. Raises `SourceError` with the end of pip's output.
    """
    os.makedirs(directory, exist_ok=True)
    before = set(os.listdir(directory))
    arguments = ["download", "--no-deps", "--dest", directory]
    if from_source and isinstance(source, Requirement):
        arguments += ["--no-binary", source.name]
    arguments += [f"--find-links={os.path.abspath(link)}" for link in find_links]
    output = _pip([*arguments, "--", source.text], python)
    new = sorted(set(os.listdir(directory)) - before)
    if output is not None or len(new) != 1:
        raise SourceError(
            f"pip does not get {source.text}", "read what it says, and check the name and the index", output or ""
        )
    path = os.path.join(os.path.abspath(directory), new[0])
    file = WheelFile(path) if path.endswith(".whl") else SdistFile(path)
    if isinstance(source, Requirement):
        return Fetched(file, None)
    return Fetched(file, _direct_url(source, path))


def fetch_build_requirements(
    requirements: Iterable[str], directory: str, *, find_links: Iterable[str], building: Building
) -> None:
    """Put wheels for `requirements`, and for all that these require, into the wheelhouse `directory`.

    pip takes what the wheelhouses `find_links` have, too, and builds what the index has no wheel of. The wheels
    appear in `directory` by rename. Raises `BuildFailed` with the end of pip's output.
    """
    import tempfile

    requirements = sorted(requirements)
    os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as stage:
        listing = os.path.join(stage, "requirements.txt")
        with open(listing, "w", encoding="utf-8") as f:
            f.writelines(f"{line}\n" for line in requirements)
        links = [f"--find-links={os.path.abspath(link)}" for link in (*find_links, directory)]
        wheels = os.path.join(stage, "wheels")
        python = None if _is_ours(building.executable) else building.executable
        output = _pip(["wheel", "--wheel-dir", wheels, *links, "--requirement", listing], python)
        if output is not None:
            raise BuildFailed(
                f"pip does not get the build requirements {', '.join(requirements)}",
                "read what it says, and check the index",
                output,
            )
        for name in os.listdir(wheels):
            os.replace(os.path.join(wheels, name), os.path.join(directory, name))


def _pip(arguments: list[str], python: str | None) -> str | None:
    """Run pip; None if it was content, else the last lines of what it said."""
    import importlib.util
    import subprocess

    runner: str = sys.executable
    if importlib.util.find_spec("pip") is None:
        runner = getattr(sys, "_base_executable", sys.executable)
    command = [runner, "-m", "pip", *(["--python", python] if python else []), *arguments]
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off"}
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        check=False,
    )
    if result.returncode == 0:
        return None
    return "\n".join(result.stdout.decode(errors="replace").rstrip().splitlines()[-_LAST_LINES:])


def _is_ours(executable: str) -> bool:
    return os.path.realpath(executable) == os.path.realpath(sys.executable)


def _direct_url(source: RemoteFile, path: str) -> DirectUrl:
    claimed = source.direct_url()
    if claimed["archive_info"]:
        return claimed  # pip has checked the hash that the URL claims
    return archive_direct_url(without_credentials(source.url).partition("#")[0], path)
