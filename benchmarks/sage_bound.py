"""How fast `make -j2` could have been: the bound that the build backends of the packages set, in one run.

Two processors cannot need less than half of the processor time that all backends, with the compilers that they start,
have taken; and no number of processors less than the longest chain of packages of which each waits for the one before.
"""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Phases of a build in which a hook of the backend runs; the others are ours.
_OF_THE_BACKEND = ("get_requires", "build")


class Bound(NamedTuple):
    """`processor`: the seconds of processor time of all backends. `chain`: the seconds that those of the longest chain
    have run, one after the other; `packages` are those of the chain that build something."""

    processor: float
    chain: float
    packages: list[str]

    @property
    def seconds(self) -> float:
        """What two processors need at least."""
        return max(self.chain, self.processor / 2)

    def __str__(self) -> str:
        chain = f"{self.chain:.0f} s in a chain ({', '.join(self.packages)})"
        return f"backends took {self.processor:.0f} s of processor time, and {chain}"


def bound(timings: str, root: Path) -> Bound:
    """The bound of a run in the tree of Sage at `root`; `timings` is what the file $SAGE_WHEELS_TIMINGS has of it."""
    needs = dependencies((root / "build/make/Makefile").read_text())
    of_project = {project: package for package in needs for project in _projects(root / "build/pkgs" / package)}
    seconds: defaultdict[str, float] = defaultdict(float)
    for project, taken in seconds_of_backends(timings).items():
        seconds[of_project.get(project, project)] += taken
    chain, packages = longest(seconds, needs)
    return Bound(processor_seconds(timings), chain, packages)


def seconds_of_backends(timings: str) -> dict[str, float]:
    """How long the backend of each project has run, in all of its builds; the name of the project is normalised.

    >>> phases = '[["source", 1.0], ["get_requires", 2.0], ["environment", 2.5], ["build", 4.0], ["store", 9.0]]'
    >>> seconds_of_backends(f'{{"name": "A.b", "ended": 9.5, "phases": {phases}}}')
    {'a-b': 5.5}
    """
    found: defaultdict[str, float] = defaultdict(float)
    for entry in map(json.loads, timings.splitlines()):
        for phase, seconds in phases_of(entry):
            if phase in _OF_THE_BACKEND:
                found[_normalised(entry["name"])] += seconds
    return dict(found)


def phases_of(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Name and seconds of the phases of one build, in their order; a phase may come again.

    >>> list(phases_of({"phases": [["source", 1.0], ["build", 2.0]], "ended": 4.5}))
    [('source', 1.0), ('build', 2.5)]
    """
    ends = [at for _, at in entry["phases"][1:]] + [entry["ended"]]
    for (phase, began), ended in zip(entry["phases"], ends, strict=True):
        yield phase, ended - began


def processor_seconds(timings: str) -> float:
    """The processor time of all backends.

    >>> processor_seconds('{"name": "a", "processor": 1.5}\\n{"name": "b", "processor": 2.0}')
    3.5
    """
    return sum(float(entry["processor"]) for entry in map(json.loads, timings.splitlines()))


def dependencies(makefile: str) -> dict[str, list[str]]:
    """What `make` builds before each package, also by order only: the variables deps_PACKAGE of Sage's Makefile.

    >>> dependencies("PYTHON = python3\\ndeps_six = | pip $(PYTHON)\\ndeps_pip =\\n")
    {'six': ['pip', 'python3'], 'pip': []}
    """
    variables = dict(re.findall(r"^(\w+) *:?= *(.*)$", makefile, re.MULTILINE))

    def expanded(text: str) -> str:
        return re.sub(r"\$\((\w+)\)", lambda found: expanded(variables.get(found[1], "")), text)

    return {
        name.removeprefix("deps_"): [word for word in expanded(text).split() if word[0] not in "|#$"]
        for name, text in variables.items()
        if name.startswith("deps_")
    }


def longest(seconds: dict[str, float], needs: dict[str, list[str]]) -> tuple[float, list[str]]:
    """The longest chain: its seconds, and those of its packages that take some.

    >>> longest({"b": 2.0, "d": 4.0, "a": 3.0}, {"a": ["b", "c"], "c": ["d"]})
    (7.0, ['d', 'a'])
    """

    @functools.cache
    def until(package: str) -> tuple[float, tuple[str, ...]]:
        before = max(map(until, needs.get(package, ())), default=(0.0, ()))
        own = seconds.get(package, 0.0)
        return before[0] + own, (*before[1], package) if own else before[1]

    taken, packages = max(map(until, {*seconds, *needs}), default=(0.0, ()))
    return taken, list(packages)


def _projects(package: Path) -> set[str]:
    """The normalised names of the distribution of a package: its own name, and the one that its file says."""
    try:
        text = (package / "version_requirements.txt").read_text()
    except FileNotFoundError:
        text = ""
    found = re.findall(r"^ *([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)
    return {_normalised(name) for name in (*found, package.name)}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
