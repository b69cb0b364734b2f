"""`sage_wheels.prefix.versions`: one version in all the spellings of it."""

from __future__ import annotations

import pytest

from sage_wheels.prefix import versions


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("3.11.7", "3.11.7"),
        ("3.11.7+", "3.11.7"),
        ("3.11.7.final.0", "3.11.7"),
        ("3.14.0.candidate.2", "3.14.0rc2"),
        ("3.14.0.alpha.1", "3.14.0a1"),
        ("3.14.0.beta.10", "3.14.0b10"),
        ("3.14.0rc2+", "3.14.0rc2"),
        ("3.15.0a0", "3.15.0a0"),
        ("3.9.18 | packaged by somebody | (main, Jan 1 2024)", "3.9.18"),
        (" 3.13", "3.13"),
        ("3.12.1-foo", "3.12.1"),
        ("20", "20"),
        ("", ""),
        ("none", "none"),
    ],
)
def test_spellings(text: str, spelled: str) -> None:
    assert versions.spelled(text) == spelled
    assert versions.spelled(spelled) == spelled


@pytest.mark.parametrize(
    ("version", "wanted", "allowed"),
    [
        ("3.11.7.final.0", ">=3.8.1", True),
        ("3.11.7+", "~=3.8", True),
        ("3.11.7+", "==3.11.7", True),
        ("3.11.7.final.0", "!=3.11.7", False),
        ("3.11.7", ">=3.11.8", False),
        ("3.14.0.candidate.2", ">=3.14", True),  # pip compares sys.version_info[:3]
        ("3.14.0.candidate.2", "<3.14", False),
        ("3.14.0a1", ">=3.14.0rc1", True),
        ("3.11.7", ">=3.7.*", True),  # no specifier
        ("3.11.7", "", True),
    ],
)
def test_requires_python(version: str, wanted: str, allowed: bool) -> None:
    assert versions.is_allowed(version, wanted) is allowed
