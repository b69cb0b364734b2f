"""Run commands and measure them: wall time, processor time, and the largest resident set of any of their processes.

The kernel counts the memory of whoever starts a process to that process, so the least that can be seen is the size of
this harness (some 20 MiB): it holds nothing large.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss, getrusage(2)


class Failed(Exception):
    """A command that was to succeed did not."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command that succeeded: `seconds` of wall time, `processor` seconds of all processes, `peak` in bytes."""

    seconds: float
    processor: float
    peak: int
    stdout: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A command to be measured, and what is to be done each time before it, unmeasured."""

    name: str
    prepare: Callable[[], object]
    command: Sequence[str]
    environment: Mapping[str, str]


def run(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end. Raises `Failed` with what it said last."""
    with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as err:
        begin = time.perf_counter()
        pid = start(command, environment, out, err)
        try:
            _, status, usage = os.wait4(pid, 0)
        except BaseException:
            kill(pid)
            raise
        seconds = time.perf_counter() - begin
        if status:
            said = "".join(map(_text, (out, err)))[-2000:]
            raise Failed(f"{shlex.join(command)[:500]}\nended with {os.waitstatus_to_exitcode(status)}:\n{said}")
        return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT, _text(out))


def complaint(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a command that fails says last; nothing if it succeeds."""
    try:
        run(command, environment)
    except Failed as error:
        return str(error).rstrip().rpartition("\n")[2]
    return ""


def run_and_kill(command: Sequence[str], environment: Mapping[str, str], after: float) -> None:
    """Start a command, and kill it with all its children `after` seconds, if it is not done by then."""
    with open(os.devnull, "wb") as null:
        pid = start(command, environment, null, null)
        time.sleep(after)
        kill(pid)


def start(command: Sequence[str], environment: Mapping[str, str], out: IO[bytes], err: IO[bytes]) -> int:
    """Start a command in a process group of its own; the process id."""
    with open(os.devnull, "rb") as null:
        streams = [(os.POSIX_SPAWN_DUP2, each.fileno(), number) for number, each in enumerate((null, out, err))]
        return os.posix_spawn(command[0], list(command), environment, file_actions=streams, setpgroup=0)


def kill(pid: int) -> None:
    """SIGKILL the process group that `start` made, and wait for its leader."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def paired(trials: Sequence[Trial], rounds: int, *, warm_up: bool = True) -> dict[str, list[Run]]:
    """Run each trial once a round, in an order that turns round every time, so that drift hits all alike."""
    runs: dict[str, list[Run]] = {trial.name: [] for trial in trials}
    for number in range(-1 if warm_up else 0, rounds):
        for trial in trials if number % 2 == 0 else reversed(trials):
            trial.prepare()
            done = run(trial.command, trial.environment)
            if number >= 0:
                runs[trial.name].append(done)
    return runs


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
