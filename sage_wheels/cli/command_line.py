"""Parse a command line: options before and after the command, errors, and the help.

Wrong usage raises `UsageError`, with the reason, and where to find help.
"""

from __future__ import annotations

import argparse
import os
import re

from sage_wheels import environment
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# The options that may also be before the command, and whether they have a value.
COMMON = {
    "--prefix": True,
    "--lock-timeout": True,
    "--json": False,
    "--durable": False,
    "--break-system-packages": False,
    "-q": False,
    "--quiet": False,
    "-v": False,
    "-vv": False,
    "--verbose": False,
    "--no-config": False,
    "--color": True,
}

# Options of `pip install`, and what does the same in our `install`. For those in `_OF_PIP`, the error advises to use
# `sage-wheels pip`.
_AS_IN_PIP = {
    "--force-reinstall": "--reinstall",
    "--no-build-isolation": "--no-isolation",
    "--no-deps": "nothing, because no dependencies are installed",
    "--root": "--destdir",
}
_OF_PIP = frozenset(
    (
        *("-U", "--upgrade", "--upgrade-strategy", "-t", "--target", "--user", "--src"),
        *("-i", "--index-url", "--pypi-url", "--extra-index-url", "--no-index", "--pre", "--group", "--report"),
        *("-I", "--ignore-installed", "--no-binary", "--only-binary", "--prefer-binary", "--require-hashes"),
        *("--platform", "--python-version", "--implementation", "--abi", "--no-clean", "--no-warn-script-location"),
        *("--no-warn-conflicts", "--use-pep517", "--check-build-dependencies", "--build-constraint", "--compile"),
        *("--trusted-host", "--proxy", "--retries", "--timeout", "--cert", "--client-cert", "--no-cache-dir"),
        *("-o", "--outdated", "-u", "--uptodate", "-l", "--local", "--format", "--not-required", "--exclude"),
        *("--exclude-editable", "--include-editable", "--no-input", "--exists-action", "--isolated", "--log-file"),
    )
)
_KNOWN = _OF_PIP | _AS_IN_PIP.keys()
# The commands that pip has by the same name, and the others of pip.
_PIPS_COMMANDS = ("install", "uninstall", "list", "show", "check", "freeze")
_ONLY_PIPS_COMMANDS = ("debug", "download", "hash", "index", "inspect", "search", "wheel")
# What options whose value is a path have as metavar.
_PATHS = ("DIR", "EXE", "FILE", "FILE|DIR", "P", "PAGE", "PATH", "TREE", "WHEEL")


class Parser(argparse.ArgumentParser):
    """The parser of one command, whose errors are raised, and whose help is wrapped to the terminal.

    With `refuses_empty_paths`, an option whose value is a path must not have the value "".
    """

    refuses_empty_paths = False

    def __init__(self, name: str, description: str | None, examples: str = "") -> None:
        epilog = f"examples:\n{examples.rstrip()}" if examples else None
        super().__init__(
            prog=f"sage-wheels {name}",
            description=description,
            epilog=epilog,
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        self.color = False  # Python 3.14 would write escape sequences into a file where FORCE_COLOR is set
        self.name = name

    def error(self, message: str) -> Any:
        if found := re.fullmatch(r"the following arguments are required: (.*)", message):
            message = f"{self._first_missing(found[1])} is missing"
        raise UsageError(message, f"see '{self._help()}'")

    def _first_missing(self, names: str) -> str:
        """The first of the arguments `names` of argparse's message; those that may be left out are in it, too."""
        for action in self._get_positional_actions():
            if action.choices and action.dest == names.partition(",")[0]:
                return f"one of {', '.join(map(str, action.choices))}"
        return names

    def parse_all(self, arguments: list[str]) -> argparse.Namespace:
        """As `parse_args`, but options may stand between arguments, as with pip.

        An option that only pip has is reported before any other error.
        """
        end = arguments.index("--") if "--" in arguments else len(arguments)
        if pips := [each for each in arguments[:end] if each in _KNOWN and each not in self._option_string_actions]:
            self.refuse(pips)
        options, unknown = self.parse_known_args(arguments)
        several = [each.dest for each in self._get_positional_actions() if each.nargs in ("*", "+")]
        if unknown and not (several and with_others(options, several[-1], unknown)):
            self.refuse(unknown)
        return options

    def refuse(self, unknown: list[str]) -> None:
        """Raise `UsageError` for the arguments `unknown`, with advice what may be meant."""
        what = next((each for each in unknown if each.startswith("-")), "")
        if not what:
            raise UsageError(f"{self.prog} takes no argument {unknown[0]!r}", f"see '{self._help()}'")
        option = what.partition("=")[0] if what.startswith("--") else what[:2]
        raise UsageError(f"{self.prog} has no option {option}", self._instead(option))

    def option(self, name: str) -> argparse.Action | None:
        """The action of the option `name`, which begins with dashes; None if there is none."""
        return self._option_string_actions.get(name)

    def takes_several(self, action: argparse.Action) -> bool:
        """Whether the option of `action` may be given several times."""
        return isinstance(action, self._registry_get("action", "append"))

    def value_of(self, action: argparse.Action, text: str) -> Any:
        """`text`, converted and checked as the value of the option of `action`. Raises `argparse.ArgumentError`."""
        value = super()._get_value(action, text)
        self._check_value(action, value)
        return value

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if self.refuses_empty_paths and not arg_string and action.option_strings and action.metavar in _PATHS:
            raise argparse.ArgumentError(action, "the path is empty (is a variable not set?)")
        return super()._get_value(action, arg_string)

    def _instead(self, option: str) -> str:
        import difflib

        close = difflib.get_close_matches(option, self._option_string_actions, 1, 0.8)
        if self.name in _PIPS_COMMANDS and option in _OF_PIP:
            return f"pip has: sage-wheels pip {self.name} {option}"
        if self.name == "install" and option in _AS_IN_PIP:
            return f"what pip means by that is here: {_AS_IN_PIP[option]}"
        return f"did you mean {close[0]}?" if close else f"see '{self._help()}'"

    def _help(self) -> str:
        return f"{self.prog} --help"


def with_others(options: argparse.Namespace, several: str, unknown: list[str]) -> bool:
    """Add the positional arguments `unknown` to `options.SEVERAL`, where `several` is the name of that attribute.

    argparse returns those after an option as unknown, if there were others before it. Returns False, and adds nothing,
    if one of them is an option.
    """
    if any(each.startswith("-") for each in unknown):
        return False
    setattr(options, several, [*getattr(options, several), *unknown])
    return True


class Formatter(argparse.HelpFormatter):
    """Wraps paragraphs to the terminal, 100 columns at most, and leaves lines that are indented as they are."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = min(columns(), 102) - 2
        super().__init__(prog, max_help_position=28, width=max(width, 20), **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = re.split(r"\n\s*\n", text.strip("\n"))
        filled = [
            part if re.search(r"^\s", part, re.MULTILINE) else "\n".join(self._split_lines(part, width))
            for part in parts
        ]
        return "\n\n".join(filled)

    def _split_lines(self, text: str, width: int) -> list[str]:
        import textwrap

        # a command or an option is not split, so that it can be copied
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)


def columns() -> int:
    """The width of the terminal, as `shutil.get_terminal_size` returns it; importing `shutil` would take more time."""
    told = environment.get(environment.COLUMNS)
    try:
        return int(told) if told.isdecimal() and int(told) else os.get_terminal_size(1).columns or 80
    except (OSError, ValueError):  # no terminal, or a number without end
        return 80


class Once(argparse.Action):
    """An option that has one value: a different second one, before or after the command, raises `UsageError`."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, *_: object) -> None:
        given = namespace.__dict__.setdefault("given", {})
        if self.dest in given and given[self.dest] != value:
            raise UsageError(
                f"{self.option_strings[0]} is given as both {given[self.dest]} and {value}", "give it once"
            )
        given[self.dest] = value
        setattr(namespace, self.dest, value)


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split `arguments` into the common options before the command, and the command with what follows.

    >>> split(["--prefix", "p", "-q", "list", "--json"])
    (['--prefix', 'p', '-q'], ['list', '--json'])
    """
    at = 0
    while at < len(arguments) and (name := arguments[at].partition("=")[0]) in COMMON:
        at += 2 if COMMON[name] and "=" not in arguments[at] else 1
    if at > len(arguments):
        raise UsageError(f"{arguments[-1]} needs a value", "see 'sage-wheels --help'")
    return arguments[:at], arguments[at:]


def nearest(name: str, names: Iterable[str]) -> str:
    """Advice for an unknown command: the most similar one of `names`, or pip's command of that name."""
    import difflib

    if name in _ONLY_PIPS_COMMANDS:
        return f"pip has: sage-wheels pip {name}"

    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else "see sage-wheels --help"
