"""Standard output and standard error whose errors do not end a command: a closed pipe, a full disk, or a character
that the locale's character set lacks, which is printed as an escape sequence.

If a reader stops early (`| head`), a change that was made must not become a failure. After the first error, nothing
more is written to that stream, and the error is kept.
"""

from __future__ import annotations

import errno
import io
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
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
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
        """Keep `error`, and redirect the stream to /dev/null: else Python would write the buffer again when it ends."""
        self.error = self.error or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._fd)
        os.close(nowhere)


_has_document = False


def begin() -> None:
    """Note that a command begins, and has printed no JSON yet."""
    global _has_document
    _has_document = False


def note_document() -> None:
    """Note that the command prints its JSON now: if it fails later, no second document may be printed."""
    global _has_document
    _has_document = True


def has_document() -> bool:
    return _has_document


def open_standard_streams() -> None:
    """Open standard streams that the caller has closed, on /dev/null. Otherwise the next file that is opened would get
    such a descriptor, and messages would be written into it. Also replace the output streams by `Output`."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  for as long as the process lasts
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # as in the C locale: file names are printed byte for byte
    sys.stdout = Output(sys.stdout, 1)
    sys.stderr = Output(sys.stderr, 2)


def lost() -> OSError | None:
    """Flush standard output; returns its first error, or None."""
    sys.stdout.flush()
    return getattr(sys.stdout, "error", None)


def is_closed(error: OSError) -> bool:
    """Whether `error` means that the reader has closed the pipe (EPIPE)."""
    return error.errno == errno.EPIPE
