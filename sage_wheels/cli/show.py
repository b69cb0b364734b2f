"""Show what is known of a distribution: its metadata, who installed it and from where."""

from __future__ import annotations

import argparse
import json

from sage_wheels.cli import common
from sage_wheels.errors import NotThere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.sage.distribution import Part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("name", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    distribution, part = _find(prefix, options.name)
    facts = _facts(prefix, distribution)
    if part:
        facts |= _standing(prefix, distribution, part, as_json=options.json)
    if options.json:
        common.print_json(facts)
    else:
        for key, value in facts.items():
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return 0


def _find(prefix: Prefix, name: str) -> tuple[Distribution, Part | None]:
    """The distribution, and what a package of the distribution brings under its name."""
    from sage_wheels.installed.metadata import canonical_name
    from sage_wheels.sage.distribution import parts

    part = parts(prefix).get(canonical_name(name))
    try:
        return common.one_distribution(prefix, name), part
    except NotThere as error:
        if not part:
            raise
        what = f"{error.what}, though package {part.package} brings {part.version or part.source}"
        raise NotThere(what, f"'{part.way_back}' installs it") from error


def _standing(prefix: Prefix, distribution: Distribution, part: Part, *, as_json: bool) -> dict[str, Any]:
    """What is to be said of a distribution that a package brings."""
    from sage_wheels.sage import distribution as sage

    state = sage.state(prefix, part, distribution)
    if as_json:
        return {"package": part.package, "wheelhouse": sage.as_json(part, state)}
    said = sage.remark(part, distribution.version, state)
    return {"package": part.package, "wheelhouse": said or f"same: {part.source}"}


def _facts(prefix: Prefix, distribution: Distribution) -> dict[str, Any]:
    from sage_wheels.errors import NotRemovable
    from sage_wheels.installed.distributions import read_metadata, read_text
    from sage_wheels.installed.files import owned, runs_at_start
    from sage_wheels.prefix.places import landmarks

    def read(name: str) -> str | None:
        return read_text(prefix, f"{distribution.path}/{name}")

    metadata = read_metadata(prefix, distribution)
    facts: dict[str, Any] = {
        "name": distribution.name,
        "version": distribution.version,
        "summary": metadata.get("summary", [""])[0],
        "requires": metadata.get("requires-dist", []),
        "requires-python": metadata.get("requires-python", [""])[0],
        "path": prefix.path(distribution.path),
        "installer": (read("INSTALLER") or "").strip(),
        "requested": read("REQUESTED") is not None,
    }
    if origin := read("direct_url.json"):
        try:
            facts["origin"] = json.loads(origin)["url"]
        except (ValueError, KeyError, TypeError, RecursionError):
            facts["origin"] = "unknown: direct_url.json cannot be read"
    try:
        files = owned(prefix, distribution).rows
        facts["files"] = len(files)
        marks = landmarks(prefix)
        facts["runs-at-start"] = [prefix.path(place) for place in files if runs_at_start(marks, place)]
    except NotRemovable as error:
        facts["files"] = f"unknown: {error.what}"
    return facts
