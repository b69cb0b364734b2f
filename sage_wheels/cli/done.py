"""What the command of this process has done so far: for its exit status, and for the message if it is interrupted."""

from __future__ import annotations

_done = ""
_is_changed = False
_is_done_by_others = False
_so_far = ""


def note(what: str) -> None:
    """Note that the command has done its work, as the sentence `what` says: if printing fails now, the status is 0."""
    global _done
    _done = what


def note_change() -> None:
    """Note that the change was made, and that an interruption does not prevent it any more."""
    global _is_changed
    _is_changed = True
    note("the change was made")


def note_others() -> None:
    """Note that from now on another program does the work, and reports what it has changed."""
    global _is_done_by_others
    _is_done_by_others = True


def note_so_far(what: str) -> None:
    """Note what the command has made already, and leaves if it is interrupted."""
    global _so_far
    _so_far = what


def sentence() -> str:
    """The sentence of `note`, or ""."""
    return _done


def interruption() -> str:
    """The sentence to print when the process is interrupted."""
    if _is_changed:
        return "interrupted; the change was made already, and the next command deletes what is left of it"
    return "interrupted" if _is_done_by_others else f"interrupted; {_so_far or 'nothing was changed'}"
