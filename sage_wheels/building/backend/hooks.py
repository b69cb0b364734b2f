"""Call the hooks of a build backend for `build.ProjectBuilder`, with all their output in the log file.

`HookRunner` is a "subprocess runner" of `pyproject_hooks`. It uses one server process for each backend (`hook_server`),
which has its own session, so that it can be ended with everything that it has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

from sage_wheels import processes
from sage_wheels.building.backend.variables import BACKEND_PATH, BUILD_BACKEND, UMASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sage_wheels.building.backend.sandbox import Sandbox
    from sage_wheels.building.backend.variables import Variables
    from sage_wheels.building.log import Log


class HookRunner:
    """A subprocess runner, and a context manager; at the end of the context, processes that still run are ended."""

    def __init__(self, variables: Variables, log: Log, sandbox: Sandbox | None = None) -> None:
        self._variables = variables
        self._log = log
        self._sandbox = sandbox
        self._server: _Server | None = None
        self.current = ""  # the hook that was called last
        self.meanwhile: Callable[[], None] | None = None  # called once, in this process, while the next hook runs

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that every hook sees."""
        return self._variables.environ

    def __enter__(self) -> HookRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._server and kind and not issubclass(kind, Exception):  # the build directory is deleted next
            self._server.kill()
        else:
            self.restart()

    def restart(self) -> None:
        """Use a new interpreter for the next hook, because the build environment was changed."""
        if self._server:
            self._server.end()
            self._server = None

    def start(self, python: str, cwd: str, extra_environ: Mapping[str, str]) -> None:
        """Let an interpreter start and import the backend while this process does something else.

        It is used if the next hook turns out to be called with the same arguments.
        """
        environ = {**self._variables.environ, **extra_environ}
        if self._server is None or not self._server.is_for(python, cwd, environ):
            self.restart()
            self._server = _Server(python, cwd, self._variables._replace(environ=environ), self._log, self._sandbox)

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Run one hook: `cmd` is [python, script, hook, control directory]. Raises `CalledProcessError`."""
        python, script, hook, control = cmd
        self.current = hook
        self._log.write(f"--- {hook} in {cwd}")
        self.start(python, cwd or os.getcwd(), extra_environ or {})
        assert self._server
        exchanged = (
            self._sandbox.exchange(script, control) if self._sandbox else contextlib.nullcontext((script, control))
        )
        try:
            with exchanged as (script, control):
                self._server.ask(script, hook, control)
                if self.meanwhile:
                    self.meanwhile()
                    self.meanwhile = None
                status = self._server.answer()
        except BaseException:
            self._server.kill()
            self._server = None
            raise
        if status:
            raise subprocess.CalledProcessError(status, list(cmd))


class _Server:
    """The process behind a runner, and the two pipes to it."""

    def __init__(self, python: str, cwd: str, variables: Variables, log: Log, sandbox: Sandbox | None) -> None:
        self._purpose = (python, cwd, variables.environ)
        processes.prepare()
        environ, before = variables.environ, []
        if sandbox:
            before = sandbox.command(cwd, environ)
            environ, cwd = sandbox.environ(environ), "/"
        requests, self._send = os.pipe()
        self._receive, answers = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*before, python, "-c", _server_source(), str(requests), str(answers), BUILD_BACKEND, BACKEND_PATH],
                cwd=cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log.fd,
                stderr=log.fd,
                pass_fds=(requests, answers, *variables.descriptors),
                start_new_session=True,
                umask=UMASK,
            )
        except BaseException:
            os.close(self._send)
            os.close(self._receive)
            raise
        finally:
            os.close(requests)
            os.close(answers)

    def is_for(self, python: str, cwd: str, environ: Mapping[str, str]) -> bool:
        return self._purpose == (python, cwd, environ)

    def ask(self, script: str, hook: str, control: str) -> None:
        """Begin to run one hook."""
        with contextlib.suppress(BrokenPipeError):  # the server has ended: `answer` tells how
            os.write(self._send, json.dumps([script, hook, control]).encode() + b"\n")

    def answer(self) -> int:
        """Wait for the end of the hook. Returns its exit status, or that of the server if the server itself ended."""
        answer = os.read(self._receive, 64)
        return int(answer) if answer else self._process.wait() or 1

    def end(self) -> None:
        """Let the server end normally; processes that its hooks have left running on purpose continue."""
        os.close(self._send)
        os.close(self._receive)
        self._process.wait()

    def kill(self) -> None:
        """End the server, the hook that it runs, and everything that the hook started."""
        processes.end(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.end()


def _server_source() -> str:
    """The program of the server; through the loader, so that the tool may run from a zip."""
    source: bytes = __spec__.loader.get_data(os.path.join(os.path.dirname(__file__), "hook_server.py"))  # type: ignore[union-attr]
    return source.decode()
