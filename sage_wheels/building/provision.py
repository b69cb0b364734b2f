"""What a backend can import: the two kinds of build environment behind one interface.

    environment.provide(requirements, asker)    until everything that was asked for is there
    environment.python_executable, .make_extra_environ()    what `build.env.IsolatedEnv` wants

`Isolated` fills an environment of its own from wheelhouses; `Standing` takes what is installed.
"""

from __future__ import annotations

import os
import shutil
from typing import Protocol

from sage_wheels.building import resolve
from sage_wheels.building.download import fetch_build_requirements
from sage_wheels.building.environment import EnvironmentFiles, activated
from sage_wheels.building.requirements import missing_from
from sage_wheels.building.wheelhouse import Wheelhouse
from sage_wheels.errors import BuildFailed, FileOperationFailed, InterpreterError, WheelRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sage_wheels.building.cache import ImageCache
    from sage_wheels.building.log import Log
    from sage_wheels.building.wheelhouse import WheelEntry
    from sage_wheels.prefix import Prefix

_PATIENCE = 5  # times that wheels are chosen again because the wheelhouse changes meanwhile


class BuildEnvironment(Protocol):
    """What a build needs of its environment; every one satisfies `build.env.IsolatedEnv`."""

    @property
    def python_executable(self) -> str:
        """The interpreter that runs the backend."""

    def make_extra_environ(self) -> Mapping[str, str]:
        """The variables that make this environment the active one."""

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """See to it that `requirements` are there; whether the environment has changed. Raises `BuildFailed`."""


class Isolated:
    """A virtual environment at `directory` with nothing in it but what is asked for.

    With `index` what the wheelhouses `find_links` lack is fetched by pip, into a wheelhouse in the cache.
    """

    def __init__(
        self, directory: str, cache: ImageCache, find_links: Iterable[str], log: Log, *, index: bool = False
    ) -> None:
        self._directory = directory
        self._cache = cache
        self._log = log
        self._index = index
        self._fetched = f"{cache.root}/wheels"
        self._find_links = tuple(find_links)
        facts = cache.building.facts
        self._wheelhouse = Wheelhouse(self._find_links, facts.tags)
        if index and os.path.isdir(self._fetched):
            self._wheelhouse.add(self._fetched)
        self._asked: list[tuple[str, str]] = []
        self._there: list[WheelEntry] = []
        self._files = self._new()

    @property
    def python_executable(self) -> str:
        return self._files.python_executable

    def make_extra_environ(self) -> Mapping[str, str]:
        return activated(self._directory, f"{self._directory}/bin")

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """See `BuildEnvironment`; everything that was asked for before is taken into account again."""
        self._asked.extend((requirement, asker) for requirement in sorted(requirements))
        for _ in range(_PATIENCE):
            try:
                return self._fill(self._resolve())
            except (WheelRefused, FileOperationFailed) as error:
                if isinstance(error, FileOperationFailed) and not isinstance(error.__cause__, FileNotFoundError):
                    raise
                # a wheel went, or was half-written: look again at what there is
                self._log.write(f"--- {error}; looking again")
                self._wheelhouse.look_again()
        return self._fill(self._resolve())

    def _fill(self, chosen: list[WheelEntry]) -> bool:
        if any(entry not in chosen for entry in self._there):
            self._files = self._new()  # a choice of the first round does not suit the second
        new = [entry for entry in chosen if entry not in self._there]
        for entry in new:
            self._log.write(f"--- {entry.name} {entry.version} from {entry.path}")
            self._files.add(entry.path)
            self._there.append(entry)
        return bool(new)

    def _new(self) -> EnvironmentFiles:
        self._there.clear()
        try:
            shutil.rmtree(self._directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"clearing {self._directory}") from error
        return EnvironmentFiles(self._directory, self._cache)

    def _resolve(self) -> list[WheelEntry]:
        try:
            return self._choose()
        except resolve.Missing as missing:
            if not self._index:
                raise
            self._log.write(f"--- {missing}; pip is asked for it")
        fetch_build_requirements(
            [requirement for requirement, _ in self._asked],
            self._fetched,
            find_links=self._find_links,
            building=self._cache.building,
        )
        self._wheelhouse.add(self._fetched)
        return self._choose()

    def _choose(self) -> list[WheelEntry]:
        markers = self._cache.building.facts.markers
        return resolve.resolve(self._asked, self._wheelhouse, markers, self._cache.about)


class Standing:
    """What `python` can import as it stands (`--no-isolation`).

    `prefix` is the one that this interpreter belongs to, if known; `markers` is its environment (PEP 508) and
    `environ` what it is started with. With `check=False` nothing is looked at.
    """

    def __init__(
        self,
        python: str,
        prefix: Prefix | None,
        markers: Mapping[str, str],
        environ: Mapping[str, str],
        *,
        check: bool = True,
    ) -> None:
        self._python = python
        self._root = prefix.root if prefix and prefix.is_venv else ""
        self._markers = markers
        self._environ = environ
        self._check = check

    @property
    def python_executable(self) -> str:
        return self._python

    def make_extra_environ(self) -> Mapping[str, str]:
        return activated(self._root, os.path.dirname(self._python))

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """See `BuildEnvironment`; nothing is ever added. Raises `InterpreterError` if the Python cannot run."""
        missing = missing_from(self._search_path(), requirements, self._markers) if self._check else []
        if missing:
            raise BuildFailed(
                f"{asker} asks for {'; '.join(missing)}, which {self._python} does not have",
                "install it first, or give --skip-dependency-check",
            )
        return False

    def _search_path(self) -> list[str]:
        import json
        import subprocess

        command = [self._python, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"]
        try:
            answer = subprocess.run(command, env=dict(self._environ), capture_output=True, check=True).stdout
            path: list[str] = json.loads(answer)
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            raise InterpreterError(
                f"the Python {self._python} cannot be run ({error})", "name another with --python"
            ) from error
        return path
