"""Turn the failures of a build into errors with one sentence and advice, and with the end of the log."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import warnings

from sage_wheels import environment
from sage_wheels.building.backend.variables import HOOK_ANSWER
from sage_wheels.building.directory import ON_ANOTHER_DISK
from sage_wheels.errors import (
    NO_SPACE,
    BuildFailed,
    FileOperationFailed,
    SageWheelsError,
    SourceError,
    WheelsMissing,
    advice_for,
    path_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.building.backend.hooks import HookRunner
    from sage_wheels.building.backend.sandbox import Sandbox
    from sage_wheels.building.log import Log

_TELL_AUTHORS = "tell the authors of the backend"
# The last line of a log if a resource ran out in a backend that is written in Python. Of a compiler, only the words for
# a full disk are known.
_LACKS = re.compile(r"^(?:\w+\.)*\w*Error: \[Errno (\d+)\] .*\Z", re.MULTILINE)
_RESOURCES = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


class Failures:
    """Makes the errors of the build of the project `name`, whose part of the log begins at the offset `start`.

    `tree` is the source tree ("" for an sdist). `unreadable` are paths that are not in its copy, because they cannot be
    read. `is_of_result` becomes true with an error about what the backend has made: it would make the same again.
    """

    def __init__(
        self, name: str, log: Log, start: int, *, tree: str, is_isolated: bool, sandbox: Sandbox | None
    ) -> None:
        self.unreadable: list[str] = []
        self.is_of_result = False
        self._name = name
        self._log = log
        self._start = start
        self._tree = tree
        self._is_isolated = is_isolated
        self._sandbox = sandbox

    @contextlib.contextmanager
    def of(self, runner: HookRunner) -> Iterator[None]:
        """Within this context, an error of `build` becomes one of ours, and a warning of `build` a line of the log."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                yield
            except SageWheelsError:
                raise
            except Exception as error:
                ours = self._translated(error, runner.current)
                if ours is None:
                    raise
                raise ours from error
            finally:
                for each in warned:
                    self._log.write(f"warning: {each.message}")

    def failure(self, what: str, advice: str) -> BuildFailed:
        """The error that says `what` is wrong with this build; it names the log, and has its end."""
        if self.unreadable:
            advice += f"; perhaps it needs {self.unreadable[0]}, which cannot be read"
        failed = BuildFailed(
            f"building {self._name}: {what} (the whole log is {self._log.path})", advice, self._log.tail()
        )
        failed.log = self._log.path
        return failed

    def invalid_result(self, what: str) -> BuildFailed:
        """The error for a backend that returned something invalid: it says that `what`."""
        return self.wrong_result(f"its build backend says that {what}", _TELL_AUTHORS)

    def wrong_result(self, what: str, advice: str) -> BuildFailed:
        """As `failure`, for a backend that has ended without an error."""
        self.is_of_result = True
        return self.failure(what, advice)

    def _translated(self, error: Exception, hook: str) -> SageWheelsError | None:
        """The error for users; None if `error` is a bug of this tool."""
        import build  # only now: a build that succeeds has imported it while the backend started

        if isinstance(error, build.BuildBackendException):
            if _is_missing_answer(error.exception):
                return self.failure(
                    f"its build backend ended in {hook} without a result",
                    "look at the end of the log for what ended it",
                )
            if isinstance(error.exception, OSError):  # of this process; the backend's own errors stay in its process
                import tempfile

                where = "" if error.exception.filename else f" with temporary files in {tempfile.gettempdir()}"
                doing = f"building {self._name}{where}"
                full = "" if where else ON_ANOTHER_DISK
                return FileOperationFailed.from_os_error(error.exception, doing, full=full)
            return self._of_backend(error.exception, hook)
        if isinstance(error, RecursionError):
            error = build.BuildException("its pyproject.toml is nested too deeply")
        if isinstance(error, build.BuildException):
            path = f"{self._tree}/pyproject.toml" if self._tree else "pyproject.toml"
            why = re.sub(r"/[^:]*/pyproject\.toml", lambda _: path, str(error))  # that of the copy, which is deleted
            return SourceError(f"{self._name} cannot be built: {why}", "correct its pyproject.toml")
        return None

    def _of_backend(self, error: Exception, hook: str) -> BuildFailed:
        import pyproject_hooks

        if isinstance(error, pyproject_hooks.HookMissing):
            what, advice = f"its build backend has no {hook}", "build it in another way"
        elif isinstance(error, pyproject_hooks.BackendUnavailable):
            self._log.write(str(error))
            what = "its build backend cannot be imported"
            advice = "declare what is missing in build-system.requires"
            if not self._is_isolated:
                advice = "install what build-system.requires names into the prefix, or build in isolation"
        elif isinstance(error, pyproject_hooks.UnsupportedOperation):
            self._log.write(str(error))
            what, advice = f"its build backend says that it cannot do {hook} here", "build it in another way"
        elif isinstance(error, subprocess.CalledProcessError):
            what, advice = self._of_process(error.returncode, hook)
        else:
            what, advice = f"its build backend returned an invalid result in {hook} ({error})", _TELL_AUTHORS
        failed = self.failure(what, advice)
        failed.was_killed = getattr(error, "returncode", 0) == -signal.SIGKILL
        return failed

    def _of_process(self, status: int, hook: str) -> tuple[str, str]:
        """What happened to a hook whose process has ended with this exit status, and what to do about it."""
        if status < 0:
            return _of_signal(-status, hook)
        what, advice = f"its build backend failed in {hook}", "correct the error at the end of the log"
        end = self._log.tail()
        lacks = _LACKS.search(end)
        number = int(lacks[1]) if lacks else next((each for each in NO_SPACE if os.strerror(each) in end), 0)
        if number in _RESOURCES:
            return f"{what} ({os.strerror(number)})", ON_ANOTHER_DISK if number in NO_SPACE else advice_for(number)
        modules = _NO_MODULE.findall(end)
        if modules and self._is_isolated:
            advice = f"{_to_declare(modules[-1])}, or correct the error at the end of the log"
        if self._sandbox:
            log = self._log.since(self._start)
            where, advice = self._sandbox.explained(log, self._tree, environment.get(environment.HOME))
            what += where
        return what, advice


def advice_after(failure: BuildFailed, log: str) -> str:
    """What to declare, or to build first, so that the isolated build that failed works the next time."""
    modules = _NO_MODULE.findall(log)
    if isinstance(failure, WheelsMissing) and failure.names:
        return f"put a wheel of {', '.join(failure.names)} into the wheelhouse, or correct build-system.requires"
    if modules:
        return _to_declare(modules[-1])
    return "the log says why"


def _is_missing_answer(error: Exception) -> bool:
    """Whether a hook has ended without an error and without an answer: `pyproject_hooks` cannot read that file."""
    return isinstance(error, FileNotFoundError) and os.path.basename(path_of(error)) == HOOK_ANSWER


def _of_signal(number: int, hook: str) -> tuple[str, str]:
    """What happened to a hook that was killed by this signal, and what to do about it."""
    killer = f"signal {number} ({signal.Signals(number).name})" if number in set(signal.Signals) else f"signal {number}"
    what = f"its build backend was killed by {killer} in {hook}"
    if number == signal.SIGKILL:  # sent by a system that is out of memory
        return what, "if nobody did that on purpose, give it more memory, or build less at the same time"
    return what, "correct the error at the end of the log"


def _to_declare(module: str) -> str:
    return f"declare the project that has the module {module} in build-system.requires"
