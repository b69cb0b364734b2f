"""Remove distributions from the Sage virtual environment: `sage-pip-uninstall`, with the options that pip has.

It is no error if a NAME is not installed, or a requirements file does not exist. But a file that another one includes
must exist.
"""

from __future__ import annotations

import argparse
import contextlib
import os

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.prefix import Prefix

# Options that make pip do what this command does anyway. They are accepted, and have no effect.
_SAID_FOR_PIP = (
    *("--isolated", "--disable-pip-version-check", "--yes", "-y", "--no-input", "--no-color", "--verbose", "-v"),
    *("-vv", "-vvv", "--no-cache-dir", "--require-virtualenv"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.prog = "sage-pip-uninstall"
    common.add_writing(parser)
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="more NAMEs")
    # for the make rules
    parser.add_argument(
        "--manifest", metavar="FILE", help="more NAMEs, from a manifest; then delete FILE, and the wheels that it names"
    )
    for option in (*_SAID_FOR_PIP, "--dry-run"):
        parser.add_argument(
            option, dest="dry_run" if option == "--dry-run" else "_", action="store_true", help=argparse.SUPPRESS
        )
    parser.add_argument("--root-user-action", dest="_", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import UsageError
    from sage_wheels.requirements.names import all_named

    if not options.names and not options.requirement and not options.manifest:
        raise UsageError("nothing is named to uninstall", "give names or -r FILE")
    files = [*options.requirement, *([options.manifest] if options.manifest else [])]
    names = all_named(options.names, files, must_exist=False)
    remove(common.prefix_of(options), names, files, options)
    if options.manifest and not options.dry_run:
        _delete(options.manifest)
    return 0


def _ignore(sentence: str) -> None:
    """What is no entry of a manifest needs no note here: `all_named` has understood it, or refused it."""


def _delete(manifest: str) -> None:
    """Delete the wheels that a manifest names, then the manifest: after a failure, the next command can continue."""
    from sage_wheels.manifests.entries import entries_in

    wheels = [entry.source for entry in entries_in(manifest, _ignore) if not entry.is_editable]
    for path in [*wheels, manifest]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def remove(prefix: Prefix, names: list[str], files: list[str], options: argparse.Namespace) -> None:
    """Uninstall `names`, and print a report. It also says which of them had replaced those in the manifests `files`."""
    from sage_wheels.transaction.uninstall import uninstall

    replaced = _replaced(prefix, files)
    report = uninstall(prefix, names, common.commit_options_of(options))
    common.print_report(report, prefix, options)
    for name, version, _ in report.changes if not options.quiet else ():
        if instead := replaced.get((name, version)):
            removed = "would be removed" if options.dry_run else "is removed"
            common.warn(f"{name} {version}, which somebody installed in place of {instead}, {removed} as well")


def _replaced(prefix: Prefix, files: list[str]) -> dict[tuple[str, str], str]:
    """The installed distributions, by name and version, that have replaced those in the manifests `files`.

    The values describe what the manifest has under that name. That may be a source tree, and a wheel that was only
    stored (sagelib with SAGE_EDITABLE and SAGE_WHEELS): then it was not replaced if it is one of them.
    """
    from sage_wheels.manifests.entries import entries_in
    from sage_wheels.manifests.state import state

    brought: dict[str, list[ManifestEntry]] = {}
    for entry in (each for file in files for each in entries_in(file, _ignore)):
        brought.setdefault(entry.name, []).append(entry)
    if not brought:
        return {}
    from sage_wheels.errors import FileOperationFailed
    from sage_wheels.installed import find_all

    found = {}
    for each in find_all(prefix):
        entries = brought.get(each.canonical_name, [])
        with contextlib.suppress(FileOperationFailed):  # then it is removed without this comparison
            if entries and all(state(prefix, entry, each) == "replaced" for entry in entries):
                version = entries[-1].version if entries[-1].version != each.version else "own build"
                found[each.name, each.version] = f"the package's {version or 'source tree'}"
    return found
