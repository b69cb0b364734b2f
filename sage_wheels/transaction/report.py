"""Types for what a transaction did, for messages and JSON."""

from __future__ import annotations

from sage_wheels.named import NamedTuple


class Change(NamedTuple):
    """The version of a distribution before and after; "" if it was or is not installed, or was an .egg-link."""

    name: str
    old_version: str
    new_version: str


class Unchanged(NamedTuple):
    """A distribution for which nothing had to be done; `version` is "" if it is not installed."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


class PathChange(NamedTuple):
    """A change at one path of the prefix; `path` is a full path.

    `action` is "place" (a new file or directory), "replace" (a file), "exchange" or "swap" (a directory), "remove", or
    "rmdir" (an empty directory).
    """

    action: str
    path: str

    def __str__(self) -> str:
        return f"{self.action} {self.path}"


class Report(NamedTuple):
    """What a transaction did, or, after a dry run, would do.

    - `changes`: the distributions that were installed, replaced or removed.
    - `unchanged`: distributions that were installed already (`uninstall`: were not installed).
    - `set_aside`: full paths of copies of edited files.
    - `not_compiled`: the number of sources without byte-code, by distribution.
    - `ignored`: rows of RECORD that were ignored.
    - `runs_at_start`: full paths of new files that run at every start of Python.
    - `unmet`: a sentence for each requirement that is not installed, and each Requires-Python that was ignored.
    - `steps`: the changes of the prefix, in their order.
    - `lock_seconds`: how long the prefix lock was held.
    - `overwritten`: full paths of replaced files of other distributions, with these distributions.
    """

    changes: tuple[Change, ...] = ()
    unchanged: tuple[Unchanged, ...] = ()
    set_aside: tuple[str, ...] = ()
    not_compiled: tuple[tuple[str, int], ...] = ()
    ignored: tuple[str, ...] = ()
    runs_at_start: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    steps: tuple[PathChange, ...] = ()
    lock_seconds: float = 0.0
    overwritten: tuple[tuple[str, tuple[str, ...]], ...] = ()


class HistoryEntry(NamedTuple):
    """One change of a prefix, as it is in the history. `time` is when it was made, in seconds since the epoch, and
    `seconds` how long the command had worked. `kind` is "install", "uninstall", "undo", "repair" or "move-tree"; or
    "undone" for a change that was interrupted. `undoes` are the numbers of the changes that it undid. `can_be_undone`
    is whether its old files are kept, or it needs none. `problem` says why the entry cannot be read."""

    number: int
    kind: str
    time: float
    seconds: float
    user: str
    host: str
    command: tuple[str, ...]
    changes: tuple[Change, ...]
    undoes: tuple[int, ...]
    can_be_undone: bool
    problem: str
