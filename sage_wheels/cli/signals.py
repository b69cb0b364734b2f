"""The signals that end a command: it stops, all processes that it has started end, and the exit status has the number.

A signal that the caller has set to be ignored (nohup, a background job of a shell script) stays ignored.
"""

from __future__ import annotations

import signal
import time

from sage_wheels.processes import ENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

# Seconds in which a second signal is ignored: a terminal that is closed sends two, for example.
_AT_ONCE = 1.0

_last = signal.SIGINT
_heard_at = float("-inf")
_is_deaf = False


def listen() -> None:
    """From now on, one of these signals raises `KeyboardInterrupt`, as Ctrl-C does in any Python."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def go_deaf() -> None:
    """Ignore these signals from now on, because nothing is left to be interrupted."""
    global _is_deaf
    _is_deaf = True
    for number in ENDING:  # because Python removes our handlers before it ends
        signal.signal(number, signal.SIG_IGN)


def exit_status() -> int:
    """128 plus the number of the last signal that was received, as shells report it."""
    return 128 + _last


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _last, _heard_at
    now = time.monotonic()
    if _is_deaf or now - _heard_at < _AT_ONCE:
        return
    _last, _heard_at = signal.Signals(number), now
    raise KeyboardInterrupt
