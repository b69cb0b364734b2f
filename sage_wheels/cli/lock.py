"""Print a pylock.toml (PEP 751) of what is installed: where each distribution came from, and its hash as far as known.

This is known from direct_url.json, from the history, from the wheels of packages of a collection, and from wheels of
the same name and version in the directories that --find-links names. A distribution that came from an index, and is in
none of these, cannot be locked: it is named in a comment and on standard error, and the exit status is 4.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.history import HistoryChange

EXAMPLES = """\
    sage-wheels lock --output pylock.toml
    sage-wheels lock --find-links wheels --output pylock.toml
"""

_INCOMPLETE = 4  # exit status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument(
        "-f",
        "--find-links",
        action="append",
        default=[],
        metavar="DIR",
        help="look in DIR for the wheel of a distribution of unknown origin",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write there (default: standard output)")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import FileOperationFailed

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    packages, unknown = lock(prefix, options.find_links)
    document = {"lock-version": "1.0", "created-by": "sage-wheels", "packages": packages}
    text = f"{json.dumps(document, indent=2)}\n" if options.json else _toml(document, unknown)
    if options.output:
        try:
            with open(options.output, "w", encoding="utf-8") as f:
                f.write(text)
        except OSError as error:
            raise FileOperationFailed.from_os_error(
                error, "writing the lock file", denied="name another file"
            ) from error
    else:
        sys.stdout.write(text)
    for each in unknown:
        advice = "if you have its wheel, name its directory with --find-links"
        common.warn(f"the origin of {each} is not known; {advice}", "warning")
    return _INCOMPLETE if unknown else 0


def lock(prefix: Prefix, find_links: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The packages for the lock file, and the distributions whose source is not known."""
    from sage_wheels.installed import find_all
    from sage_wheels.installed.distributions import described
    from sage_wheels.manifests.entries import entries
    from sage_wheels.requirements.wheelhouses import wheels_in

    brought, changes = entries(prefix, common.warn_once), _last_changes(prefix)
    wheels = [(each, name) for each in find_links for name in wheels_in(each)]
    packages, unknown = [], []
    for distribution in (described(prefix, each) for each in find_all(prefix)):
        name = distribution.canonical_name
        source = (
            _direct(prefix, distribution)
            or _from_history(changes.get(f"{name} {distribution.version}"))
            or _from_package(distribution, brought.get(name))
            or _from_directory(prefix, distribution, wheels)
        )
        if source:
            version = {} if "directory" in source else {"version": distribution.version}
            packages.append({"name": name, **version, **source})
        else:
            unknown.append(str(distribution))
    return packages, unknown


def _last_changes(prefix: Prefix) -> dict[str, HistoryChange]:
    """The newest change in the history of each distribution that was installed from a wheel, by name."""
    from sage_wheels.metadata import canonical_name
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction import history

    found: dict[str, HistoryChange] = {}
    try:
        with Tree(prefix.root) as tree:
            for entry in history.entries(tree):
                for change in () if entry.is_undone else entry.about.changes:
                    if change.digest:
                        found.setdefault(f"{canonical_name(change.name)} {change.new}", change)
    except FileNotFoundError:
        pass
    return found


def _direct(prefix: Prefix, distribution: Distribution) -> dict[str, Any] | None:
    """What direct_url.json says (PEP 610)."""
    from sage_wheels.installed.distributions import read_text
    from sage_wheels.requirements import direct_url
    from sage_wheels.requirements.sources import without_credentials

    if distribution.kind != ".dist-info":
        return None
    origin = direct_url.parse(read_text(prefix, f"{distribution.path}/{direct_url.FILE}") or "")
    if origin is None:
        return None
    url = without_credentials(origin.url)
    below = {"subdirectory": origin.subdirectory} if origin.subdirectory else {}
    if origin.kind == "vcs":
        asked = {"requested-revision": origin.requested_revision} if origin.requested_revision else {}
        return {"vcs": {"type": origin.vcs, "url": url, **asked, "commit-id": origin.commit_id, **below}}
    if origin.kind == "directory":
        return {"directory": {"path": origin.path, **({"editable": True} if origin.is_editable else {}), **below}}
    return {"archive": {**_location(url), "hashes": origin.hashes, **below}} if origin.hashes else None


def _path(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)


def _location(url: str) -> dict[str, str]:
    return {"path": _path(url)} if url.startswith("file:") else {"url": url.partition("#")[0]}


def _from_history(change: HistoryChange | None) -> dict[str, Any] | None:
    """The source from the history: the file or URL of the wheel that was installed; None if it is not known."""
    if change is None or not change.origin or "?" in change.origin:
        return None
    origin = change.origin
    location = {"path": origin} if origin.startswith("/") else _location(origin)
    algorithm, _, digest = change.digest.partition("=")
    return _wheel(location, {algorithm: digest})


def _wheel(location: dict[str, str], hashes: dict[str, str]) -> dict[str, Any] | None:
    name = (location.get("path") or location["url"]).rpartition("/")[2]
    return {"wheels": [{"name": name, **location, "hashes": hashes}]} if name.endswith(".whl") else None


def _from_package(distribution: Distribution, entry: ManifestEntry | None) -> dict[str, Any] | None:
    if entry is None or not entry.is_restorable or entry.version != distribution.version:
        return None
    return _wheel({"path": entry.source}, _hashes(entry.source))


def _from_directory(prefix: Prefix, distribution: Distribution, wheels: list[tuple[str, str]]) -> dict[str, Any] | None:
    from sage_wheels.requirements.wheelhouses import is_of
    from sage_wheels.wheel.tags import best

    found: dict[str, str] = {}
    for directory, file_name in wheels:
        if is_of(file_name, distribution.canonical_name, distribution.version):
            found.setdefault(file_name, os.path.abspath(f"{directory}/{file_name}"))
    chosen = best(list(found), prefix) if found else None
    return _wheel({"path": found[chosen]}, _hashes(found[chosen])) if chosen else None


def _hashes(path: str) -> dict[str, str]:
    from sage_wheels.requirements.sources import digest_of

    return {"sha256": digest_of(path)}


def _toml(document: dict[str, Any], unknown: list[str]) -> str:
    """The document as TOML: strings, true, tables in lines, and one table for each package."""
    lines = [f"{key} = {_value(value)}" for key, value in document.items() if key != "packages"]
    lines += ["packages = []"] if not document["packages"] else []
    for package in document["packages"]:
        lines += ["", "[[packages]]", *(f"{key} = {_value(value)}" for key, value in package.items())]
    lines += ["", *(f"# not locked, because its origin is not known: {_value(each)}" for each in unknown)]
    return "\n".join(lines).rstrip() + "\n"


def _value(value: Any) -> str:
    """
    >>> _value([{"name": "a", "editable": True}])
    '[{ name = "a", editable = true }]'
    """
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)[1:-1]} = {_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if value is True:
        return "true"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
