"""Choose wheels of a wheelhouse that fulfil a set of requirements, and the requirements of these wheels in turn.

`resolvelib` does the search; this module defines requirements, candidates and dependencies for it. Markers are
evaluated for the building interpreter (PEP 508). As in pip, a project with extras is a separate candidate, which
depends on the project itself in the same version.
"""

from __future__ import annotations

import os

import resolvelib
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from resolvelib.resolvers import Resolution

from sage_wheels import redaction
from sage_wheels.errors import BuildFailed, FileOperationFailed, WheelRefused, WheelsMissing
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.versions import is_allowed
from sage_wheels.requirements.markers import applies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from resolvelib.structs import State

    from sage_wheels.building.environment.images import WheelSummary
    from sage_wheels.building.environment.wheelhouse import WheelEntry, Wheelhouse
    from sage_wheels.errors import SageWheelsError

# The limit of resolvelib, which counts every pin. A build usually needs about ten distributions in all.
_MAX_ROUNDS = 5000


class Identifier(NamedTuple):
    """Identifies a project, or a project with some extras, of which only one version may be chosen."""

    name: str
    extras: frozenset[str]


class Wanted(NamedTuple):
    """A requirement, and the project (or file) that has it, for messages."""

    requirement: Requirement
    asker: str

    @property
    def identifier(self) -> Identifier:
        extras = frozenset(canonicalize_name(extra) for extra in self.requirement.extras)
        return Identifier(canonicalize_name(self.requirement.name), extras)

    def __str__(self) -> str:
        return f"{self.requirement} (asked for by {self.asker})"


class Chosen(NamedTuple):
    """A wheel with some of its extras; `extras` is empty for the wheel itself."""

    entry: WheelEntry
    extras: frozenset[str]

    @property
    def identifier(self) -> Identifier:
        return Identifier(self.entry.name, self.extras)


def resolve(
    requirements: Iterable[tuple[str, str]],
    wheelhouse: Wheelhouse,
    markers: Mapping[str, str],
    about: Callable[[str], WheelSummary],
) -> list[WheelEntry]:
    """Choose wheels for `requirements`, which are pairs of a PEP 508 line and the name of who has it.

    `markers` is the environment of the building interpreter; `about` returns the summary of the wheel at a path. Newer
    versions are preferred; pre-releases are used only if nothing else fits, or if one is named (PEP 440). Raises
    `WheelsMissing` with the requirement that cannot be fulfilled, or the two that contradict each other.
    """
    provider = _Provider(wheelhouse, markers, about)
    wanted = [each for line, asker in requirements for each in provider.applying(line, asker, frozenset())]
    resolution: Resolution[Wanted, Chosen, Identifier] = Resolution(provider, resolvelib.BaseReporter())
    try:
        state = resolution.resolve(wanted, max_rounds=_MAX_ROUNDS)
    except resolvelib.ResolutionImpossible as impossible:
        raise provider.explain([cause.requirement for cause in impossible.causes]) from None
    except resolvelib.ResolutionTooDeep:
        raise WheelsMissing(
            f"no choice of wheels was found in {_MAX_ROUNDS} steps", "keep fewer versions in the wheelhouse"
        ) from None
    needed = _needed(state)
    return [chosen.entry for identifier, chosen in state.mapping.items() if identifier in needed and not chosen.extras]


def _needed(state: State[Wanted, Chosen, Identifier]) -> set[Identifier]:
    """What is needed by the requirements, or by something else that is needed.

    Some of the chosen projects are not needed: if a version is given up, the projects that only it needed stay chosen.
    `Resolver` looks for them by a recursion that never ends if two of them need each other.
    """
    needed: set[Identifier] = set()

    def is_needed(identifier: Identifier) -> bool:
        return any(
            parent is None or (parent.identifier in needed and state.mapping[parent.identifier] == parent)
            for parent in state.criteria[identifier].iter_parent()
        )

    while more := [each for each in state.mapping if each not in needed and is_needed(each)]:
        needed.update(more)
    return needed


class _Provider(resolvelib.AbstractProvider):  # type: ignore[type-arg]
    """The provider for resolvelib, whose candidates are the wheels of a wheelhouse."""

    def __init__(
        self, wheelhouse: Wheelhouse, markers: Mapping[str, str], about: Callable[[str], WheelSummary]
    ) -> None:
        self._wheelhouse = wheelhouse
        self._markers = dict(markers)
        self._read_about = about
        self._about: dict[str, WheelSummary | None] = {}
        self._unusable: dict[str, SageWheelsError | OSError] = {}

    def identify(self, requirement_or_candidate: Wanted | Chosen) -> Identifier:
        return requirement_or_candidate.identifier

    def get_preference(
        self,
        identifier: Identifier,
        resolutions: Mapping[Identifier, Chosen],
        candidates: Mapping[Identifier, Iterator[Chosen]],
        information: Mapping[Identifier, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> tuple[bool, bool, str]:
        """Projects in a conflict first, then those pinned to one version; then by name, for a deterministic result."""
        in_conflict = any(cause.requirement.identifier.name == identifier.name for cause in backtrack_causes)
        pinned = any(
            specifier.operator == "=="
            for each in information[identifier]
            for specifier in each.requirement.requirement.specifier
        )
        return (not in_conflict, not pinned, identifier.name)

    def find_matches(
        self,
        identifier: Identifier,
        requirements: Mapping[Identifier, Iterator[Wanted]],
        incompatibilities: Mapping[Identifier, Iterator[Chosen]],
    ) -> list[Chosen]:
        wanted = [each.requirement for each in requirements[identifier]]
        excluded = {each.entry.path for each in incompatibilities[identifier]}
        specifiers = SpecifierSet()
        for requirement in wanted:
            specifiers &= requirement.specifier
        entries = self._wheelhouse.of(identifier.name)
        versions = set(specifiers.filter({entry.version for entry in entries}))
        return [
            Chosen(entry, identifier.extras)
            for entry in entries
            if entry.version in versions and entry.path not in excluded and self._usable(entry)
        ]

    def is_satisfied_by(self, requirement: Wanted, candidate: Chosen) -> bool:
        return requirement.requirement.specifier.contains(candidate.entry.version, prereleases=True)

    def get_dependencies(self, candidate: Chosen) -> list[Wanted]:
        entry = candidate.entry
        about = self._about[entry.path]
        assert about is not None
        asker = f"{entry.name} {entry.version}"
        dependencies = [each for line in about.requires for each in self.applying(line, asker, candidate.extras)]
        if candidate.extras:
            dependencies.append(Wanted(Requirement(f"{entry.name}=={entry.version}"), asker))
        return dependencies

    def applying(self, line: str, asker: str, extras: frozenset[str]) -> Iterator[Wanted]:
        """The requirement in `line`, if its marker is true.

        Raises `BuildFailed`, not `WheelsMissing`, if it is invalid or has a URL, because pip must not be asked for it.
        """
        try:
            requirement = Requirement(line)
            is_needed = applies(requirement, self._markers, extras)
        except (InvalidRequirement, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise BuildFailed(f"{asker} asks for {line!r}, which is no requirement ({reason})", "correct it") from error
        if not is_needed:
            return
        if requirement.url:
            raise BuildFailed(
                f"{asker} asks for {redaction.url(line)}, but only what a build asks for itself may have a URL",
                "let it ask for the name alone, and put its wheel into the wheelhouse",
            )
        requirement.marker = None
        yield Wanted(requirement, asker)

    def _usable(self, entry: WheelEntry) -> bool:
        """Whether the wheel is valid and supports this version of Python. A wheel that is being written is not valid.

        Raises `FileOperationFailed` if it cannot be read, because then another wheel must not be chosen silently.
        """
        if entry.path not in self._about:
            self._about[entry.path] = None
            try:
                about = self._read_about(entry.path)
            except (WheelRefused, FileNotFoundError) as error:
                self._unusable[entry.path] = error
            except OSError as error:
                raise FileOperationFailed.from_os_error(error, f"reading {entry.path}") from error
            except FileOperationFailed as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
                self._unusable[entry.path] = error
            else:
                if is_allowed(self._markers["python_full_version"], about.requires_python):
                    self._about[entry.path] = about
        return self._about[entry.path] is not None

    def explain(self, wanted: list[Wanted]) -> WheelsMissing:
        """The error for requirements that cannot all be fulfilled; it names the one or two that are to blame."""
        for each in wanted:
            if not self._fulfilled_alone(each):
                return self._explain_one(each)
        different = list({str(each): each for each in wanted}.values())
        name = different[0].identifier.name
        return WheelsMissing(
            f"{' and '.join(map(str, different))} exclude each other, for {self._at_hand(name)}",
            "add a version that suits all to the wheelhouse, or change one of the requirements",
            [name],
        )

    def _fulfilled_alone(self, wanted: Wanted) -> bool:
        identifier = wanted.identifier
        return bool(self.find_matches(identifier, {identifier: iter([wanted])}, {identifier: iter([])}))

    def _explain_one(self, wanted: Wanted) -> WheelsMissing:
        name = wanted.identifier.name
        refused = [error for path, error in self._unusable.items() if _project_of(path) == name]
        why = f"; {refused[0]}" if refused else ""
        return WheelsMissing(
            f"{wanted.asker} asks for {wanted.requirement}, but {self._at_hand(name)}{why}",
            "build that first, name its directory with --find-links, or allow the package index with --index",
            [name],
        )

    def _at_hand(self, name: str) -> str:
        """A clause, for messages, that says which wheels of a project are available."""
        if path := self._wheelhouse.located.get(name):
            fits = "" if self._wheelhouse.of(name) else ", which is for another Python or platform"
            return f"its URL leads to {os.path.basename(path)}{fits}"
        where = str(self._wheelhouse)
        if not where:
            return f"no --find-links says where to look for wheels of {name}"
        entries = self._wheelhouse.of(name)
        if entries:
            versions = ", ".join(dict.fromkeys(str(entry.version) for entry in entries))
            return f"the versions of {name} in {where} are {versions}"
        others = self._wheelhouse.others(name)
        if others:
            return f"in {where} there is only {others[0]}, which is for another Python or platform"
        return f"there is no wheel of {name} in {where}"


def _project_of(path: str) -> str:
    return canonicalize_name(os.path.basename(path).partition("-")[0])
