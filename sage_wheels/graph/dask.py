"""The engine of a Dask cluster: each task is a process of this tool, which a worker starts.

Dask transports tasks and results, and knows which workers there are. Which worker gets a task is decided here. So it is
known which task was lost when a worker dies, and a worker that differs from this machine gets no more tasks. The only
object of ours that is pickled is a reference to `dask_task.run_task`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import queue
import time
from urllib.parse import urlsplit

from sage_wheels.errors import BuildFailed, FileOperationFailed, SageWheelsError, UsageError
from sage_wheels.graph.dask_task import run_task
from sage_wheels.graph.engine import Event
from sage_wheels.graph.tasks import Result
from sage_wheels.named import NamedTuple
from sage_wheels.store.signing import Untrusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sage_wheels.graph.sender import Sender
    from sage_wheels.graph.tasks import Task

_CERTIFICATES = "DASK_DISTRIBUTED__COMM__TLS__"  # begins the variables in which Dask looks for them
_CONNECT = 10.0  # seconds in which a scheduler has to answer at first
_LOST = 20.0  # seconds without an answer, after which it is lost
_LOOK = 1.0  # seconds between two looks at who is there
_DEATHS = 3  # workers that a source may kill
_RESENT = 3  # times that its files are sent


class _Sent(NamedTuple):
    """A task that was sent to `worker` as the parcel `line`; `future` is Dask's object for its result."""

    worker: str
    future: Any
    line: str


class _Worker(NamedTuple):
    """A worker: its slots, and whether Dask counts them, too, as a resource of the worker."""

    slots: int
    is_resource: bool


def check_address(address: str, *, is_insecure: bool) -> None:
    """Raises `UsageError` for an invalid address, and for one without TLS, which anybody could use to run code."""
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname and parts.port) and parts.path in ("", "/") and not parts.username
    except ValueError:  # no port, or half an IPv6 address
        is_whole = False
    if not is_whole or parts.scheme not in ("tcp", "tls"):
        raise UsageError(f"{address!r} is no address of a Dask scheduler", "write dask:tls://HOST:PORT")
    if parts.scheme != "tls" and not is_insecure and not _is_loopback(parts.hostname or ""):
        raise UsageError(
            f"the scheduler at {address} is reached without TLS, and who reaches it runs code on every worker",
            "use dask:tls://HOST:PORT, or, where nobody else can reach it, --engine-insecure",
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name, which anybody could answer for
        return False


async def _try_to_connect(address: str) -> None:
    """Check that a scheduler answers at `address`. (A `Client` that fails to connect prints long tracebacks.)"""
    from distributed.comm import connect
    from distributed.security import Security

    comm = await connect(address, timeout=_CONNECT, **Security().get_connection_args("client"))
    await comm.close()


class DaskEngine:
    """Runs tasks on the workers of a cluster; see `Engine`. Use it as a context manager."""

    is_elsewhere = True

    def __init__(self, address: str, sender: Sender) -> None:
        """Raises `UsageError` if `distributed` is not installed, `BuildFailed` if no scheduler answers."""
        try:
            import distributed
        except ImportError as error:
            raise UsageError("the engine 'dask' is not installed", "install sage-wheels[cluster]") from error
        self._address = address
        self._sender = sender
        self._heard: queue.SimpleQueue[tuple[int, str, str, Any]] = queue.SimpleQueue()
        self._waiting: list[Task] = []
        self._tasks: dict[int, Task] = {}
        self._sent: dict[int, _Sent] = {}
        self._deaths: dict[int, int] = {}
        self._resent: dict[int, int] = {}
        self._workers: dict[str, _Worker] = {}
        self._differing: dict[str, str] = {}  # workers that get no more tasks, and in what they differ
        self._attempt = 0
        self._topic = f"sage-wheels-{os.urandom(8).hex()}"
        self._answered = time.monotonic()
        self._looked = float("-inf")
        self._is_lost = False
        try:
            asyncio.run(_try_to_connect(address))
            self._client: Any = distributed.Client(address, timeout=_CONNECT, set_as_default=False, name="sage-wheels")
            self._client.subscribe_topic(self._topic, self._event)
            self._workers = self._who_is_there()
        except Exception as error:  # Dask raises many kinds
            advice = "check the address and start it"
            if address.startswith("tls:"):
                advice += f", and say where the certificates are (${_CERTIFICATES}CA_FILE and so on; docs/cluster.md)"
            raise BuildFailed(f"the scheduler at {address} does not answer ({_first_line(error)})", advice) from error

    def slots(self) -> int:
        """The slots of all workers together, at least one."""
        return max(sum(each.slots for each in self._workers.values()), 1)

    def start(self, task: Task, variables: Mapping[str, str]) -> None:
        """See `Engine`; the `variables` are those of this machine, and not used."""
        self._tasks[task.number] = task
        self._waiting.append(task)

    def wait(self, seconds: float | None, also: int | None = None) -> list[Event]:
        """See `Engine`."""
        limit = None if seconds is None else time.monotonic() + seconds
        while True:
            events = self._look() if time.monotonic() - self._looked > _LOOK else []
            events += self._hand_out()
            while not self._heard.empty():
                events += self._follow(*self._heard.get())
            if events or (limit is not None and time.monotonic() >= limit):
                return events
            left = _LOOK if limit is None else min(_LOOK, max(limit - time.monotonic(), 0))
            try:
                heard = self._heard.get(timeout=left)
            except queue.Empty:
                continue
            events += self._follow(*heard)
            if events:
                return events

    def finish(self) -> list[Event]:
        """See `Engine`: a worker returns its result only after it has sent everything."""
        return []

    def cancel(self) -> None:
        """See `Engine`: the workers notice that their tasks were cancelled, and end them."""
        if not self._is_lost:
            try:
                self._client.cancel([each.future for each in self._sent.values()], force=True)
            except Exception:  # then the scheduler is lost, and the workers end tasks that have no scheduler
                self._is_lost = True
        self._sent.clear()
        self._tasks.clear()
        self._waiting.clear()

    def __enter__(self) -> DaskEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._client.close(timeout=1)

    def _event(self, event: tuple[float, Any]) -> None:
        """Called in a thread of Dask with an event of a task."""
        number, attempt, kind, text = event[1]
        self._heard.put((attempt, "event", kind, (number, text)))

    def _hand_out(self) -> list[Event]:
        """Send waiting tasks to workers that have free slots."""
        events = []
        for task in list(self._waiting):
            usable = {name: each for name, each in self._workers.items() if name not in self._differing}
            if self._is_lost:
                events.append(self._end(task, self._loss(), ends_run=True))
            elif not usable:
                events.append(self._end(task, self._nobody(), ends_run=True))
            elif task.slots > max(each.slots for each in usable.values()):
                most = max(each.slots for each in usable.values())
                what = f"{task.name} needs {task.slots} slots, and no worker has more than {most}"
                events.append(self._end(task, BuildFailed(what, "give it fewer --slots, or start a larger worker")))
            else:
                room = {name: each.slots - self._used(name) for name, each in usable.items()}
                best = max(room, key=lambda name: room[name])
                if room[best] >= task.slots:
                    self._waiting.remove(task)
                    events += self._send(task, best)
        return events

    def _used(self, worker: str) -> int:
        return sum(self._tasks[number].slots for number, sent in self._sent.items() if sent.worker == worker)

    def _send(self, task: Task, worker: str) -> list[Event]:
        try:
            line = self._sender.pack(task, anew=task.number in self._resent)
        except SageWheelsError as error:
            return [self._end(task, error)]
        except OSError as error:
            return [self._end(task, FileOperationFailed.from_os_error(error, f"sending the source of {task.name}"))]
        self._attempt += 1
        attempt = self._attempt
        options = {"resources": {"slots": task.slots}} if self._workers[worker].is_resource else {}
        try:
            future = self._client.submit(
                *(run_task, line, task.number, attempt, self._topic, task.lines),
                key=f"{self._topic}-{task.number}-{attempt}",
                pure=False,
                workers=[worker],
                allow_other_workers=False,
                retries=0,
                **options,
            )
        except Exception as error:
            return [self._end(task, BuildFailed(f"{task.name} cannot be sent ({_first_line(error)})"))]
        self._sent[task.number] = _Sent(worker, future, line)
        future.add_done_callback(lambda done: self._heard.put((attempt, "done", "", (task.number, done))))
        return []

    def _follow(self, attempt: int, what: str, kind: str, about: tuple[int, Any]) -> list[Event]:
        """The events that follow from news of an attempt; none if that attempt was given up meanwhile."""
        number, told = about
        sent = self._sent.get(number)
        if sent is None or sent.future.key != f"{self._topic}-{number}-{attempt}":
            return []
        if what == "event":
            return [Event(number, kind, str(told))] if kind in ("phase", "note", "lines") else []  # type: ignore[arg-type]
        task = self._tasks[number]
        if told.status == "finished":
            try:
                answer, text = told.result(timeout=_CONNECT)
            except Exception as error:  # the worker or the scheduler was lost with the result
                return self._died(task, _first_line(error))
            return self._answer(task, sent, answer, text)
        if told.status == "error":
            failure = told.exception(timeout=_CONNECT)
            if type(failure).__name__ == "KilledWorker":
                return self._died(task, "")
            return self._answer(task, sent, "differs", _first_line(failure))
        return []  # cancelled or lost; `_look` finds out whether the scheduler is lost

    def _answer(self, task: Task, sent: _Sent, answer: str, text: str) -> list[Event]:
        del self._sent[task.number]
        if answer == "differs":
            return self._give_up(task, sent.worker, text)
        if answer == "ended":
            return self._ended(task, sent, _of_status(task.number, int(text)))
        try:
            result = self._sender.unpack(task, sent.line, text) if answer == "result" else None
        except Untrusted as why:
            return self._give_up(task, sent.worker, f"its answer {why}")
        if result is None:
            self._resent[task.number] = self._resent.get(task.number, 0) + 1
            if self._resent[task.number] < _RESENT:
                self._waiting.append(task)
                return []
            what = (
                f"the worker {sent.worker} does not find the files that were sent for {task.name}, "
                "or its wheel is not found on this machine"
            )
            return [
                self._end(
                    task, BuildFailed(what, "check that it has the same --store, and that this store keeps contents")
                )
            ]
        return self._ended(task, sent, result)

    def _ended(self, task: Task, sent: _Sent, result: Result) -> list[Event]:
        del self._tasks[task.number]
        return [Event(task.number, "result", sent.worker, result)]

    def _give_up(self, task: Task, worker: str, why: str) -> list[Event]:
        """Send no more tasks to `worker`, for the reason `why`, and `task` to another worker."""
        self._differing[worker] = why
        self._waiting.append(task)
        note = f"the worker {worker} gets no tasks: {why}; this machine: {self._sender.identity}"
        return [Event(task.number, "note", note)]

    def _died(self, task: Task, why: str) -> list[Event]:
        """The worker that had `task` is gone: send it to another one, unless it has killed `_DEATHS` workers."""
        sent = self._sent.pop(task.number)
        sent.future.cancel(force=True)
        deaths = self._deaths[task.number] = self._deaths.get(task.number, 0) + 1
        if deaths < _DEATHS:
            self._waiting.append(task)
            return [Event(task.number, "note", f"the worker {sent.worker} died while it built {task.name}")]
        what = f"building {task.name}: {deaths} workers died while they built it"
        advice = "if it takes all memory, give it a worker for itself (--slots)"
        return [self._end(task, BuildFailed(what, advice, why))]

    def _look(self) -> list[Event]:
        """Find out whether the scheduler still answers, and which workers it has."""
        self._looked = time.monotonic()
        try:
            self._workers = self._who_is_there()
            self._answered = self._looked
        except Exception:
            self._is_lost = self._is_lost or time.monotonic() - self._answered > _LOST
            if not self._is_lost:
                return []
            loss = self._loss()
            self._sent.clear()
            return [self._end(task, loss, ends_run=True) for task in list(self._tasks.values())]
        gone = [number for number, sent in self._sent.items() if sent.worker not in self._workers]
        return [event for number in gone for event in self._died(self._tasks[number], "")]

    def _who_is_there(self) -> dict[str, _Worker]:
        told = self._client.sync(self._client.scheduler.identity, n_workers=-1, callback_timeout=_CONNECT)
        found = {}
        for address, about in told["workers"].items():
            slots = about.get("resources", {}).get("slots")
            found[address] = _Worker(max(int(slots or about["nthreads"]), 1), slots is not None)
        return found

    def _end(self, task: Task, error: SageWheelsError, *, ends_run: bool = False) -> Event:
        if task in self._waiting:
            self._waiting.remove(task)
        del self._tasks[task.number]
        result = Result.of_error(task.number, error)._replace(ends_run=ends_run)
        return Event(task.number, "result", result=result)

    def _loss(self) -> BuildFailed:
        return BuildFailed(
            f"the scheduler at {self._address} is lost",
            "what was built is kept; start the scheduler, and run the command again",
        )

    def _nobody(self) -> BuildFailed:
        rows = [(worker, self._differing[worker]) for worker in self._workers if worker in self._differing]
        rows.append(("this machine", str(self._sender.identity)))
        width = max(len(name) for name, _ in rows)
        table = "\n".join(f"{name:<{width}}  {about}" for name, about in rows)
        advice = "install the same version there, with the same Python, and check its store and key"
        if not self._workers:
            return BuildFailed(f"the scheduler at {self._address} has no workers", "start some")
        return BuildFailed(f"no worker of {self._address} can build for this machine", advice, table)


def _of_status(number: int, status: int) -> Result:
    """The result of a task whose process ended with that exit status, without a result."""
    if status < 0:
        import signal

        return Result(number, "killed", what=signal.Signals(-status).name, lacks_memory=-status == signal.SIGKILL)
    what = f"the process of the task ended with status {status}, without a result"
    return Result(number, "failed", what=what, advice="the log of the worker says why")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
