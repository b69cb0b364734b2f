"""Evaluate the markers of requirements (PEP 508), also of those in metadata that nobody has checked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from packaging.requirements import Requirement


def applies(requirement: Requirement, environment: Mapping[str, str], extras: Collection[str] = ()) -> bool:
    """Whether the marker of `requirement` is true in `environment` for at least one of `extras`.

    If there are no `extras`, it is evaluated once, with `extra` as the empty string.

    Raises `InvalidRequirement` if the marker cannot be evaluated: "os_name ~= 'x'" is valid, but compares no versions.

    >>> from packaging.requirements import Requirement
    >>> applies(Requirement("six; extra == 'test'"), {}), applies(Requirement("six; extra == 'test'"), {}, ["test"])
    (False, True)
    """
    marker = requirement.marker
    if marker is None:
        return True
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.requirements import InvalidRequirement

    try:
        return any(marker.evaluate({**environment, "extra": each}) for each in extras or ("",))
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise InvalidRequirement(f"its marker cannot be evaluated: {error}") from error
