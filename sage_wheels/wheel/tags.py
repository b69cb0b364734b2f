"""Does a wheel fit the target interpreter (PEP 425, and Requires-Python of the core metadata)?"""

from __future__ import annotations

import re

from sage_wheels.errors import InterpreterError, WheelRefused
from sage_wheels.prefix import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.wheel import Wheel


def check_fits(wheel: Wheel, prefix: Prefix, *, ignore_requires_python: bool = False) -> None:
    """Raise `WheelRefused` if `wheel` is for another Python, ABI or platform than `prefix` has."""
    tags = wheel.file_name.tags
    major, minor = prefix.version
    target = f"the Python {major}.{minor} of {prefix.root}"
    if not _is_pure_for(tags, major, minor):
        supported = interpreter.ask(prefix).tags
        if expand(tags).isdisjoint(supported):
            raise WheelRefused(
                f"{wheel.path} is for {tags}, which {target} does not take ({supported[0]} would be the best)",
                "get or build a wheel for that Python and platform",
            )
    wanted = wheel.metadata.get("requires-python", [""])[0]
    if wanted and not ignore_requires_python and not _python_fits(wanted, prefix):
        raise WheelRefused(
            f"{wheel.path} wants Python {wanted}, and {prefix.root} has {prefix.full_version}",
            "take a version made for that Python, or give --ignore-requires-python",
        )


def taken_by(prefix: Prefix) -> list[str]:
    """The tags that the Python of `prefix` takes, best first; those of pure wheels while it cannot be run."""
    try:
        return interpreter.ask(prefix).tags
    except InterpreterError:
        from packaging.tags import compatible_tags

        major, minor = prefix.version
        return [str(tag) for tag in compatible_tags(prefix.version, f"cp{major}{minor}", ["any"])]


def expand(tags: str) -> set[str]:
    """The single tags of a compressed set.

    >>> sorted(expand("py2.py3-none-any"))
    ['py2-none-any', 'py3-none-any']
    """
    pythons, abis, platforms = tags.split("-")
    return {f"{p}-{a}-{f}" for p in pythons.split(".") for a in abis.split(".") for f in platforms.split(".")}


def _is_pure_for(tags: str, major: int, minor: int) -> bool:
    """The common case without asking anybody: `packaging.tags.compatible_tags` for the platform "any"."""
    pythons, abis, platforms = tags.split("-")
    if "none" not in abis.split(".") or "any" not in platforms.split("."):
        return False
    names = {f"py{major}", f"cp{major}{minor}", *(f"py{major}{each}" for each in range(minor + 1))}
    return not names.isdisjoint(pythons.split("."))


def _python_fits(wanted: str, prefix: Prefix) -> bool:
    verdicts = [_clause_holds(clause.strip(), prefix.version) for clause in wanted.split(",")]
    if None not in verdicts:  # nearly all wheels; packaging costs 10 to 15 ms to import
        return all(verdicts)
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(wanted).contains(prefix.full_version, prereleases=True)
    except InvalidSpecifier:
        return True  # pip ignores what it cannot read here, too


def _clause_holds(clause: str, version: tuple[int, int]) -> bool | None:
    """Whether a clause of a specifier that speaks of nothing but major and minor version holds; None for other ones.

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
