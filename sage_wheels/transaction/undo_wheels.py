"""Undo when old files are not kept any more: the earlier versions are installed again from their wheels.

This is one transaction, like an installation. So edited files and byte-code are not restored, and the steps do not
depend on earlier transactions. A wheel is used if it has the digest that is in the history. If the history has none,
because pip had installed that version, a wheel of that name and version is used.
"""

from __future__ import annotations

import contextlib

from sage_wheels.errors import OldFilesGone, SageWheelsError
from sage_wheels.metadata import canonical_name
from sage_wheels.prefix.tree import Tree
from sage_wheels.requirements.sources import digest_of
from sage_wheels.transaction import history, install
from sage_wheels.transaction.install import InstallOptions
from sage_wheels.transaction.undo_found import installed_by_others, removed_by_others
from sage_wheels.wheel.image import Request
from sage_wheels.wheel.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.history import Entry, FindWheels, HistoryChange
    from sage_wheels.transaction.report import Report
    from sage_wheels.transaction.undo_chain import EntriesToUndo

# Kinds of entries that change nothing but distributions.
_KINDS = ("install", "uninstall", "undo", "repair")


def can_come(chain: Sequence[Entry]) -> bool:
    """Whether these entries can be undone with wheels alone."""
    return all(entry.about.kind in _KINDS for entry in chain)


def undo_from_wheels(
    prefix: Prefix,
    wanted: EntriesToUndo,
    changes: Sequence[HistoryChange],
    wheels: FindWheels,
    commit_options: CommitOptions,
    error: OldFilesGone,
) -> Report:
    """Install the old version of each of the `changes`, and remove distributions without one, in one transaction.

    Raises `error` if a wheel is not found, `Conflict` if another tool has installed or removed one of these
    distributions, and the errors of `install`.
    """
    if not can_come(wanted.chain):
        raise error
    changes = [each for each in changes if each.old != each.new]
    names = frozenset(canonical_name(each.name) for each in changes)
    with contextlib.ExitStack() as stack:
        found = _open_wheels(prefix, changes, wheels, stack)
        if len(found) < sum(bool(each.old) for each in changes):
            raise error
        for path, wheel in found.items():
            commit_options.say(
                f"the old files of {wheel.name} {wheel.version} are not kept: it is installed from {path}"
            )

        def check(there: list[Distribution]) -> None:
            if not wanted.force:
                _check(changes, there, wanted)

        gone = frozenset(canonical_name(each.name) for each in changes if not each.old)
        how = InstallOptions(ignore_requires_python=True, also_remove=gone, check=check, watched=names)
        requests = [Request(wheel) for wheel in found.values()]
        return install.install(
            prefix, requests, how, commit_options, undoes=tuple(each.number for each in wanted.chain)
        )


def _open_wheels(
    prefix: Prefix, changes: Sequence[HistoryChange], wheels: FindWheels, stack: contextlib.ExitStack
) -> dict[str, Wheel]:
    """The wheel of each old version, by its path, open until `stack` is closed; without those that are not found."""
    old = [each for each in changes if each.old]
    with Tree(prefix.root) as tree:
        told = history.told_of(tree, {canonical_name(each.name): each.old for each in old})
    found: dict[str, Wheel] = {}
    for each in old:
        name = canonical_name(each.name)
        digests = {one.digest for one in told.get(name, [])}
        for path in wheels(each.name, each.old, told.get(name, [])):
            with contextlib.suppress(SageWheelsError):
                if digests and f"sha256={digest_of(path)}" not in digests:
                    continue
                wheel = stack.enter_context(Wheel(path))
                if (wheel.canonical_name, wheel.version) == (name, each.old):
                    found[path] = wheel
                    break
    return found


def are_available(prefix: Prefix, changes: Sequence[HistoryChange], wheels: FindWheels) -> bool:
    """Whether a wheel of each old version is found."""
    with contextlib.ExitStack() as stack:
        return len(_open_wheels(prefix, changes, wheels, stack)) == sum(bool(each.old) for each in changes)


def _check(changes: Sequence[HistoryChange], there: Sequence[Distribution], wanted: EntriesToUndo) -> None:
    """Raise `Conflict` if a distribution is not installed in the version that is in the history."""
    last = wanted.chain[0]
    for each in changes:
        versions = [one for one in there if one.canonical_name == canonical_name(each.name)]
        for one in versions:
            if one.version != each.new:
                raise installed_by_others(one, last)
        if each.new and not versions:
            raise removed_by_others(f"{each.name} {each.new}", last)
