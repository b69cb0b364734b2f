"""Build many sources, each after the sources that it requires, in parallel as far as there are slots."""

from __future__ import annotations

import os

from sage_wheels.building.environment.images import ImageCache
from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.building.environment.wheelhouse import Wheelhouse
from sage_wheels.building.options import store_of
from sage_wheels.building.stored import seconds_of
from sage_wheels.errors import SageWheelsError
from sage_wheels.graph import projects, scheduler
from sage_wheels.graph.graph import Graph, Wheels
from sage_wheels.graph.local import LocalEngine
from sage_wheels.requirements.sources import project_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from packaging.specifiers import SpecifierSet

    from sage_wheels.building import BuildOptions, Source
    from sage_wheels.building.environment.interpreter import BuildInterpreter
    from sage_wheels.graph.engine import Engine
    from sage_wheels.graph.projects import Project
    from sage_wheels.graph.scheduler import Outcome, RunOptions
    from sage_wheels.store.store import Store


def build_all(
    sources: Sequence[Source],
    wheel_dir: str,
    building: BuildOptions,
    options: RunOptions,
    *,
    from_source: bool = False,
    engine: Engine | None = None,
) -> list[Outcome]:
    """Build the wheels of `sources` into `wheel_dir`; returns an outcome for each, in the same order.

    Builds see only those wheels in `wheel_dir` that this run has built. With `from_source`, they see no other wheels.
    Raises `InterpreterError`, `UsageError` if a wheelhouse does not exist, and `UnsafePath`.
    """
    cache = building.cache_root()
    building.build_root()  # a temporary one is then that of all builds
    find_links = () if from_source else tuple(each for each in building.find_links if not _is_same(each, wheel_dir))
    building = building._replace(find_links=find_links, cache_dir=cache, on_note=None, on_phase=None)
    interpreter = find_building(building.python, building.prefix, cache)
    read = [projects.read(number, source, project_name(source)) for number, source in enumerate(sources)]
    if not building.isolation:  # builds use what is installed, and wait for nothing
        read = [each._replace(build_requires=()) for each in read]
    complete = not building.use_index and building.isolation
    graph = Graph(read, interpreter.facts.markers, _wheels(building, cache, interpreter, complete=complete))
    if building.store:
        options = options._replace(cost=_cost(read, store_of(building), options.cost))
    return scheduler.run(graph, engine or LocalEngine(), wheel_dir, building, options)


def _cost(read: Sequence[Project], store: Store, guess: Callable[[Project], float]) -> Callable[[Project], float]:
    """The seconds that each project's last build took, if the store has them, or else the `guess`; looked up once."""
    known = {each.name: seconds_of(store, each.name) for each in read}

    def cost(project: Project) -> float:
        seconds = known[project.name]
        return guess(project) if seconds is None else seconds

    return cost


def _wheels(building: BuildOptions, cache: str, interpreter: BuildInterpreter, *, complete: bool) -> Wheels:
    wheelhouse = Wheelhouse(building.find_links, interpreter.facts.tags)
    images = ImageCache(cache, interpreter, wheel_limits=building.wheel_limits)
    known: dict[tuple[str, str], tuple[str, ...] | None] = {}

    def requires(name: str, specifier: SpecifierSet) -> tuple[str, ...] | None:
        key = (name, str(specifier))
        if key not in known:
            entries = wheelhouse.of(name)
            versions = set(specifier.filter({entry.version for entry in entries}))
            known[key] = next(
                (found for entry in entries if entry.version in versions and (found := _of(entry.path)) is not None),
                None,
            )
        return known[key]

    def _of(path: str) -> tuple[str, ...] | None:
        try:
            return tuple(images.about(path).requires)
        except (SageWheelsError, OSError):
            return None  # damaged or deleted: builds do not use it, either

    return Wheels(requires, complete)


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
