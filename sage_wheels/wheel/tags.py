"""Find out whether a wheel fits the target interpreter, by its tags (PEP 425) and its Requires-Python."""

from __future__ import annotations

import re

from sage_wheels.errors import InterpreterError, WheelRefused
from sage_wheels.prefix import interpreter, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.wheel import Wheel


def check_fits(wheel: Wheel, prefix: Prefix, *, ignore_requires_python: bool = False) -> None:
    """Raise `WheelRefused` if `wheel` is for another Python, ABI or platform than `prefix` has."""
    tags = wheel.file_name.tags
    major, minor = prefix.version
    target = f"the Python {major}.{minor} of {prefix.root}"
    if not is_pure_for(tags, major, minor):
        supported = taken_by(prefix)
        if expand(tags).isdisjoint(supported):
            raise WheelRefused(
                f"{wheel.path} is for {tags}, which {target} does not support ({supported[0]} would be the best)",
                "get or build a wheel for that Python and platform",
            )
    if not ignore_requires_python and (wanted := other_python(wheel, prefix)):
        raise WheelRefused(
            f"{wheel.path} requires Python {wanted}, and {prefix.root} has {interpreter.full_version(prefix)}",
            "take a version made for that Python, or give --ignore-requires-python",
        )


def other_python(wheel: Wheel, prefix: Prefix) -> str:
    """The Requires-Python of `wheel` if the Python of `prefix` does not satisfy it; else ""."""
    wanted = wheel.metadata.get("requires-python", [""])[0]
    return wanted if wanted and not _python_fits(wanted, prefix) else ""


def taken_by(prefix: Prefix) -> list[str]:
    """The tags that the Python of `prefix` supports, best first.

    If it cannot be run, they are derived from its version and this machine.
    """
    try:
        return interpreter.ask(prefix).tags
    except InterpreterError:
        from packaging import tags

        name = f"cp{prefix.version[0]}{prefix.version[1]}"
        found = [
            *tags.cpython_tags(prefix.version, abis=[name]),
            *tags.compatible_tags(prefix.version, name),
        ]
        return [str(tag) for tag in found]


def best(names: list[str], prefix: Prefix) -> str | None:
    """The one of the wheel file names `names` with the best tag for the Python of `prefix`; None if none fits."""
    rank = {tag: number for number, tag in enumerate(taken_by(prefix))}
    found = []
    for name in names:
        fields = name.removesuffix(".whl").rsplit("-", 3)[1:]
        ranks = [rank[tag] for tag in expand("-".join(fields)) if tag in rank] if len(fields) == 3 else []
        found += [(min(ranks), name)] if ranks else []
    return min(found)[1] if found else None


def expand(tags: str) -> set[str]:
    """The tags in a compressed tag set (PEP 425).

    >>> sorted(expand("py2.py3-none-any"))
    ['py2-none-any', 'py3-none-any']
    """
    pythons, abis, platforms = tags.split("-")
    return {f"{p}-{a}-{f}" for p in pythons.split(".") for a in abis.split(".") for f in platforms.split(".")}


def is_pure_for(tags: str, major: int, minor: int) -> bool:
    """Whether the wheel is pure Python for this version; as `packaging.tags`, but without running the interpreter."""
    pythons, abis, platforms = tags.split("-")
    if "none" not in abis.split(".") or "any" not in platforms.split("."):
        return False
    names = {f"py{major}", f"cp{major}{minor}", *(f"py{major}{each}" for each in range(minor + 1))}
    return not names.isdisjoint(pythons.split("."))


def _python_fits(wanted: str, prefix: Prefix) -> bool:
    verdicts = [_clause_holds(clause.strip(), prefix.version) for clause in wanted.split(",")]
    if None not in verdicts:  # nearly always; importing packaging takes 10 to 15 ms
        return all(verdicts)
    return versions.is_allowed(interpreter.full_version(prefix), wanted)


def _clause_holds(clause: str, version: tuple[int, int]) -> bool | None:
    """Whether a clause of a version specifier is true for `version`; None if it depends on more than major and minor.

    >>> [_clause_holds(each, (3, 11)) for each in (">=2.7", "!=3.11.*", "<4", ">=3.8.1")]
    [True, False, True, None]
    """
    found = re.fullmatch(r"(>=|<)\s*(\d+)(?:\.(\d+)(?:\.0)?)?|!=\s*(\d+)\.(\d+)\.\*", clause, re.ASCII)
    if not found:
        return None
    operator, major, minor, *excluded = found.groups()
    if not operator:
        return version != (int(excluded[0]), int(excluded[1]))
    bound = (int(major), int(minor or 0))
    return version >= bound if operator == ">=" else version < bound
