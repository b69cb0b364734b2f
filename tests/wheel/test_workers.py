"""`sage_wheels.wheel.workers` with real processes that really die."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.errors import SageWheelsError, WheelRefused
from sage_wheels.wheel import workers


def open_files() -> list[str]:
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []


def children() -> str:
    """The children of this process; a test session may have some of its own."""
    with open(f"/proc/self/task/{os.getpid()}/children") as f:
        return f.read()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    before = open_files(), children()
    yield
    assert (open_files(), children()) == before


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("items", [0, 1, 2, 100])
def test_results_come_in_the_order_of_the_items(count: int, items: int) -> None:
    assert workers.share_out(lambda item: item * item, range(items), count) == [n * n for n in range(items)]


def test_the_work_is_shared_by_processes(tmp_path: Path) -> None:
    def meet(item: int) -> int:
        """Wait until the other worker is here, too."""
        (tmp_path / str(item)).write_text("")
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.001)
        return os.getpid()

    pids = workers.share_out(meet, [0, 1], 2)
    assert len(set(pids)) == 2
    assert os.getpid() in pids


def test_too_many_items_for_the_queue_are_done_here() -> None:
    items = range(workers.QUEUE + 1)
    assert workers.share_out(lambda item: os.getpid(), items, 4) == [os.getpid()] * len(items)


def test_a_process_with_another_thread_does_not_fork() -> None:
    """A child would have the locks that the thread holds, and nobody who releases them."""
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(os.getpid()))
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert workers.share_out(lambda item: os.getpid(), range(100), 4) == [os.getpid()] * 100
        assert workers.apart(lambda: "apart", lambda: "here") == "here"
        assert not forks
    finally:
        end.set()
        thread.join()
    assert workers.apart(os.getpid, os.getpid) != os.getpid()
    assert forks


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)


@pytest.mark.parametrize("where", ["child", "parent"])
def test_an_exception_of_any_process_is_raised_here(tmp_path: Path, where: str) -> None:
    me = os.getpid()

    def fail(item: int) -> int:
        if (os.getpid() == me) == (where == "parent"):
            (tmp_path / "failed").write_text("")
            raise WheelRefused("what", "advice", "details")
        wait_for(tmp_path / "failed")
        return item

    with pytest.raises(WheelRefused) as caught:
        workers.share_out(fail, [0, 1], 2)
    assert (caught.value.what, caught.value.advice, caught.value.details) == ("what", "advice", "details")


def test_an_os_error_of_a_child_keeps_its_path(tmp_path: Path) -> None:
    me = os.getpid()

    def fail(item: int) -> None:
        if os.getpid() != me:
            (tmp_path / "failed").write_text("")
            os.open(tmp_path / "not" / "there", os.O_RDONLY)
        wait_for(tmp_path / "failed")

    with pytest.raises(FileNotFoundError) as caught:
        workers.share_out(fail, [0, 1], 2)
    assert caught.value.filename == str(tmp_path / "not" / "there")


def test_a_killed_child_is_a_failure_in_one_sentence(tmp_path: Path) -> None:
    me = os.getpid()

    def die(item: int) -> int:
        if os.getpid() != me:
            (tmp_path / "dying").write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for(tmp_path / "dying")
        return item

    with pytest.raises(SageWheelsError, match=r"worker process [0-9]+ was killed; free some memory and run"):
        workers.share_out(die, [0, 1], 2)


@pytest.mark.parametrize("children", [0, 1])
@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_work_is_done_by_as_many_processes_as_there_may_be(
    monkeypatch: pytest.MonkeyPatch, call: str, children: int
) -> None:
    """As under `make -j` with a limit on processes: more of them are faster, and not needed."""
    real, calls = getattr(os, call), itertools.count(0 if call == "fork" else -1)  # the first pipe is the queue

    def limited() -> Any:
        if next(calls) >= children:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real()

    monkeypatch.setattr(os, call, limited)
    assert workers.share_out(lambda item: item * item, range(9), 4) == [item * item for item in range(9)]


def test_progress_is_heard_in_the_parent() -> None:
    heard: list[tuple[int, int]] = []
    workers.share_out(lambda item: item, range(10), 1, lambda done, total: heard.append((done, total)))
    assert heard == [(n, 10) for n in range(10)]


def test_processors() -> None:
    assert 1 <= workers.processors() <= (os.cpu_count() or 1)


# --- a child with threads ---


def test_a_child_apart_gives_its_result() -> None:
    assert workers.apart(os.getpid, lambda: 0) not in (0, os.getpid())


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_without_a_child_it_is_done_here(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse() -> Any:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, call, refuse)
    assert workers.apart(lambda: 0, os.getpid) == os.getpid()


def test_an_exception_of_a_child_apart_is_raised_here() -> None:
    def fail() -> int:
        raise WheelRefused("what", "advice")

    with pytest.raises(WheelRefused, match="what; advice"):
        workers.apart(fail, lambda: 0)


def test_a_killed_child_apart_is_a_failure_in_one_sentence() -> None:
    with pytest.raises(SageWheelsError, match=r"worker process [0-9]+ was killed"):
        workers.apart(lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: None)


def test_a_child_whose_parent_is_gone_ends() -> None:
    receive, send = os.pipe()
    parent = os.fork()
    if not parent:
        os.close(receive)

        def work() -> None:
            os.write(send, b"begun")
            while True:
                workers.leave_if_orphaned()
                time.sleep(0.001)

        workers.apart(work, lambda: None)
        os._exit(1)
    os.close(send)
    assert os.read(receive, 5) == b"begun"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert not os.read(receive, 1)  # the child has the other end, as long as it runs
    os.close(receive)


def test_a_child_makes_no_further_child() -> None:
    """It may have threads itself, because it ends when its work is done."""

    def nested() -> tuple[int, int]:
        return os.getpid(), workers.apart(os.getpid, lambda: 0)

    outer, inner = workers.apart(nested, lambda: (0, 0))
    assert inner == outer != os.getpid()


def passed_on(pieces: Any, consume: Any = None) -> Any:
    """What a thread got, in a child, as always."""

    def beside() -> list[bytes]:
        got: list[bytes] = []
        workers.pass_on(pieces, consume or got.append)
        return got

    return workers.apart(beside, list)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_pieces_come_in_order(count: int) -> None:
    pieces = [b"%d" % number for number in range(count)]
    assert passed_on(iter(pieces)) == pieces


def test_few_pieces_are_ahead() -> None:
    """What is large is never in memory as a whole."""
    made, taken = itertools.count(1), itertools.count(1)
    ahead: list[int] = []

    def pieces() -> Any:
        for _ in range(50):
            ahead.append(next(made) - peek[0])
            yield b"x"

    peek = [0]

    def consume(piece: bytes) -> None:
        peek[0] = next(taken)

    def beside() -> int:
        workers.pass_on(pieces(), consume)
        return max(ahead)

    assert workers.apart(beside, lambda: 99) <= workers.AHEAD + 3


@pytest.mark.parametrize("where", ["maker", "taker"])
@pytest.mark.parametrize("at", [0, 1, 10])
def test_an_exception_of_either_thread_is_raised(where: str, at: int) -> None:
    def maker() -> Any:
        for number in range(50):
            if where == "maker" and number == at:
                raise WheelRefused("what")
            yield b"%d" % number

    def taker(piece: bytes) -> None:
        if where == "taker" and piece == b"%d" % at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "path")

    with pytest.raises(WheelRefused if where == "maker" else OSError, match="what" if where == "maker" else "path"):
        passed_on(maker(), taker)
