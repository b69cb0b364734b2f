"""The files of an isolated build environment: links to the images of a cache.

An environment is a complete virtual environment (PEP 405) with scripts, because build requirements bring programs
(meson, ninja, cython) that others look for on PATH and in `sysconfig`. The files are hard links to the images, so it is
made in milliseconds. If the file system can share blocks (reflinks), they are copies, through which no build can change
the images.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys

from sage_wheels import environment
from sage_wheels.building import stand_ins
from sage_wheels.building.directory import ON_ANOTHER_DISK
from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs.copies import clone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.building.environment.images import ImageCache

# The file system has no hard links, has too many to this file, or the cache is on another one.
_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class EnvironmentFiles:
    """Makes a new virtual environment at `directory`, which its programs see at `seen_at`.

    Raises `FileOperationFailed` if it cannot be written.
    """

    def __init__(self, directory: str, cache: ImageCache, seen_at: str = "") -> None:
        self.directory = directory
        self._seen_at = seen_at or directory
        self._cache = cache
        self._scheme = cache.building.pattern.scheme
        self._copying = False
        self._cloning = True  # until that fails once
        try:
            self._create()
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"making {directory}", full=ON_ANOTHER_DISK) from error

    @property
    def python_executable(self) -> str:
        return f"{self._seen_at}/bin/python"

    @property
    def stand_ins(self) -> list[str]:
        """The directory of scripts that come before those of the environment in PATH (see `building.stand_ins`)."""
        return [f"{self._seen_at}/slots"] if environment.get(environment.SAGE_WHEELS_SLOTS) else []

    def bound(self) -> None:
        """Make sure that an old ninja in the environment starts no more compilers than the build has slots."""
        tool = f"{self.directory}/bin/ninja"
        if self.stand_ins and os.path.exists(tool):
            stand_ins.write(f"{self.directory}/slots", stand_ins.for_ninja(tool, f"{self._seen_at}/bin/ninja"))

    def _create(self) -> None:
        building = self._cache.building
        major, minor = building.pattern.version
        os.makedirs(f"{self.directory}/{self._scheme.purelib}")
        os.mkdir(f"{self.directory}/bin")
        if sys.maxsize > 2**32 and sys.platform == "linux":
            os.symlink("lib", f"{self.directory}/lib64")  # as venv does
        os.symlink(building.executable, f"{self.directory}/bin/python")
        for name in ("python3", f"python{major}.{minor}"):
            os.symlink("python", f"{self.directory}/bin/{name}")
        with open(f"{self.directory}/pyvenv.cfg", "w", encoding="utf-8") as f:
            f.write(
                f"home = {os.path.dirname(building.executable)}\n"
                "include-system-site-packages = false\n"
                f"version = {building.facts.full_version}\n"
                f"executable = {building.executable}\n"
            )

    def add(self, wheel: str) -> str:
        """Add the files of the wheel at this path. Returns the SHA-256 of that wheel.

        Raises `WheelRefused`, and `FileOperationFailed`. As with `ImageCache.image`, if the cause is a
        `FileNotFoundError`, the image was deleted meanwhile, and the wheel may be added again.
        """
        tree, about = self._cache.image(wheel)
        try:
            if self._add_directory(tree, self.directory, about.python) == about.files:
                return about.digest
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), tree)
        except FileNotFoundError as error:
            self._cache.discard(tree)
            raise FileOperationFailed(
                f"the cache {self._cache.root} is deleted while it is used",
                "do not delete it meanwhile, or name another --cache-dir",
            ) from error
        except OSError as error:
            doing = f"filling {self.directory}"
            raise FileOperationFailed.from_os_error(error, doing, full=ON_ANOTHER_DISK) from error

    def _add_directory(self, source: str, destination: str, python: str) -> int:
        """Link everything in `source` into `destination`, which may exist. Returns the number of files."""
        count = 0
        scripts = destination == f"{self.directory}/bin"
        with os.scandir(source) as entries:
            for entry in entries:
                path = f"{destination}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if not os.path.isdir(path):
                        os.mkdir(path)
                    count += self._add_directory(entry.path, path, python)
                    continue
                count += 1
                if not (scripts and self._add_script(entry.path, path, python)):
                    self._add_file(entry.path, path)
        return count

    def _add_file(self, source: str, destination: str) -> None:
        try:
            if self._cloning and clone(source, destination):
                return
            self._cloning = False
            if not self._copying:
                os.link(source, destination)
                return
        except FileExistsError:
            return  # two distributions have it; the file of the first one stays
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._copying = True
        shutil.copy2(source, destination)

    def _add_script(self, source: str, destination: str, python: str) -> bool:
        """Write a script of the image with its interpreter `python` replaced by that of the environment."""
        from sage_wheels.wheel import scripts

        with open(source, "rb") as f:
            content = f.read()
        name = os.path.basename(destination)
        in_image, seen = os.path.join(os.path.dirname(python), name), f"{self._seen_at}/bin/{name}"
        if content == scripts.launcher(python, in_image):
            files = {seen: scripts.launcher(self.python_executable, seen)}
        elif (text := scripts.text_of(content, python)) is not None:
            files = scripts.files_of(seen, self.python_executable, text)
        else:
            return False
        for path, script in files.items():
            with open(os.path.join(os.path.dirname(destination), os.path.basename(path)), "wb") as f:
                f.write(script)
        os.chmod(destination, 0o755)
        return True


def activated(virtual_env: str, scripts: str, first: Iterable[str] = ()) -> dict[str, str]:
    """The environment variables of an activated environment; `virtual_env` is "" for a whole installation.

    `first` are directories of PATH that come before its `scripts`.
    """
    path = environment.get(environment.PATH) or os.defpath
    variables = {environment.PATH: os.pathsep.join([*first, scripts, path])}
    return {**variables, environment.VIRTUAL_ENV: virtual_env} if virtual_env else variables
