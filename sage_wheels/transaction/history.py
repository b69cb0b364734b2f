"""The history: what was changed in a prefix, when, and by which command. Each transaction has one file.

    <prefix>/var/lib/sage-wheels/
        history/NUMBER-ID           the journal of a transaction, renamed there by its commit; ID is that of its stage
        history/NUMBER-ID.undone    the journal of an interrupted transaction, renamed there by recovery
        kept/NUMBER-ID/             the stage of a transaction with the old files, until it is deleted (see `kept`)

Each change gets the next number; numbers may be missing. The last number is in the lock file, which is read and written
while the lock is held. Nothing but undoing depends on the entries, so they may be deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time

from sage_wheels import environment, redaction
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.paths import NOWHERE, PrefixPath, below, plain
from sage_wheels.transaction import journal, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from sage_wheels.prefix.lock import Held
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.journal import Journal

    # The paths of wheels that may be those of a distribution, by its name, its version and what the history says of it.
    FindWheels = Callable[[str, str, Sequence["HistoryChange"]], Iterable[str]]

HISTORY = below(STATE, "history")
KEPT = below(STATE, "kept")
_UNDONE = ".undone"
_DIGITS = 18  # at most, of a number
_NAME = r"(\d{1,18})-([0-9]+-[0-9a-f]+)(\.undone)?"
_LONGEST_COMMAND = 4096  # characters; a longer command line is shortened in the middle


class HistoryBounds(NamedTuple):
    """How many transactions' old files are kept, for how many days, and up to how many bytes in all. With 0
    transactions, nothing is kept, and no entry is written."""

    transactions: int = 20
    days: float = 30.0
    size: int = 1 << 30

    @property
    def is_off(self) -> bool:
        return self.transactions <= 0


class HistoryChange(NamedTuple):
    """The version of a distribution before and after, "" if it was or is not installed; `digest` is that of the wheel
    ("sha256=..."), `origin` its URL or path."""

    name: str
    old: str
    new: str
    digest: str = ""
    origin: str = ""


class TransactionSummary(NamedTuple):
    """What an entry says. `started` is when the command began, `time` when it was about to commit, both in seconds
    since the epoch. `undoes` are the numbers of the entries that it undoes. `planned` is the time of its plan (ns), by
    the clock of the file system.
    """

    kind: str = ""
    started: float = 0.0
    time: float = 0.0
    user: str = ""
    host: str = ""
    command: tuple[str, ...] = ()
    changes: tuple[HistoryChange, ...] = ()
    undoes: tuple[int, ...] = ()
    planned: int = 0

    def to_text(self) -> str:
        return json.dumps(self._asdict())


class Entry(NamedTuple):
    """An entry. `id` is that of its stage; `is_undone` is whether the transaction was interrupted and undone instead of
    committed. `kept` is the directory of its old files, "" if there is none. `journal` is the content of the file, and
    `about` what it says; if it cannot be read, `problem` says why, and `about` is empty."""

    number: int
    id: str
    is_undone: bool
    version: str
    about: TransactionSummary
    journal: Journal | None
    kept: PrefixPath
    problem: str = ""

    @property
    def name(self) -> str:
        return f"{self.number}-{self.id}{_UNDONE if self.is_undone else ''}"

    @property
    def stage(self) -> PrefixPath:
        return plain(f"{STATE}/stage/{self.id}")

    @property
    def names(self) -> set[str]:
        """The normalised names of the distributions that changed."""
        from sage_wheels.metadata import canonical_name

        return {canonical_name(change.name) for change in self.about.changes}

    @property
    def needs_old_files(self) -> bool:
        return self.journal is not None and keeps_something(self.journal)


def public(entry: Entry) -> report.HistoryEntry:
    """The entry without what is only needed for undoing it."""
    told = entry.about
    return report.HistoryEntry(
        entry.number,
        "undone" if entry.is_undone else told.kind,
        told.time,
        max(0.0, told.time - told.started),
        told.user,
        told.host,
        told.command,
        tuple(report.Change(each.name, each.old, each.new) for each in told.changes),
        told.undoes,
        not entry.is_undone and entry.journal is not None and (bool(entry.kept) or not entry.needs_old_files),
        entry.problem,
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def about(
    kind: str, changes: list[HistoryChange], started: float, planned: int, undoes: tuple[int, ...] = ()
) -> TransactionSummary:
    """What the entry of a transaction of this process says. Passwords in URLs and options are left out."""
    import sys

    now = time.time()
    command = [os.path.basename(sys.argv[0]) or "python", *redaction.command_line(sys.argv[1:])]
    if command[0] == "__main__.py":
        command[0] = "sage-wheels"
    while len(command) > 2 and sum(map(len, command)) > _LONGEST_COMMAND:
        command[len(command) // 2 :] = ["..."] if command[-1] != "..." else command[len(command) // 2 + 1 :]
    safe = tuple(each._replace(origin=redaction.url(each.origin)) for each in changes)
    return TransactionSummary(
        kind, started or now, now, _user(), os.uname().nodename, tuple(command), safe, undoes, planned
    )


def _user() -> str:
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    asker = environment.get(environment.SUDO_USER)
    return f"{name} for {asker}" if asker and asker.isprintable() and not os.getuid() else name


def keeps_something(entry: Journal) -> bool:
    """Whether a transaction has old files: it has replaced or removed something, or fetched those of an earlier one."""
    goes = ("replace", "exchange", "swap", "remove")
    return any(step.do in goes or step.staged.startswith(f"{KEPT}/") for step in entry.steps)


def next_number(held: Held, counted: int) -> int:
    """The number of the change that is made now. `counted` is the last number, used if the lock file has none."""
    return 1 + (counted if held.number is None else held.number)


def counted(tree: Tree) -> int:
    """The highest number in the history; 0 if there is none. Raises `OSError` if it cannot be listed."""
    return max((number for number, _ in _numbered(tree)), default=0)


def path_of(number: int, stage: str, *, undone: bool = False) -> PrefixPath:
    """The path of the entry with that number, made by the transaction with that `stage`."""
    return below(HISTORY, f"{number}-{os.path.basename(stage)}{_UNDONE if undone else ''}")


def entry_of(tree: Tree, stage: str) -> str:
    """The name of the entry of the transaction with that `stage`, "" if there is none."""
    id = os.path.basename(stage)
    with contextlib.suppress(OSError):
        for number, name in _numbered(tree):
            if id in name and name in (f"{number}-{id}", f"{number}-{id}{_UNDONE}"):
                return name
    return ""


def is_undone(name: str) -> bool:
    return name.endswith(_UNDONE)


# --- reading ---------------------------------------------------------------------------------------------------------


def parse_name(name: str) -> tuple[int, str, bool] | None:
    """The number, the id of the stage, and whether it was undone; None if `name` is not that of an entry.

    >>> parse_name("7-123-abc.undone")
    (7, '123-abc', True)
    """
    found = re.fullmatch(_NAME, name)
    return (int(found[1]), found[2], bool(found[3])) if found else None


def _numbered(tree: Tree) -> Iterator[tuple[int, str]]:
    """The number and name of each entry. Nothing else is read, because there may be thousands."""
    try:
        names = tree.names(HISTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        number = name.partition("-")[0]
        if number.isdecimal() and number.isascii() and len(number) <= _DIGITS:
            yield int(number), name


def entries(tree: Tree, numbers: range | None = None) -> Iterator[Entry]:
    """The entries, the newest one first, each read when it is asked for. Raises `OSError`."""
    paths = {}
    with contextlib.suppress(OSError):
        paths = {found[1]: below(KEPT, name) for name in tree.names(KEPT) if (found := parse_name(name))}
    for number, name in sorted(_numbered(tree), reverse=True):
        if (numbers is None or number in numbers) and (found := parse_name(name)):
            yield read(tree, *found, paths.get(found[1], NOWHERE))


def told_of(tree: Tree, versions: Mapping[str, str]) -> dict[str, list[HistoryChange]]:
    """What the entries say of the wheels of these versions, by normalised name of the distribution.

    Entries are read from the newest one, until each version was found. Raises `OSError`.
    """
    from sage_wheels.metadata import canonical_name

    found: dict[str, list[HistoryChange]] = {}
    for entry in entries(tree):
        for change in entry.about.changes:
            name = canonical_name(change.name)
            if change.digest and versions.get(name) == change.new:
                found.setdefault(name, []).append(change)
        if len(found) == len(versions):
            break
    return found


def read(tree: Tree, number: int, id: str, is_undone: bool, kept: PrefixPath) -> Entry:
    path = path_of(number, id, undone=is_undone)
    try:
        content = journal.from_bytes(tree.read(path))
        told = _parse(content.about)
    except OSError as error:
        return Entry(
            number, id, is_undone, "", TransactionSummary(), None, kept, f"{tree.path(path)}: {error.strerror}"
        )
    except ValueError as error:
        return Entry(number, id, is_undone, "", TransactionSummary(), None, kept, f"{tree.path(path)}: {error}")
    return Entry(number, id, is_undone, content.version, told, content, kept)


def planned(entry: Journal) -> int:
    """The time of the plan (ns) of the transaction `entry`; 0 if that is not known."""
    try:
        return _parse(entry.about).planned
    except ValueError:
        return 0


def _parse(text: str) -> TransactionSummary:
    """Raises `ValueError` if it is not what `TransactionSummary.to_text` writes."""
    usual = TransactionSummary()
    try:
        content: Any = json.loads(text) if text else {}
        fields: dict[str, Any] = {name: content.get(name, getattr(usual, name)) for name in TransactionSummary._fields}
        for name in ("kind", "user", "host"):
            fields[name] = str(fields[name])
        fields["started"], fields["time"] = float(fields["started"]), float(fields["time"])
        fields["planned"] = int(fields["planned"])
        fields["command"] = tuple(map(str, fields["command"]))
        fields["undoes"] = tuple(map(int, fields["undoes"]))
        fields["changes"] = tuple(HistoryChange(*map(str, each)) for each in fields["changes"])
    except (TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError("its description of the change is invalid") from error
    return TransactionSummary(**fields)
