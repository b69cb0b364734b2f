"""Explain why a build would run again: what differs between its inputs and those of the project's last build."""

from __future__ import annotations

import re

from sage_wheels.building.stored import last_key
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from sage_wheels.building.stored import StoredBuild
    from sage_wheels.store.results import Result

_PATHS = {"build": "the build directory", "prefix": "the prefix"}
_DIGEST = re.compile("[0-9a-f]{64}")
_MOST = 20  # files that are named in a message


class Explanation(NamedTuple):
    """About builds of the project `name`: why they are `not_kept` in the store ("" if they are kept); whether the next
    one would come from the store (`is_stored`), and how many `seconds` that build had taken; and the `differences` from
    the last build that was kept (None if none was)."""

    name: str
    not_kept: str
    is_stored: bool = False
    seconds: float | None = None
    differences: list[str] | None = None
    key: str = ""


def compared(stored: StoredBuild, inputs: Mapping[str, Any], found: Result | None, *, is_whole: bool) -> Explanation:
    """Compare `inputs` with those of the last build; without the wheels, unless all are known (`is_whole`)."""
    last = stored.store.result("last", last_key(stored.name))
    then = last.values.get("inputs") if last else None
    differences = None
    if last and isinstance(then, dict):
        now = dict(inputs)
        if not is_whole:  # which requirements the backend returns is not known before it has run
            now.pop("wheels")
            then = {name: value for name, value in then.items() if name != "wheels"}
        files = _of_files(last.values.get("files"), stored.files)
        if ("sdist" in then.get("source", ())) != ("sdist" in now.get("source", ())):
            files, then = [], {**then, "source": now["source"]}
            others = [f"the source was {'an sdist, is a tree' if 'tree' in now['source'] else 'a tree, is an sdist'}"]
        else:
            others = []
        others += _all(then, now)
        differences = [*files, *(each for each in others if each != _TREE or [*files, *others] == [_TREE])]
    if found and (lack := stored.lack(found)):
        found, differences = None, [lack, *(differences or ())]
    elif not found and is_whole and stored.find(inputs, is_any=True):
        differences = ["the wheel in the store was not built in a sandbox"]
    elif differences == [] and not found and (names := stored.paths_in(inputs)):
        differences = [
            f"its wheel contains the path of {_PATHS.get(each, each)}, which was another one" for each in names
        ]
    seconds = found.values.get("seconds") if found else None
    key = found.key if found else ""
    return Explanation(stored.name, "", found is not None, seconds, differences, key)


def _of_files(then: object, now: Mapping[str, str]) -> list[str]:
    if not isinstance(then, dict):
        return []
    changed = [
        f"{'what is in' if name.endswith('/') else 'the file'} {name} "
        f"{'is new' if name not in then else 'is gone' if name not in now else 'was changed'}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    more = len(changed) - _MOST
    return [*changed[:_MOST], f"and {more} more files"] if more > 0 else changed


def _all(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*then, *now}):
        one, other = (each.get(name, _UNTOLD.get(name)) for each in (then, now))
        if one == other:
            continue
        if name == "wheels":
            yield from _of_wheels(_flat(one), _flat(other))
        elif name == "source":
            yield from _of_source(one, other)
        elif name == "settings":
            yield from _of_settings(_by_key(one), _by_key(other))
        elif name == "format":
            yield "another version of this tool has built it"
        elif name in _AT_TIMES and (one is None or other is None):
            yield f"{_AT_TIMES[name]} {'counts' if one is None else 'does not count'} now"
        elif isinstance(one, dict) and isinstance(other, dict):
            yield from (
                _said(_name(name, each), one.get(each), other.get(each))
                for each in sorted({*one, *other})
                if one.get(each) != other.get(each)
            )
        else:
            yield _said(_SINGLE.get(name, f"the {name}"), one, other)


def _of_source(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*then, *now} - {"repositories", "tree"}):
        if then.get(name) != now.get(name):
            yield _said(f"the source's {name}", then.get(name), now.get(name))
    one, other = (each.get("repositories", {}) for each in (then, now))
    for top in sorted({*one, *other}):
        where = "" if top == "." else f" of the repository {top}"
        if top not in one or top not in other:
            yield f"the repository {top} {'is gone' if top in one else 'is new'}"
            continue
        for name in sorted({*one[top], *other[top]}):
            if one[top].get(name) != other[top].get(name):
                yield _said(_OF_GIT.get(name, name).format(where), one[top].get(name), other[top].get(name))
    if then.get("tree") != now.get("tree"):
        yield _TREE


def _by_key(settings: object) -> dict[str, object]:
    return dict(settings) if isinstance(settings, list) else {}


def _of_settings(then: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    if then == now:
        yield "the settings are in another order"
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            yield _said(f"the setting {key}", then.get(key), now.get(key))


def _name(name: str, each: str) -> str:
    form = _OF_SYSTEM.get(each.partition(" ")[0], "what is in {}") if name == "system" else _NAMES.get(name, "{}")
    return form.format(each)


_NAMES = {
    "tools": "the tool {}",
    "interpreter": "the interpreter's {}",
    "home": "{}",
    "files": "the file {}",
    "installed": "the installed {}",
}
# What the key of a system has, by the first word of its name; others are paths.
_OF_SYSTEM = {
    "alternatives": "the choice of update-alternatives",
    "packages": "the list of the system's packages",
    "program": "the file of the {}",
    "programs": "pg_config or a similar program on PATH",
}
# What is not in every key: of builds without isolation, and of those that may run a compiler.
_AT_TIMES = {
    "called": "the name of the interpreter",
    "home": "what is set in the home",
    "installed": "what is installed",
    "processor": "the processor",
    "system": "the list of the system's packages",
    "tools": "the version of each compiler",
}
# Whatever is not named by itself: the text of a link, whether a .pyx is newer than its .c.
_TREE = "a link in the source's tree, or which of two files is newer, has changed"
_OF_GIT = {
    "changed": "what is not committed outside of the tree{}",
    "commit": "git's commit{}",
    "config": "git's configuration{}",
    "head": "git's HEAD{}",
    "index": "git's index{}",
    "info": "git's info/attributes or info/exclude{}",
    "operation": "the merge or rebase in git{}",
    "refs": "the list of git's branches and tags{}",
    "shallow": "the depth of git's history{}",
    "status": "the output of git status{}",
}


_UNTOLD: dict[str, dict[str, str]] = {"files": {}}  # what earlier versions did not keep
_SINGLE = {
    "sdist first": "--sdist-then-wheel",
    "isolation": "isolation",
    "declared is all": "--cache-declared",
    "called": "the name of the interpreter",
}


def _flat(rounds: object) -> dict[str, list[str]]:
    return {wheel[0]: wheel[1:] for wheels in rounds for wheel in wheels} if isinstance(rounds, list) else {}


def _of_wheels(then: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> Iterator[str]:
    for name in sorted({*then, *now}):
        one, other = then.get(name), now.get(name)
        if one == other:
            continue
        if one and other and one[0] == other[0]:
            yield f"the wheel of {name} {one[0]} differs"
        else:
            yield _said(name, one and one[0], other and other[0])


def _said(name: str, one: object, other: object) -> str:
    if all(_DIGEST.fullmatch(str(each)) for each in (one, other)):
        return f"{name} has changed"
    if one in (None, "") and _DIGEST.fullmatch(str(other)):
        return f"{name} was missing"
    if other in (None, "") and _DIGEST.fullmatch(str(one)):
        return f"{name} is missing now"
    if one in (None, ""):
        return f"{name} was missing, is {_shown(other)}"
    if other in (None, ""):
        return f"{name} was {_shown(one)}, is missing"
    return f"{name} was {_shown(one)}, is {_shown(other)}"


def _shown(value: object) -> str:
    text = _DIGEST.sub(lambda found: found[0][:8], str(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
