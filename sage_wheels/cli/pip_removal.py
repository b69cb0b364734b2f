"""`sage-wheels pip uninstall`: asks and answers as pip does, and needs no pip.

Nothing of it runs in the prefix's Python, so what is broken there can still be removed.
"""

from __future__ import annotations

import argparse
import os
import sys

from sage_wheels.cli import common
from sage_wheels.cli.requirements import asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Settings

# pip's options that may stand before the command, and after it, and that have a value (pip 26)
WITH_VALUE = (
    *("--log", "--log-file", "--proxy", "--retries", "--timeout", "--default-timeout", "--exists-action", "--cert"),
    *("--trusted-host", "--client-cert", "--cache-dir", "--use-feature", "--use-deprecated", "--keyring-provider"),
    *("--resume-retries", "--python"),
)
_FLAGS = (
    *("--isolated", "--disable-pip-version-check", "--no-color", "--verbose", "-v", "-vv", "-vvv", "--no-cache-dir"),
    *("--require-virtualenv", "--require-venv", "--no-python-version-warning", "--debug", "--no-proxy-env"),
)


def uninstall(options: argparse.Namespace, arguments: list[str], *, keeps: bool) -> int:
    """`pip uninstall`, asking and answering as pip does; all that is to go goes in one transaction."""
    from sage_wheels.errors import Conflict, UsageError
    from sage_wheels.installed import find_all
    from sage_wheels.sage.distribution import parts
    from sage_wheels.sage.pip_decision import of_distribution
    from sage_wheels.transaction import uninstall as removal
    from sage_wheels.transaction.recover import recover_first

    said = _uninstall_parser().parse_args(arguments)
    options.break_system_packages = said.break_system_packages or _is_set("PIP_BREAK_SYSTEM_PACKAGES")
    try:
        wanted = _wanted(said)
    except UsageError as error:
        print(f"ERROR: Invalid requirement: {error}", file=sys.stderr)
        return 1
    if not wanted:
        print('ERROR: You must give at least one requirement to uninstall (see "pip help uninstall")', file=sys.stderr)
        return 1
    prefix = common.prefix_of(options)
    settings = common.settings_of(options)
    recover_first(prefix, settings)
    order = list(wanted)
    there = [each for each in find_all(prefix) if each.canonical_name in wanted]
    there.sort(key=lambda each: order.index(each.canonical_name))
    for name in (name for name in order if name not in {each.canonical_name for each in there}):
        _warn(f"Skipping {wanted[name]} as it is not installed.", said)
    belongs = parts(prefix)
    for each, part in of_distribution(wanted, belongs, there):
        sentence = f"{each} belongs to the distribution (package {part.package})"
        if keeps:
            raise Conflict(f"{sentence} and is kept", "give --replace-distribution if it is to go")
        if said.quiet < 2:
            common.warn(f"note: {sentence}; '{part.way_back}' brings it back")
    going = []
    for each in there:
        if not said.quiet:
            print(f"Found existing installation: {each}\nUninstalling {_spelt(each.name, each.version)}:")
        if said.yes or _is_set("PIP_YES") or _may(prefix, each.name, settings, said):
            going.append(each)
    report = removal.uninstall(prefix, [each.name for each in going], settings)
    common.warn_of(report, prefix)  # what was kept is named, however quiet it is to be
    for change in () if said.quiet else report.changes:
        print(f"  Successfully uninstalled {_spelt(change.name, change.old_version)}")
    return 0


def _uninstall_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sage-wheels pip uninstall")
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="names from a file")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "-q", "--quiet", action="count", default=0, help="say nothing but warnings and errors; twice: errors"
    )
    parser.add_argument("--no-input", action="store_true", help="fail instead of asking")
    parser.add_argument("--break-system-packages", action="store_true", help="change what the system manages")
    for option in _FLAGS:
        parser.add_argument(option, dest="_", action="store_true", help=argparse.SUPPRESS)
    for option in (*WITH_VALUE, "--root-user-action"):
        parser.add_argument(option, dest="_", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser


def _wanted(said: argparse.Namespace) -> dict[str, str]:
    """The names of what is to go, as they are spelt, by normalised name. Raises `UsageError` and `SourceError`."""
    from sage_wheels.installed.metadata import canonical_name

    given, in_files = asked(said.names, ()), asked((), said.requirement)
    for each in given:
        if not each.name:  # in a file, pip passes over it in silence
            ignored = f"Invalid requirement: {each.written!r} ignored"
            _warn(f"{ignored} - the uninstall command expects named requirements.", said)
    return {canonical_name(each.name): each.name for each in [*given, *in_files] if each.name}


def _warn(sentence: str, said: argparse.Namespace) -> None:
    if said.quiet < 2:
        print(f"WARNING: {sentence}", file=sys.stderr)


def _may(prefix: Prefix, name: str, settings: Settings, said: argparse.Namespace) -> bool:
    """Say what would be removed, and ask whether it may be."""
    from sage_wheels.errors import UsageError
    from sage_wheels.transaction.uninstall import uninstall

    print("  Would remove:")
    for step in uninstall(prefix, [name], settings._replace(dry_run=True)).steps:
        print(f"    {step.partition(' ')[2]}")
    if said.no_input or _is_set("PIP_NO_INPUT"):
        raise UsageError(f"{name} is not removed without an answer, and none may be asked for", "give --yes")
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
    return f"{name}-{version}" if version else name  # an egg-link tells none


def _is_set(variable: str) -> bool:
    """Whether a variable of the environment turns on the option of pip that it is called after."""
    return os.environ.get(variable, "").lower() not in ("", "0", "n", "no", "f", "false", "off")
