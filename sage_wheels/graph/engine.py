"""The interface of an engine. An engine runs tasks; the scheduler decides about their order."""

from __future__ import annotations

from sage_wheels.named import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from sage_wheels.graph.tasks import Result, Task


class Event(NamedTuple):
    """An event of the task of project `number`: a `phase` begins, a `note` for people, the path of its `log` on this
    machine, the last `lines` of a log on another one, or its `result`, with the name of the worker as text."""

    number: int
    kind: Literal["phase", "note", "log", "lines", "result"]
    text: str = ""
    result: Result | None = None


class Engine(Protocol):
    """Runs tasks, each in a process of its own, on this machine or elsewhere.

    Every task that was started ends with exactly one event of the kind `result`. `is_elsewhere` says whether builds
    run on other machines, and so take no slots of this one.
    """

    is_elsewhere: bool

    def start(self, task: Task, variables: Mapping[str, str]) -> None:
        """Start `task`, with these additional environment variables."""

    def wait(self, seconds: float | None, also: int | None = None) -> list[Event]:
        """Wait for events for at most `seconds` (None: without limit), and return them.

        Returns early, perhaps without events, when the descriptor `also` becomes readable.
        """

    def finish(self) -> list[Event]:
        """Wait, but not for long, until finished tasks have sent their results to the store. Returns notes about it."""

    def cancel(self) -> None:
        """End every task, with all processes that it has started; their results are "cancelled"."""
