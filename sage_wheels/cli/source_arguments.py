"""The sources that a command line names: in arguments, requirements files, lock files and constraints files."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common
from sage_wheels.errors import UsageError
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sage_wheels.building import BuildOptions
    from sage_wheels.requirements.files import Line

# The options of a requirements file that say which files of a project pip may choose, but not where from.
_CHOOSING = ("--no-binary", "--only-binary", "--prefer-binary", "--pre")


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add -r FILE and so on, and the positional arguments `what`."""
    parser.add_argument(
        "-r",
        "--requirement",
        action="append",
        default=[],
        metavar="FILE",
        help=f"more {what}s, from a requirements file or a lock file (pylock.toml)",
    )
    parser.add_argument(
        "-c",
        "--constraint",
        action="append",
        default=[],
        metavar="FILE",
        help="a constraints file, which limits the versions of projects",
    )
    parser.add_argument(f"{what.lower()}s", nargs="*", metavar=what)


class NamedSources(NamedTuple):
    """What is named on the command line and in files.

    `items` are arguments for `parse_source`; `editables` the source trees of -e; `constraints` the lines of constraints
    files; `indexed` the names of projects that a lock file takes from an index; `choosing` the options in requirements
    files that say which files pip may choose.
    """

    items: list[str]
    editables: tuple[str, ...] = ()
    constraints: tuple[Line, ...] = ()
    indexed: tuple[str, ...] = ()
    choosing: tuple[str, ...] = ()

    def told(self, options: BuildOptions, markers: Callable[[], Mapping[str, str]]) -> BuildOptions:
        """`options` with all of this except the items. Raises `SourceError` for invalid constraints."""
        if self.constraints:
            from sage_wheels.requirements import constraints

            options = options._replace(constraints=constraints.texts(self.constraints, markers))
        return options._replace(editables=self.editables, indexed=self.indexed, choosing=self.choosing)


def named(
    arguments: argparse.Namespace,
    items: list[str],
    what: str,
    markers: Callable[[], Mapping[str, str]],
    best: Callable[[list[str]], str | None] | None = None,
) -> NamedSources:
    """What is named on the command line, in requirements files and in lock files.

    `markers` returns the marker environment (PEP 508); `best` chooses one of the wheels of a project in a lock file.

    A file may name nothing, as with pip; a note says so. Raises `UsageError` if there is neither an item nor a file,
    and `SourceError` for an option in a file that cannot be followed.
    """
    files, constraints = arguments.requirement, arguments.constraint
    found = _named_in(items, files, constraints, markers, arguments.find_links, best) if files or constraints else None
    found = found or NamedSources(items)
    if editables := getattr(arguments, "editables", ()):
        from sage_wheels.requirements.arguments import as_directory

        found = found._replace(editables=(*map(as_directory, editables), *found.editables))
    if not found.items and not found.editables:
        if not files:
            command = "install" if what == "ITEM" else "build"
            raise UsageError(f"{what} is missing", f"see 'sage-wheels {command} --help'")
        if not getattr(arguments, "quiet", False):
            common.warn(f"{' and '.join(files)} {'contain' if files[1:] else 'contains'} no requirement")
    return found


def _named_in(
    items: list[str],
    files: list[str],
    constraints: list[str],
    markers: Callable[[], Mapping[str, str]],
    find_links: Sequence[str],
    best: Callable[[list[str]], str | None] | None,
) -> NamedSources:
    from sage_wheels.requirements import pylock
    from sage_wheels.requirements.arguments import applying, as_directory, parse_source
    from sage_wheels.requirements.files import read

    found, editables, indexed, choosing = [*items], list[str](), set[str](), list[str]()
    followed = ("--hash", "--requirement", "--constraint", "--editable", "--require-hashes", *_CHOOSING)
    lines = [line for file in constraints for line in read(file, followed, is_constraint=True)]
    for file in files:
        if pylock.is_lock(file):
            found += pylock.sources_in(file, markers(), find_links, best)
            indexed |= pylock.indexed_in(file)
        else:
            lines += read(file, followed)
    if any(option.name == "--require-hashes" for line in lines for option in line.options):
        _check_that_all_have_hashes(items, lines, markers)
    for line in lines:
        chosen = [each for each in line.options if each.name in _CHOOSING]
        choosing += [f"{each.name}={each.value}" if each.value else each.name for each in chosen]
        if line.is_editable and not line.is_constraint:
            editables.append(as_directory(line.text))
        elif line.text and not line.is_constraint:
            with line.named():
                if (applies := applying(line.argument, markers)) is not None:
                    parse_source(applies)
            found.append(line.argument)
    limiting = tuple(each for each in lines if each.is_constraint and each.text)
    return NamedSources(found, tuple(editables), limiting, tuple(sorted(indexed)), tuple(choosing))


def _check_that_all_have_hashes(items: list[str], lines: list[Line], markers: Callable[[], Mapping[str, str]]) -> None:
    """Raise `SourceError` for what has no hash that could be checked, as pip does if a file has --require-hashes.

    A constraint needs none: it says nothing about what is to be installed.
    """
    from sage_wheels.errors import SourceError
    from sage_wheels.requirements.arguments import applying, parse_source

    asked = [(each, each, False) for each in items]
    asked += [
        (each.position, each.argument, each.is_editable) for each in lines if each.text and not each.is_constraint
    ]
    for where, text, is_editable in asked:
        applies = applying(text, markers)
        if applies is not None and (is_editable or not parse_source(applies).asked.hashes):
            raise SourceError(f"{where} has no --hash, but a file has --require-hashes", "add its hash")
