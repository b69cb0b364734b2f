"""The two kinds of build environment, with one interface.

    environment.provide(requirements, asker)    make `requirements` importable; `asker` is for messages
    environment.python_executable, .make_extra_environ()    the interface of `build.env.IsolatedEnv`

`Isolated` makes a virtual environment from wheels; `InstalledEnvironment` uses what is installed (`--no-isolation`).
"""

from __future__ import annotations

import os

from sage_wheels import redaction, trace
from sage_wheels.building.environment.choices import Choices, Pick
from sage_wheels.building.environment.isolated import EnvironmentFiles, activated
from sage_wheels.errors import BuildFailed, FileOperationFailed, WheelRefused, WheelsMissing
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.named import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sage_wheels.building.environment.images import ImageCache
    from sage_wheels.building.environment.urls import Located
    from sage_wheels.building.log import Log
    from sage_wheels.prefix import Prefix

# How often choosing and adding wheels is tried. Other processes may delete the cache or replace a wheel at any time;
# then the wheels are listed again. All retries are made here.
_TRIES = 10


class BuildEnvironment(Protocol):
    """The interface of a build environment, which includes that of `build.env.IsolatedEnv`."""

    @property
    def python_executable(self) -> str:
        """The interpreter that runs the backend."""

    def make_extra_environ(self) -> Mapping[str, str]:
        """The variables that make this environment the active one."""

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """Make `requirements` importable; returns whether the environment was changed. Raises `BuildFailed`."""

    def wheels(self) -> list[list[str]]:
        """Name, version and digest of each distribution that the build may depend on."""

    def is_intact(self) -> bool:
        """Whether the build has not changed files that other builds use, too."""


class Chooser:
    """Chooses wheels from the wheelhouses `find_links` for all requirements so far; nothing is unpacked.

    With `index`, pip downloads wheels that these do not have into a wheelhouse in the cache. Wheels in the directory
    `preferred` are preferred to all others, whatever their versions. What is downloaded from a URL is kept in
    `downloads`, for this build only.
    """

    def __init__(
        self,
        cache: ImageCache,
        find_links: Iterable[str],
        log: Log,
        *,
        index: bool = False,
        preferred: str | None = None,
        downloads: str,
    ) -> None:
        self.cache = cache
        self._log = log
        self._index = index
        self._fetched = f"{cache.root}/wheels"
        self._preferred = preferred
        self._find_links = tuple(find_links)
        self._choices = Choices(cache.store, cache.building)
        self._asked: list[tuple[str, str]] = []
        self._downloads = downloads
        self._located: Located | None = None

    def ask(self, requirements: Iterable[str], asker: str) -> None:
        """Add `requirements`; `asker` is who has them, for messages."""
        self._asked.extend((requirement, asker) for requirement in sorted(requirements))

    def choose(self, *, again: bool = False) -> list[Pick]:
        """The chosen wheels, not remembered ones if chosen `again`. Raises `BuildFailed`, `FileOperationFailed`."""
        if not self._asked:
            return []  # without the resolver, which takes longer to import than all else of a look-up in the store
        return (None if again else self._recalled()) or self._resolve()

    def _resolve(self) -> list[Pick]:
        try:
            return self._choose()
        except WheelsMissing as missing:
            if not self._index:
                raise
            self._log.write(f"--- {missing}; pip downloads it")
        from sage_wheels.building.download import fetch_build_requirements

        _, located, lines = self._split()
        fetch_build_requirements(
            lines,
            self._fetched,
            find_links=self._find_links,
            python=self.cache.building.executable,
            leave_out=map(os.path.basename, located.values()),
        )
        return self._choose()

    def _split(self) -> tuple[list[tuple[str, str]], dict[str, str], list[str]]:
        """What was asked for, without URLs; the wheels that URLs lead to; and the same for pip (see `urls`)."""
        if not self._has_urls():
            return self._asked, {}, self._lines()
        if self._located is None:
            from sage_wheels.building.environment.urls import Located

            fetch = self._fetch if self._index else None
            self._located = Located(self.cache.building.facts.markers, self._downloads, fetch)
        return self._located.split(self._asked)

    def _fetch(self, line: str, directory: str) -> None:
        from sage_wheels.building.download import fetch_build_requirements

        self._log.write(f"--- {redaction.url(line)}: pip downloads it")
        python = self.cache.building.executable
        fetch_build_requirements([line], directory, find_links=self._find_links, python=python, alone=True)

    def _has_urls(self) -> bool:
        return any("@" in line for line in self._lines())

    def _choose(self) -> list[Pick]:
        from sage_wheels.building.environment.resolve import resolve
        from sage_wheels.building.environment.wheelhouse import Wheelhouse

        directories = self._directories()
        facts = self.cache.building.facts
        asked, located, _ = self._split()
        wheelhouse = Wheelhouse(directories, facts.tags, preferred=self._preferred, located=located)
        chosen = resolve(asked, wheelhouse, facts.markers, self.cache.about)
        picks = [Pick(entry.name, str(entry.version), entry.path) for entry in chosen]
        for each in picks:
            others = [os.path.basename(other.path) for other in wheelhouse.of(each.name) if other.path != each.path]
            there = f"preferred to {', '.join(others)}" if others else "the only one that fits this Python"
            trace.decided("%s is used by the build for %s: %s", each.path, each.name, there)
        if self._may_be_remembered():
            self._choices.remember(self._lines(), directories, picks)
        return picks

    def _recalled(self) -> list[Pick] | None:
        known = self._may_be_remembered()
        picks = self._choices.recall(self._lines(), self._directories()) if known else None
        for each in picks or ():
            trace.decided("%s is used by the build for %s, as in the last build", each.path, each.name)
        return picks

    def _may_be_remembered(self) -> bool:
        return not self._preferred and not self._has_urls()  # what is at a URL may change

    def _lines(self) -> list[str]:
        return [requirement for requirement, _ in self._asked]

    def _directories(self) -> list[str]:
        there = self._index and os.path.isdir(self._fetched)
        own = [self._preferred] if self._preferred else []
        return [*map(os.path.abspath, [*own, *self._find_links]), *([self._fetched] if there else [])]


class Isolated:
    """A virtual environment at `directory` that contains only the wheels that `chooser` chooses.

    `seen_at` is its path in the sandbox, if there is one.
    """

    def __init__(self, directory: str, chooser: Chooser, log: Log, seen_at: str = "") -> None:
        self._directory = directory
        self._seen_at = seen_at or directory
        self._chooser = chooser
        self._log = log
        self._there: dict[Pick, str] = {}
        self._files = self._new()

    @property
    def python_executable(self) -> str:
        return self._files.python_executable

    def make_extra_environ(self) -> Mapping[str, str]:
        return activated(self._seen_at, f"{self._seen_at}/bin", self._files.stand_ins)

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """See `BuildEnvironment`. Wheels are chosen for these and all earlier requirements together."""
        self._chooser.ask(requirements, asker)
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._fill(self._chooser.choose(again=attempt > 1))
            except (WheelRefused, FileOperationFailed) as error:
                has_gone = isinstance(error, WheelRefused) or isinstance(error.__cause__, FileNotFoundError)
                if not has_gone or attempt == _TRIES:
                    raise
                self._log.write(f"--- {error}; looking again")  # a wheel or image was deleted, or is being written

    def wheels(self) -> list[list[str]]:
        """Name, version and SHA-256 of each wheel whose files are there."""
        return sorted([pick.name, pick.version, digest] for pick, digest in self._there.items())

    def is_intact(self) -> bool:
        """See `BuildEnvironment`; images that were changed through links are deleted."""
        return all(map(self._chooser.cache.is_intact, self._there.values()))

    def _fill(self, chosen: list[Pick]) -> bool:
        if any(pick not in chosen for pick in self._there):
            self._files = self._new()  # a wheel of the first choice is not in this one
        new = [pick for pick in chosen if pick not in self._there]
        for pick in new:
            self._log.write(f"--- {pick.name} {pick.version} from {pick.path}")
            self._there[pick] = self._files.add(pick.path)
        self._files.bound()
        return bool(new)

    def _new(self) -> EnvironmentFiles:
        self._there.clear()
        try:
            delete_tree(self._directory)
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"clearing {self._directory}") from error
        return EnvironmentFiles(self._directory, self._chooser.cache, self._seen_at)


class InstalledEnvironment:
    """The packages that `python` can import without changes (`--no-isolation`).

    `prefix` is that of this interpreter, if known; `markers` its marker environment (PEP 508), and `environ` the
    environment variables with which it is run. With `check=False`, requirements are not checked.
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
        self._asked: list[str] = []

    @property
    def python_executable(self) -> str:
        return self._python

    def make_extra_environ(self) -> Mapping[str, str]:
        return activated(self._root, os.path.dirname(self._python))

    def provide(self, requirements: Iterable[str], asker: str) -> bool:
        """See `BuildEnvironment`; nothing is ever added. Raises `InterpreterError` if the Python cannot run."""
        from sage_wheels.building.environment.satisfied import missing_from

        self._asked.extend(requirements)
        missing = missing_from(self._search_path(), requirements, self._markers) if self._check else []
        if missing:
            raise BuildFailed(
                f"{asker} asks for {'; '.join(missing)}, which {self._python} does not have",
                "install it first, or give --skip-dependency-check",
            )
        return False

    def wheels(self) -> list[list[str]]:
        """Name, version and digest of RECORD of what was asked for and all that this requires, as it is installed."""
        from sage_wheels.building.environment.satisfied import installed_for

        return installed_for(self._search_path(), self._asked, self._markers)

    def is_intact(self) -> bool:
        """See `BuildEnvironment`; installed packages are not checked."""
        return True

    def importable(self) -> list[str]:
        """The search path without the standard library. Raises `InterpreterError`."""
        return self._answer(
            "import os, sysconfig; own = [sysconfig.get_path(each) for each in ('stdlib', 'platstdlib')]; "
            "own += [os.path.join(each, 'lib-dynload') for each in own]; "
            "print(json.dumps([each for each in sys.path if each not in own]))"
        )

    def _search_path(self) -> list[str]:
        return self._answer("print(json.dumps(sys.path))")

    def _answer(self, program: str) -> list[str]:
        from sage_wheels.prefix import answers

        program = f"import sys; del sys.path[0]; import json; {program}"
        path: list[str] = answers.answer_of(
            self._python, "-c", program, advice="name another with --python", environ=self._environ
        )
        return path
