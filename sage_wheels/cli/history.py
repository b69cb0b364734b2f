"""Say what was changed in a prefix, when, by whom, with which command; the newest change last.

With a number, print that change in full. With names of distributions, print the changes of those. Changes that were
interrupted and undone are there, too. 'sage-wheels undo' can undo a change while its old files are kept; --size prints
how large they are. --forget deletes entries and their old files.
"""

from __future__ import annotations

import argparse
import time

from sage_wheels.cli import common, done, screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.history import Entry

EXAMPLES = """\
    sage-wheels history
    sage-wheels history 7 --json
    sage-wheels history --forget all
"""


_SHOWN = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("--all", action="store_true", help=f"list all changes, not only the last {_SHOWN}")
    parser.add_argument("--size", action="store_true", help="print the size of the old files that are kept")
    parser.add_argument("--forget", metavar="N|all", help="delete entry number N, or all, and the old files")
    parser.add_argument("what", nargs="*", metavar="N|NAME", help="number of a change, or names of distributions")


def run(options: argparse.Namespace) -> int:
    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    if options.forget:
        return _forget(prefix, options.forget)
    if options.size:
        return _sizes(prefix, as_json=options.json)
    numbers = [int(each) for each in options.what if each.isdecimal()]
    names = [each for each in options.what if not each.isdecimal()]
    found = _find(prefix, numbers, names, most=0 if options.all or options.what else _SHOWN, as_json=options.json)
    if options.json:
        common.print_json([facts for _, facts in found])
    else:
        for _, lines in found:
            print("\n".join(lines))
    return _missing(prefix, numbers, {number for number, _ in found}, names if not found else [])


def _find(prefix: Prefix, numbers: list[int], names: list[str], *, most: int, as_json: bool) -> list[tuple[int, Any]]:
    """The number of each entry, and what to print of it, the oldest one first."""
    from sage_wheels.metadata import canonical_name
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction import history

    wanted = {canonical_name(name) for name in names}
    found: list[tuple[int, Any]] = []
    try:
        with Tree(prefix.root) as tree:
            between = range(min(numbers), max(numbers) + 1) if numbers and not names else None
            for entry in history.entries(tree, between):
                if (numbers or wanted) and entry.number not in numbers and not entry.names & wanted:
                    continue
                if most and len(found) == most:
                    common.warn(f"these are the last {most} changes; --all lists all")
                    break
                lines = [] if as_json else _in_full(prefix, entry) if numbers else [_line(entry)]
                found.append((entry.number, _facts(entry) if as_json else lines))
    except FileNotFoundError:
        pass
    return found[::-1]


def _missing(prefix: Prefix, numbers: list[int], there: set[int], names: list[str]) -> int:
    for number in numbers:
        if number not in there:
            common.warn(f"there is no number {number} in the history of {prefix.root}")
    if names:
        common.warn(f"the history of {prefix.root} has no change of {' or '.join(names)}")
    return 1 if set(numbers) - there else 0


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "-"


def _changed(entry: Entry) -> str:
    if entry.problem:
        return f"cannot be read: {entry.problem}"
    told = []
    for change in entry.about.changes:
        if change.old and change.new and change.old != change.new:
            told.append(f"{change.name} {change.old} -> {change.new}")
        else:
            told.append(
                f"{'+' if change.new and not change.old else '-' if not change.new else '='}{change.name} "
                f"{change.new or change.old}"
            )
    undoes = ", ".join(map(str, entry.about.undoes))
    first = f"undo of {undoes}: " if undoes else "undid an interrupted " if entry.is_undone else ""
    kind = entry.about.kind if entry.is_undone or not told else ""
    return f"{first}{kind + ' ' if kind and told else kind}{', '.join(told)}".strip()


def _line(entry: Entry) -> str:
    return f"{entry.number:>5}  {_when(entry.about.time)}  {entry.about.user or '-':10}  {_changed(entry)}"


def _in_full(prefix: Prefix, entry: Entry) -> list[str]:
    about = entry.about
    lines = [
        f"number: {entry.number}",
        f"when: {_when(about.time)}",
        f"who: {about.user} on {about.host}",
        f"command: {' '.join(about.command)}",
        f"version: sage-wheels {entry.version}",
        f"seconds: {max(0.0, about.time - about.started):.3f}",
        f"kind: {'undone by recovery' if entry.is_undone else about.kind}",
        f"undo: {_undoable(prefix, entry)}",
    ]
    if entry.problem:
        lines.append(f"problem: {entry.problem}")
    for change in about.changes:
        lines.append(f"change: {change.name} {change.old or '-'} -> {change.new or '-'}")
        lines += [f"  {each}" for each in (change.digest, change.origin) if each]
    return lines


def _undoable(prefix: Prefix, entry: Entry) -> str:
    if entry.is_undone:
        return "was undone"
    if not entry.journal:
        return "not any more"
    if entry.needs_old_files and not entry.kept:
        return f"not any more: its old files are not kept{_from_wheels(prefix, entry)}"
    return common.command(prefix, f"undo {entry.number}")


def _from_wheels(prefix: Prefix, entry: Entry) -> str:
    """Whether the earlier versions can be installed from wheels, as a text."""
    from sage_wheels.errors import SageWheelsError
    from sage_wheels.manifests.wheels import wheel_finder
    from sage_wheels.transaction.undo_wheels import are_available, can_come

    old = [each for each in entry.about.changes if each.old != each.new]
    if not old or not can_come([entry]):
        return ""
    names = ", ".join(f"{each.name} {each.old}" for each in old if each.old)
    try:
        with wheel_finder(prefix, common.warn_once) as wheels:
            if are_available(prefix, old, wheels):
                undo = common.command(prefix, f"undo {entry.number}")
                return f"; '{undo}' installs {names} from wheels that are there"
    except SageWheelsError:
        pass
    undo = common.command(prefix, f"undo {entry.number} --find-links DIR")
    return f"; with the wheels of {names} in DIR: '{undo}'"


def _facts(entry: Entry) -> dict[str, Any]:
    about = entry.about
    return {
        "number": entry.number,
        "time": about.time,
        "seconds": max(0.0, about.time - about.started),
        "user": about.user,
        "host": about.host,
        "command": list(about.command),
        "version": entry.version,
        "kind": "undone" if entry.is_undone else about.kind,
        "undoes": list(about.undoes),
        "changes": [change._asdict() for change in about.changes],
        "undo": not entry.is_undone and entry.journal is not None and (bool(entry.kept) or not entry.needs_old_files),
        "problem": entry.problem,
    }


def _sizes(prefix: Prefix, *, as_json: bool) -> int:
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction import kept

    found = []
    try:
        with Tree(prefix.root) as tree:
            found = kept.everything(tree)[::-1]
    except FileNotFoundError:
        pass
    if as_json:
        common.print_json([{"number": each.number, "bytes": each.size, "time": each.time} for each in found])
        return 0
    for each in found:
        print(f"{each.number:>5}  {_when(each.time)}  {screen.human_size(each.size):>12}")
    size = screen.human_size(sum(each.size for each in found))
    print(f"kept: {size} of {common.counted(len(found), 'transaction')}")
    return 0


def _forget(prefix: Prefix, what: str) -> int:
    from sage_wheels.errors import UsageError
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction import kept, sweep
    from sage_wheels.transaction.history import HistoryBounds

    if what != "all" and not what.isdecimal():
        raise UsageError(f"{what!r} is no number of a change", "give --forget N or --forget all")
    try:
        with Tree(prefix.root) as tree:
            count = kept.forget(tree, None if what == "all" else {int(what)}, None)
    except FileNotFoundError:
        count = 0
    done.note_change()
    sweep.sweep_dead(prefix, common.warn, HistoryBounds())
    common.warn(f"forgot {common.counted(count, 'change')} of {prefix.root}")
    return 0 if count or what == "all" else 1
