"""Remove distributions from a prefix: exactly what they installed, all of them or none.

It is no error if a NAME is not installed. If NAME==VERSION is given and another version is installed, that is an error,
and nothing is removed. Files that another distribution owns, too, stay. Files that no distribution owns stay, and are
named if they are in a directory of the package. Edited files are kept in PREFIX/var/lib/sage-wheels/set-aside and
named. Distributions that still need a removed one are named, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os

from sage_wheels.cli import common, screen
from sage_wheels.metadata import canonical_name
from sage_wheels.requirements.names import named_by, names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.requirements.names import Named
    from sage_wheels.transaction.report import Report

EXAMPLES = """\
    sage-wheels uninstall six pexpect==4.9.0
    sage-wheels uninstall --dry-run -r names.txt
"""

_TRIES = 5
_PATIENCE = 1.0  # seconds to wait for the lock, which transactions hold for milliseconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="names from a file")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help=argparse.SUPPRESS)  # pip's habit; nothing is asked
    parser.add_argument("names", nargs="*", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import SageWheelsError, UsageError

    # also modules for the messages after the change: it may have removed what would be imported then
    from sage_wheels.fs import presence  # noqa: F401
    from sage_wheels.installed import neighbours, owners  # noqa: F401
    from sage_wheels.transaction import history, kept  # noqa: F401
    from sage_wheels.transaction.uninstall import uninstall

    if not options.names and not options.requirement:
        raise UsageError("nothing is named to uninstall", "give names or -r FILE")
    all_asked = named_by(options.names, options.requirement)
    wanted = [canonical_name(name) for name in names_of(all_asked)]
    prefix = common.prefix_of(options)
    report = uninstall(prefix, wanted, common.commit_options_of(options), check=_checking(prefix, all_asked))
    common.print_report(report, prefix, options)
    if report.changes:
        with contextlib.suppress(OSError, MemoryError, SageWheelsError):  # the change was made, even if this fails
            _say_what_followed(prefix, report, options)
    if not options.quiet:
        for name, _ in report.unchanged:
            why = f"{name} is not installed in {prefix.root}, so there is nothing to remove"
            common.warn(f"{why}{common.hint(prefix, name)}")
    return 0


def _checking(prefix: Prefix, all_asked: list[Named]) -> Callable[[list[Distribution]], None]:
    """A check of the installed distributions, which raises `NotThere` if one has another version than was named.

    It may be called while the lock is held, so it imports nothing.
    """
    from sage_wheels.errors import NotThere
    from sage_wheels.installed.distributions import described

    specifiers = {}
    for each in all_asked:
        if not any(sign in each.written for sign in "=<>~!") or "@" in each.written:
            continue
        from packaging.requirements import InvalidRequirement, Requirement

        with contextlib.suppress(InvalidRequirement):  # a path or a URL
            specifiers[each.written] = (canonical_name(each.name), Requirement(each.written).specifier)

    def check(distributions: list[Distribution]) -> None:
        for written, (name, specifier) in specifiers.items():
            for there in (described(prefix, each) for each in distributions if each.canonical_name == name):
                if there.version and not specifier.contains(there.version, prereleases=True):
                    what = f"{written} is not installed in {prefix.root}, but {there} is"
                    raise NotThere(what, f"to remove that, name {there.name} alone")

    return check


def _stayed(prefix: Prefix, report: Report) -> list[str]:
    """Files that no distribution owns, in the remaining directories of the distributions that were removed."""
    from sage_wheels.fs import presence
    from sage_wheels.installed import find_all
    from sage_wheels.installed.owners import Owners
    from sage_wheels.prefix import lock
    from sage_wheels.prefix.locator import landmarks
    from sage_wheels.prefix.paths import below, plain
    from sage_wheels.transaction.pending import pending

    marks = landmarks(prefix)
    removed = (step.path for step in report.steps if step.action in ("remove", "rmdir"))
    directories = {plain(os.path.dirname(path)[len(prefix.root) + 1 :]) for path in removed}
    stayed = [each for each in sorted(directories) if marks.inside_library(each) and os.path.isdir(prefix.path(each))]
    files = [
        below(each, name)
        for each in stayed
        for name in sorted(os.listdir(prefix.path(each)))
        if not presence.is_real_directory(prefix.path(below(each, name)))
    ]
    for _ in range(_TRIES if files else 0):
        listing = find_all(prefix)
        owners = Owners(prefix, listing)
        foreign = [each for each in files if not owners.of_file(each)]
        if not foreign:
            return []
        # another process may be changing the prefix: a file may belong to a distribution that it adds or removes
        with lock.keep_out(f"{prefix.state}/lock", _PATIENCE) as is_quiet:
            files = [each for each in foreign if os.path.lexists(prefix.path(each))]
            if is_quiet and not pending(prefix) and find_all(prefix) == listing:
                return [prefix.path(each) for each in files]
    return []


def _say_what_followed(prefix: Prefix, report: Report, options: argparse.Namespace) -> None:
    if not options.dry_run:
        for path in _stayed(prefix, report):
            common.warn(f"{path} stays, because no distribution lists it")
    if not options.quiet:
        if not options.dry_run:
            _say_what_is_kept(prefix, report)
        needs = "would still need {}" if options.dry_run else "needs {}, which is not installed any more"
        _name_who_needs(prefix, report, needs)


def _say_what_is_kept(prefix: Prefix, report: Report) -> None:
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction import history, kept

    names = {canonical_name(each.name) for each in report.changes}
    with Tree(prefix.root) as tree:
        entry = next((each for each in history.entries(tree) if each.names == names), None)
        size = next((each.size for each in kept.everything(tree) if entry and each.number == entry.number), 0)
    if entry and entry.kept and entry.about.kind == "uninstall":
        undo = common.command(prefix, f"undo {entry.number}")
        common.warn(f"the files are kept ({screen.human_size(size)}): '{undo}' restores them")


def _name_who_needs(prefix: Prefix, report: Report, sentence: str) -> None:
    from sage_wheels.installed import find_all
    from sage_wheels.installed.distributions import described
    from sage_wheels.installed.neighbours import required_by

    gone = {canonical_name(each.name): each for each in report.changes}
    left = [each for each in find_all(prefix) if each.canonical_name not in gone]
    for name, askers in required_by(prefix, gone, left).items():
        for asker in askers:
            common.warn(f"note: {described(prefix, asker)} {sentence.format(gone[name].name)}")
