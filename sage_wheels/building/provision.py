"""What a backend can import: the two kinds of build environment behind one interface.

    environment.provide(requirements, asker)    until everything that was asked for is there
    environment.python_executable, .make_extra_environ()    what `build.env.IsolatedEnv` wants

`Isolated` fills an environment of its own from wheelhouses; `Standing` takes what is installed.
"""

from __future__ import annotations

import os
from typing import Protocol

from sage_wheels.building.choices import Choices, Pick
from sage_wheels.building.environment import EnvironmentFiles, activated
from sage_wheels.errors import BuildFailed, FileOperationFailed, InterpreterError, WheelRefused
from sage_wheels.prefix.filesystem import delete_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sage_wheels.building.cache import ImageCache
    from sage_wheels.building.log import Log
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
        self._choices = Choices(cache.root, cache.building)
        self._asked: list[tuple[str, str]] = []
        self._there: list[Pick] = []
        self._files = self._new()

    @property
    def python_executable(self) -> str:
        return self._files.python_executable

    def make_extra_environ(self) -> Mapping[str, str]:
        return activated(self._directory, f"{self._directory}/bin")

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """See `BuildEnvironment`; everything that was asked for before is taken into account again."""
        self._asked.extend((requirement, asker) for requirement in sorted(requirements))
        for attempt in range(_PATIENCE):
            try:
                return self._fill((None if attempt else self._recalled()) or self._resolve())
            except (WheelRefused, FileOperationFailed) as error:
                if isinstance(error, FileOperationFailed) and not isinstance(error.__cause__, FileNotFoundError):
                    raise
                # a wheel went, or was half-written: look again at what there is
                self._log.write(f"--- {error}; looking again")
        return self._fill(self._resolve())

    def _fill(self, chosen: list[Pick]) -> bool:
        if any(pick not in chosen for pick in self._there):
            self._files = self._new()  # a choice of the first round does not suit the second
        new = [pick for pick in chosen if pick not in self._there]
        for pick in new:
            self._log.write(f"--- {pick.name} {pick.version} from {pick.path}")
            self._files.add(pick.path)
            self._there.append(pick)
        return bool(new)

    def _new(self) -> EnvironmentFiles:
        self._there.clear()
        try:
            delete_tree(self._directory)
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"clearing {self._directory}") from error
        return EnvironmentFiles(self._directory, self._cache)

    def _resolve(self) -> list[Pick]:
        from sage_wheels.building.resolve import Missing

        try:
            return self._choose()
        except Missing as missing:
            if not self._index:
                raise
            self._log.write(f"--- {missing}; pip is asked for it")
        from sage_wheels.building.download import fetch_build_requirements

        fetch_build_requirements(
            self._lines(),
            self._fetched,
            find_links=self._find_links,
            building=self._cache.building,
        )
        return self._choose()

    def _choose(self) -> list[Pick]:
        from sage_wheels.building.resolve import resolve
        from sage_wheels.building.wheelhouse import Wheelhouse

        directories = self._directories()
        facts = self._cache.building.facts
        wheelhouse = Wheelhouse(directories, facts.tags)
        chosen = resolve(self._asked, wheelhouse, facts.markers, self._cache.about)
        picks = [Pick(entry.name, str(entry.version), entry.path) for entry in chosen]
        self._choices.remember(self._lines(), directories, picks)
        return picks

    def _recalled(self) -> list[Pick] | None:
        return self._choices.recall(self._lines(), self._directories())

    def _lines(self) -> list[str]:
        return [requirement for requirement, _ in self._asked]

    def _directories(self) -> list[str]:
        there = self._index and os.path.isdir(self._fetched)
        return [*map(os.path.abspath, self._find_links), *([self._fetched] if there else [])]


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
        from sage_wheels.building.requirements import missing_from

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

        command = [self._python, "-c", "import sys; del sys.path[0]; import json; print(json.dumps(sys.path))"]
        try:
            answer = subprocess.run(command, env=dict(self._environ), capture_output=True, check=True).stdout
            path: list[str] = json.loads(answer)
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            raise InterpreterError(
                f"the Python {self._python} cannot be run ({error})", "name another with --python"
            ) from error
        return path
