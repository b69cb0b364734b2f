"""Find out from the times of builds what made the run long, and how long it would have taken with more slots."""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Entry = dict[str, Any]  # as `timings` describes it


class Idle(NamedTuple):
    """Seconds in which slots were idle, summed over all slots: because no build was `ready`, or `otherwise` (a build
    waited for several slots, or other clients of make's jobserver had the tokens)."""

    ready: float
    otherwise: float


def title(entry: Entry) -> str:
    return f"{entry['name']} {entry.get('version', '')}".rstrip()


def seconds(entry: Entry) -> float:
    return float(entry["ended"]) - float(entry["began"])


def critical_path(entries: Sequence[Entry]) -> list[Entry]:
    """The longest chain of builds, in seconds, in which each build had to wait for the one before it."""
    chains: dict[str, tuple[float, list[Entry]]] = {}
    for entry in sorted(entries, key=lambda each: float(each["began"])):
        before = [chains[name] for name in entry.get("after", ()) if name in chains]
        took, chain = max(before, key=lambda each: each[0], default=(0.0, []))
        chains[title(entry)] = (took + seconds(entry), [*chain, entry])
    return max(chains.values(), key=lambda each: each[0], default=(0.0, []))[1]


def idle(entries: Sequence[Entry], slots: int) -> Idle:
    """How long slots were idle, and why.

    >>> one = {"name": "one", "ready": 0, "began": 0, "ended": 4}
    >>> two = {"name": "two", "ready": 4, "began": 5, "ended": 6}
    >>> idle([one, two], 2)
    Idle(ready=5.0, otherwise=2.0)
    """
    changes = []
    for each in entries:
        began = float(each["began"])
        changes += [(float(each.get("ready", began)), 1, 0), (began, -1, 1), (float(each["ended"]), 0, -1)]
    changes.sort()
    waiting = running = 0
    found = [0.0, 0.0]
    for number, (at, more_waiting, more_running) in enumerate(changes):
        if number:
            free = max(slots - running, 0) * (at - changes[number - 1][0])
            found[1 if waiting else 0] += free
        waiting += more_waiting
        running += more_running
    return Idle(*found)


def makespan(entries: Sequence[Entry], slots: int) -> float:
    """The seconds that the same builds would take with so many slots, the one with the longest remaining path first.

    >>> one, two = ({"name": name, "began": 0, "ended": 3} for name in ("one", "two"))
    >>> last = {"name": "last", "began": 3, "ended": 5, "after": ["one"]}
    >>> [makespan([one, two, last], slots) for slots in (1, 2)]
    [8.0, 5.0]
    """
    took = {title(each): seconds(each) for each in entries}
    before = {title(each): {name for name in each.get("after", ()) if name in took} for each in entries}
    remaining = _remaining(took, before)
    running: list[tuple[float, str]] = []
    now = 0.0
    while before or running:
        ready = sorted((name for name in before if not before[name]), key=lambda name: -remaining[name])
        for name in ready[: slots - len(running)]:
            del before[name]
            heapq.heappush(running, (now + took[name], name))
        if not running:
            break  # builds that wait for themselves: the entries are wrong
        now, done = heapq.heappop(running)
        for needs in before.values():
            needs.discard(done)
    return now


def _remaining(took: Mapping[str, float], before: Mapping[str, set[str]]) -> dict[str, float]:
    """The seconds from the beginning of each build to the end of the longest chain that begins with it."""
    after: dict[str, list[str]] = {name: [] for name in took}
    for name, needs in before.items():
        for each in needs:
            after[each].append(name)
    found: dict[str, float] = {}
    left = {name: len(after[name]) for name in took}
    waiting = [name for name in took if not left[name]]
    while waiting:
        name = waiting.pop()
        found[name] = took[name] + max((found[each] for each in after[name]), default=0.0)
        for each in before[name]:
            left[each] -= 1
            if not left[each]:
                waiting.append(each)
    return {name: found.get(name, took[name]) for name in took}
