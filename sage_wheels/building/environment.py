"""The files of an isolated build environment: links to the images of a cache.

An environment is a virtual environment (PEP 405) with real files and real scripts, because build requirements bring
programs (meson, ninja, cython) that their siblings look for on PATH and in `sysconfig`. Only who wrote the files
differs: they are hard links to the images, so filling takes milliseconds.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys

from sage_wheels.errors import FileOperationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building.cache import ImageCache

# The file system has no hard links, has too many to this file, or the cache is on another one.
_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

_PATIENCE = 10  # times that a wheel is added again because somebody deletes its image meanwhile


class EnvironmentFiles:
    """The files of a new virtual environment at `directory`. Raises `FileOperationFailed` if it cannot be written."""

    def __init__(self, directory: str, cache: ImageCache) -> None:
        self.directory = directory
        self._cache = cache
        self._scheme = cache.building.pattern.scheme
        self._copying = False
        try:
            self._create()
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"making {directory}") from error

    @property
    def python_executable(self) -> str:
        return f"{self.directory}/bin/python"

    def add(self, wheel: str) -> None:
        """Add the files of the wheel at this path. Raises `FileOperationFailed`, `WheelRefused`."""
        for _ in range(_PATIENCE):
            if self._add(wheel):
                return
        raise FileOperationFailed(
            f"the cache {self._cache.root} is deleted as fast as it is filled", "let it be, or name another --cache-dir"
        )

    def _create(self) -> None:
        building = self._cache.building
        major, minor = building.pattern.version
        os.makedirs(f"{self.directory}/{self._scheme.purelib}")
        os.mkdir(f"{self.directory}/bin")
        if sys.maxsize > 2**32 and sys.platform == "linux":
            os.symlink("lib", f"{self.directory}/lib64")  # as venv does
        os.symlink(building.executable, self.python_executable)
        for name in ("python3", f"python{major}.{minor}"):
            os.symlink("python", f"{self.directory}/bin/{name}")
        with open(f"{self.directory}/pyvenv.cfg", "w", encoding="utf-8") as f:
            f.write(
                f"home = {os.path.dirname(building.executable)}\n"
                "include-system-site-packages = false\n"
                f"version = {building.facts.full_version}\n"
                f"executable = {building.executable}\n"
            )

    def _add(self, wheel: str) -> bool:
        """Whether all files were added; not if somebody deletes the image meanwhile."""
        tree, about = self._cache.image(wheel)
        try:
            if self._add_directory(tree, self.directory, about.python) == about.files:
                return True
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"filling {self.directory}") from error
        self._cache.discard(tree)
        return False

    def _add_directory(self, source: str, goal: str, python: str) -> int:
        """Link what is in `source` into `goal`, which may be there already (namespace packages); how many files."""
        count = 0
        scripts = goal == f"{self.directory}/bin"
        with os.scandir(source) as entries:
            for entry in entries:
                path = f"{goal}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if not os.path.isdir(path):
                        os.mkdir(path)
                    count += self._add_directory(entry.path, path, python)
                    continue
                count += 1
                if not (scripts and self._add_script(entry.path, path, python)):
                    self._add_file(entry.path, path)
        return count

    def _add_file(self, source: str, goal: str) -> None:
        try:
            if not self._copying:
                os.link(source, goal)
                return
        except FileExistsError:
            return  # two distributions own it; the first one's stays
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._copying = True
        shutil.copy2(source, goal)

    def _add_script(self, source: str, goal: str, python: str) -> bool:
        """Write a script whose shebang names the interpreter of the image, `python`, with that of the environment."""
        from sage_wheels.wheel.scripts import shebang

        with open(source, "rb") as f:
            content = f.read()
        old = shebang(python)
        if not content.startswith(old):
            return False
        with open(goal, "wb") as f:
            f.write(shebang(self.python_executable) + content[len(old) :])
        os.chmod(goal, 0o755)
        return True


def activated(virtual_env: str, scripts: str) -> dict[str, str]:
    """The variables that make an environment the active one; `virtual_env` is empty for a whole installation."""
    path = os.environ.get("PATH", os.defpath)
    environ = {"PATH": f"{scripts}{os.pathsep}{path}"}
    return {**environ, "VIRTUAL_ENV": virtual_env} if virtual_env else environ
