"""Markers of requirements: a valid one can compare what has no order, and name what is not known."""

from __future__ import annotations

import pytest
from packaging.requirements import InvalidRequirement, Requirement

from sage_wheels.requirements.markers import applies

ENVIRONMENT = {"os_name": "posix", "python_version": "3.11"}
UNDEFINED = ["os_name ~= 'posix'", "'test' in extras"]


def test_extras() -> None:
    line = Requirement("six; extra == 'test' or extra == 'docs'")
    found = [applies(line, ENVIRONMENT, extras) for extras in ((), ("other",), ("other", "docs"))]
    assert found == [False, False, True]
    assert applies(Requirement("six"), {})


@pytest.mark.parametrize("marker", UNDEFINED)
def test_what_cannot_be_evaluated_is_invalid(marker: str) -> None:
    with pytest.raises(InvalidRequirement, match="its marker cannot be evaluated"):
        applies(Requirement(f"six; {marker}"), ENVIRONMENT)
