"""Install the wheels that pip has chosen, in one transaction, if the prefix has not changed since pip looked at it.

Other processes may change the prefix while pip resolves, downloads and builds. If they have installed the same version
that pip has chosen, the requirement is satisfied, and that version stays as it is. If they have changed anything else
that is replaced or required here, pip has to decide again. This module only says what is satisfied and what the
decision rests on: `transaction.install` leaves out what is satisfied, and checks everything again under the lock; and
`process` runs pip again if its decision is outdated.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.errors import Conflict, Outdated, PrefixError
from sage_wheels.installed.distributions import find_all, libraries
from sage_wheels.metadata import canonical_name, requirement_name
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.installed import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.report import Report
    from sage_wheels.wheel.image import Request
    from sage_wheels.wheel.wheel import Wheel

    Versions = dict[str, str]  # by normalised name


class PipOptions(NamedTuple):
    """Options for the change; `on_report` is called with the report of the transaction.

    With `overwrite`, files of other distributions may be replaced. With `keep_packages`, no distribution that a
    package has installed (see `manifests`) is changed.
    """

    commit_options: CommitOptions
    limits: WheelLimits
    on_report: Callable[[Report], None]
    overwrite: bool = False
    keep_packages: bool = False


class Coming(NamedTuple):
    """A distribution that pip is going to install; `digest` is the SHA-256 of its wheel, "" if it is not known."""

    name: str
    version: str
    digest: str


class Decision:
    """One decision of pip: the installed distributions when pip began, and the installation of its result."""

    def __init__(self, prefix: Prefix, options: PipOptions, belongs: dict[str, ManifestEntry]) -> None:
        self.prefix = prefix
        self.options = options
        self.belongs = belongs
        self.before = _versions(find_all(prefix))
        self.is_done = False

    def note_brought(self, new: Sequence[Coming]) -> None:
        """Print a note for each distribution of a package that will be replaced by another version or build.

        Its own wheel may be installed again. Raises `Conflict` if another one is not allowed.
        """
        if not self.belongs:
            return
        coming = {canonical_name(each.name): each for each in new}
        for each, entry in brought_by_packages(coming, self.belongs, find_all(self.prefix)):
            version = coming[each.canonical_name].version
            if entry.is_wheel(coming[each.canonical_name].digest):
                continue
            instead = f"another build of {version}" if version == each.version else version
            change = f"{each}, which package {entry.package} installed, would become {instead}"
            if self.options.keep_packages:
                raise Conflict(change, "give --replace-packages if that is what you want")
            self.options.commit_options.say(f"note: {change}; {entry.way_back(self.prefix)} undoes that")

    def check_unchanged(self) -> None:
        """Raise `Outdated` if another process has changed the installed distributions since pip began."""
        if not self.is_done and _versions(find_all(self.prefix)) != self.before:
            raise Outdated(f"{self.prefix.root} was changed meanwhile")

    def carry_out(self, items: list[dict[str, Any]], satisfied: Mapping[str, str]) -> list[tuple[str, str]]:
        """Install the wheels `items`, in the form that `driver` sends; returns name and version of those replaced.

        `satisfied` has the metadata directories of the installed distributions that satisfied requirements, by name.
        Without items, only these are checked: what pip saw may have been part of an unfinished change.
        Raises `Outdated` if pip has to decide again, and the errors of `transaction.install`.
        """
        from sage_wheels.transaction.install import InstallOptions, install
        from sage_wheels.wheel.image import Request
        from sage_wheels.wheel.wheel import Wheel

        found = self._in_prefix(satisfied)
        with contextlib.ExitStack() as stack:
            asked = [
                Request(
                    stack.enter_context(Wheel(each["path"], self.options.limits)),
                    each["direct_url"],
                    each["requested"],
                    headers=os.path.basename(each["headers"]),  # the name as it was requested
                    origin=each["origin"],
                )
                for each in items
            ]
            for request, each in zip(asked, items, strict=True):
                self._check_library(request.wheel, each["library"])
            self.note_brought([self._coming(request.wheel) for request in asked])
            by_name = {each.wheel.canonical_name: each for each in asked}
            options = InstallOptions(
                compile_bytecode=all(each["compile"] for each in items),
                overwrite=self.options.overwrite,
                is_there=lambda name, there: self._is_satisfied(by_name[name], there.version),
                ignore_requires_python=True,  # pip has checked it
                adopt=True,  # pip also replaces files without owner
                check=lambda there: self._check(asked, found, _versions(there)),
                watched=frozenset(_rests_on(asked) | found.keys()),
            )
            report = install(self.prefix, asked, options, self.options.commit_options)
            if report.changes:
                self.is_done = True
                self.options.on_report(report)
            return [(change.name, change.old_version) for change in report.changes if change.old_version]

    def _coming(self, wheel: Wheel) -> Coming:
        return Coming(wheel.name, wheel.version, wheel.digest if wheel.canonical_name in self.belongs else "")

    def _check(self, asked: list[Request], satisfied: Mapping[str, str], now: Versions) -> None:
        """Raise `Outdated` if, with the versions `now`, pip might decide in another way about what is installed."""
        names = {each.wheel.canonical_name for each in asked}
        coming = [each for each in asked if not self._is_satisfied(each, now.get(each.wheel.canonical_name))]
        left_out = names - {each.wheel.canonical_name for each in coming}
        changed = {name for name in _rests_on(coming) - left_out if now.get(name) != self.before.get(name)}
        changed |= {name for name, path in satisfied.items() if name not in names and not os.path.lexists(path)}
        if changed:
            name = min(changed)
            what = f"was changed to {now[name]}" if name in now else "was uninstalled"
            raise Outdated(f"{name} {what} in {self.prefix.root} meanwhile")

    def _in_prefix(self, satisfied: Mapping[str, str]) -> dict[str, str]:
        """Those of the metadata directories `satisfied` that are in the prefix, by normalised name."""
        own = {os.path.realpath(self.prefix.path(each)) for each in libraries(self.prefix)}
        return {
            canonical_name(name): path
            for name, path in satisfied.items()
            if os.path.realpath(os.path.dirname(path)) in own
        }

    def _is_satisfied(self, request: Request, installed: str | None) -> bool:
        """Whether another process has installed that version meanwhile, so that pip would say "Requirement already
        satisfied". `installed` is the version that is installed now."""
        before = self.before.get(request.wheel.canonical_name)
        return installed == request.wheel.version != before and not request.direct_url

    def _check_library(self, wheel: Wheel, library: str) -> None:
        if os.path.realpath(library) != os.path.realpath(self.prefix.path(self.prefix.scheme.purelib)):
            raise PrefixError(
                f"pip would install {wheel.name} into {library}, which is not the library of {self.prefix.root}",
                "make the prefix writable, or name another one",
            )


def brought_by_packages(
    names: Iterable[str], belongs: Mapping[str, ManifestEntry], there: Iterable[Distribution]
) -> list[tuple[Distribution, ManifestEntry]]:
    """Those distributions of `there` that have one of the normalised `names`, and are in a manifest of a package."""
    wanted = set(names)
    return [
        (each, belongs[each.canonical_name])
        for each in there
        if each.canonical_name in wanted and each.canonical_name in belongs
    ]


@contextlib.contextmanager
def constraints(prefix: Prefix, belongs: Mapping[str, ManifestEntry]) -> Iterator[str]:
    """Within this context, the path of a constraints file for pip that keeps the distributions in `belongs` at their
    installed versions; "" if none of them is installed."""
    there = [each for each in find_all(prefix) if each.canonical_name in belongs]
    if not there:
        yield ""
        return
    import tempfile

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="kept-packages-", suffix=".txt") as f:
        f.writelines(f"{each.canonical_name}=={each.version}\n" for each in there if _is_valid(each.version))
        f.flush()
        yield f.name


def _is_valid(version: str) -> bool:
    """Whether pip takes `version` in a requirement (PEP 440)."""
    from packaging.version import InvalidVersion, Version

    try:
        return bool(Version(version))
    except InvalidVersion:
        return False


def _rests_on(requests: list[Request]) -> set[str]:
    """The normalised names of the distributions that `requests` replace or require."""
    required = {requirement_name(line) for each in requests for line in each.wheel.metadata.get("requires-dist", [])}
    return {each.wheel.canonical_name for each in requests} | (required - {""})


def _versions(distributions: list[Distribution]) -> Versions:
    return {each.canonical_name: each.version for each in distributions}
