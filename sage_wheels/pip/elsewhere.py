"""Find distributions that the Python of a prefix imports from outside the prefix.

For pip, the first distribution of a name on `sys.path` is the installed one. If it is in the user's site directory, pip
uninstalls it there; if it is outside the environment, pip prints a message and does nothing. This tool does the same.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.errors import InterpreterError
from sage_wheels.installed.distributions import find_in
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import answers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix

_ASK = """
import json, os, site, sys
users = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
print(json.dumps([os.fsencode(each).hex() for each in [users, *sys.path[1:]]]))
"""


class Elsewhere(NamedTuple):
    """Distributions outside the prefix, by normalised name: those in the user's site directory that precede those in
    the prefix; and others, with their directory."""

    users: dict[str, Distribution]
    outside: dict[str, tuple[Distribution, str]]


def find_elsewhere(prefix: Prefix, names: Collection[str], there: Collection[str]) -> Elsewhere:
    """The distributions with the normalised `names` that the Python of `prefix` finds outside the prefix.

    `there` are the names that are installed in the prefix. That Python is run only if necessary; if it cannot run,
    nothing is found.
    """
    found = Elsewhere({}, {})
    sees_users = not prefix.is_venv or prefix.sees_system
    if not sees_users and all(name in there for name in names):
        return found
    users, *path = _ask(prefix)
    if prefix.is_venv:
        users = ""  # its Python looks there after its own directory, and pip calls it outside
    own = {os.path.realpath(prefix.path(each)) for each in (prefix.scheme.purelib, prefix.scheme.platlib)}
    for directory in path:
        if not os.path.isdir(directory) or os.path.realpath(directory) in own:
            continue
        is_users = bool(users) and os.path.realpath(directory) == os.path.realpath(users)
        for each in find_in(directory, prefix):
            name = each.canonical_name
            if name not in names or name in found.users or name in found.outside:
                continue
            if is_users:
                found.users[name] = each
            elif name not in there:
                found.outside[name] = (each, directory)
    return found


def _ask(prefix: Prefix) -> list[str]:
    """The user's directory ("" if this Python does not look there) and `sys.path`, which is empty if it cannot run."""
    with contextlib.suppress(InterpreterError):
        answer: list[str] = answers.answer_of(prefix.python, "-c", _ASK, advice="")
        return [os.fsdecode(bytes.fromhex(each)) for each in answer]
    return [""]
