"""Find requirements of a distribution that are not installed, for messages only: this tool does not install them."""

from __future__ import annotations

import functools
import re

from sage_wheels.metadata import canonical_name, requirement_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements.markers import applies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from packaging.requirements import Requirement

    from sage_wheels.prefix import Prefix

# A marker that only an extra can fulfil: nearly all that there are, and to parse them takes most of the time.
_ONLY_EXTRA = re.compile(r"(?!.*\bor\b).*\bextra\s*==\s*['\"][^'\"]+['\"]", re.DOTALL)


class KnownDistribution(NamedTuple):
    """A distribution that is installed, or is going to be: `metadata` is called to read its header fields."""

    name: str
    version: str
    metadata: Callable[[], Mapping[str, list[str]]]


class Markers:
    """The markers of requirements, evaluated for the target interpreter; it is asked when the first one needs it."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self._answers: dict[str, bool] = {}

    @functools.cached_property
    def environment(self) -> Mapping[str, str]:
        from sage_wheels.prefix.interpreter import markers_of  # `show` mostly does without

        return markers_of(self._prefix)

    def hold(self, line: str) -> bool:
        """Whether the marker of the requirement `line` is true if no extra is requested.

        False for an invalid line: invalid requirements are ignored, as by pip before 24.1.
        """
        plain, semicolon, marker = line.partition(";")
        if not semicolon:
            return True
        if "@" in plain:  # perhaps the semicolon is part of the URL
            marked = line
        elif _ONLY_EXTRA.match(marker):
            return False
        else:
            marked = f"any;{marker}"  # the same few markers are in many distributions
        if marked not in self._answers:
            from packaging.requirements import InvalidRequirement, Requirement

            try:
                self._answers[marked] = applies(Requirement(marked), self.environment)
            except (InvalidRequirement, RecursionError):  # RecursionError: deeply nested brackets
                self._answers[marked] = False
        return self._answers[marked]


def unmet(
    markers: Markers, one: KnownDistribution, extras: tuple[str, ...], available: Mapping[str, KnownDistribution]
) -> Iterator[str]:
    """A sentence, without a full stop, for each requirement of `one` and its normalised `extras` that is not fulfilled.

    `available` are the distributions by normalised name. If a requirement asks for extras, of the same project or of
    another one that is available, their requirements are checked, too. Invalid requirements are ignored, as by
    pip before 24.1.
    """
    return _unmet(markers, one, extras, available, set(), itself=True)


def _unmet(
    markers: Markers,
    one: KnownDistribution,
    extras: tuple[str, ...],
    available: Mapping[str, KnownDistribution],
    seen: set[tuple[str, tuple[str, ...]]],
    *,
    itself: bool,
) -> Iterator[str]:
    """As `unmet`; without `itself`, only the requirements of the extras are checked."""
    metadata = one.metadata()
    has = {canonical_name(each) for each in metadata.get("provides-extra", ())} if extras else set()
    yield from (f"{one.name} {one.version} has no extra {extra}" for extra in extras if extra not in has)
    for text in metadata.get("requires-dist", ()):
        if not extras and not markers.hold(text):
            continue
        name = requirement_name(text)
        if ";" not in text and (not itself or (name in available and canonical_name(text.strip()) == name)):
            continue  # fulfilled; importing packaging would take 15 ms
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion

        try:
            requirement = Requirement(text)
            asker = _asker(markers, requirement, one, extras, itself=itself)
            if not asker:
                continue
            wanted, there = f"{requirement.name}{requirement.specifier}", available.get(name)
            if there is None:
                yield f"{asker} needs {wanted}, which is not installed"
                continue
            if not requirement.specifier.contains(there.version, prereleases=True):
                yield f"{asker} needs {wanted}, but {there.version} is installed"
        except (InvalidRequirement, InvalidVersion, RecursionError):
            continue
        more = tuple(sorted({canonical_name(each) for each in requirement.extras}))
        if more and (name, more) not in seen:
            seen.add((name, more))
            yield from _unmet(markers, there, more, available, seen, itself=False)


def _asker(
    markers: Markers,
    requirement: Requirement,
    one: KnownDistribution,
    extras: tuple[str, ...],
    *,
    itself: bool,
) -> str:
    """The name, with an extra if need be, that has this requirement; "" if its marker is false for all of them."""
    if requirement.marker is None or applies(requirement, markers.environment):
        return f"{one.name} {one.version}" if itself else ""
    for extra in extras:
        if applies(requirement, markers.environment, [extra]):
            return f"{one.name}[{extra}] {one.version}"
    return ""
