"""The dependency graph of the sources of a run.

A build needs its build requirements and, transitively, the run-time requirements of these. Those that are sources of
this run are built first. If the version of a source fits, it is used and not a wheel; of several such sources, the
newest. The graph grows during the run, because some requirements are known only from a backend or a finished wheel.
"""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from sage_wheels.named import NamedTuple
from sage_wheels.requirements.markers import applies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from packaging.specifiers import SpecifierSet

    from sage_wheels.graph.projects import Project

_NONE = Version("0")


class Wheels(NamedTuple):
    """The wheels that are available before this run.

    requires: returns the Requires-Dist lines of the best wheel of a project that fits a specifier; None without one.
    complete: whether builds can use nothing but those wheels and the sources (there is no index).
    """

    requires: Callable[[str, SpecifierSet], Sequence[str] | None]
    complete: bool


class Needs(NamedTuple):
    """What a project waits for: the numbers of projects to build `first`; and a sentence for each `missing` one."""

    first: frozenset[int]
    missing: tuple[str, ...]


class Graph:
    """The sources of one run. `markers` is the environment of the interpreter that builds (PEP 508)."""

    def __init__(self, projects: Sequence[Project], markers: Mapping[str, str], wheels: Wheels) -> None:
        self.projects = list(projects)
        self.unfinished = {project.number for project in projects}
        self._markers = dict(markers)
        self._wheels = wheels
        self._by_name: dict[str, list[Project]] = {}
        for project in projects:
            self._by_name.setdefault(project.name, []).append(project)
        for name in self._by_name:
            self._sort(name)
        self.changes = 0  # how often it has changed, without counting builds that have finished
        self._learned: dict[int, tuple[str, ...]] = {}  # the requirements that a backend has returned
        self._requires = {project.number: project.requires for project in projects}
        self._parsed: dict[str, Requirement | None] = {}
        self._applies: dict[tuple[str, frozenset[str]], bool] = {}
        self._needs: dict[int, Needs] = {}
        self._after: dict[int, set[int]] = {project.number: set() for project in projects}
        self._waiting: dict[int, set[int]] = {project.number: set() for project in projects}
        for project in projects:
            self._look(project.number)

    def needs(self, number: int) -> Needs:
        """What the unfinished project `number` waits for, as far as it is known now."""
        return self._needs[number]

    def came_after(self, number: int) -> frozenset[int]:
        """The projects that `number` waits for or has waited for."""
        return frozenset(self._after[number])

    def ready(self) -> list[int]:
        """The unfinished projects that wait for nothing."""
        return [number for number in self.unfinished if not self._needs[number].first]

    def learn(self, number: int, lines: Iterable[str]) -> None:
        """The backend of `number` requires `lines`, too."""
        self._learned[number] = tuple(dict.fromkeys([*self._learned.get(number, ()), *lines]))
        self._look(number)

    def known_requirements(self, number: int) -> list[str]:
        """All requirements of the build of `number` that are known so far."""
        return [*(self.projects[number].build_requires or ()), *self._learned.get(number, ())]

    def built(self, number: int, version: Version, requires: Sequence[str]) -> None:
        """`number` has a wheel of `version` now, which needs `requires` (Requires-Dist) to run."""
        self.unfinished.discard(number)
        is_news = self._requires[number] != tuple(requires) or self.projects[number].version != version
        self._rename(number, version)
        self._requires[number] = tuple(requires)
        for each in self._waiting.pop(number) & self.unfinished:
            if is_news:
                self._look(each)
            else:
                needs = self._needs[each]
                self._needs[each] = needs._replace(first=needs.first - {number})

    def _rename(self, number: int, version: Version) -> None:
        project = self.projects[number]
        if project.version != version:
            self.projects[number] = project._replace(version=version)
            self._sort(project.name)

    def _sort(self, name: str) -> None:
        """Sort the projects called `name`: the newest first, those without a known version last."""
        same = [self.projects[each.number] for each in self._by_name[name]]
        same.sort(key=lambda each: (each.version is not None, each.version or _NONE), reverse=True)
        self._by_name[name] = same

    def given_up(self, number: int) -> None:
        """Note that `number` will not be built, so that projects that wait for it cannot be built, either."""
        self.changes += 1
        self.unfinished.discard(number)

    def in_vain(self, number: int) -> int | None:
        """A project that `number` waits for and that will not be built; None if there is none."""
        return next((each for each in sorted(self._needs[number].first) if each not in self.unfinished), None)

    def cycles(self) -> list[list[int]]:
        """The groups of unfinished projects each of which waits, by way of the others, for itself."""
        return [group for group in _components(self._open) if len(group) > 1 or group[0] in self._open(group[0])]

    def _open(self, number: int | None) -> Iterable[int]:
        if number is None:
            return sorted(self.unfinished)
        return sorted(self._needs[number].first & self.unfinished)

    def remaining(self, cost: Callable[[int], float]) -> dict[int, float]:
        """The seconds of the longest chain of builds that begins with each unfinished project, itself included."""
        result: dict[int, float] = {}
        for group in reversed(_components(self._open)):  # a project comes before those that it waits for
            after = [result[each] for number in group for each in self._waiting[number] if each in result]
            longest = max(after, default=0.0)
            for number in group:
                result[number] = cost(number) + longest
        return result

    def _look(self, number: int) -> None:
        """Compute again what `number` waits for."""
        self.changes += 1
        before = self._needs.get(number)
        needs = self._closure(self.projects[number])
        for each in before.first - needs.first if before else ():
            if each in self._waiting:
                self._waiting[each].discard(number)
        for each in needs.first:
            self._waiting.setdefault(each, set()).add(number)
        self._needs[number] = needs
        self._after[number] |= needs.first

    def _closure(self, project: Project) -> Needs:
        first: set[int] = set()
        missing: list[str] = []
        seen: set[tuple[str, frozenset[str], str]] = set()
        todo = [(line, f"the build of {project}", frozenset[str]()) for line in self.known_requirements(project.number)]
        while todo:
            line, asker, asked_extras = todo.pop()
            requirement = self._requirement(line)
            if not requirement or not self._holds(line, requirement, asked_extras):
                continue
            name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
            key = (name, extras, str(requirement.specifier))
            if key in seen:
                continue
            seen.add(key)
            chosen = self._chosen(name, requirement.specifier, project)
            if chosen:
                if chosen.number in self.unfinished or chosen.number in self._waiting:
                    first.add(chosen.number)
                requires: Sequence[str] | None = self._requires[chosen.number]
                asker = str(chosen)
            else:
                requires = self._wheels.requires(name, requirement.specifier)
                if requires is None and self._wheels.complete and not requirement.url:
                    missing.append(f"{asker} requires {requirement.name}{requirement.specifier}")
                asker = name
            todo.extend((each, asker, extras) for each in requires or ())
        return Needs(frozenset(first), tuple(missing))

    def _chosen(self, name: str, specifier: SpecifierSet, asker: Project) -> Project | None:
        """The source of that name that fits; the asker itself only if there is no wheel that fits."""
        fitting = [
            each
            for each in self._by_name.get(name, ())
            if each.version is None or specifier.contains(each.version, prereleases=True)
        ]
        others = [each for each in fitting if each.number != asker.number]
        if others or not fitting:
            return others[0] if others else None
        return None if self._wheels.requires(name, specifier) is not None else fitting[0]

    def _requirement(self, line: str) -> Requirement | None:
        """`line` parsed; None if it is invalid: the resolver reports that, if the line is ever needed."""
        if line not in self._parsed:
            try:
                self._parsed[line] = Requirement(line)
            except (InvalidRequirement, RecursionError):
                self._parsed[line] = None
        return self._parsed[line]

    def _holds(self, line: str, requirement: Requirement, extras: frozenset[str]) -> bool:
        if requirement.marker is None:
            return True
        key = (line, extras)
        if key not in self._applies:
            try:
                self._applies[key] = applies(requirement, self._markers, extras)
            except InvalidRequirement:
                self._applies[key] = False  # as above
        return self._applies[key]


def _components(edges: Callable[[int | None], Iterable[int]]) -> list[list[int]]:
    """The strongly connected components of a graph, each after those that it leads to (Tarjan, without recursion).

    `edges(None)` are all nodes; `edges(node)` are the nodes that `node` leads to.
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: set[int] = set()
    stack: list[int] = []
    result: list[list[int]] = []
    for root in edges(None):
        if root in index:
            continue
        work: list[tuple[int, Iterator[int]]] = [(root, iter(edges(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for each in following:
                if each not in index:
                    index[each] = low[each] = len(index)
                    stack.append(each)
                    on_stack.add(each)
                    work.append((each, iter(edges(each))))
                    break
                if each in on_stack:
                    low[node] = min(low[node], index[each])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    group = []
                    while True:
                        each = stack.pop()
                        on_stack.discard(each)
                        group.append(each)
                        if each == node:
                            break
                    result.append(group[::-1])
    return result
