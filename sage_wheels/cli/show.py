"""Show what is known of a distribution: its metadata, who installed it and from where."""

from __future__ import annotations

import argparse
import json

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("name", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    facts = _facts(prefix, common.one_distribution(prefix, options.name))
    if options.json:
        common.print_json(facts)
    else:
        for key, value in facts.items():
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return 0


def _facts(prefix: Prefix, distribution: Distribution) -> dict[str, Any]:
    from sage_wheels.errors import NotRemovable
    from sage_wheels.installed.distributions import read_metadata
    from sage_wheels.installed.files import owned, runs_at_start

    metadata = read_metadata(prefix, distribution)
    facts: dict[str, Any] = {
        "name": distribution.name,
        "version": distribution.version,
        "summary": metadata.get("summary", [""])[0],
        "requires": metadata.get("requires-dist", []),
        "requires-python": metadata.get("requires-python", [""])[0],
        "path": prefix.path(distribution.path),
        "installer": _read(prefix, distribution, "INSTALLER").strip(),
        "requested": _read(prefix, distribution, "REQUESTED", missing=None) is not None,
    }
    if origin := _read(prefix, distribution, "direct_url.json"):
        try:
            facts["origin"] = json.loads(origin)["url"]
        except (ValueError, KeyError, TypeError):
            facts["origin"] = "unknown: direct_url.json cannot be read"
    try:
        files = owned(prefix, distribution).rows
        facts["files"] = len(files)
        facts["runs-at-start"] = [prefix.path(place) for place in files if runs_at_start(prefix, place)]
    except NotRemovable as error:
        facts["files"] = f"unknown: {error.what}"
    return facts


def _read(prefix: Prefix, distribution: Distribution, name: str, missing: str | None = "") -> Any:
    try:
        with open(prefix.path(f"{distribution.path}/{name}"), encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return missing
