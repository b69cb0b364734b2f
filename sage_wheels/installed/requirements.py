"""Are the requirements of a distribution there? Said, never acted upon: what to install, somebody else decides."""

from __future__ import annotations

from sage_wheels.errors import InterpreterError
from sage_wheels.installed.metadata import requirement_name
from sage_wheels.prefix import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sage_wheels.prefix import Prefix


def unmet(prefix: Prefix, requires: list[str], available: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with each of the PEP 508 requirements `requires`, as the end of a sentence.

    `available` has the version of each distribution by normalised name. Requirements of extras are left out, and those
    that cannot be read, as pip leaves them out; markers are those of the target interpreter.
    """
    for text in requires:
        name = requirement_name(text)
        if ";" not in text and name in available and text.strip().replace("_", "-").lower() == name:
            continue  # met without the 15 ms that packaging takes to import
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion

        try:
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({**_markers(prefix), "extra": ""}):
                continue
            wanted = f"{requirement.name}{requirement.specifier}"
            if name not in available:
                yield f"{wanted}, which is not installed"
            elif not requirement.specifier.contains(available[name], prereleases=True):
                yield f"{wanted}, but {available[name]} is installed"
        except (InvalidRequirement, InvalidVersion, RecursionError):  # the last one: of brackets in brackets
            continue


def _markers(prefix: Prefix) -> dict[str, str]:
    """The marker environment of the target; of ours, with its version, if that cannot run."""
    try:
        return interpreter.ask(prefix).markers
    except InterpreterError:
        version = f"{prefix.version[0]}.{prefix.version[1]}"
        return {"python_version": version, "python_full_version": prefix.full_version}
