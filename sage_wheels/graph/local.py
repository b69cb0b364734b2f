"""The engine for this machine: each task is a process that is forked from this one, without starting a new Python."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time
import traceback

from sage_wheels import environment, processes
from sage_wheels.building.lookup import look_again, look_ahead
from sage_wheels.building.options import finish_uploads
from sage_wheels.graph import worker
from sage_wheels.graph.engine import Event
from sage_wheels.graph.tasks import Result, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

_GRACE = 10.0  # seconds that a task has to end what it has started
_FEW = 3  # tasks: with more of them, it takes less time to look at this machine before they are forked
_SENDING = 60.0  # seconds to wait for processes that still upload; each of them gives up before that


class _Running:
    """A running task: its process, and the beginning of a line that has been read from its pipe."""

    def __init__(self, task: Task, pid: int, pipe: int) -> None:
        self.number = task.number
        self.pid = pid
        self.pipe = pipe
        self.text = b""


class LocalEngine:
    """Runs tasks in processes of this machine; see `Engine`.

    A process returns its result before it sends what it has built to a store of several machines. So the next build
    can begin meanwhile.
    """

    is_elsewhere = False

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, _Running] = {}
        self._sending: list[_Running] = []  # processes that have returned their result, and may still upload
        self._started = 0

    def start(self, task: Task, variables: Mapping[str, str]) -> None:
        """See `Engine`. Raises `OSError` if there can be no more processes."""
        line = task.to_json()
        if not self._started:
            worker.preload()
        elif self._started == _FEW:
            look_ahead(task.options, environment.for_processes(**variables))
        elif self._started > _FEW:
            look_again(task.options)
        self._started += 1
        reader, writer = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if not pid:
            status = 1
            try:
                os.close(reader)
                for each in (*self._running.values(), *self._sending):
                    os.close(each.pipe)
                status = _run(line, writer, variables)
            finally:
                os._exit(status)
        os.close(writer)
        running = _Running(task, pid, reader)
        self._running[task.number] = running
        self._selector.register(reader, selectors.EVENT_READ, running)

    def wait(self, seconds: float | None, also: int | None = None) -> list[Event]:
        """See `Engine`."""
        if also is not None:
            self._selector.register(also, selectors.EVENT_READ)
        try:
            ready = self._selector.select(seconds)
        finally:
            if also is not None:
                self._selector.unregister(also)
        return [event for key, _ in ready if key.data for event in self._heard(key.data)]

    def finish(self) -> list[Event]:
        """See `Engine`."""
        limit = time.monotonic() + _SENDING
        events = []
        while self._sending and time.monotonic() < limit:
            events += self.wait(limit - time.monotonic())
        return events

    def cancel(self) -> None:
        """See `Engine`: the processes get SIGTERM, and after ten seconds SIGKILL."""
        for each in (*self._running.values(), *self._sending):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGTERM)
        limit = time.monotonic() + _GRACE
        while (self._running or self._sending) and time.monotonic() < limit:
            self.wait(limit - time.monotonic())
        for each in [*self._running.values(), *self._sending]:
            processes.end(each.pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
            self._ended(each)

    def _heard(self, running: _Running) -> list[Event]:
        data = os.read(running.pipe, 1 << 16)
        if not data:
            result = self._ended(running)
            return [Event(running.number, "result", result=result)] if result else []
        *lines, running.text = (running.text + data).split(b"\n")
        events = []
        for line in lines:
            kind, text = json.loads(line)
            if kind == "result":
                self._sending.append(self._running.pop(running.number))
                events.append(Event(running.number, kind, result=Result.from_json(text)))
            else:
                events.append(Event(running.number, kind, text))
        return events

    def _ended(self, running: _Running) -> Result | None:
        """The result of a task whose process has ended without returning one; None if it has returned one.

        Ctrl-C may come between any two of these lines. So what `cancel` looks through is changed first.
        """
        is_told = running in self._sending
        if is_told:
            self._sending.remove(running)
        else:
            self._running.pop(running.number, None)
        self._selector.unregister(running.pipe)
        os.close(running.pipe)
        _, status = os.waitpid(running.pid, 0)
        if is_told:
            return None
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            name = signal.Signals(-code).name
            return Result(running.number, "killed", what=name, lacks_memory=-code == signal.SIGKILL)
        return Result(running.number, "cancelled")


def _run(line: str, writer: int, variables: Mapping[str, str]) -> int:
    """Perform the task in `line` (JSON) in this forked process; events and result are written to the pipe `writer`."""
    processes.become_child()
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    environment.add(variables)
    with open(writer, "w", encoding="utf-8") as pipe:
        try:
            task = Task.from_json(line)
            result = worker.perform(task, lambda kind, text: _tell(pipe, kind, text))
            processes.end_all()  # also a daemon that the build has left running
        except KeyboardInterrupt:
            processes.end_all()
            return 1
        except BrokenPipeError:  # the process that started this one is gone
            processes.end_all()
            return 1
        except Exception:  # a bug of this tool: it is reported, and the other builds go on
            number = json.loads(line)["number"]
            what = f"building {json.loads(line)['name']}: an internal error of sage-wheels"
            result = Result(number, "failed", what=what, advice="please report it", details=traceback.format_exc())
        _tell(pipe, "result", result.to_json())
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
            finish_uploads()
    return 0


def _tell(pipe: IO[str], kind: str, text: str) -> None:
    pipe.write(json.dumps([kind, text]) + "\n")
    pipe.flush()
