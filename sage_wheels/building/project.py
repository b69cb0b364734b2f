"""Build one source into a wheel, in its own build directory.

The phases, as callbacks and `--json` name them: source (copy or unpack), environment, get_requires, build, store.
"""

from __future__ import annotations

import contextlib
import os
import time

from sage_wheels import environment, trace
from sage_wheels.building.backend.extension_modules import compiled_at_once
from sage_wheels.building.backend.hooks import HookRunner
from sage_wheels.building.backend.variables import BUILD_BACKEND, for_build
from sage_wheels.building.delivery import deliver, differing_members
from sage_wheels.building.directory import build_directory
from sage_wheels.building.failures import Failures, advice_after
from sage_wheels.building.in_place import HOLDS, build_directory_of, one_at_a_time
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.building.log import Log, noted
from sage_wheels.building.lookup import Given, Lookup, Made
from sage_wheels.building.obtaining import obtain, source_directory, unpacked
from sage_wheels.building.options import BuildOptions, BuiltWheel, remote_of
from sage_wheels.building.providing import Provider
from sage_wheels.building.source import pyproject
from sage_wheels.building.stored import Round
from sage_wheels.errors import BuildFailed, SageWheelsError, SourceError, UsageError, printable
from sage_wheels.fs import presence, trust
from sage_wheels.requirements.sources import (
    GitRepository,
    RemoteFile,
    Requirement,
    SdistFile,
    SourceTree,
    WheelFile,
    check_asked,
    project_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from sage_wheels.building.backend.variables import Variables
    from sage_wheels.building.explaining import Explanation
    from sage_wheels.building.obtaining import Obtained
    from sage_wheels.requirements.sources import Asked, Source

    Kind = Literal["wheel", "editable"]

_KINDS = {
    SourceTree: "a source tree",
    SdistFile: "an sdist",
    RemoteFile: "a file to be downloaded",
    GitRepository: "a git repository",
    Requirement: "a requirement",
}
_NAMED = 10  # how many paths of a kind are named in a sentence


def _check(source: Source, options: BuildOptions) -> None:
    """Raise `SourceError` for a source that cannot be built so, `UsageError` for options that exclude each other."""
    if isinstance(source, WheelFile):
        raise SourceError(f"{source.path} is a wheel already", "install it as it is")
    if options.editable and not isinstance(source, SourceTree):
        raise SourceError("only a source tree can be editable", "unpack it and name the directory")
    if options.in_place and not isinstance(source, SourceTree):
        raise SourceError("only a source tree can be built in place", "unpack it and name the directory")
    if options.sandbox and options.uses_the_tree_itself:
        raise UsageError("an editable build, or one with --in-place, cannot be in a sandbox", "leave --sandbox out")
    if not options.sdist_then_wheel:
        return
    if options.editable:
        raise UsageError("--editable and --sdist-then-wheel exclude each other", "leave out one of the two options")
    if directory := build_directory_of("", options.config_settings):
        raise UsageError(
            f"a wheel that is built from an sdist cannot use the build directory {directory}",
            "leave out -C build-dir=DIR or --sdist-then-wheel",
        )
    if options.in_place:
        raise UsageError("--in-place and --sdist-then-wheel exclude each other", "leave out one of the two options")


def build_wheel(source: Source, *, wheel_dir: str, options: BuildOptions) -> BuiltWheel:
    """Build the wheel of `source` and put it into `wheel_dir`. See `sage_wheels.building.build_wheel`.

    When it returns, uploads to a store of several machines may not be finished; see `options.finish_uploads`.
    """
    _check(source, options)
    if options.verify_store:
        return _verified(source, wheel_dir, options._replace(verify_store=False))
    name = project_name(source)
    where = "where it stands" if options.uses_the_tree_itself else "in a copy"
    how = "in an environment of its own" if options.isolation else "against what is installed"
    trace.decided("%s is built %s and %s: it is no wheel, but %s", name, where, how, _KINDS[type(source)])
    remote_of(options)  # so that wrong options for it are reported before the build
    root = options.build_root()
    if options.log:
        trust.check(options.log, "name another --log")
    with (
        build_directory(
            f"{root}/build", options.build_name or name, keep=options.keep_build_dir, on_wait=options.on_note
        ) as directory,
        Log(options.log or f"{directory}/build.log") as log,
        _lock_of(source, options) as held,
    ):
        if options.on_log:
            options.on_log(log.path)
        build = _Build(name, source, directory, wheel_dir, options, log, held)
        return build.with_fallback() if options.isolation and options.fallback_no_isolation else build.run()


def explain(source: Source, options: BuildOptions) -> Explanation:
    """Whether the next build of `source` would come from the store, and what differs from the last one that is kept.

    Nothing is built. Raises the errors of `build_wheel` from before the build begins.
    """
    _check(source, options)
    name = project_name(source)
    with (
        build_directory(f"{options.build_root()}/build", name, on_wait=options.on_note) as directory,
        Log(f"{directory}/build.log") as log,
    ):
        return _Build(name, source, directory, directory, options, log, None).explained()


def _verified(source: Source, wheel_dir: str, options: BuildOptions) -> BuiltWheel:
    """Build the wheel, and compare it with that of another build, without the store and at another path."""
    import tempfile

    built = build_wheel(source, wheel_dir=wheel_dir, options=options)
    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as elsewhere:
        again = options._replace(store=False, usual_build_dir=f"{elsewhere}/b")
        other = build_wheel(source, wheel_dir=f"{elsewhere}/dist", options=again)
        differing = differing_members(built.path, other.path)
    named = ", ".join(differing[:_NAMED])
    how = "another build in the sandbox" if options.sandbox else "a build at another path"
    note = (
        f"{built.name} is not reproducible: {how} differs in {named}"
        if differing
        else f"{built.name} is reproducible: {how} gives the same files"
    )
    if options.on_note:
        options.on_note(note)
    return built._replace(notes=(*built.notes, note))


def _lock_of(source: Source, options: BuildOptions) -> contextlib.AbstractContextManager[str | None]:
    """The lock to hold while `source` is built in place."""
    if not options.in_place:
        return contextlib.nullcontext()
    assert isinstance(source, SourceTree)
    return one_at_a_time(source.project, options.config_settings, options.build_root(), options.on_note)


class _Build:
    """One build and its state. A second attempt is another `run`, after another `prepare`."""

    def __init__(
        self,
        name: str,
        source: Source,
        directory: str,
        wheel_dir: str,
        options: BuildOptions,
        log: Log,
        held: str | None,
    ) -> None:
        self.name = name
        self.source = source
        self.directory = directory
        self.wheel_dir = os.path.abspath(wheel_dir)
        self.log = log
        self.held = {HOLDS: held} if held else {}
        self.phases: dict[str, float] = {}
        self.noted: list[str] = []
        self.why_not = ""  # why the store cannot keep the result
        self.rounds: list[tuple[Round, list[list[str]]]] = []  # the requirements of each call, and the wheels for them
        self.start = log.size()
        self.is_intact = True
        self.declared_wheels: list[list[str]] = []  # those in the environment when the backend was asked for more
        self.current = ""  # the phase
        self.kind: Kind = "editable" if options.editable else "wheel"
        self.prepare(options)

    def prepare(self, options: BuildOptions) -> None:
        """Prepare a `run` with these options. Raises `UsageError` or `OSError` if there can be no sandbox."""
        self.options = options
        self.provider = Provider(self.name, self.directory, options, self.log)
        tree = self.source.project if isinstance(self.source, SourceTree) else ""
        self.failures = Failures(
            self.name, self.log, self.start, tree=tree, is_isolated=options.isolation, sandbox=self.provider.sandbox
        )

    def with_fallback(self) -> BuiltWheel:
        """Build isolated; if that fails, against what is installed, with a note that says what to declare."""
        start = self.log.size()
        try:
            return self.run()
        except BuildFailed as failure:
            if self.failures.is_of_result:
                raise
            advice = advice_after(failure, self.log.since(start))
            note = f"{self.name} is built without isolation, because {failure.what}; {advice}"
        self.note(note)
        trace.decided("%s", note)
        self.prepare(self.options._replace(isolation=False))
        return self.run()._replace(notes=(note,))

    def run(self) -> BuiltWheel:
        with self.phase("source"):
            obtained = self.obtained()
            if self.options.in_place and obtained.project:
                self.configure_again_if_needed(obtained.project)
        variables = self.variables()
        with self.phase("look-up"):
            lookup = Lookup(self.provider)
            lookup.begin(self.given(obtained), variables.environ)
            taken = lookup.taken(self.required)
            if taken and not self.is_fit(taken.wheel, obtained.asked):
                taken = None
        if taken:
            self.note(f"{self.name} comes from the store; its build had taken {taken.seconds} s")
        wheel = taken.wheel if taken else self.made(obtained, variables)
        with self.phase("store"):
            if not taken:  # a wheel from the store was checked by `is_fit`
                self.check_fits(wheel, obtained.asked)
                lookup.keep(self.made_of(wheel))
            path = deliver(wheel, self.wheel_dir)
        kept = self.options.log or self.options.keep_build_dir
        log = self.log.path if kept else None
        built = BuiltWheel(path, self.name, obtained.direct_url, self.phases, log)
        if taken:
            return built._replace(is_stored=True, stored_seconds=taken.seconds, is_sandboxed=taken.is_sandboxed)
        sandbox = self.provider.sandbox
        return built._replace(is_sandboxed=sandbox is not None and sandbox.is_closed)

    def variables(self) -> Variables:
        """The environment variables of the backend."""
        above = None if self.options.uses_the_tree_itself else self.directory
        variables = for_build(environment.for_processes(**self.held), above=above)
        sandbox = self.provider.sandbox
        return sandbox.variables(variables) if sandbox else variables

    def obtained(self) -> Obtained:
        """What there is to build; failures name what of it cannot be read."""
        obtained = obtain(self.source, self.provider, self.note)
        self.failures.unreadable = obtained.copy.unreadable if obtained.copy else []
        return obtained

    def made(self, obtained: Obtained, variables: Variables) -> str:
        """Let the backend build. Returns the path of the wheel."""
        self.rounds.clear()
        project = obtained.project or self.unpacked(obtained)
        sandbox, copy = self.provider.sandbox, obtained.copy
        variables = compiled_at_once(
            variables, self.directory, sandbox.seen(self.directory) if sandbox else self.directory
        )
        if sandbox and copy:
            sandbox = sandbox.showing(path for each in copy.repositories.values() for path in each.directories())
        with HookRunner(variables, self.log, sandbox) as runner, self.failures.of(runner):
            runner.meanwhile = _import_what_comes_last
            if self.options.sdist_then_wheel:
                project = self.rebuilt_sdist(project, runner)
            return self.call(project, runner, self.kind)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if name != self.current:
            trace.step("%s: %s", self.name, name)
            if self.options.on_phase:
                self.options.on_phase(name)
        self.current = name
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start

    def unpacked(self, obtained: Obtained) -> str:
        """The directory of the project in the sdist, which is unpacked now."""
        assert obtained.sdist
        with self.phase("source"):
            return unpacked(obtained.sdist, source_directory(self.provider), self.options)

    def configure_again_if_needed(self, project: str) -> None:
        from sage_wheels.building.configured import forget_unusable

        directory = build_directory_of(project, self.options.config_settings)
        if directory:
            building = self.provider.interpreter
            why = forget_unusable(directory, f"Python {building.facts.full_version}, {building.executable}")
            if why:
                self.note(f"{directory} is configured again: {why}")

    def note(self, sentence: str) -> None:
        """Print a sentence, once, and write it to the log."""
        sentence = printable(sentence)
        if sentence not in self.noted:
            self.noted.append(sentence)
            if self.options.on_note:
                self.options.on_note(sentence)  # first, so that a program that shows the log can leave it out there
            self.log.write(noted(sentence))

    def rebuilt_sdist(self, project: str, runner: HookRunner) -> str:
        """Build the sdist of `project` and unpack it, so that only files in the sdist can get into the wheel."""
        sdist = self.call(project, runner, "sdist")
        runner.restart()
        return unpacked(SdistFile(sdist), source_directory(self.provider, "src-of-sdist"), self.options)

    def call(self, project: str, runner: HookRunner, kind: Literal["wheel", "editable", "sdist"]) -> str:
        """Provide what the backend needs, then let it build. Returns the path of the file that it made."""
        settings = dict(self.options.config_settings)
        output = f"{self.directory}/out"
        with self.phase("environment"):
            environment = self.provider.environment(runner.environ)
            early = pyproject.read_ahead(project)
            if early:
                self.required(early.requires)
                environment.provide(early.requires, pyproject.asker(self.name, early.requires))
                variables = {**environment.make_extra_environ(), BUILD_BACKEND: early.backend}
                runner.start(environment.python_executable, project, variables)
        with self.phase("get_requires" if early else "environment"):
            from build import BuildException, ProjectBuilder  # 40 ms, in which the backend starts if its start is early

            try:
                builder = ProjectBuilder.from_isolated_env(environment, project, runner=runner)
            except UnicodeDecodeError as error:
                raise BuildException("it is not UTF-8") from error
            except ValueError as error:  # of pyproject_hooks
                raise BuildException(f"its backend-path is not accepted ({error})") from error
            declared = builder.build_system_requires
            self.required(declared)
            asker = pyproject.asker(self.name, declared)
            if (not early or early.requires != declared) and environment.provide(declared, asker):
                runner.restart()
        if self.options.isolation and not self.rounds:
            self.declared_wheels = environment.wheels()
        with self.phase("get_requires"):
            more = builder.get_requires_for_build(kind, settings) - declared
            if not all(isinstance(each, str) for each in more):
                raise self.failures.invalid_result(f"it requires {more}, which are not requirements")
        if more:
            self.required(more)
            with self.phase("environment"):
                if environment.provide(more, f"get_requires_for_build_{kind} of {self.name}"):
                    runner.restart()
        with self.phase("build"):
            try:
                made = builder.build(kind, output, settings)
            except TypeError as error:  # `build` joins what the hook returned to the directory
                raise self.failures.invalid_result("it made a wheel, but returned no file name") from error
        if not _is_file_in(output, made):
            raise self.failures.invalid_result(f"it made {made}, which is not there")
        try:
            wheels = environment.wheels()
        except NotKeyable as error:  # for example for packages of the operating system
            wheels, self.why_not = [], str(error)
        self.rounds.append((Round(sorted(declared), sorted(more)), wheels))
        self.is_intact = self.is_intact and environment.is_intact()
        return made

    def required(self, lines: set[str]) -> None:
        if self.options.on_requires:
            self.options.on_requires(lines)

    def given(self, obtained: Obtained) -> Given:
        tree = self.source.path if isinstance(self.source, SourceTree) else ""
        return Given(obtained.project, obtained.copy, tree, obtained.sdist, lambda: self.unpacked(obtained))

    def made_of(self, wheel: str) -> Made:
        """What the store needs to know about the wheel that was built."""
        log = self.log.since(self.start)
        seconds = sum(self.phases.values())
        return Made(wheel, self.rounds, self.declared_wheels, self.is_intact, log, seconds, self.why_not)

    def explained(self) -> Explanation:
        lookup = Lookup(self.provider)
        lookup.begin(self.given(self.obtained()), self.variables().environ)
        return lookup.explained()

    def check_named(self, name: str, version: str) -> None:
        if isinstance(self.source, SourceTree):
            from sage_wheels.building import nameless

            why = nameless.reason(self.source.project, name, version)
            if why:
                what = f"its build backend made {name} {version}, because {why}"
                raise self.failures.wrong_result(what, "make that file first")

    def is_fit(self, wheel: str, asked: Asked) -> bool:
        """Whether a wheel from the store, perhaps of another machine, is a valid result. If not, it is deleted."""
        try:
            self.check_fits(wheel, asked)
        except (SageWheelsError, OSError) as error:
            self.note(f"the wheel of {self.name} in the store is not taken: {error}")
            os.unlink(wheel)
            return False
        return True

    def check_fits(self, wheel: str, asked: Asked) -> None:
        """Check that the wheel is valid, is of the requested project and version, and fits the prefix."""
        from sage_wheels.wheel.tags import check_fits
        from sage_wheels.wheel.wheel import Wheel

        with Wheel(wheel, self.options.wheel_limits) as opened:
            self.check_named(opened.name, opened.version)
            check_asked(self.source._replace(asked=asked), opened.name, opened.version)
            if self.options.prefix:
                ignored = self.options.ignore_requires_python
                check_fits(opened, self.options.prefix, ignore_requires_python=ignored)


def _is_file_in(directory: str, path: str) -> bool:
    try:
        return os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory) and presence.is_file(path)
    except ValueError:  # no file can have such a name: it contains NUL or a lone surrogate
        return False


def _import_what_comes_last() -> None:
    """Import what `check_fits` needs, while a hook runs: this costs no time if there is a second processor."""
    import sage_wheels.wheel.tags  # noqa: F401
