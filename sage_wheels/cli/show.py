"""Show what is known of distributions: their metadata, who requires them, who installed them and from where."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common
from sage_wheels.errors import NotThere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.prefix import Prefix

EXAMPLES = """\
    sage-wheels show six
    sage-wheels show --json six pexpect
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("names", nargs="+", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed import find_all
    from sage_wheels.installed.neighbours import required_by

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    found = [_find(prefix, name) for name in options.names]
    everything = find_all(prefix)
    askers = required_by(prefix, {distribution.canonical_name for distribution, _ in found}, everything)
    shown = []
    for distribution, entry in found:
        facts = _facts(prefix, distribution)
        facts["required-by"] = _spelt(prefix, askers[distribution.canonical_name])
        if entry:
            facts |= _of_package(prefix, distribution, entry, as_json=options.json)
        shown.append(facts)
    if options.json:
        common.print_json(shown)
        return 0
    for number, facts in enumerate(shown):
        if number:
            print()
        for key, value in facts.items():
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return 0


def _spelt(prefix: Prefix, distributions: list[Distribution]) -> list[str]:
    from sage_wheels.installed.distributions import described

    return [described(prefix, each).name for each in distributions]


def _find(prefix: Prefix, name: str) -> tuple[Distribution, ManifestEntry | None]:
    """The distribution `name`, and the entry of a package for that name, if there is one."""
    from sage_wheels.manifests.entries import entries
    from sage_wheels.metadata import canonical_name

    entry = entries(prefix, common.warn_once).get(canonical_name(name))
    try:
        return common.one_distribution(prefix, name), entry
    except NotThere as error:
        if not entry:
            raise
        what = f"{error.what}, though package {entry.package} had installed {entry.version or entry.source}"
        raise NotThere(what, f"{entry.way_back(prefix)} installs it") from error


def _of_package(prefix: Prefix, distribution: Distribution, entry: ManifestEntry, *, as_json: bool) -> dict[str, Any]:
    """What to print about the package that has installed a distribution."""
    from sage_wheels.manifests import state as states

    state = states.state(prefix, entry, distribution)
    if as_json:
        return {"package": entry.package, "wheelhouse": states.as_json(entry, state)}
    said = states.remark(entry, distribution.version, state)
    return {"package": entry.package, "wheelhouse": said or f"same: {entry.source}"}


def _licence(metadata: Mapping[str, list[str]]) -> str:
    """The License-Expression (PEP 639), else the first line of License, else the classifiers for licences."""
    for key in ("license-expression", "license"):
        if text := metadata.get(key, [""])[0].strip():
            return text.splitlines()[0]
    classifiers = [each for each in metadata.get("classifier", []) if each.startswith("License :: ")]
    return ", ".join(each.rpartition(" :: ")[2] for each in classifiers)


def _home(metadata: Mapping[str, list[str]]) -> str:
    if metadata.get("home-page", [""])[0] not in ("", "UNKNOWN"):
        return metadata["home-page"][0]
    links = {label.strip().lower(): url.strip() for label, _, url in _links(metadata)}
    first = next(iter(links.values()), "")
    return next((links[each] for each in ("homepage", "home", "source", "repository") if each in links), first)


def _links(metadata: Mapping[str, list[str]]) -> list[tuple[str, str, str]]:
    return [each.partition(",") for each in metadata.get("project-url", [])]


def _facts(prefix: Prefix, distribution: Distribution) -> dict[str, Any]:
    from sage_wheels.errors import NotRemovable
    from sage_wheels.installed.distributions import read_metadata, read_text
    from sage_wheels.installed.files import owned, running_at_start
    from sage_wheels.prefix.locator import landmarks
    from sage_wheels.requirements import direct_url

    def read(name: str) -> str | None:
        return read_text(prefix, f"{distribution.path}/{name}")

    metadata = read_metadata(prefix, distribution)
    facts: dict[str, Any] = {
        "name": distribution.name,
        "version": distribution.version,
        "summary": metadata.get("summary", [""])[0],
        "licence": _licence(metadata),
        "home-page": _home(metadata),
        "requires": metadata.get("requires-dist", []),
        "requires-python": metadata.get("requires-python", [""])[0],
        "path": prefix.path(distribution.path),
        "installer": (read("INSTALLER") or "").strip(),
        "requested": read("REQUESTED") is not None,
    }
    if text := read(direct_url.FILE):
        origin = direct_url.parse(text)
        facts["origin"] = origin.url if origin else f"unknown: {direct_url.FILE} cannot be read"
    try:
        files = owned(prefix, distribution).rows
        facts["files"] = len(files)
        marks = landmarks(prefix)
        facts["runs-at-start"] = [prefix.path(path) for path in running_at_start(marks, files)]
    except NotRemovable as error:
        facts["files"] = f"unknown: {error.what}"
    return facts
