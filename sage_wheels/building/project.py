"""One build: a source becomes a wheel, in a build directory of its own.

The phases, as callbacks and `--json` name them: source (copy or unpack), environment, get_requires, build, store.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import warnings

from sage_wheels.building import pyproject
from sage_wheels.building.cache import ImageCache
from sage_wheels.building.copying import copy_tree
from sage_wheels.building.directory import build_directory
from sage_wheels.building.download import fetch
from sage_wheels.building.hooks import HookRunner
from sage_wheels.building.interpreter import find_building
from sage_wheels.building.log import Log
from sage_wheels.building.options import BuildOptions, BuiltWheel
from sage_wheels.building.provision import Isolated, Standing
from sage_wheels.building.sources import RemoteFile, Requirement, SdistFile, SourceTree, WheelFile
from sage_wheels.building.store import store
from sage_wheels.building.variables import for_build
from sage_wheels.errors import BuildFailed, FileOperationFailed, SageWheelsError, SourceError
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.prefix import presence, trust
from sage_wheels.prefix.filesystem import delete_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from sage_wheels.building.provision import BuildEnvironment
    from sage_wheels.building.sources import DirectUrl, Source

    Kind = Literal["wheel", "editable"]

_ELSEWHERE = "name a directory of your own with --cache-dir"
_TELL_AUTHORS = "tell the authors of the backend"
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def build_wheel(source: Source, *, wheel_dir: str, options: BuildOptions) -> BuiltWheel:
    """Build the wheel of `source` and put it into `wheel_dir`. See `sage_wheels.building.build_wheel`."""
    if isinstance(source, WheelFile):
        raise SourceError(f"{source.path} is a wheel already", "install it as it is")
    if options.editable and not isinstance(source, SourceTree):
        raise SourceError("only a source tree can be editable", "unpack it and name the directory")
    name = project_name(source)
    cache = options.cache_root()
    trust.check(f"{cache}/build", _ELSEWHERE, private=True)
    trust.check(f"{cache}/images", _ELSEWHERE, private=True)
    if options.log:
        trust.check(options.log, "name another --log")
    with (
        build_directory(f"{cache}/build", name, keep=options.keep_build_dir, on_wait=options.on_note) as directory,
        Log(options.log or f"{directory}/build.log") as log,
    ):
        build = _Build(name, source, directory, wheel_dir, options, log)
        return build.with_fallback() if options.isolation and options.fallback_no_isolation else build.run()


def project_name(source: Source) -> str:
    """The canonical name of the project, as far as it can be told before the build.

    >>> project_name(SdistFile("/x/Foo_bar-1.0.tar.gz"))
    'foo-bar'
    """
    if isinstance(source, (Requirement, RemoteFile)):
        return canonical_name(source.name)
    base = os.path.basename(source.path)
    if isinstance(source, SourceTree):
        return canonical_name(_name_in(source.path) or base)
    return canonical_name(re.sub(r"\.(tar\.gz|zip)$", "", base).rpartition("-")[0] or base)


def _name_in(tree: str) -> str:
    """The name in a source tree's pyproject.toml, PKG-INFO or setup.cfg; a line that looks like one is enough."""
    for file, pattern in (
        ("PKG-INFO", r"^Name:\s*([\w.-]+)\s*$"),
        ("pyproject.toml", r"^name\s*=\s*[\"']([\w.-]+)[\"']"),
        ("setup.cfg", r"^name\s*=\s*([\w.-]+)\s*$"),
    ):
        try:
            with open(os.path.join(tree, file), encoding="utf-8", errors="replace") as f:
                found = re.search(pattern, f.read(), re.MULTILINE)
        except OSError:
            continue  # not there, or not ours to read: the next file, then the directory's name
        if found:
            return found[1]
    return ""


class _Build:
    """One build and what it needs to know; a second attempt is another `run`."""

    def __init__(
        self, name: str, source: Source, directory: str, wheel_dir: str, options: BuildOptions, log: Log
    ) -> None:
        self.name = name
        self.source = source
        self.directory = directory
        self.wheel_dir = os.path.abspath(wheel_dir)
        self.options = options
        self.log = log
        self.direct_url: DirectUrl | None = None
        self.phases: dict[str, float] = {}
        self.current = ""  # phase
        self.kind: Kind = "editable" if options.editable else "wheel"

    def with_fallback(self) -> BuiltWheel:
        """Isolated; if that fails, against what is installed, with a note that says what to declare."""
        start = self.log.size()
        try:
            return self.run()
        except BuildFailed as failure:
            advice = _advice(failure, self.log.since(start))
            note = f"{self.name} is built without isolation, because {failure.what}; {advice}"
        self.log.write(f"--- {note}")
        if self.options.on_note:
            self.options.on_note(note)
        self.options = self.options._replace(isolation=False)
        return self.run()._replace(notes=(note,))

    def run(self) -> BuiltWheel:
        with self.phase("source"):
            project = self.project_directory()
        variables = for_build(os.environ)
        with HookRunner(variables, self.log) as runner, self.failures(runner):
            runner.meanwhile = _import_what_comes_last
            if self.options.sdist_then_wheel:
                project = self.rebuilt_sdist(project, runner)
            wheel = self.call(project, runner, self.kind)
        with self.phase("store"):
            self.check_fits(wheel)
            path = store(wheel, self.wheel_dir)
        kept = self.options.log or self.options.keep_build_dir
        return BuiltWheel(path, self.name, self.direct_url, self.phases, self.log.path if kept else None)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if self.options.on_phase and name != self.current:
            self.options.on_phase(name)
        self.current = name
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start

    @contextlib.contextmanager
    def failures(self, runner: HookRunner) -> Iterator[None]:
        """Turn what `build` raises into sentences, and what it warns of into lines of the log."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                yield
            except SageWheelsError:
                raise
            except Exception as error:
                sentence = self.translated(error, runner.current)
                if sentence is None:
                    raise
                raise sentence from error
            finally:
                for each in warned:
                    self.log.write(f"warning: {each.message}")

    def translated(self, error: Exception, hook: str) -> SageWheelsError | None:
        """What `error` means to people; None for a mistake of ours."""
        import build  # only now: a build that succeeds has imported it while the backend started

        if isinstance(error, build.BuildBackendException):
            if _is_lack_of_answer(error.exception):
                return self.failure(
                    f"its build backend ended in {hook} without an answer",
                    "look at the end of the log for what ended it",
                )
            if isinstance(error.exception, OSError):  # of this process: what the backend raises stays in its own
                import tempfile

                doing = f"building {self.name} with temporary files in {tempfile.gettempdir()}"
                return FileOperationFailed.from_os_error(error.exception, doing)
            return self.backend_failed(error.exception, hook)
        if isinstance(error, RecursionError):
            error = build.BuildException("its pyproject.toml is nested too deeply")
        if isinstance(error, build.BuildException):
            return SourceError(f"{self.name} cannot be built: {error}", "mend its pyproject.toml")
        return None

    def backend_failed(self, error: Exception, hook: str) -> BuildFailed:
        import pyproject_hooks

        if isinstance(error, pyproject_hooks.HookMissing):
            what, advice = f"its build backend has no {hook}", "build it in another way"
        elif isinstance(error, pyproject_hooks.BackendUnavailable):
            self.log.write(str(error))
            what, advice = "its build backend cannot be imported", "declare what is missing in build-system.requires"
        elif isinstance(error, pyproject_hooks.UnsupportedOperation):
            self.log.write(str(error))
            what, advice = f"its build backend says that it cannot do {hook} here", "build it in another way"
        elif isinstance(error, subprocess.CalledProcessError):
            what, advice = _end_of_process(error.returncode, hook)
        else:
            what, advice = f"what its build backend answered in {hook} is of no use ({error})", _TELL_AUTHORS
        return self.failure(what, advice)

    def failure(self, what: str, advice: str) -> BuildFailed:
        return BuildFailed(f"building {self.name}: {what} (the whole log is {self.log.path})", advice, self.log.tail())

    def project_directory(self) -> str:
        """The directory to build in: a copy, except for an editable build, which is about the original."""
        source, place = self.source, f"{self.directory}/src"
        delete_tree(place)
        if isinstance(source, SourceTree):
            self.direct_url = source.direct_url(editable=self.options.editable)
            if self.options.editable:
                return source.path
            goal = os.path.join(place, os.path.basename(source.path) or self.name)
            copy_tree(source.path, goal, leave_out=(self.options.cache_root(),))
            return goal
        if isinstance(source, (Requirement, RemoteFile)):
            links = self.options.find_links
            fetched = fetch(source, f"{self.directory}/download", from_source=True, find_links=links)
            if not isinstance(fetched.source, SdistFile):
                raise SourceError(f"{source.text} is a wheel already", "install it as it is")
            sdist, self.direct_url = fetched.source, fetched.direct_url
        else:
            assert isinstance(source, SdistFile)
            sdist, self.direct_url = source, source.direct_url()
        return self.unpacked(sdist.path, place)

    def rebuilt_sdist(self, project: str, runner: HookRunner) -> str:
        """The sdist of `project`, unpacked again: what is not in it cannot get into the wheel."""
        sdist = self.call(project, runner, "sdist")
        runner.restart()
        place = f"{self.directory}/src-of-sdist"
        delete_tree(place)
        return self.unpacked(sdist, place)

    def unpacked(self, sdist: str, place: str) -> str:
        from sage_wheels.building.unpack import Limits, unpack_sdist

        os.mkdir(place)
        return unpack_sdist(sdist, place, Limits(self.options.max_sdist_size, self.options.max_sdist_members))

    def call(self, project: str, runner: HookRunner, kind: Literal["wheel", "editable", "sdist"]) -> str:
        """Provide what the backend needs, then let it build; the path of what it made."""
        settings = dict(self.options.config_settings)
        output = f"{self.directory}/out"
        asker = f"the pyproject.toml of {self.name}"
        with self.phase("environment"):
            environment = self.environment(runner.environ)
            early = pyproject.read_ahead(project)
            if early:
                environment.provide(early.requires, asker)
                variables = {**environment.make_extra_environ(), "_PYPROJECT_HOOKS_BUILD_BACKEND": early.backend}
                runner.start(environment.python_executable, project, variables)
        with self.phase("get_requires" if early else "environment"):
            from build import ProjectBuilder  # 40 ms, in which the backend starts if its start is early

            builder = ProjectBuilder.from_isolated_env(environment, project, runner=runner)
            declared = builder.build_system_requires
            if (not early or early.requires != declared) and environment.provide(declared, asker):
                runner.restart()
        with self.phase("get_requires"):
            more = builder.get_requires_for_build(kind, settings) - declared
            if not all(isinstance(each, str) for each in more):
                raise self.lie(f"it requires {more}, which are not requirements")
        if more:
            with self.phase("environment"):
                if environment.provide(more, f"get_requires_for_build_{kind} of {self.name}"):
                    runner.restart()
        with self.phase("build"):
            try:
                made = builder.build(kind, output, settings)
            except TypeError as error:  # `build` joins what the hook returned to the directory
                raise self.lie("it made something without a file name") from error
        if not _is_file_in(output, made):
            raise self.lie(f"it made {made}, which is not there")
        return made

    def lie(self, what: str) -> BuildFailed:
        return self.failure(f"its build backend says that {what}", _TELL_AUTHORS)

    def environment(self, environ: Mapping[str, str]) -> BuildEnvironment:
        options, cache = self.options, self.options.cache_root()
        if options.isolation:
            building = find_building(options.python, options.prefix, cache)
            images = ImageCache(cache, building, wheel_limits=options.wheel_limits)
            return Isolated(f"{self.directory}/env", images, options.find_links, self.log, index=options.use_index)
        python = options.python or (options.prefix.python if options.prefix else sys.executable)
        return Standing(
            python,
            None if options.python else options.prefix,
            find_building(python, None, cache).facts.markers,
            environ,
            check=not options.skip_dependency_check,
        )

    def check_fits(self, wheel: str) -> None:
        """Look at the wheel before anybody else does: it can be read, and it fits what it is for."""
        from sage_wheels.wheel import Wheel
        from sage_wheels.wheel.tags import check_fits

        with Wheel(wheel, self.options.wheel_limits) as opened:
            if self.options.prefix:
                check_fits(opened, self.options.prefix)


def _is_lack_of_answer(error: Exception) -> bool:
    """Whether `error` comes of a hook that ended well and wrote no answer (`pyproject_hooks` reads it as this file)."""
    return isinstance(error, FileNotFoundError) and os.path.basename(os.fsdecode(error.filename or "")) == "output.json"


def _end_of_process(status: int, hook: str) -> tuple[str, str]:
    """What happened to a hook with this exit status, which is negative for a signal, and what to do about it."""
    if status >= 0:
        return f"its build backend failed in {hook}", "mend what the end of the log says"
    number = -status
    killer = f"signal {number} ({signal.Signals(number).name})" if number in set(signal.Signals) else f"signal {number}"
    what = f"its build backend was killed by {killer} in {hook}"
    if number == signal.SIGKILL:  # what a system that is out of memory sends
        return what, "if nobody did that on purpose, give it more memory, or build less at the same time"
    return what, "mend what the end of the log says"


def _is_file_in(directory: str, path: str) -> bool:
    try:
        return os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory) and presence.is_file(path)
    except ValueError:  # no file can have such a name: it has a NUL in it, or half a character
        return False


def _import_what_comes_last() -> None:
    """What `check_fits` needs: imported while a hook runs, it costs no time where there is a second processor."""
    import sage_wheels.wheel.tags  # noqa: F401


def _advice(failure: BuildFailed, log: str) -> str:
    """What to declare, or to build first, so that the isolated build works the next time."""
    from sage_wheels.building.resolve import Missing

    modules = _NO_MODULE.findall(log)
    if isinstance(failure, Missing) and failure.names:
        return f"put a wheel of {', '.join(failure.names)} into the wheelhouse, or mend build-system.requires"
    if modules:
        return f"declare what brings the module {modules[-1]} in build-system.requires"
    return "the log says why"
