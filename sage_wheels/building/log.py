"""The log of a build: the output of all hooks and of pip, in one file."""

from __future__ import annotations

import os

TAIL = 20  # lines of a log that are shown with an error
_TAIL_BYTES = 16384


def noted(sentence: str) -> str:
    """The line of the log for a sentence that is printed, too."""
    return f"--- {sentence}"


class Log:
    """An open log file. Child processes write to its descriptor `fd`, this process by `write`."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._start = os.fstat(self.fd).st_size

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def write(self, text: str) -> None:
        """Add one line, or several. Raises `OSError`, with the path."""
        try:
            os.write(self.fd, f"{text}\n".encode(errors="surrogateescape"))
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error

    def size(self) -> int:
        """The size of the log in bytes, which is the offset of the next line."""
        return os.fstat(self.fd).st_size

    def since(self, offset: int) -> str:
        """The text of the log from `offset` on."""
        return os.pread(self.fd, self.size() - offset, offset).decode(errors="replace")

    def tail(self, lines: int = TAIL) -> str:
        """The last `lines` lines of this build."""
        start = max(self._start, self.size() - _TAIL_BYTES)
        return "\n".join(self.since(start).rstrip().splitlines()[-lines:])
