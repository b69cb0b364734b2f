"""Which requirements of new wheels are still missing after their installation. The answer is remembered in the store,
because importing `packaging` and parsing requirements takes as long as installing some wheels that the store knows."""

from __future__ import annotations

import os

from sage_wheels.installed import requirements
from sage_wheels.installed.distributions import find_in, readable_metadata
from sage_wheels.installed.requirements import KnownDistribution
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter
from sage_wheels.prefix.beside import libraries_beside
from sage_wheels.store.remembered import remembered, stat_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.store.store import Store
    from sage_wheels.wheel.image import Request
    from sage_wheels.wheel.wheel import Wheel


class _Available(NamedTuple):
    """A distribution, and what changes when its metadata do."""

    known: KnownDistribution
    identity: list[Any]


def unmet_requirements(
    prefix: Prefix, requests: list[Request], listing: list[Distribution], store: Store | None
) -> tuple[str, ...]:
    """A sentence for each requirement of the wheels, and of their extras, that is still missing after installation."""
    available = {each.canonical_name: _installed(prefix, each) for each in listing}
    available.update({each.wheel.canonical_name: _new(each.wheel) for each in requests})
    found = _unmet_by(prefix, requests, available, store)
    return found and _unmet_by(prefix, requests, {**_beside(prefix), **available}, store)


def _beside(prefix: Prefix) -> dict[str, _Available]:
    """The distributions outside `prefix` that its Python can import, by normalised name."""
    found: dict[str, _Available] = {}
    for directory in libraries_beside(prefix):
        there = prefix._replace(root=os.path.abspath(directory))
        for each in find_in(directory, prefix):
            found.setdefault(each.canonical_name, _installed(there, each))  # the first one on sys.path is imported
    return found


def _unmet_by(
    prefix: Prefix, requests: list[Request], available: Mapping[str, _Available], store: Store | None
) -> tuple[str, ...]:
    if not any(each.extras or each.wheel.metadata.get("requires-dist") for each in requests):
        return ()
    known = {name: each.known for name, each in available.items()}

    def find() -> list[str]:
        markers = requirements.Markers(prefix)
        return [
            sentence
            for each in requests
            for sentence in requirements.unmet(markers, known[each.wheel.canonical_name], each.extras, known)
        ]

    python = interpreter.key_of(prefix)
    if store is None or python is None:
        return tuple(find())
    asked = [[each.wheel.canonical_name, *each.extras] for each in requests]
    depends_on = [python, asked, {name: each.identity for name, each in available.items()}]
    return tuple(remembered(store, "unmet", depends_on, [str], find))


def _new(wheel: Wheel) -> _Available:
    asked = [wheel.metadata.get("requires-dist"), wheel.metadata.get("provides-extra")]
    return _Available(
        KnownDistribution(wheel.name, wheel.version, lambda: wheel.metadata), [wheel.name, wheel.version, *asked]
    )


def _installed(prefix: Prefix, distribution: Distribution) -> _Available:
    path = prefix.path(distribution.path)
    return _Available(
        KnownDistribution(distribution.name, distribution.version, lambda: readable_metadata(prefix, distribution)),
        [
            distribution.name,
            distribution.version,
            *stat_of(f"{path}/METADATA"),
            *stat_of(f"{path}/PKG-INFO"),
            *stat_of(path),
        ],
    )
