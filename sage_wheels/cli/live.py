"""A live line on a terminal: what is being done, in which phase, for how long. In a log file there is none.

And the log of a build, on standard output, while it is written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from sage_wheels.cli import common

_REFRESH = 0.25  # seconds between two pictures of the line


class LiveLine:
    """One line on a terminal that says what is being built, in which phase, and for how long; else nothing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._phase = ""
        self._start = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True) if sys.stderr.isatty() else None

    def __enter__(self) -> LiveLine:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()
            common.clear_line()

    def phase(self, name: str) -> None:
        """Show another phase from now on."""
        self._phase = name

    def _run(self) -> None:
        while not self._done.wait(_REFRESH):
            seconds = time.monotonic() - self._start
            print(f"\r\x1b[K{self._what}: {self._phase} {seconds:.0f} s", end="", file=sys.stderr, flush=True)


class ShownLog:
    """What is appended to the file `path` meanwhile, on standard output."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._place = os.path.getsize(path) if os.path.exists(path) else 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_REFRESH):
            self._copy()
        self._copy()

    def _copy(self) -> None:
        # by its descriptor: if the process forks just now, the child finds no lock of sys.stdout that nobody opens
        with contextlib.suppress(OSError), open(self._path, "rb") as f:
            f.seek(self._place)
            while text := f.read(1 << 16):
                self._place += os.write(1, text)
                f.seek(self._place)
