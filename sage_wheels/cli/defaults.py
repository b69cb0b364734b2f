"""Defaults of options from files and variables. In this list, a later one has precedence over an earlier one:

1. the user's own file, $XDG_CONFIG_HOME/sage-wheels/sage-wheels.toml (~/.config)
2. the nearest `sage-wheels.toml`, or `pyproject.toml` with a table [tool.sage-wheels], here or above, up to $HOME
3. the variable SAGE_WHEELS_NAME for the option --name

A key is the name of an option; a table has the name of a command, and is for that command only. A file is not read if
other users than root could have written it, or if it is in a tree that is being built. Options that extend trust
(`WIDENS`) may not be in a file of a project.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re

from sage_wheels import environment
from sage_wheels.errors import UsageError, reason_of
from sage_wheels.fs import presence
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from sage_wheels.cli.command_line import Parser

FILE = "sage-wheels.toml"
# Options by which a file could make the tool run other code, refuse less, or write files elsewhere.
WIDENS = frozenset(
    (
        *("index", "find-links", "on-conflict", "python", "built", "break-system-packages", "cache-dir"),
        *("usual-build-dir", "log", "no-isolation", "fallback-no-isolation", "skip-dependency-check"),
        *("ignore-requires-python", "destdir", "max-sdist-size", "max-sdist-members"),
        *("report", "timings", "output"),  # files that are written
        *("max-wheel-size", "max-wheel-members", "max-wheel-ratio"),
        *("cache-path", "cache-cpu", "cache-system", "cache-declared"),  # what of the store is used
        *("store", "store-mode", "store-sign", "store-trust"),  # wheels that others have built
        *("sandbox", "sandbox-read", "store-sandboxed"),  # a file could also switch the sandbox off
        "link-mode",  # with hard links, an edit in one prefix changes others
    )
)
# Options that can have no default.
NEVER = frozenset(("help", "json", "requirement", "no-config", "yes", "all", "set-aside", "editable"))
# Options whose values are paths, relative to the directory of the file they are in.
_PATHS = frozenset(
    (
        *("prefix", "find-links", "wheel-dir", "cache-dir", "usual-build-dir", "log", "built", "report", "timings"),
        *("store-sign", "store-trust", "sandbox-read"),
    )
)
_NO_PATHS = {"store-trust": "any"}  # values that are not paths
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


class Setting(NamedTuple):
    """A value for the option --`key` of `command` ("": of every command that has it), and the file or variable with it.

    A relative path is relative to `directory`. `is_own`: it is from the user's own file, or from a variable.
    """

    key: str
    command: str
    value: Any
    source: str
    directory: str
    is_own: bool


class Found(NamedTuple):
    """All settings, by increasing precedence, and a sentence for each file that is not read."""

    settings: list[Setting]
    notes: list[str]


def find(start: str, building: Iterable[str] = ()) -> Found:
    """The settings for a command that is called in the directory `start` and builds the trees `building`.

    Raises `UsageError` for a file that is no TOML.
    """
    found = Found([], [])
    home = os.path.realpath(os.path.expanduser("~"))
    trees = [os.path.join(os.path.realpath(each), "") for each in building]
    user = _file_of_user()
    files = [(user, True)] if user else []
    for file in _files_of_projects(start, home):
        if any(f"{os.path.realpath(file)}/".startswith(tree) for tree in trees):
            found.notes.append(f"{file} is not read, because it is in a tree that is being built")
        elif file != user:
            files.append((file, False))
            break
    for file, is_own in files:
        if problem := _problem_of(file):
            found.notes.append(f"{file} is not read, because {problem}")
        else:
            found.settings.extend(_settings_in(file, is_own=is_own))
    if environment.prefix():  # a variable has precedence over a file
        found.settings[:] = [each for each in found.settings if each.key != "prefix"]
    found.settings.extend(_settings_of(start))
    return found


def _problem_of(file: str) -> str | None:
    """The reason why `file` must not be read; None if it may be read."""
    from sage_wheels.fs import caches

    try:
        return caches.problem_of_file(file)
    except OSError as error:
        return f"it cannot be examined ({error.strerror})"


def _file_of_user() -> str | None:
    base = environment.get(environment.XDG_CONFIG_HOME)
    if not os.path.isabs(base):  # "consider the path invalid and ignore it"
        base = os.path.expanduser("~/.config")
    path = os.path.join(base, "sage-wheels", FILE)
    try:
        return path if os.path.isabs(path) and presence.is_file(path) else None
    except PermissionError:  # $HOME belongs to another user, as after some `sudo -u`
        return None


def _files_of_projects(start: str, home: str) -> Iterator[str]:
    """The files of projects in the directory `start` and above it, the nearest first."""
    from sage_wheels.prefix.discovery import upwards

    for directory in upwards(start, home):
        own, shared = os.path.join(directory, FILE), os.path.join(directory, "pyproject.toml")
        with contextlib.suppress(OSError):
            if presence.is_file(own):
                yield own
            elif presence.is_file(shared) and _mentions_us(shared):
                yield shared


def _mentions_us(path: str) -> bool:
    """Whether a pyproject.toml has our table; reading it as TOML would take ten times as long."""
    with open(path, "rb") as f:
        text = f.read(1 << 20)
    if b"sage-wheels" not in text:  # the pattern takes longer to compile than all the rest
        return False
    return re.search(rb"^\s*\[\s*tool\s*\.\s*[\"']?sage-wheels", text, re.MULTILINE) is not None


def _settings_in(file: str, *, is_own: bool) -> Iterator[Setting]:
    table = _read(file)
    if file.endswith("pyproject.toml"):
        table = table.get("tool", {})
        table = table.get("sage-wheels", {}) if isinstance(table, dict) else {}
    directory = os.path.dirname(file)
    for key, value in table.items():
        if isinstance(value, dict):
            yield from (Setting(inner, key, each, file, directory, is_own) for inner, each in value.items())
        else:
            yield Setting(key, "", value, file, directory, is_own)


def _read(file: str) -> dict[str, Any]:
    from sage_wheels.requirements import toml

    try:
        with open(file, "rb") as f:
            return toml.loads(f.read().decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read ({reason_of(error)})", "correct it, or give --no-config") from error


def _settings_of(start: str) -> Iterator[Setting]:
    for name, value in environment.of_options().items():
        key = name.removeprefix(environment.OPTION).lower().replace("_", "-")
        yield Setting(key, "", value, f"${name}", start, True)


def apply(parser: Parser, command: str, found: Found) -> dict[str, Setting]:
    """Make the settings defaults of `parser`; returns those for `command`, by the name of the option.

    Raises `UsageError` for a value that the option does not take, or that the file must not set, and for a key in the
    table of the command that is no option of it.
    """
    held: dict[str, Setting] = {}
    for each in found.settings:
        if each.command not in ("", command):
            continue
        action = parser.option(f"--{each.key}")
        if action is None or each.key in NEVER:
            if each.command:
                raise UsageError(f"{each.source} sets {each.key}, which is no setting of {command}", "correct the name")
            continue
        if each.value == "" and each.source.startswith("$") and action.nargs != 0:  # as if it were not set
            continue
        if not each.is_own and each.key in WIDENS:
            raise UsageError(
                f"{each.source} sets {each.key}, which only the user's own configuration may", "move it there"
            )
        parser.set_defaults(**{action.dest: _value(parser, action, each)})
        held[each.key] = each
    return held


def _value(parser: Parser, action: argparse.Action, setting: Setting) -> Any:
    value, key = setting.value, setting.key
    is_text = setting.source.startswith("$")
    if action.nargs == 0:  # a flag
        if is_text and value.lower() in (*_TRUE, *_FALSE):
            value = value.lower() in _TRUE
        if not isinstance(value, bool):
            raise UsageError(f"{setting.source} sets {key} to {value!r}", "set it to true or false")
        return action.const if value else (not action.const)
    if parser.takes_several(action):
        if is_text:
            import shlex

            value = shlex.split(value)
        values = value if isinstance(value, list) else [value]
        return [_one(parser, action, setting, each) for each in values]
    return _one(parser, action, setting, value)


def _one(parser: Parser, action: argparse.Action, setting: Setting, value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"{setting.source} sets {setting.key} to {value!r}", "set it to a text or a number")
    text = str(value)
    if setting.key in _PATHS and text != _NO_PATHS.get(setting.key):
        text = os.path.join(setting.directory, os.path.expanduser(text) if setting.is_own else text)
        if not setting.is_own and not _is_below(text, setting.directory):
            raise UsageError(
                f"{setting.source} sets {setting.key} to {value}, which is outside of {setting.directory}",
                "name a path in it",
            )
    try:
        return parser.value_of(action, text)
    except argparse.ArgumentError as error:
        raise UsageError(f"{setting.source} sets {setting.key}: {error.message}", "correct the value") from error


def _is_below(path: str, directory: str) -> bool:
    return f"{os.path.realpath(path)}/".startswith(os.path.join(os.path.realpath(directory), ""))
