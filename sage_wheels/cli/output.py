"""Standard output and standard error that may be closed, or full, without stopping what a command does.

Whoever stops reading (`| head`) does not turn a change that was made into a failure. What could not be written is
remembered, and nothing more is written there.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


class Output:
    """A text stream whose errors are kept instead of raised."""

    def __init__(self, stream: TextIO, fd: int) -> None:
        self._stream = stream
        self._fd = fd
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError) -> None:
        """Send the rest to /dev/null: else Python would try to write the buffer again when the process ends."""
        self.error = self.error or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._fd)
        os.close(nowhere)


_has_document = False


def begin() -> None:
    """A command begins; it has printed no JSON yet."""
    global _has_document
    _has_document = False


def note_document() -> None:
    """Note that standard output gets its JSON: there is one document on it, also where the command fails after that."""
    global _has_document
    _has_document = True


def has_document() -> bool:
    return _has_document


def open_standard_streams() -> None:
    """Open those that the caller has closed on /dev/null: else the next file that is opened would get the number of
    one, and what is printed would go there. From then on, write errors of the streams are kept and not raised."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  for as long as the process lasts
    sys.stdout = Output(sys.stdout, 1)
    sys.stderr = Output(sys.stderr, 2)


def lost() -> OSError | None:
    """What went wrong with standard output, if anything; what was printed is written before."""
    sys.stdout.flush()
    return getattr(sys.stdout, "error", None)


def is_closed(error: OSError) -> bool:
    """Whether `error` only says that nobody reads any more."""
    return error.errno == errno.EPIPE
