"""Come between two steps of a transaction in this process, by the audit events that Python and the tool raise."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

_Listener = Callable[[str, tuple[Any, ...]], None]
_listeners: list[_Listener] = []
_is_hooked = False


@contextlib.contextmanager
def listening(listener: _Listener) -> Iterator[None]:
    """Call `listener` with each audit event; what it raises is what the operation raises."""
    global _is_hooked
    if not _is_hooked:  # a hook cannot be taken out
        _is_hooked = True
        sys.addaudithook(lambda event, arguments: [each(event, arguments) for each in _listeners] and None)
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextlib.contextmanager
def once(instant: str, deed: Callable[[], object]) -> Iterator[list[str]]:
    """Do something once: when a plan is made and the lock is not held ("planned"), or when it is, and the journal is
    about to count ("committing"). Yields a list that is not empty once it is done."""
    done: list[str] = []

    def listener(event: str, arguments: tuple[Any, ...]) -> None:
        if instant == "planned":
            is_now = event == "sage_wheels.open" and arguments[0] == "journal" and arguments[1] & os.O_CREAT
        else:
            is_now = event == "os.rename" and os.path.basename(arguments[1]) == "journal"
        if is_now and not done:
            done.append(instant)
            deed()

    with listening(listener):
        yield done


@contextlib.contextmanager
def directory_that_cannot_be_renamed(name: str) -> Iterator[list[str]]:
    """Refuse to rename directories called `name`, as an overlay file system does with those of its lower layer. Yields
    the names that were refused."""
    refused: list[str] = []

    def listener(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and os.path.basename(arguments[0]) == name:
            refused.append(name)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), arguments[0])

    with listening(listener):
        yield refused
