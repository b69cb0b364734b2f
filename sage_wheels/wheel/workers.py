"""Process many small items in several worker processes: fork, share a queue, collect the results.

A fork takes a millisecond; to import `concurrent.futures` would take 30 ms. The queue is a pipe of item numbers, from
which each worker reads when it is free. A process that has threads does not fork, because a lock that one of them holds
would stay locked in the child: then this process does all work itself. This module uses threads only in children that
were forked for that purpose. But a call of the store of several machines that has timed out leaves a thread behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys

from sage_wheels.errors import SageWheelsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")
    R = TypeVar("R")

AHEAD = 12  # pieces that two threads have between them, waiting and consumed
_NUMBER = struct.Struct("=H")
_forked_by = 0  # the process that forked this one, if this module did that
QUEUE = 60_000 // _NUMBER.size  # item numbers that fit into the buffer of a pipe (64 KiB on Linux, 16 to 64 on macOS)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    on_item: Callable[[int, int], None] | None = None,
) -> list[R]:
    """`[function(item) for item in items]`, computed by `workers` processes. An exception of a worker is raised here.

    This process works alone if it has other threads. The workers have `items` because they are forked; results are
    pickled. `on_item` is called from time to time with
    the number of items begun, and of all items.
    """

    def observed(index: int) -> R:
        if on_item:
            on_item(index, len(items))
        return function(items[index])

    def unless_orphaned(index: int) -> R:
        leave_if_orphaned()
        return function(items[index])

    workers = min(workers, len(items))
    if workers < 2 or len(items) > QUEUE or _has_threads():
        return [observed(index) for index in range(len(items))]
    numbers, feed = os.pipe()
    os.write(feed, b"".join(_NUMBER.pack(index) for index in range(len(items))))
    os.close(feed)
    children: list[tuple[int, int]] = []
    answers: dict[int, Any] = {}
    failure: BaseException | None = None
    try:
        with contextlib.suppress(OSError):  # not enough processes, descriptors or memory: continue with fewer workers
            for _ in range(workers - 1):
                children.append(_fork(lambda: _work(unless_orphaned, numbers)))
        answers.update(_work(observed, numbers))
        while children:
            result = _result_of(children)
            if isinstance(result, BaseException):
                failure = failure or result
            else:
                answers.update(result)
    finally:
        os.close(numbers)
        _end(children)
    if failure:
        raise failure
    return [answers[index] for index in range(len(items))]


def apart(function: Callable[[], R], otherwise: Callable[[], R]) -> R:
    """Run `function()`, which may use threads, in a child process, such as this one may be; or `otherwise()` in this
    process, if that has threads or cannot fork.

    Returns the result. An exception of either function is raised here.
    """
    if _has_threads():
        return otherwise()
    if _forked_by:
        return function()
    try:
        children = [_fork(function)]
    except OSError:  # not enough processes, descriptors or memory
        return otherwise()
    try:
        result: Any = _result_of(children)
    finally:
        _end(children)
    if isinstance(result, BaseException):
        raise result
    return result  # type: ignore[no-any-return]


def pass_on(pieces: Iterable[bytes], consume: Callable[[bytes], object]) -> None:
    """Call `consume` with each of `pieces` in a second thread, while this one makes them. Only for a child of `apart`.

    An exception of either thread is raised here, after both have ended. Consumed pieces come back, and are deleted in
    turn: the next piece takes the memory of the one that was consumed first. That of the last one is still in the
    cache of the other processor, and to inflate into it takes a third longer.
    """
    import queue
    import threading

    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    consumed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for _ in range(AHEAD):
        consumed.put(b"")
    failures: list[BaseException] = []

    def take() -> None:
        while (piece := waiting.get()) is not None:
            try:
                if not failures:
                    consume(piece)
            except BaseException as error:
                failures.append(error)
            consumed.put(piece)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        for piece in pieces:
            if failures:
                break
            consumed.get()
            waiting.put(piece)
    finally:
        waiting.put(None)
        thread.join()
    if failures:
        raise failures[0]


def leave_if_orphaned() -> None:
    """End this process, a child, if its parent was killed: then nobody waits for the result."""
    if _forked_by and os.getppid() != _forked_by:
        os._exit(1)


def _has_threads() -> bool:
    """Whether this process has threads beside the one that calls this."""
    threading = sys.modules.get("threading")
    return threading is not None and threading.active_count() > 1


def _work(function: Callable[[int], R], numbers: int) -> dict[int, R]:
    answers = {}
    while number := os.read(numbers, _NUMBER.size):
        index = _NUMBER.unpack(number)[0]
        answers[index] = function(index)
    return answers


def _fork(function: Callable[[], object]) -> tuple[int, int]:
    """Fork a child that calls `function`; returns its process id, and the pipe with its result or exception."""
    import pickle  # here, so that the child need not

    global _forked_by
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
    _forked_by = parent
    try:
        try:
            result: Any = function()
        except Exception as error:
            result = error
        with open(send, "wb") as f:
            f.write(pickle.dumps(result))
    finally:
        os._exit(0)


def _result_of(children: list[tuple[int, int]]) -> Any:
    """Wait for the last of `children`, remove it from the list, and return its result. Raises its exception."""
    import pickle

    pid, pipe = children[-1]
    with open(pipe, "rb", closefd=False) as f:
        data = f.read()
    children.pop()
    os.close(pipe)
    os.waitpid(pid, 0)
    if not data:
        raise SageWheelsError(f"worker process {pid} was killed", "free some memory and run the command again")
    return pickle.loads(data)


def _end(children: list[tuple[int, int]]) -> None:
    """End the children that are left after an exception."""
    for pid, pipe in children:
        os.kill(pid, signal.SIGKILL)
        os.close(pipe)
        os.waitpid(pid, 0)
