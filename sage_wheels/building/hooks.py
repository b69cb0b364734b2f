"""Call the hooks of a build backend for `build.ProjectBuilder`, with all their output in the log file.

The runner is what `pyproject_hooks` calls a subprocess runner; behind it is one server process for each backend
(`hook_server`), in a session of its own, so that it can be ended with everything that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

from sage_wheels.building.variables import UMASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sage_wheels.building.log import Log
    from sage_wheels.building.variables import Variables


class HookRunner:
    """A context manager that is a subprocess runner; leaving it ends what still runs."""

    def __init__(self, variables: Variables, log: Log) -> None:
        self._variables = variables
        self._log = log
        self._server: _Server | None = None
        self.current = ""  # the hook that was called last

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that every hook sees."""
        return self._variables.environ

    def __enter__(self) -> HookRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()

    def restart(self) -> None:
        """Let the next hook be called by a new interpreter, because what it can import has changed."""
        if self._server:
            self._server.end()
            self._server = None

    def __call__(
        self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        """Run one hook: `cmd` is [python, script, hook, control directory]. Raises `CalledProcessError`."""
        python, script, hook, control = cmd
        self.current = hook
        self._log.write(f"--- {hook} in {cwd}")
        if self._server is None:
            variables = self._variables._replace(environ={**self._variables.environ, **(extra_environ or {})})
            self._server = _Server([python, "-c", _server_source()], script, cwd, variables, self._log)
        try:
            status = self._server.call(hook, control)
        except BaseException:
            self._server.kill()
            self._server = None
            raise
        if status:
            raise subprocess.CalledProcessError(status, list(cmd))


class _Server:
    """The process behind a runner, and the two pipes to it."""

    def __init__(self, command: list[str], script: str, cwd: str | None, variables: Variables, log: Log) -> None:
        requests, self._send = os.pipe()
        self._receive, answers = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*command, str(requests), str(answers), script],
                cwd=cwd,
                env=variables.environ,
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

    def call(self, hook: str, control: str) -> int:
        """Run one hook to its end; its exit status, or that of the server if the server itself ended."""
        try:
            os.write(self._send, json.dumps([hook, control]).encode() + b"\n")
            answer = os.read(self._receive, 64)
        except BrokenPipeError:
            answer = b""
        return int(answer) if answer else self._process.wait() or 1

    def end(self) -> None:
        """Let the server end by itself; what its hooks left running on purpose goes on."""
        os.close(self._send)
        os.close(self._receive)
        self._process.wait()

    def kill(self) -> None:
        """End the server, the hook that it runs, and everything that the hook started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.end()


def _server_source() -> str:
    """The program of the server; through the loader, so that the tool may run from a zip."""
    source: bytes = __spec__.loader.get_data(os.path.join(os.path.dirname(__file__), "hook_server.py"))  # type: ignore[union-attr]
    return source.decode()
