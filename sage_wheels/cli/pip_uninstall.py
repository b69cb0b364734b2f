"""`sage-wheels pip uninstall`: has the command line and the messages of pip, and does the work without pip.

So a distribution whose code is broken can be removed, too, and no pip is needed, except for distributions in the user's
site directory. pip's configuration files and variables have the same effect as for pip. `sage_wheels.pip.uninstall`
finds the distributions to remove.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time

from sage_wheels import environment
from sage_wheels.cli import common
from sage_wheels.cli.command_line import with_others
from sage_wheels.pip.arguments import FLAGS, NUMBERS, OF_LOG, WITH_VALUE
from sage_wheels.requirements.names import named_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions

_NO_VIRTUALENV = 3  # pip's exit status if a virtual environment is required and there is none


def uninstall(options: argparse.Namespace, arguments: list[str], *, keeps: bool) -> int:
    """Do `pip uninstall`, with the questions and messages of pip, in one transaction; returns the exit status."""
    prefix = common.prefix_of(argparse.Namespace(prefix=options.prefix))
    said = _said(arguments, prefix)
    with _Voice.heard(said) as voice:
        if said.require_virtualenv and not prefix.is_venv:
            voice.error("Could not find an activated virtualenv (required).")
            return _NO_VIRTUALENV
        return _uninstall(options, said, voice, keeps=keeps)


def _uninstall(options: argparse.Namespace, said: argparse.Namespace, voice: _Voice, *, keeps: bool) -> int:
    from sage_wheels.errors import Conflict, UsageError
    from sage_wheels.manifests.entries import entries
    from sage_wheels.pip.uninstall import find, remove_users
    from sage_wheels.transaction import uninstall as removal
    from sage_wheels.transaction.recover import look_again

    try:
        wanted = _wanted(said, voice)
    except UsageError as error:
        voice.error(f"Invalid requirement: {error}")
        return 1
    if not wanted:
        voice.error('You must give at least one requirement to uninstall (see "pip help uninstall")')
        return 1
    options.break_system_packages = said.break_system_packages
    prefix = common.prefix_of(options)
    commit_options = common.commit_options_of(options)._replace(say=voice.note)
    brought = entries(prefix, voice.note)
    found = look_again(prefix, commit_options, lambda: find(prefix, wanted, brought), lambda seen: not seen.missing)
    status = remove_users(prefix, found.users, _flags(said), break_system_packages=said.break_system_packages)
    for each, directory in found.outside:
        voice.tell(f"Found existing installation: {each}")
        voice.tell(f"Not uninstalling {each.canonical_name} at {directory}, outside environment {prefix.root}")
        voice.tell(f"Can't uninstall '{each.name}'. No files were found to uninstall.")
    for name in found.missing:
        voice.warn(f"Skipping {name} as it is not installed.")
    for each, entry in found.brought:
        sentence = f"{each} belongs to package {entry.package}"
        if keeps:
            raise Conflict(f"{sentence} and is kept", "give --replace-packages to remove it")
        if said.quiet < 2:
            voice.note(f"note: {sentence}; {entry.way_back(prefix)} installs it")
    going = []
    for each in found.there:
        voice.tell(f"Found existing installation: {each}")
        voice.tell(f"Uninstalling {_spelt(each.name, each.version)}:")
        if said.yes or _may(prefix, each.name, commit_options, said, voice):
            going.append(each)
    report = removal.uninstall(prefix, [each.name for each in going], commit_options)
    common.warn_of(report, prefix)  # files that were kept are named even with --quiet
    for change in report.changes:
        voice.tell(f"  Successfully uninstalled {_spelt(change.name, change.old_version)}")
    return status


def _said(arguments: list[str], prefix: Prefix) -> argparse.Namespace:
    """Parse `arguments`, with defaults from pip's settings. Raises `UsageError` for invalid settings."""
    from sage_wheels.pip import settings as pip_settings
    from sage_wheels.pip.uninstall import values_of

    isolated = "--isolated" in arguments
    parser = _uninstall_parser()
    settings = pip_settings.read("uninstall", prefix.root, environment.of_pip(), isolated=isolated)
    parser.set_defaults(**values_of(settings))
    said, unknown = parser.parse_known_args(arguments)
    if not with_others(said, "names", unknown):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    said.quiet = max(0, said.quiet - said.verbose)
    return said


def _flags(said: argparse.Namespace) -> list[str]:
    """The options in `said` that are passed on to pip if it has to do a part of the work."""
    return ["-y"] * said.yes + ["-q"] * said.quiet + ["--no-input"] * said.no_input


def _uninstall_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sage-wheels pip uninstall")
    vars(parser)["color"] = False  # as in `command_line.Parser`
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="names from a file")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "-q", "--quiet", action="count", default=0, help="say nothing but warnings and errors; twice: errors"
    )
    parser.add_argument("-v", "--verbose", action="count", default=0, help="cancel one --quiet")
    parser.add_argument("--no-input", action="store_true", help="fail instead of asking")
    parser.add_argument(*OF_LOG, metavar="FILE", help="append all messages to FILE, with the time")
    parser.add_argument(
        "--break-system-packages", action="store_true", help="change a Python that the operating system manages"
    )
    parser.add_argument(
        "--require-virtualenv", "--require-venv", action="store_true", help="change nothing but a virtual environment"
    )
    for option in FLAGS:
        parser.add_argument(option, dest="_", action="store_true", help=argparse.SUPPRESS)
    for option in WITH_VALUE:
        if option not in OF_LOG:
            parser.add_argument(option, dest="_", type=NUMBERS.get(option, str), help=argparse.SUPPRESS)
    parser.add_argument("--root-user-action", dest="_", choices=["warn", "ignore"], help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser


class _Voice:
    """Messages in pip's format, on the terminal and in the file `log`."""

    def __init__(self, quiet: int, log: TextIO | None) -> None:
        self._quiet = quiet
        self._log = log

    @classmethod
    @contextlib.contextmanager
    def heard(cls, said: argparse.Namespace) -> Iterator[_Voice]:
        """A `_Voice` as quiet as `said` demands; an error in this context is also written into the log."""
        from sage_wheels.errors import FileOperationFailed, SageWheelsError

        log = None
        if said.log:
            path = os.path.abspath(os.path.expanduser(said.log))
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                log = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  closed below
            except OSError as error:
                raise FileOperationFailed.from_os_error(error, "opening the log") from error
        voice = cls(said.quiet, log)
        try:
            yield voice
        except SageWheelsError as error:
            voice.keep(f"ERROR: {error}")
            raise
        finally:
            if log:
                with contextlib.suppress(OSError):
                    log.close()

    def tell(self, text: str) -> None:
        self.keep(text)
        if not self._quiet:
            print(text)

    def warn(self, sentence: str) -> None:
        self.keep(f"WARNING: {sentence}")
        if self._quiet < 2:
            print(f"WARNING: {sentence}", file=sys.stderr)

    def error(self, sentence: str) -> None:
        self.keep(f"ERROR: {sentence}")
        print(f"ERROR: {sentence}", file=sys.stderr)

    def note(self, sentence: str) -> None:
        """Print a sentence that is not one of pip's."""
        self.keep(sentence)
        common.warn(sentence)

    def keep(self, text: str) -> None:
        """Write a line into the log; errors are ignored."""
        if self._log:
            now = time.time()
            when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03}"
            with contextlib.suppress(OSError):
                print(f"{when} {text}", file=self._log, flush=True)


def _wanted(said: argparse.Namespace, voice: _Voice) -> dict[str, str]:
    """The names of the distributions to remove, as given, by normalised name. Raises `UsageError` and `SourceError`."""
    from sage_wheels.metadata import canonical_name

    named = named_by(said.names, said.requirement)
    for each in named:
        if not each.name and each.position:  # pip silently ignores it
            voice.note(f"note: {each.written!r} in {each.position} contains no name, so nothing is uninstalled for it")
        elif not each.name:
            ignored = f"Invalid requirement: {each.written!r} ignored"
            voice.warn(f"{ignored} - the uninstall command expects named requirements.")
    return {canonical_name(each.name): each.name for each in named if each.name}


def _may(prefix: Prefix, name: str, commit_options: CommitOptions, said: argparse.Namespace, voice: _Voice) -> bool:
    """Print what would be removed, and ask whether to proceed; returns the answer."""
    from sage_wheels.errors import UsageError
    from sage_wheels.transaction.uninstall import uninstall

    voice.tell("  Would remove:")
    for step in uninstall(prefix, [name], commit_options._replace(dry_run=True)).steps:
        voice.tell(f"    {step.path}")
    if said.no_input:
        raise UsageError(f"{name} is not removed, because nobody may be asked for confirmation", "give --yes")
    while True:
        print("Proceed (Y/n)? ", end="", flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise UsageError(f"nobody answers whether {name} may be removed", "give --yes")
        answer = answer.strip().lower()
        if answer in ("", "y"):
            return True
        if answer == "n":
            return False
        print(f"Your response ({answer!r}) was not one of the expected responses: y, n, ")


def _spelt(name: str, version: str) -> str:
    return f"{name}-{version}" if version else name  # an egg-link has none
