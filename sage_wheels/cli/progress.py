"""Show the progress of all commands.

On a terminal, it is redrawn on standard error: a line for one build (`LiveLine`) or for a stage (`staging`), a table
for many builds (`Builds`, with rich). Into a log file, only whole lines are written. The log of a build is shown while
it is written (`shown_log`, and `Builds` for one of many).

The main thread draws everything: in the loop of many builds, or in the handler of a timer's signal (SIGALRM). There is
no second thread, because this process forks: a lock that another thread holds at that moment would stay locked in the
child for ever.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time

from sage_wheels.cli import common, screen
from sage_wheels.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from types import FrameType

    from rich.console import Console

REFRESH = 0.25  # seconds between two drawings
_SHORT = 1.0  # seconds: a run that takes no longer is not worth a table
_TAIL = 2048  # bytes at the end of a log in which its last line is looked for
_MOST = 1 << 20  # bytes of a log that are shown at once, while it is written
_BAR = 30  # columns


class LiveLine:
    """A line on a terminal with what is being built, in which phase, and for how long. Elsewhere, nothing is shown."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._phase = ""
        self._start = time.monotonic()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> LiveLine:
        if screen.is_live():
            self._open.callback(screen.clear)
            self._open.enter_context(_now_and_then(self._draw))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def phase(self, name: str) -> None:
        """Show another phase from now on."""
        self._phase = name

    def _draw(self) -> None:
        seconds = time.monotonic() - self._start
        screen.draw(f"{self._what}: {self._phase} {seconds:.0f} s")


def staging(what: str) -> Callable[[int, int], None]:
    """A function of the steps done and of all steps that redraws a line with the percentage, on a terminal only."""
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if total > 1 and now - shown > 0.1:
            shown = now
            screen.draw(f"{what} {100 * done // total:3} %")

    return show


@contextlib.contextmanager
def shown_log(path: str, said: Container[bytes] = ()) -> Iterator[None]:
    """Within this context, copy what is appended to the file `path` to standard output, without the lines in `said`."""
    offset = os.path.getsize(path) if os.path.exists(path) else 0

    def copy() -> None:
        nonlocal offset
        with open(path, "rb") as f:
            f.seek(offset)
            while lines := f.readlines(1 << 16):
                offset += sum(map(len, lines))
                text = b"".join(line for line in lines if line.rstrip(b"\n") not in said)
                while text:
                    text = text[os.write(1, text) :]

    try:
        with _now_and_then(copy):
            yield
    finally:
        with contextlib.suppress(OSError):
            copy()


@contextlib.contextmanager
def _now_and_then(draw: Callable[[], None]) -> Iterator[None]:
    """Within this context, call `draw` four times a second, in a signal handler; its `OSError`s are ignored.

    An earlier handler is called, too. The handler may interrupt a `print`. So `draw` must write to descriptors, and not
    to `sys.stdout` or `sys.stderr`. If it takes longer than that, because the reader is slow, it is not interrupted by
    another call: that would show text before what comes before it, and some of it twice.
    """
    is_drawing = False

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal is_drawing
        if callable(before):
            before(number, frame)
        if is_drawing:
            return
        is_drawing = True
        try:
            with contextlib.suppress(OSError):
                draw()
        finally:
            is_drawing = False

    before = signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, ring)
    _, interval = signal.setitimer(signal.ITIMER_REAL, REFRESH, REFRESH)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, interval, interval)
        signal.signal(signal.SIGALRM, before)


class _Row:
    """A running build: its start time, its phase, and its log or, if that is on another machine, its last lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = time.monotonic()
        self.phase = ""
        self._last = ""
        self._log = -1  # a descriptor, because the file may be deleted with the build directory
        self._offset = 0  # how many bytes of the log were shown

    def open(self, path: str) -> None:
        """Open the log at `path`, which is shown from its beginning. Errors are ignored."""
        self.close()
        with contextlib.suppress(OSError):
            self._log = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._offset = 0

    def close(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def hear(self, text: str) -> None:
        """Keep `text`, the last lines of a log on another machine."""
        self._last = text

    def last_line(self) -> str:
        text = self._last
        if self._log >= 0:
            size = os.fstat(self._log).st_size
            text = os.pread(self._log, _TAIL, max(size - _TAIL, 0)).decode(errors="replace")
        return next((line for line in reversed(text.split("\n")) if line.strip()), "")

    def more(self) -> str:
        """The complete lines that were appended to the log since the last call."""
        if self._log < 0:
            return ""
        data = os.pread(self._log, _MOST, self._offset)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace")


class Builds:
    """Shows many builds: on a terminal, a line for each that runs, and a progress bar; else a line for each event.

    `follow` is the name of a project whose log is shown, line by line; with `last_lines`, the table has the last line
    of each log. Without rich, a terminal gets a line for each event, too. Use it as a context manager.
    """

    def __init__(self, total: int, *, follow: str = "", last_lines: bool = False) -> None:
        self._total = total
        self._done = 0
        self._follow = follow
        self._last_lines = last_lines
        self._rows: dict[int, _Row] = {}
        self._is_live = screen.is_live() and _has_rich()
        self._start = time.monotonic()
        self._drawn = 0  # lines of the table on the screen
        self._console: Console | None = None

    @property
    def refresh(self) -> float | None:
        """The seconds after which `tick` has to be called again; None if it need not be called."""
        return REFRESH if self._is_live or self._follow else None

    @property
    def reads_logs(self) -> bool:
        """Whether the logs of builds are shown at all."""
        return bool(self._follow) or (self._is_live and self._last_lines)

    def __enter__(self) -> Builds:
        return self

    def __exit__(self, *_: object) -> None:
        for row in self._rows.values():
            self._show_rest(row)
            row.close()
        self._erase()

    def started(self, number: int, name: str) -> None:
        self._rows[number] = _Row(name)
        if not self._is_live:
            self.say(f"{name}: begins")

    def phase(self, number: int, phase: str) -> None:
        self._rows[number].phase = phase

    def logs(self, number: int, path: str) -> None:
        """Note that the log of the build `number`, which is on this machine, is at `path`."""
        if self.reads_logs:
            self._rows[number].open(path)

    def heard(self, number: int, text: str) -> None:
        """Note `text`, the last lines of the log of the build `number`, which is on another machine."""
        row = self._rows[number]
        row.hear(text)
        if self._is_followed(row):
            self._show(text)

    def ended(self, number: int) -> None:
        row = self._rows.pop(number, None)
        if row:
            self._show_rest(row)
            row.close()

    def counted(self) -> str:
        """Count one more build as done; returns "N of TOTAL"."""
        self._done += 1
        return f"{self._done} of {self._total}"

    def say(self, line: str) -> None:
        """Print a line that is not redrawn."""
        self._erase()
        print(printable(line), file=sys.stderr, flush=True)

    def warn(self, sentence: str) -> None:
        self._erase()
        common.warn(sentence)

    def tick(self) -> None:
        """Show what is new in the logs, and redraw the table."""
        for row in self._rows.values():
            self._show_more(row)
        if self._is_live and time.monotonic() - self._start > _SHORT:
            self._draw()

    def _is_followed(self, row: _Row) -> bool:
        return bool(self._follow) and row.name.partition(" ")[0] == self._follow

    def _show_more(self, row: _Row) -> bool:
        """Show the next part of a log that is followed; False if there is none."""
        if self._is_followed(row) and (text := row.more()):
            self._show(text)
            return True
        return False

    def _show_rest(self, row: _Row) -> None:
        while self._show_more(row):
            pass

    def _show(self, text: str) -> None:
        self._erase()
        for line in text.splitlines():
            print(printable(line), file=sys.stderr)
        sys.stderr.flush()

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.flush()
            os.write(2, f"\x1b[{self._drawn}F\x1b[J".encode())
            self._drawn = 0

    def _draw(self) -> None:
        text = self._picture()
        sys.stderr.flush()
        up = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        # one write(2), so that no half of it is seen; a line of full width would wrap, so none is
        os.write(2, f"{up}{text}".encode(sys.stderr.encoding or "utf-8", errors="replace"))
        self._drawn = text.count("\n")

    def _picture(self) -> str:
        from rich.console import Console, Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        columns, lines = screen.size()
        target = _Text()
        if self._console is None:
            self._console = Console(
                force_terminal=True, no_color=not screen.has_colours(), legacy_windows=False, highlight=False
            )
        console = self._console
        console.file, console.size = target, (columns - 1, lines)
        now, room = time.monotonic(), max(lines - 3, 1)
        rows = list(self._rows.values())
        table = Table.grid(padding=(0, 1), expand=True)
        widest = max((len(row.name) for row in rows[:room]), default=1)
        table.add_column(no_wrap=True, overflow="ellipsis", width=min(widest, columns * 2 // 5))
        table.add_column(no_wrap=True, overflow="ellipsis", width=min(12, columns // 5))
        table.add_column(no_wrap=True, justify="right", width=7)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for row in rows[:room]:
            last = screen.cut(row.last_line().expandtabs(1), columns) if self._last_lines else ""
            seconds = f"{now - row.start:.0f} s"
            table.add_row(Text(row.name, style="bold"), Text(row.phase), Text(seconds), Text(last, style="dim"))
        left = self._total - self._done
        said = f" {self._done} of {self._total}, {len(rows)} running, {max(left - len(rows), 0)} waiting"
        if len(rows) > room:
            said += f" ({len(rows) - room} not shown)"
        bar = Table.grid()
        bar.add_row(ProgressBar(self._total, self._done, width=min(_BAR, max(columns - len(said) - 2, 4))), Text(said))
        console.print(Group(table, bar), no_wrap=True, crop=True)
        return target.getvalue()


class _Text(io.StringIO):
    """What rich writes, for a terminal that shows the characters of standard error."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stderr.encoding or "utf-8"


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None
