"""What a worker of a Dask cluster runs for each task: it starts a process of this tool, and follows it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import time

from sage_wheels.graph import fork_server
from sage_wheels.graph.parcel import MOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOTICE = 0.3  # seconds between two looks of a worker whether its task is still wanted
_GRACE = 10.0  # seconds that a task has to end what it has started


def run_task(line: str, number: int, attempt: int, topic: str, lines: int) -> tuple[str, str]:
    """Let a process of the tool do the task that the parcel `line` contains.

    Returns the kind of its answer and the answer: "result", "differs" or "lacks", or "ended" and the exit status. News
    go to the log of the worker, under `topic`, with `number` and `attempt`. `lines` is as in `Task`.

    The process ends, with all processes that it has started, when its standard input ends: when this worker dies, or
    closes it because the task was cancelled.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()
    with fork_server.start() as process:
        with contextlib.suppress(BrokenPipeError):  # it has ended: its status says how
            process.stdin.write(line.encode() + b"\n")
        answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        _in_thread(process.stdout, answers)
        answer: tuple[str, str] | None = None
        log = LastLines("", 0)
        while True:
            if text := log.take():
                worker.log_event(topic, (number, attempt, "lines", text))
            try:
                said = answers.get(timeout=_NOTICE)
            except queue.Empty:
                if not _is_wanted(worker, key):
                    _let_go(process)
                    return "ended", "0"
                continue
            if not said:
                break
            kind, text = json.loads(said)
            if kind in ("result", "differs", "lacks"):
                answer = (kind, text)
            elif kind == "log":
                log = LastLines(text, lines)
            else:
                worker.log_event(topic, (number, attempt, kind, text[:1000]))
        status = process.wait()
    if answer and len(answer[1]) <= MOST:
        return answer
    return "ended", str(status)


class LastLines:
    """The new lines of the log at `path`. At most `most` bytes are sent in a second: the last whole lines."""

    def __init__(self, path: str, most: int) -> None:
        self._path = path
        self._most = most
        self._offset = 0
        self._next = 0.0

    def take(self) -> str:
        """The text to send now; "" if the last one was sent less than a second ago, or if nothing is new."""
        if not self._most or time.monotonic() < self._next:
            return ""
        try:
            with open(self._path, "rb") as f:
                size = os.fstat(f.fileno()).st_size
                begin = f.seek(max(self._offset, size - self._most))
                data = f.read(self._most)
        except OSError:
            return ""
        end = data.rfind(b"\n") + 1
        # what is left out before begins in the middle of a line
        start = data.find(b"\n", 0, end) + 1 if begin > self._offset else 0
        self._offset = begin + end
        if start < end:
            self._next = time.monotonic() + 1
        return data[start:end].decode(errors="replace")


def _in_thread(stream: Any, lines: queue.SimpleQueue[bytes]) -> None:
    import threading

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, daemon=True).start()


def _is_wanted(worker: Any, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing" and worker.status.name == "running"


def _let_go(process: fork_server.TaskProcess) -> None:
    process.stdin.close()
    if process.wait(_GRACE) is None:
        process.kill()
