"""Build one source into a wheel, in its own build directory.

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

from sage_wheels import environment, trace
from sage_wheels.building.backend.hooks import HookRunner
from sage_wheels.building.backend.variables import BUILD_BACKEND, HOOK_ANSWER, for_build
from sage_wheels.building.delivery import deliver, differing_members
from sage_wheels.building.directory import build_directory
from sage_wheels.building.download import fetch
from sage_wheels.building.in_place import HOLDS, build_directory_of, one_at_a_time
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.building.log import Log, noted
from sage_wheels.building.lookup import Given, Lookup, Made
from sage_wheels.building.options import BuildOptions, BuiltWheel, remote_of
from sage_wheels.building.providing import Provider
from sage_wheels.building.source import pyproject
from sage_wheels.building.source.replica import copy_source_tree
from sage_wheels.building.stored import Round
from sage_wheels.errors import BuildFailed, FileOperationFailed, SageWheelsError, SourceError, UsageError, printable
from sage_wheels.fs import caches, presence, trust
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.fs.files import below
from sage_wheels.metadata import canonical_name
from sage_wheels.requirements.sources import (
    GitRepository,
    RemoteFile,
    Requirement,
    SdistFile,
    SourceTree,
    WheelFile,
    check_asked,
    project_of_file,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from sage_wheels.building.backend.variables import Variables
    from sage_wheels.building.explaining import Explanation
    from sage_wheels.building.source.replica import SourceCopy
    from sage_wheels.prefix.interpreter import Facts
    from sage_wheels.requirements.direct_url import DirectUrl
    from sage_wheels.requirements.sources import Source

    Kind = Literal["wheel", "editable"]

_NAMED = 10  # how many paths of a kind are named in a sentence
_TELL_AUTHORS = "tell the authors of the backend"
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def _check_together(options: BuildOptions) -> None:
    """Raise `UsageError` for options that exclude each other."""
    if options.sandbox and (options.editable or options.in_place):
        raise UsageError("what is built where it stands is built in no sandbox", "leave --sandbox out")
    if not options.sdist_then_wheel:
        return
    if options.editable:
        raise UsageError("what is built from an sdist cannot be used where it is", "leave out one of the two options")
    if directory := build_directory_of("", options.config_settings):
        raise UsageError(
            f"what is built from an sdist has a build directory of its own, not {directory}",
            "leave out -C build-dir=DIR or --sdist-then-wheel",
        )
    if options.in_place:
        raise UsageError("--in-place and --sdist-then-wheel exclude each other", "leave out one of the two options")


def build_wheel(source: Source, *, wheel_dir: str, options: BuildOptions) -> BuiltWheel:
    """Build the wheel of `source` and put it into `wheel_dir`. See `sage_wheels.building.build_wheel`.

    What goes to a store of several machines may still be on its way; see `options.finish_uploads`.
    """
    if isinstance(source, WheelFile):
        raise SourceError(f"{source.path} is a wheel already", "install it as it is")
    _check_together(options)
    if options.editable and not isinstance(source, SourceTree):
        raise SourceError("only a source tree can be editable", "unpack it and name the directory")
    if options.in_place and not isinstance(source, SourceTree):
        raise SourceError("only a source tree can be built in place", "unpack it and name the directory")
    if options.verify_store:
        return _verified(source, wheel_dir, options._replace(verify_store=False))
    name = project_name(source)
    where = "where it stands" if options.in_place or options.editable else "in a copy"
    how = "in an environment of its own" if options.isolation else "against what is installed"
    trace.decided("%s is built %s and %s: it is no wheel, but %s", name, where, how, type(source).__name__)
    remote_of(options)  # whoever names one wrongly hears of it now
    root = options.build_root()
    if options.on_note:
        caches.say_once(caches.of_user().notes, options.on_note)  # of the byte-code of what the build needs
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

    Nothing is built. Raises what a build raises before it begins.
    """
    name = project_name(source)
    with (
        build_directory(f"{options.build_root()}/build", name, on_wait=options.on_note) as directory,
        Log(f"{directory}/build.log") as log,
    ):
        return _Build(name, source, directory, directory, options, log, None).explained()


def _verified(source: Source, wheel_dir: str, options: BuildOptions) -> BuiltWheel:
    """The wheel that a build gives, compared with what a build without the store makes at another path."""
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


def project_name(source: Source) -> str:
    """The canonical name of the project, as far as it can be told before the build.

    >>> project_name(SdistFile("/x/Foo_bar-1.0.tar.gz"))
    'foo-bar'
    """
    if isinstance(source, (Requirement, RemoteFile)):
        return canonical_name(source.name)
    if isinstance(source, GitRepository):
        return canonical_name(re.sub(r"[^\w.-]", "-", source.name))
    if source.asked.name:
        return canonical_name(source.asked.name)
    if isinstance(source, SourceTree):
        return canonical_name(_name_in(source.project) or os.path.basename(source.project))
    return canonical_name(project_of_file(source.path))


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
        self.asked = source.asked
        self.directory = directory
        self.wheel_dir = os.path.abspath(wheel_dir)
        self.options = options
        self.log = log
        self.held = {HOLDS: held} if held else {}
        self.direct_url: DirectUrl | None = None
        self.phases: dict[str, float] = {}
        self.unreadable: list[str] = []  # paths that are not in the copy of a source tree
        self.noted: list[str] = []
        self.copy: SourceCopy | None = None  # of a source tree
        self.sdist: SdistFile | None = None  # or what is unpacked
        self.why_not = ""  # why what was built is not kept
        self.rounds: list[tuple[Round, list[list[str]]]] = []  # what each call of the backend needed, and which wheels
        self.start = log.size()
        self.is_intact = True
        self.declared_wheels: list[list[str]] = []  # those that were there when the backend was asked for more
        self.current = ""  # phase
        self.kind: Kind = "editable" if options.editable else "wheel"
        self.is_original = options.editable or options.in_place  # what the backend sees, no copy
        self.provider = Provider(name, directory, options, log)
        self.sandbox = self.provider.sandbox()

    def with_fallback(self) -> BuiltWheel:
        """Isolated; if that fails, against what is installed, with a note that says what to declare."""
        start = self.log.size()
        try:
            return self.run()
        except BuildFailed as failure:
            advice = _advice(failure, self.log.since(start))
            note = f"{self.name} is built without isolation, because {failure.what}; {advice}"
        self.note(note)
        trace.decided("%s", note)
        self.options = self.options._replace(isolation=False)
        self.provider = Provider(self.name, self.directory, self.options, self.log)
        self.sandbox = self.provider.sandbox()
        return self.run()._replace(notes=(note,))

    def run(self) -> BuiltWheel:
        with self.phase("source"):
            project = self.project_directory()
            if self.options.in_place and project:
                self.configure_anew_if_needed(project)
        variables = self.variables()
        with self.phase("look-up"):
            lookup = Lookup(self.provider)
            lookup.begin(self.given(project), variables.environ)
            taken = lookup.taken(self.required)
            if taken and not self.is_fit(taken.wheel):
                taken = None
        if taken:
            self.note(f"{self.name} comes from the store; its build had taken {taken.seconds} s")
        wheel = taken.wheel if taken else self.made(project or self.unpacked_sdist(), variables)
        with self.phase("store"):
            if not taken:  # what was taken has been checked
                self.check_fits(wheel)
                lookup.keep(self.made_of(wheel))
            path = deliver(wheel, self.wheel_dir)
        kept = self.options.log or self.options.keep_build_dir
        log = self.log.path if kept else None
        built = BuiltWheel(path, self.name, self.direct_url, self.phases, log)
        if taken:
            return built._replace(is_stored=True, stored_seconds=taken.seconds, is_sandboxed=taken.is_sandboxed)
        return built._replace(is_sandboxed=self.sandbox is not None and self.sandbox.is_closed)

    def variables(self) -> Variables:
        """What the backend sees of the variables."""
        variables = for_build(
            environment.for_processes(**self.held), above=None if self.is_original else self.directory
        )
        return self.sandbox.variables(variables) if self.sandbox else variables

    def made(self, project: str, variables: Variables) -> str:
        """The wheel that the backend builds."""
        self.rounds.clear()
        sandbox = self.sandbox
        if sandbox and self.copy:
            sandbox = sandbox.showing(path for each in self.copy.repositories.values() for path in each.directories())
        with HookRunner(variables, self.log, sandbox) as runner, self.failures(runner):
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
        """`error` as a message for users; None if it is a bug of this tool."""
        import build  # only now: a build that succeeds has imported it while the backend started

        if isinstance(error, build.BuildBackendException):
            if _is_lack_of_answer(error.exception):
                return self.failure(
                    f"its build backend ended in {hook} without a result",
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
            return SourceError(f"{self.name} cannot be built: {error}", "correct its pyproject.toml")
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
            modules = _NO_MODULE.findall(self.log.tail()) if error.returncode >= 0 else []
            if modules and self.options.isolation:
                advice = f"{_to_declare(modules[-1])}, or correct the error at the end of the log"
            if self.sandbox and error.returncode >= 0:
                tree = self.source.project if isinstance(self.source, SourceTree) else ""
                home = environment.get(environment.HOME)
                where, advice = self.sandbox.explained(self.log.since(self.start), tree, home)
                what += where
        else:
            what, advice = f"its build backend returned an invalid result in {hook} ({error})", _TELL_AUTHORS
        failed = self.failure(what, advice)
        failed.was_killed = getattr(error, "returncode", 0) == -signal.SIGKILL
        return failed

    def failure(self, what: str, advice: str) -> BuildFailed:
        if self.unreadable:
            advice += f"; perhaps it needs {self.unreadable[0]}, which cannot be read"
        failed = BuildFailed(
            f"building {self.name}: {what} (the whole log is {self.log.path})", advice, self.log.tail()
        )
        failed.log = self.log.path
        return failed

    def project_directory(self) -> str | None:
        """The directory to build in: a copy, except for a build that is editable or in place; None for an sdist,
        which is not unpacked yet."""
        source, destination = self.source, f"{self.directory}/src"
        delete_tree(destination)
        if isinstance(source, SourceTree):
            self.direct_url = source.direct_url(editable=self.options.editable)
            if self.is_original:
                return source.project
            return below(self.copied(source.path, destination), source.subdirectory)
        if isinstance(source, GitRepository):
            from sage_wheels.building.clone import clone

            os.mkdir(destination)
            tree, self.direct_url = clone(source, f"{destination}/{self.name}")
            return tree.project
        if isinstance(source, (Requirement, RemoteFile)):
            fetched = fetch(
                source,
                f"{self.directory}/download",
                from_source=True,
                find_links=self.options.find_links,
                target=self.other_target(),
                on_note=self.options.on_note,
            )
            if not isinstance(fetched.source, SdistFile):
                raise SourceError(f"{written(source)} is a wheel already", "install it as it is")
            self.sdist, self.direct_url = fetched.source, fetched.direct_url
            self.asked = self.sdist.asked
        else:
            assert isinstance(source, SdistFile)
            self.sdist, self.direct_url = source, source.direct_url()
        return None

    def unpacked_sdist(self) -> str:
        sdist = self.sdist
        assert sdist
        with self.phase("source"):
            destination = f"{self.directory}/src"
            delete_tree(destination)
            return self.unpacked(sdist.path, destination, sdist.subdirectory, sdist.origin)

    def configure_anew_if_needed(self, project: str) -> None:
        from sage_wheels.building.configured import forget_unusable

        directory = build_directory_of(project, self.options.config_settings)
        if directory:
            building = self.provider.interpreter
            why = forget_unusable(directory, f"Python {building.facts.full_version}, {building.executable}")
            if why:
                self.note(f"{directory} is configured anew: {why}")

    def other_target(self) -> Facts | None:
        """The interpreter that the wheel is for, if pip has to choose for another one than ours."""
        building = self.provider.interpreter
        ours = getattr(sys, "_base_executable", sys.executable)
        return None if building.executable == os.path.realpath(ours) else building.facts

    def copied(self, tree: str, destination: str) -> str:
        """Copy a source tree to the directory `destination`; there is a note about files that cannot be read."""
        leave_out = (self.options.cache_root(), self.options.build_root())
        copy = copy_source_tree(tree, destination, leave_out=leave_out, seen=self.sandbox.seen if self.sandbox else str)
        self.copy = copy
        self.unreadable = copy.unreadable
        for note in copy.notes:
            self.note(note)
        if copy.unreadable:
            named = ", ".join(copy.unreadable[:_NAMED])
            more = f" and {len(copy.unreadable) - _NAMED} more" if len(copy.unreadable) > _NAMED else ""
            self.note(f"these cannot be read, so they are not in the copy that is built: {named}{more}")
        return copy.path

    def note(self, sentence: str) -> None:
        """Tell people, once, and the log."""
        sentence = printable(sentence)
        if sentence not in self.noted:
            self.noted.append(sentence)
            if self.options.on_note:
                self.options.on_note(sentence)  # first: who shows the log can leave it out there
            self.log.write(noted(sentence))

    def rebuilt_sdist(self, project: str, runner: HookRunner) -> str:
        """Build the sdist of `project` and unpack it, so that only files in the sdist can get into the wheel."""
        sdist = self.call(project, runner, "sdist")
        runner.restart()
        destination = f"{self.directory}/src-of-sdist"
        delete_tree(destination)
        return self.unpacked(sdist, destination)

    def unpacked(self, sdist: str, destination: str, subdirectory: str = "", origin: str = "") -> str:
        from sage_wheels.archive.unpack import SdistLimits, unpack_sdist

        os.mkdir(destination)
        limits = SdistLimits(self.options.max_sdist_size, self.options.max_sdist_members)
        return unpack_sdist(sdist, destination, limits, subdirectory, origin)

    def call(self, project: str, runner: HookRunner, kind: Literal["wheel", "editable", "sdist"]) -> str:
        """Provide what the backend needs, then let it build; the path of what it made."""
        settings = dict(self.options.config_settings)
        output = f"{self.directory}/out"
        asker = f"the pyproject.toml of {self.name}"
        with self.phase("environment"):
            environment = self.provider.environment(runner.environ)
            early = pyproject.read_ahead(project)
            if early:
                self.required(early.requires)
                environment.provide(early.requires, asker)
                variables = {**environment.make_extra_environ(), BUILD_BACKEND: early.backend}
                runner.start(environment.python_executable, project, variables)
        with self.phase("get_requires" if early else "environment"):
            from build import ProjectBuilder  # 40 ms, in which the backend starts if its start is early

            builder = ProjectBuilder.from_isolated_env(environment, project, runner=runner)
            declared = builder.build_system_requires
            self.required(declared)
            if (not early or early.requires != declared) and environment.provide(declared, asker):
                runner.restart()
        if self.options.isolation and not self.rounds:
            self.declared_wheels = environment.wheels()
        with self.phase("get_requires"):
            more = builder.get_requires_for_build(kind, settings) - declared
            if not all(isinstance(each, str) for each in more):
                raise self.lie(f"it requires {more}, which are not requirements")
        if more:
            self.required(more)
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
        try:
            wheels = environment.wheels()
        except NotKeyable as error:  # of what the operating system has installed, for one
            wheels, self.why_not = [], str(error)
        self.rounds.append((Round(sorted(declared), sorted(more)), wheels))
        self.is_intact = self.is_intact and environment.is_intact()
        return made

    def required(self, lines: set[str]) -> None:
        if self.options.on_requires:
            self.options.on_requires(lines)

    def lie(self, what: str) -> BuildFailed:
        return self.failure(f"its build backend says that {what}", _TELL_AUTHORS)

    def given(self, project: str | None) -> Given:
        tree = self.source.path if isinstance(self.source, SourceTree) else ""
        return Given(project, self.copy, tree, self.sdist, self.unpacked_sdist)

    def made_of(self, wheel: str) -> Made:
        """What the store has to know of the wheel that was built."""
        log = self.log.since(self.start)
        seconds = sum(self.phases.values())
        return Made(wheel, self.rounds, self.declared_wheels, self.is_intact, log, seconds, self.why_not)

    def explained(self) -> Explanation:
        project = self.project_directory()
        lookup = Lookup(self.provider)
        lookup.begin(self.given(project), self.variables().environ)
        return lookup.explained()

    def check_named(self, name: str, version: str) -> None:
        if isinstance(self.source, SourceTree):
            from sage_wheels.building import nameless

            why = nameless.reason(self.source.project, name, version)
            if why:
                raise self.failure(f"its build backend made {name} {version}, because {why}", "make that file first")

    def is_fit(self, wheel: str) -> bool:
        """Whether a wheel that somebody may have sent us is what a build would have made; if not, it is built."""
        try:
            self.check_fits(wheel)
        except (SageWheelsError, OSError) as error:
            self.note(f"the wheel of {self.name} in the store is not taken: {error}")
            os.unlink(wheel)
            return False
        return True

    def check_fits(self, wheel: str) -> None:
        """Check that the wheel is valid, is of the requested project and version, and fits the prefix."""
        from sage_wheels.wheel import Wheel
        from sage_wheels.wheel.tags import check_fits

        with Wheel(wheel, self.options.wheel_limits) as opened:
            self.check_named(opened.name, opened.version)
            check_asked(self.source._replace(asked=self.asked), opened.name, opened.version)
            if self.options.prefix:
                check_fits(opened, self.options.prefix)


def _is_lack_of_answer(error: Exception) -> bool:
    """Whether `error` comes of a hook that ended well and wrote no answer (`pyproject_hooks` reads it as this file)."""
    return isinstance(error, FileNotFoundError) and os.path.basename(os.fsdecode(error.filename or "")) == HOOK_ANSWER


def _end_of_process(status: int, hook: str) -> tuple[str, str]:
    """What happened to a hook with this exit status, which is negative for a signal, and what to do about it."""
    if status >= 0:
        return f"its build backend failed in {hook}", "correct the error at the end of the log"
    number = -status
    killer = f"signal {number} ({signal.Signals(number).name})" if number in set(signal.Signals) else f"signal {number}"
    what = f"its build backend was killed by {killer} in {hook}"
    if number == signal.SIGKILL:  # what a system that is out of memory sends
        return what, "if nobody did that on purpose, give it more memory, or build less at the same time"
    return what, "correct the error at the end of the log"


def _is_file_in(directory: str, path: str) -> bool:
    try:
        return os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory) and presence.is_file(path)
    except ValueError:  # no file can have such a name: it has a NUL in it, or half a character
        return False


def _import_what_comes_last() -> None:
    """What `check_fits` needs: imported while a hook runs, it costs no time where there is a second processor."""
    import sage_wheels.wheel.tags  # noqa: F401


def _to_declare(module: str) -> str:
    return f"declare what brings the module {module} in build-system.requires"


def _advice(failure: BuildFailed, log: str) -> str:
    """What to declare, or to build first, so that the isolated build works the next time."""
    from sage_wheels.building.environment.resolve import Missing

    modules = _NO_MODULE.findall(log)
    if isinstance(failure, Missing) and failure.names:
        return f"put a wheel of {', '.join(failure.names)} into the wheelhouse, or correct build-system.requires"
    if modules:
        return _to_declare(modules[-1])
    return "the log says why"
