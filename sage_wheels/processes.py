"""End all descendants of this process, when this process is told to end by a signal.

The command line tool calls `take_charge`: all descendants are its own, and it may end them. A program that imports this
package does not call it; then only the processes that this package has started are ended.

On Linux, the tool becomes a "child subreaper" (prctl(2)): a descendant whose parent has ended becomes its child,
instead of a child of init. So a descendant is found even after setsid(2) or a double fork. On other systems, one that
has done both is not found.

All descendants are first stopped (SIGSTOP), so that none of them can start another one meanwhile. Then they get
SIGTERM, and those that are left get SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType

# The signals that tell a process to end, and that it can handle.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# The signals that are deferred while a transaction is committed: those above, and Ctrl-Z.
DEFERRED = (*ENDING, signal.SIGTSTP)

# Seconds until SIGKILL follows SIGTERM, and until we give up waiting after SIGKILL.
_GRACE = 1.0
_LIMIT = 5.0
_POLL = 0.005
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """A process: its number, and its start time, because a later process may get the same number."""

    pid: int
    start: str


class _Charge:
    """`is_ours`: `take_charge` was called. `is_prepared`: `prepare` was called. `before`: the children that this
    process had then; they are never ended."""

    is_ours = False
    is_prepared = False
    before: frozenset[int] = frozenset()


def take_charge() -> None:
    """Say that this process is the command line tool, so that all its descendants may be ended."""
    _Charge.is_ours = True


def prepare() -> None:
    """Become a child subreaper, if this process is the tool. To be called before a program is started."""
    if _Charge.is_prepared or not _Charge.is_ours:
        return
    _Charge.is_prepared = True
    # a shell that ran the tool by `exec`, for example, had background jobs: they are children of this process now
    _Charge.before = frozenset(_children())
    if sys.platform == "linux":
        with contextlib.suppress(ImportError):  # a Python without libffi, or no memory: daemons are not found then
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
        signal.signal(signal.SIGTSTP, _stop)


def become_child() -> None:
    """Prepare a process that the tool has forked: it may end its descendants, and gets SIGTERM when its parent ends."""
    _Charge.is_prepared = False
    prepare()
    parent = os.getppid()
    if sys.platform == "linux":
        with contextlib.suppress(ImportError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it has ended meanwhile
        os.kill(os.getpid(), signal.SIGTERM)


def freeze(root: int) -> set[Process]:
    """Stop all descendants of the process with the number `root` (SIGSTOP); returns them."""
    stopped: set[Process] = set()
    while new := _below(root, running()) - stopped:
        _send(signal.SIGSTOP, new)
        stopped |= new
    return stopped


def end_all() -> None:
    """End all descendants of this process, if `prepare` was called, and wait for its children (no zombies stay)."""
    if _Charge.is_prepared:
        if _children() - _Charge.before:  # orphans are children, too: without a child, there is no descendant
            end(os.getpid())
        # orphans that became our children; in a container, there may be no init that waits for them
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def end(root: int, stopped: Iterable[Process] = ()) -> None:
    """End all descendants of the process with the number `root`, and the processes in `stopped`.

    In the tool, all descendants of the tool are ended: an orphan's former parent is not known.
    """
    if _Charge.is_prepared:
        root = os.getpid()
    known = {*stopped, *freeze(root)}
    _send(signal.SIGTERM, known)
    _send(signal.SIGCONT, known)
    left = _wait(root, known, _GRACE)
    limit = time.monotonic() + _LIMIT
    while left and time.monotonic() < limit:
        _send(signal.SIGKILL, left)  # including processes that were started meanwhile
        left = _wait(root, known, 10 * _POLL)


def _wait(root: int, known: set[Process], seconds: float) -> set[Process]:
    """Wait until all `known` processes and descendants of `root` have ended, or `seconds`; returns those left."""
    limit = time.monotonic() + seconds
    while True:
        everything = running()
        left = _below(root, everything) | (known & everything.keys())
        if not left or time.monotonic() > limit:
            return left
        time.sleep(_POLL)


def _children() -> set[int]:
    """The numbers of the children of this process, zombies included."""
    own = os.getpid()
    found: set[int] = set()
    try:
        for thread in os.listdir(f"/proc/{own}/task"):
            with open(f"/proc/{own}/task/{thread}/children", "rb") as f:
                found.update(map(int, f.read().split()))
    except OSError:  # not Linux, or a kernel without CONFIG_PROC_CHILDREN
        return {each.pid for each, parent in running().items() if parent == own}
    return found


def _below(root: int, everything: Mapping[Process, int]) -> set[Process]:
    """The descendants of the process `root` among `everything`, without those in `_Charge.before`."""
    children: dict[int, list[Process]] = {}
    for each, parent in everything.items():
        if each.pid not in _Charge.before:
            children.setdefault(parent, []).append(each)
    found = children.get(root, [])
    for each in found:  # the list grows in the loop
        found += children.get(each.pid, [])
    return set(found)


def _send(number: int, processes: Iterable[Process]) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # a set-user-ID program
            os.kill(each.pid, number)


def _stop(number: int, frame: FrameType | None) -> None:
    """Ctrl-Z: also stop descendants in other sessions, and continue them when this process continues."""
    stopped = freeze(os.getpid())
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)  # stops this process; the next line runs when it continues
    signal.signal(number, _stop)
    _send(signal.SIGCONT, stopped)


def running() -> dict[Process, int]:
    """Every process, with the number of its parent; without zombies."""
    return by_proc() if os.path.exists("/proc/self/stat") else by_ps()


def by_proc() -> dict[Process, int]:
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as f:
            # proc(5): number (name) state parent ...; the name may hold anything, and the start is the 22nd
            state, parent, *rest = f.read().rpartition(b")")[2].split()
            if state not in (b"Z", b"X"):
                found[Process(int(name), rest[17].decode())] = int(parent)
    return found


def by_ps() -> dict[Process, int]:
    import subprocess

    command = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="]
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="locale"
        ) as ps:
            lines = ps.communicate()[0].splitlines()
    except OSError:
        return {}  # then only the process groups that we know are ended
    rows = [line.split(None, 3) for line in lines]
    return {
        Process(int(pid), start): int(parent)
        for pid, parent, state, start in rows
        if not state.startswith("Z") and int(pid) != ps.pid
    }
