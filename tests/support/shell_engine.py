"""A third engine, for tests: a pool of shells, on this machine or over ssh, that each run one `graph-task`."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
from collections.abc import Mapping, Sequence

from sage_wheels.graph.engine import Event
from sage_wheels.graph.sender import Sender
from sage_wheels.graph.tasks import Result, Task


class ShellEngine:
    """Runs each task in a shell that `commands` start: the last word that each of them gets is what it runs."""

    is_elsewhere = True

    def __init__(self, commands: Sequence[Sequence[str]], sender: Sender) -> None:
        self._free = [list(each) for each in commands]
        self._sender = sender
        self._selector = selectors.DefaultSelector()
        self._waiting: list[Task] = []
        self._running: dict[int, tuple[Task, str, subprocess.Popen[bytes], list[str], list[bytes]]] = {}

    def start(self, task: Task, variables: Mapping[str, str]) -> None:
        self._waiting.append(task)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and self._free:
            task, command = self._waiting.pop(0), self._free.pop(0)
            line = self._sender.pack(task)
            process = subprocess.Popen(
                [*command, "exec $SAGE_WHEELS_TEST_TASK"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            assert process.stdin
            assert process.stdout
            process.stdin.write(line.encode() + b"\n")
            os.set_blocking(process.stdout.fileno(), False)
            self._running[task.number] = (task, line, process, command, [])
            self._selector.register(process.stdout, selectors.EVENT_READ, task.number)

    def wait(self, seconds: float | None, also: int | None = None) -> list[Event]:
        events = []
        for key, _ in self._selector.select(seconds):
            task, line, process, command, said = self._running[key.data]
            assert process.stdout
            data = process.stdout.read(1 << 16)
            if data:
                said.append(data)
                continue
            self._close(task.number)
            self._free.append(command)
            events.append(Event(task.number, "result", result=self._result(task, line, b"".join(said))))
        self._begin()
        return events

    def _result(self, task: Task, line: str, said: bytes) -> Result:
        lines = [json.loads(each) for each in said.splitlines()]
        kind, text = lines[-1] if lines else ("", "")
        if kind == "result" and (result := self._sender.unpack(task, line, text)):
            return result
        return Result(task.number, "failed", what=f"{task.name} was given back: {kind} {text}")

    def _close(self, number: int) -> None:
        _, _, process, _, _ = self._running.pop(number)
        assert process.stdin
        assert process.stdout
        self._selector.unregister(process.stdout)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()

    def finish(self) -> list[Event]:
        return []

    def cancel(self) -> None:
        self._waiting.clear()
        for number in list(self._running):
            self._close(number)
