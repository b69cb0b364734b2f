"""Do many small things in several processes: fork, share a queue, collect the answers.

A fork costs a millisecond and no import, which is why this is not `concurrent.futures` (30 ms); the tool has one
thread when it forks. The queue is a pipe of numbers, so whoever is free takes the next piece.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct

from sage_wheels.errors import SageWheelsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")
    R = TypeVar("R")

_NUMBER = struct.Struct("=H")
_QUEUE = 60_000 // _NUMBER.size  # what a pipe holds without anybody reading (64 KiB on Linux, 16 to 64 on macOS)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    on_item: Callable[[int, int], None] | None = None,
) -> list[R]:
    """`[function(item) for item in items]`, by `workers` processes; an exception of any of them is raised here.

    `items` reach the workers by fork, results come back pickled. `on_item` hears now and then how many items were
    begun, and of how many.
    """

    def observed(index: int) -> R:
        if on_item:
            on_item(index, len(items))
        return function(items[index])

    workers = min(workers, len(items))
    if workers < 2 or len(items) > _QUEUE:
        return [observed(index) for index in range(len(items))]
    import pickle

    queue, feed = os.pipe()
    os.write(feed, b"".join(_NUMBER.pack(index) for index in range(len(items))))
    os.close(feed)
    children: list[tuple[int, int]] = []
    answers: dict[int, Any] = {}
    failure: BaseException | None = None
    try:
        with contextlib.suppress(OSError):  # no process, descriptor or memory to be had for more: so many will do
            for _ in range(workers - 1):
                children.append(_fork(lambda index: function(items[index]), queue))
        answers.update(_work(observed, queue))
        while children:
            pid, pipe = children[-1]
            data = _read_all(pipe)
            children.pop()
            os.close(pipe)
            os.waitpid(pid, 0)
            if not data:
                raise SageWheelsError(f"worker process {pid} was killed", "free some memory and run the command again")
            result = pickle.loads(data)
            if isinstance(result, BaseException):
                failure = failure or result
            else:
                answers.update(result)
    finally:
        os.close(queue)
        for pid, pipe in children:  # only after an exception here
            os.kill(pid, signal.SIGKILL)
            os.close(pipe)
            os.waitpid(pid, 0)
    if failure:
        raise failure
    return [answers[index] for index in range(len(items))]


def _work(function: Callable[[int], R], queue: int) -> dict[int, R]:
    answers = {}
    while number := os.read(queue, _NUMBER.size):
        index = _NUMBER.unpack(number)[0]
        answers[index] = function(index)
    return answers


def _fork(function: Callable[[int], R], queue: int) -> tuple[int, int]:
    """A child that works on the queue: its process id, and the pipe on which its answers come."""
    parent = os.getpid()
    receive, send = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(receive)
        os.close(send)
        raise
    if pid:
        os.close(send)
        return pid, receive

    def unless_orphaned(index: int) -> R:
        if os.getppid() != parent:
            os._exit(1)  # the parent was killed: nobody waits for the answer
        return function(index)

    try:
        try:
            result: Any = _work(unless_orphaned, queue)
        except Exception as error:
            result = error
        import pickle

        with open(send, "wb") as f:
            f.write(pickle.dumps(result))
    finally:
        os._exit(0)


def _read_all(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as f:
        return f.read()
