"""Remove distributions from the Sage virtual environment: `sage-pip-uninstall`, with the options that pip has.

What is not installed, and a requirements file that is not there, is nothing to speak of.
"""

from __future__ import annotations

import argparse
import contextlib

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix

# What pip is told so that it does what is done here in any case.
_SAID_FOR_PIP = (
    *("--isolated", "--disable-pip-version-check", "--yes", "-y", "--no-input", "--no-color", "--verbose", "-v"),
    *("-vv", "-vvv", "--no-cache-dir", "--require-virtualenv"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.prog = "sage-pip-uninstall"
    common.add_writing(parser)
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="more NAMEs")
    for option in (*_SAID_FOR_PIP, "--dry-run"):
        parser.add_argument(
            option, dest="dry_run" if option == "--dry-run" else "_", action="store_true", help=argparse.SUPPRESS
        )
    parser.add_argument("--root-user-action", dest="_", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.cli.requirements import asked
    from sage_wheels.errors import FileOperationFailed, UsageError
    from sage_wheels.sage import records
    from sage_wheels.transaction.uninstall import uninstall

    if not options.names and not options.requirement:
        raise UsageError("nothing is named to uninstall", "give names or -r FILE")
    try:
        names = [name for file in options.requirement for name in records.names_in(file)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, "reading the requirements file") from error
    for written, name in asked(options.names, ()):
        if not name:
            raise UsageError(f"{written!r} does not tell the name of a distribution", "give that")
        names.append(name)
    prefix = common.prefix_of(options)
    replaced = _replaced(prefix, options.requirement)
    report = uninstall(prefix, names, common.settings_of(options))
    common.print_report(report, prefix, options)
    for name, version, _ in report.changes if not options.quiet else ():
        if instead := replaced.get((name, version)):
            removed = "would be removed" if options.dry_run else "is removed"
            common.warn(f"{name} {version}, which somebody installed in place of {instead}, {removed} as well")
    return 0


def _replaced(prefix: Prefix, files: list[str]) -> dict[tuple[str, str], str]:
    """What the records `files` name and is not what they say: name and version, and what was to be there."""
    from sage_wheels.sage.distribution import parts_in, state

    brought = {part.name: part for file in files for part in parts_in(file)}
    if not brought:
        return {}
    from sage_wheels.errors import FileOperationFailed
    from sage_wheels.installed import find_all

    found = {}
    for each in find_all(prefix):
        part = brought.get(each.canonical_name)
        with contextlib.suppress(FileOperationFailed):  # it is removed, even if it cannot be compared with the wheel
            if part and state(prefix, part, each) == "replaced":
                version = part.version if part.version != each.version else "own build"
                found[each.name, each.version] = f"the distribution's {version or 'source tree'}"
    return found
