"""The terminal: its width, whether a line on it may be redrawn, and colours.

A line that is redrawn is cut to the width of the terminal. Under make, or if standard error is a file, nothing is
redrawn. Colours: red for a failure, yellow for a warning, green for a change.
"""

from __future__ import annotations

import os
import sys

from sage_wheels import environment

_CODES = {"error": "1;31", "warning": "33", "change": "32", "header": "1"}
_NARROWEST = 20  # columns; a smaller number that a terminal reports is ignored

_choice = "auto"


def choose(choice: str) -> None:
    """Use colours "always", "never", or ("auto") on a terminal, unless NO_COLOR or TERM=dumb says otherwise."""
    global _choice
    _choice = choice


def painted(text: str, kind: str, fd: int = 2) -> str:
    """`text` in the colour of its `kind`, if colours are used on the descriptor `fd`."""
    return f"\x1b[{_CODES[kind]}m{text}\x1b[0m" if has_colours(fd) else text


def has_colours(fd: int = 2) -> bool:
    """Whether colours are used on the descriptor `fd`."""
    if _choice != "auto":
        return _choice == "always"
    return (
        not environment.get(environment.NO_COLOR) and environment.get(environment.TERM) != "dumb" and _is_terminal(fd)
    )


def is_live() -> bool:
    """Whether a line on standard error can be redrawn, because it is a terminal that no other process writes to."""
    under_make = bool(environment.get(environment.MAKELEVEL))
    return not under_make and environment.get(environment.TERM) != "dumb" and _is_terminal(2)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def width(fd: int = 2) -> int:
    """The columns of the terminal. They are not cached, because the size of a window may change."""
    return size(fd)[0]


def size(fd: int = 2) -> tuple[int, int]:
    """The columns and lines of the terminal."""
    try:
        columns, lines = os.get_terminal_size(fd)
    except OSError:
        columns = lines = 0
    return columns if columns >= _NARROWEST else 80, lines if lines > 1 else 24


def cut(line: str, columns: int) -> str:
    """`line` in at most `columns` columns; what is left out in the middle is shown as three dots.

    >>> cut("building /a/very/long/prefix: 3 s", 20)
    'building ...fix: 3 s'
    """
    line = line if line.isprintable() else "".join(each if each.isprintable() else "?" for each in line)
    if line.isascii():
        if len(line) <= columns:
            return line
        end = (columns - 3) // 2
        return f"{line[: columns - 3 - end]}...{line[-end:]}"
    if sum(map(_columns_of, line)) <= columns:
        return line
    kept, used = "", 0
    for each in line:
        used += _columns_of(each)
        if used > columns - 3:
            break
        kept += each
    return f"{kept}..."


def _columns_of(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def draw(line: str) -> None:
    """Redraw the line. It writes to the descriptor, because a signal handler may call it during a `print`."""
    # the last column is not used, because some terminals would wrap then
    os.write(2, f"\r\x1b[K{cut(line, width() - 1)}".encode(errors="replace"))


def clear() -> None:
    """Erase the line that was drawn."""
    if is_live():
        sys.stderr.flush()
        os.write(2, b"\r\x1b[K")


def human_size(size: int) -> str:
    """A number of bytes for people.

    >>> [human_size(each) for each in (999, 34_800, 1_500_000, 2_300_000_000)]
    ['999 B', '35 kB', '1.5 MB', '2.3 GB']
    """
    if size < 1000:
        return f"{size} B"
    if size < 999_500:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 999_950_000 else f"{size / 1e9:.1f} GB"
