"""Parse versions of Python, in all forms that Python and tools for virtual environments use.

`sysconfig` and `platform` give "3.11.7", or "3.11.7+" for a Python built from later sources than that release, or
"3.14.0rc2". virtualenv writes `sys.version_info` with dots: "3.11.7.final.0", "3.14.0.candidate.2". All of them are
turned into versions of PEP 440.
"""

from __future__ import annotations

import re

from sage_wheels.named import NamedTuple

_STAGES = {"alpha": "a", "beta": "b", "candidate": "rc", "c": "rc", "final": ""}
_VERSION = (
    r"(?ai)\s*(?P<release>\d+(?:\.\d+){1,2})"  # text after it, about the build or the distributor, is ignored
    r"(?:\.?(?P<stage>alpha|beta|candidate|final|rc|a|b|c)\.?(?P<serial>\d+))?"
)


class PythonVersion(NamedTuple):
    """A version of Python: `release` has two or three numbers; `stage` is "a1", "b2", "rc3", or "" for a release.

    >>> str(read("3.14.0.candidate.2")), read("3.11.7.final.0"), read("garbage")
    ('3.14.0rc2', PythonVersion(release=(3, 11, 7), stage=''), None)
    """

    release: tuple[int, ...]
    stage: str = ""

    def __str__(self) -> str:
        return ".".join(map(str, self.release)) + self.stage

    @property
    def feature(self) -> tuple[int, int]:
        """The major and the minor version."""
        return self.release[0], self.release[1]


def read(text: str) -> PythonVersion | None:
    """The version in `text`, in any of these forms; None if there is none.

    >>> [str(read(each)) for each in ("3.11", "3.11.7+", "3.13.0b1+", "3.10.4 (main, Mar 1 2022)")]
    ['3.11', '3.11.7', '3.13.0b1', '3.10.4']
    """
    numbers = text.split(".")
    if len(numbers) in (2, 3) and all(each.isdecimal() and each.isascii() for each in numbers):
        return PythonVersion(tuple(map(int, numbers)))  # the usual case; compiling the pattern takes longer
    found = re.match(_VERSION, text)
    if not found:
        return None
    stage = (found["stage"] or "final").lower()
    stage = _STAGES.get(stage, stage)
    return PythonVersion(tuple(map(int, found["release"].split("."))), stage and f"{stage}{int(found['serial'])}")


def spelled(text: str) -> str:
    """The version in `text` in the form of PEP 440; `text` itself if it contains no version.

    >>> spelled("3.11.7+")
    '3.11.7'
    """
    return str(read(text) or text)


def is_allowed(version: str, requires_python: str) -> bool:
    """Whether a Python of that `version` satisfies `requires_python` (Requires-Python of the core metadata).

    As with pip, a release candidate counts as the release, and an invalid specifier is satisfied by every version.

    >>> is_allowed("3.14.0rc2", ">=3.14"), is_allowed("3.11.7+", "!=3.11.7"), is_allowed("3.9", ">=3.*")
    (True, False, True)
    """
    if not requires_python:
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    known = read(version)
    try:
        return not known or SpecifierSet(requires_python).contains(str(known._replace(stage="")), prereleases=True)
    except InvalidSpecifier:
        return True
