"""Limit the number of builds and compilers that run at the same time, by one pool of tokens: GNU make's jobserver.

A build holds one token. A jobserver client in it (make, cargo, ninja since 1.13) takes another token for each further
compiler, and gives it back. If the tool runs under make, the pool is that of make. See "Job Slots" and "POSIX Jobserver
Interaction" in the manual of GNU make.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

from sage_wheels import environment
from sage_wheels.building import stand_ins
from sage_wheels.building.backend.variables import jobserver_of, without_jobserver
from sage_wheels.store.results import key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = b"+"
_MOST = 4096  # tokens; a pipe has room for so many bytes on every system

# Variables read by tools that are no jobserver clients; those that the caller has set are not changed.
_TOLD = ("CMAKE_BUILD_PARALLEL_LEVEL", "MAX_JOBS")


class Pool:
    """The tokens of one run; `variables` announce them to the builds. Use it as a context manager."""

    def __init__(self, jobs: int, environ: Mapping[str, str], tools: str) -> None:
        """`tools` is the directory for scripts that run instead of old tools (see `stand_ins`)."""
        self.jobs = jobs
        self.variables: dict[str, str] = {}
        self._environ = environ
        self._tools = tools
        self._open = contextlib.ExitStack()
        self._own_is_free = True  # the token that this process itself runs on
        self._reader = -1
        self._writer = -1
        self._own: Private | None = None

    def __enter__(self) -> Pool:
        found = jobserver_of(self._environ)
        if found:
            self._reader, self._writer = (_own_end(found[0], os.O_RDONLY), _own_end(found[1], os.O_WRONLY))
            self._open.callback(os.close, self._reader)
            self._open.callback(os.close, self._writer)
            self.variables = _told(1, self._environ, self._tools)
        elif self.jobs > 1:
            self._own = self._open.enter_context(Private(self.jobs, self._environ, self._tools))
            self._reader = self._writer = self._own.descriptor
            self.variables = self._own.variables
        else:
            self.variables = _told(1, self._environ, self._tools)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, count: int = 1) -> list[bytes] | None:
        """`count` tokens, or None if there are fewer now; each is to be given back."""
        taken: list[bytes] = []
        if self._own_is_free and count:
            self._own_is_free = False
            taken.append(b"")
        while len(taken) < count and self._reader >= 0:
            try:
                token = os.read(self._reader, 1)
            except BlockingIOError:
                break
            if not token:
                break
            taken.append(token)
        if len(taken) == count:
            return taken
        self.give_back(taken)
        return None

    def give_back(self, tokens: list[bytes]) -> None:
        for token in tokens:
            if token:
                os.write(self._writer, token)
            else:
                self._own_is_free = True

    def fill(self) -> None:
        """Put back tokens that clients held when they were killed. Call it only when nothing runs.

        Nothing is done if the pool is that of make.
        """
        if self._own:
            self._own.fill()

    @property
    def waits_on(self) -> int | None:
        """The descriptor that can be read when there is another token."""
        return self._reader if self._reader >= 0 else None

    def private(self, count: int) -> Private:
        """A pool for one build that holds `count` tokens of this one."""
        return Private(count, self._environ, self._tools, told=count)


class Private:
    """A new pool of `count` tokens, of which the maker holds one: a fifo, and the `variables` that announce it.

    Tools that are no clients of it are `told` this number of processes.
    """

    def __init__(self, count: int, environ: Mapping[str, str], tools: str, told: int = 1) -> None:
        self._count = count
        self._open = contextlib.ExitStack()
        try:
            directory = self._open.enter_context(tempfile.TemporaryDirectory(prefix="sage-wheels-"))
            fifo = f"{directory}/jobserver"
            os.mkfifo(fifo, 0o600)
            self.descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._open.callback(os.close, self.descriptor)
            self.fill()
            others = without_jobserver(environ.get("MAKEFLAGS", ""))
            self.variables = {"MAKEFLAGS": f"{others} -j{count} --jobserver-auth=fifo:{fifo}"}
            self.variables.update(_told(told, environ, tools))
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Private:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fill(self) -> None:
        """Set the number of free tokens to `count` - 1, whatever it was."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.descriptor, 1 << 16):
                pass
        os.write(self.descriptor, _TOKEN * min(self._count - 1, _MOST))

    def close(self) -> None:
        self._open.close()


def _own_end(fd_or_path: int | str, mode: int) -> int:
    """An end of a pool in non-blocking mode. It is opened anew, because other processes share the flags of the
    inherited descriptor."""
    if isinstance(fd_or_path, str):
        return os.open(fd_or_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.open(f"/dev/fd/{fd_or_path}", mode | os.O_NONBLOCK | os.O_CLOEXEC)


def _told(slots: int, environ: Mapping[str, str], tools: str) -> dict[str, str]:
    """The variables that tell builds how many slots they have; PATH is one of them if old tools are replaced."""
    told = {name: str(slots) for name in _TOLD if name not in environ}
    told[environment.SAGE_WHEELS_SLOTS] = str(slots)
    path = environ.get("PATH", os.defpath)
    make, ninja = shutil.which("make", path=path), shutil.which("ninja", path=path)
    scripts = {**(stand_ins.for_make(make) if make else {}), **(stand_ins.for_ninja(ninja) if ninja else {})}
    if scripts:
        own = f"{tools}/{key_of('tools', scripts)[:16]}"
        stand_ins.write(own, scripts)
        told["PATH"] = f"{own}{os.pathsep}{path}"
    return told
