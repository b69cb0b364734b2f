"""On a worker: the processes that do tasks, forked from one that has imported the tool.

Starting a Python and importing the tool takes as long as many a build. So a worker starts one process of the tool, the
fork server (`serve`), and requests a process of it for each task (`start`). A request is one byte, sent with three
descriptors: standard input and standard output of the new process, and a socket. On this socket the fork server sends
the exit status when the process has ended, and receives the byte that asks it to kill the process. The fork server ends
when the worker does, after the processes that it has forked.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading

from sage_wheels import environment, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

FORKS = "--forks"  # the option of the command that serves
_KILL = b"k"
_GRACE = 10.0  # seconds after which a fork server that says nothing any more should have ended

_lock = threading.Lock()
current: list[ForkServer] = []  # the fork server of this worker, as soon as it has had a task


class TaskProcess:
    """A process for a task, with pipes to its standard input and output; at the end of the context these are closed."""

    def __init__(self, stdin: int, stdout: int, about: socket.socket, server: ForkServer) -> None:
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb")
        self._about = about
        self._server = server

    def __enter__(self) -> TaskProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdin.close()
        self.stdout.close()
        self._about.close()

    def wait(self, seconds: float | None = None) -> int | None:
        """The status with which it has ended, as `subprocess` gives it; None if it has not after so many seconds."""
        self._about.settimeout(seconds)
        try:
            status = self._about.recv(16)
        except (TimeoutError, BlockingIOError):
            return None
        except ConnectionError:
            status = b""
        return int(status) if status else self._server.status()

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            self._about.send(_KILL)


def start() -> TaskProcess:
    """A new process that does the task which it reads (`graph_task`). Raises `OSError` if there can be none."""
    with _lock:
        if current and not current[0].is_there():
            current.pop().close()
        if not current:
            current.append(ForkServer())
        return current[0].start()


class ForkServer:
    """The worker's side of the process that forks."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "sage_wheels", "graph-task", FORKS]
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment.for_processes(), cwd="/"
            )
        self.pid = self._process.pid

    def is_there(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """Let it end, after what it has forked."""
        self._socket.close()
        self._process.wait()

    def status(self) -> int:
        """What its own end says of a process of which it has said nothing: the same signal ends both, for one."""
        try:
            return self._process.wait(_GRACE) or 1
        except subprocess.TimeoutExpired:
            return 1

    def start(self) -> TaskProcess:
        with contextlib.ExitStack() as stack:
            about, their_about = socket.socketpair()
            stack.enter_context(their_about)
            their_stdin, stdin = os.pipe()
            stack.callback(os.close, their_stdin)
            stdout, their_stdout = os.pipe()
            stack.callback(os.close, their_stdout)
            process = TaskProcess(stdin, stdout, about, self)
            with contextlib.suppress(ConnectionError):  # it has just ended: `wait` says how
                socket.send_fds(self._socket, [b"t"], [their_stdin, their_stdout, their_about.fileno()])
            return process


def serve() -> bool:
    """Fork for each request on standard input; True in a new process, False when the worker and all of them are gone.

    In a new process, standard input and output are those of the request.
    """
    from sage_wheels.graph import remote, worker  # noqa: F401 - so that no new process need import it
    from sage_wheels.store import remote as store  # noqa: F401 - likewise

    processes.prepare()
    worker.preload()
    with contextlib.ExitStack() as stack:
        requests = stack.enter_context(socket.socket(fileno=os.dup(0)))
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(requests, selectors.EVENT_READ)
        wakeup = _wake_up_on_child(stack)
        selector.register(wakeup, selectors.EVENT_READ)
        running: dict[int, socket.socket] = {}
        try:
            while requests.fileno() >= 0 or running:
                for key, _ in selector.select():
                    if key.fileobj == wakeup:
                        os.read(wakeup, 1024)
                    elif key.fileobj is requests:
                        descriptors = _request(requests)
                        if not descriptors:
                            selector.unregister(requests)
                            requests.close()
                        elif _forked(descriptors, running, selector):
                            return True
                    elif not _obey(key.data, running):
                        selector.unregister(key.fileobj)
                for pid, status in _ended():
                    if about := running.pop(pid, None):
                        with contextlib.suppress(KeyError):
                            selector.unregister(about)
                        with about, contextlib.suppress(OSError):  # nobody wants to know it
                            about.send(b"%d" % os.waitstatus_to_exitcode(status))
        finally:
            for each in running.values():  # in a new process, too
                each.close()
    processes.end_all()
    return False


def _wake_up_on_child(stack: contextlib.ExitStack) -> int:
    """The end of a pipe that can be read as soon as a child has ended, until `stack` ends."""
    reader, writer = os.pipe()
    for each in (reader, writer):
        os.set_blocking(each, False)
        stack.callback(os.close, each)
    stack.callback(signal.signal, signal.SIGCHLD, signal.signal(signal.SIGCHLD, lambda *_: None))
    stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer))
    return reader


def _request(requests: socket.socket) -> list[int]:
    """The descriptors of the next request; none when there will be no more."""
    try:
        said, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
    except ConnectionError:
        return []
    for each in descriptors:
        os.set_inheritable(each, False)
    return descriptors if said else []


def _forked(descriptors: list[int], running: dict[int, socket.socket], selector: selectors.BaseSelector) -> bool:
    """Fork for a request; whether this is the new process."""
    stdin, stdout, number = descriptors
    about = socket.socket(fileno=number)
    try:
        pid = os.fork()
    except OSError:
        with about:
            about.send(b"1")
        pid = -1
    if pid == 0:
        processes.become_child()
        about.close()
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
    os.close(stdin)
    os.close(stdout)
    if pid > 0:
        running[pid] = about
        selector.register(about, selectors.EVENT_READ, pid)
    return pid == 0


def _obey(pid: int, running: dict[int, socket.socket]) -> bool:
    """Kill a process if that is asked for; whether more may be said of it."""
    try:
        said = running[pid].recv(1)
    except ConnectionError:
        said = b""
    if said == _KILL:
        os.kill(pid, signal.SIGKILL)
    return bool(said)


def _ended() -> list[tuple[int, int]]:
    """The children that have ended, each with its status; orphans of killed ones among them."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(one)
    return found
