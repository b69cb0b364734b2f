"""What pip has decided on becomes one transaction, if what pip knew when it decided is still so.

Others may change the prefix while pip resolves, downloads and builds. What they installed exactly as pip would is left
as it is; if they changed anything else that is replaced or required here, pip has to decide again. The commit looks
under the lock whether that is so at that instant.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from sage_wheels.errors import Conflict, Outdated, PrefixError
from sage_wheels.installed.distributions import find_all
from sage_wheels.installed.metadata import canonical_name, requirement_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.sage.distribution import Part
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.install import Options
    from sage_wheels.transaction.report import Report
    from sage_wheels.wheel import Request, Wheel
    from sage_wheels.wheel.archive import Limits

    Versions = dict[str, str]  # by normalised name

# How often others may be faster before pip is asked again.
_TRIES = 20


class How(NamedTuple):
    """How to change the prefix; `on_report` gets what was done.

    With `overwrite`, files of other distributions may be replaced; with `keep_distribution`, no package of the
    distribution changes.
    """

    settings: Settings
    limits: Limits
    on_report: Callable[[Report], None]
    overwrite: bool = False
    keep_distribution: bool = False


class Decision:
    """What is installed when pip begins to decide, and what is then made of its decision."""

    def __init__(self, prefix: Prefix, how: How, belongs: dict[str, Part]) -> None:
        self.prefix = prefix
        self.how = how
        self.belongs = belongs
        self.before = _versions(find_all(prefix))
        self.is_done = False

    def note_distribution(self, new: Mapping[str, str]) -> None:
        """Say which packages of the distribution become the versions `new`. Raises `Conflict` if none may."""
        if not self.belongs:
            return
        versions = {canonical_name(name): version for name, version in new.items()}
        for each, part in of_distribution(versions, self.belongs, find_all(self.prefix)):
            version = versions[each.canonical_name]
            instead = f"another build of {version}" if version == each.version else version
            change = f"{each} of the distribution (package {part.package}) would become {instead}"
            if self.how.keep_distribution:
                raise Conflict(change, "give --replace-distribution if that is what you want")
            self.how.settings.say(f"note: {change}; '{part.way_back}' undoes that")

    def check_unchanged(self) -> None:
        """Raises `Outdated` if somebody else has changed what is installed since pip began."""
        if not self.is_done and _versions(find_all(self.prefix)) != self.before:
            raise Outdated(f"{self.prefix.root} was changed meanwhile")

    def carry_out(self, items: list[dict[str, Any]]) -> None:
        """Install the wheels `items`, each with what `pip_driver` tells of it.

        Raises `Outdated` if pip has to decide again, and what `install` raises.
        """
        from sage_wheels.transaction.install import Options, install
        from sage_wheels.wheel import Request, Wheel

        with contextlib.ExitStack() as stack:
            asked = [
                Request(
                    stack.enter_context(Wheel(each["path"], self.how.limits)), each["direct_url"], each["requested"]
                )
                for each in items
            ]
            for request, each in zip(asked, items, strict=True):
                self._check_place(request.wheel, each["library"])
            self.note_distribution({request.wheel.name: request.wheel.version for request in asked})
            options = Options(
                compile_bytecode=all(each["compile"] for each in items),
                overwrite=self.how.overwrite,
                reinstall=True,
                ignore_requires_python=True,  # pip has looked
                adopt=True,  # as pip replaces what nobody owns
            )
            for _ in range(_TRIES):
                now = _versions(find_all(self.prefix))
                left = [each for each in asked if not self._is_there(each, now)]
                if not left:
                    return
                checked = self._checked(options, left, asked, now)
                with contextlib.suppress(Outdated):
                    report = install(self.prefix, left, checked, self.how.settings)
                    self.is_done = True
                    self.how.on_report(report)
                    return
        raise Outdated(f"{self.prefix.root} changes all the time")

    def _checked(self, options: Options, left: list[Request], asked: list[Request], now: Versions) -> Options:
        """`options` for a commit that takes place only if `now` stays as it is. Raises `Outdated` if it is no use."""
        coming = {each.wheel.canonical_name for each in left}
        there = {each.wheel.canonical_name for each in asked} - coming
        required = {
            requirement_name(line) for each in left for line in each.wheel.metadata.get("requires-dist", [])
        } - {""}
        for name in sorted((coming | required) - there):
            if now.get(name) != self.before.get(name):
                what = f"was changed to {now[name]}" if name in now else "was uninstalled"
                raise Outdated(f"{name} {what} in {self.prefix.root} meanwhile")
        names = coming | required | there

        def check(distributions: list[Distribution]) -> None:
            later = _versions(distributions)
            if any(later.get(name) != now.get(name) for name in names):
                raise Outdated("somebody else was faster")

        return options._replace(check=check, watched=frozenset(names))

    def _is_there(self, request: Request, now: Versions) -> bool:
        """Whether somebody else has installed that version meanwhile, so that pip would find nothing to do."""
        name = request.wheel.canonical_name
        return now.get(name) == request.wheel.version != self.before.get(name) and not request.direct_url

    def _check_place(self, wheel: Wheel, library: str) -> None:
        if os.path.realpath(library) != os.path.realpath(self.prefix.path(self.prefix.scheme.purelib)):
            raise PrefixError(
                f"pip would install {wheel.name} into {library}, not to where {self.prefix.root} has its packages",
                "make the prefix writable, or name another one",
            )


def of_distribution(
    names: Iterable[str], belongs: Mapping[str, Part], there: Iterable[Distribution]
) -> list[tuple[Distribution, Part]]:
    """Those of `there` that have one of the normalised `names` and belong to the distribution."""
    wanted = set(names)
    return [
        (each, belongs[each.canonical_name])
        for each in there
        if each.canonical_name in wanted and each.canonical_name in belongs
    ]


@contextlib.contextmanager
def constraints(prefix: Prefix, belongs: Mapping[str, Part]) -> Iterator[str]:
    """A constraints file for pip that keeps what is there of `belongs` at its version; "" if there is nothing."""
    there = [each for each in find_all(prefix) if each.canonical_name in belongs]
    if not there:
        yield ""
        return
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="distribution-", suffix=".txt") as f:
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


def _versions(distributions: list[Distribution]) -> Versions:
    return {each.canonical_name: each.version for each in distributions}
