"""Run pip, with its whole command line, for a prefix, so that all that it changes there is one transaction.

PIP-COMMAND and all that follows it is for pip: see 'sage-wheels pip help'. 'install' lets pip resolve, download and
build, and then makes the change all or nothing. 'uninstall' removes exactly what was installed. Commands that only read
are run by pip unchanged. The options below may be given anywhere, except --prefix: after PIP-COMMAND, it is pip's own.

A collection is software of many packages that is built as a whole, such as Sage, or the packages of a list for make.
Its build has installed distributions into the prefix. --keep-packages protects these from pip.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import common, done
from sage_wheels.pip.arguments import WITH_VALUE, command_at

PASSES_ON = True  # what the parser does not know is pip's

EXAMPLES = """\
    sage-wheels pip install -U 'flask[async]' -c constraints.txt
    sage-wheels pip --prefix venv uninstall flask
    sage-wheels pip list --outdated
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sage-wheels pip [OPTION...] PIP-COMMAND [PIP-OPTION...]"
    common.add_prefix(parser)
    _add_ours(parser)
    for option in WITH_VALUE:
        parser.add_argument(option, dest="passed_on", action=_PassOn, default=[], help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


class _PassOn(argparse.Action):
    """Keeps an option of pip together with its value, so that the value is not taken for pip's command."""

    def __call__(self, parser: object, namespace: argparse.Namespace, value: object, option: str | None = None) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), option, value])


def _add_ours(parser: argparse.ArgumentParser) -> None:
    """Add the options that pip does not have, so that they can be recognised anywhere among pip's arguments."""
    for old, keeps in (("--keep-distribution", "store_true"), ("--replace-distribution", "store_false")):  # older names
        parser.add_argument(old, dest="keeps", action=keeps, help=argparse.SUPPRESS)
    parser.add_argument(
        "--keep-packages",
        dest="keeps",
        action="store_true",
        help="do not let pip change distributions that packages of a collection have installed",
    )
    parser.add_argument(
        "--replace-packages",
        dest="keeps",
        action="store_false",
        help="let pip replace and remove these, too; a message names each of them (default)",
    )
    parser.add_argument(
        "--on-conflict",
        choices=["error", "overwrite"],
        default="error",
        help="what to do if a file of another distribution is in the way (default: error)",
    )
    common.add_committing(parser)
    common.add_wheel_limits(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import NOWHERE, UsageError, is_somewhere

    arguments = [*options.passed_on, *_without_ours(options)]
    if any(each.partition("=")[0] == "--python" for each in arguments):
        raise UsageError("pip's --python is the prefix here", "give --prefix before pip's command")
    at = command_at(arguments)
    command = arguments[at] if at < len(arguments) else ""
    if command == "uninstall":
        from sage_wheels.cli.pip_uninstall import uninstall

        return uninstall(options, [*arguments[:at], *arguments[at + 1 :]], keeps=options.keeps)
    from sage_wheels.pip import process
    from sage_wheels.pip.decision import PipOptions

    if not is_somewhere():
        raise UsageError(f"{NOWHERE}, and pip needs one", "go to another and run it again")
    prefix = common.prefix_of(options)
    commit_options = common.commit_options_of(options)
    if command != "install":
        from sage_wheels.transaction.recover import recover_first

        recover_first(prefix, commit_options)
        done.note_others()
        return process.run_unchanged(prefix, arguments)
    pip_options = PipOptions(
        commit_options,
        common.wheel_limits_of(options),
        lambda report: common.warn_of(report, prefix),  # pip says what was installed
        overwrite=options.on_conflict == "overwrite",
        keep_packages=options.keeps,
    )
    return process.install(prefix, arguments, pip_options)


def _without_ours(options: argparse.Namespace) -> list[str]:
    """pip's arguments, from which our own options are moved to `options`."""
    parser = argparse.ArgumentParser(prog="sage-wheels pip", add_help=False, allow_abbrev=False)
    _add_ours(parser)
    end = options.arguments.index("--") if "--" in options.arguments else len(options.arguments)
    _, pips = parser.parse_known_args(options.arguments[:end], options)
    return [*pips, *options.arguments[end:]]
