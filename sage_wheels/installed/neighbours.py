"""Relations between installed distributions: which one requires which, and which name is similar to another."""

from __future__ import annotations

import re

from sage_wheels.installed.distributions import described, readable_metadata
from sage_wheels.installed.requirements import Markers
from sage_wheels.metadata import canonical_name, requirement_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix


def required_by(
    prefix: Prefix, names: Collection[str], distributions: Iterable[Distribution]
) -> dict[str, list[Distribution]]:
    """For each of the canonical `names`, those of `distributions` that require it; requirements of extras do not count.

    Markers are evaluated for the target interpreter.
    """
    markers = Markers(prefix)
    found: dict[str, list[Distribution]] = {name: [] for name in names}
    for each in distributions:
        lines = readable_metadata(prefix, each).get("requires-dist", [])
        wanted = {name: line for line in lines if (name := requirement_name(line)) in found and markers.hold(line)}
        for name in wanted:
            found[name].append(each)
    return found


def close_to(prefix: Prefix, name: str, distributions: Iterable[Distribution]) -> str:
    """The name of a distribution that is similar to `name`, for "did you mean"; "" if there is none."""
    import difflib

    names = {each.canonical_name: each for each in distributions}
    close = difflib.get_close_matches(canonical_name(name), names, 1)
    return described(prefix, names[close[0]]).name if close else ""


def size_of(record: bytes) -> int:
    """The sum of the sizes (bytes) in the rows of a RECORD, without parsing it, which would take 100 times as long.

    >>> size_of(b'six.py,sha256=abc,7\\n"a,b.py",,\\nx,sha256=ab,12\\n')
    19
    """
    return sum(int(each) for each in re.findall(rb",(\d{1,15})\r?$", record, re.MULTILINE))


def matching(patterns: Iterable[str], names: Mapping[str, object]) -> dict[str, list[str]]:
    """For each of `patterns`, which may have wildcards as in a shell, the canonical `names` that match.

    >>> matching(["Foo_*", "bar"], {"foo-a": 1, "bar": 2})
    {'Foo_*': ['foo-a'], 'bar': ['bar']}
    """
    import fnmatch

    return {each: fnmatch.filter(names, canonical_name(each)) for each in patterns}
