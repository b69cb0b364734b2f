"""Install wheels: stage their images, plan, commit. All wheels of one call are one transaction."""

from __future__ import annotations

from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed, UsageError
from sage_wheels.installed import requirements
from sage_wheels.installed.files import runs_at_start
from sage_wheels.prefix.places import landmarks
from sage_wheels.transaction import commit, stage
from sage_wheels.transaction.plan import look
from sage_wheels.transaction.planner import Goal
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.report import Change, Report, report_of
from sage_wheels.transaction.stage import Stage
from sage_wheels.wheel import image, tags
from sage_wheels.wheel.image import Image, Request
from sage_wheels.wheel.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Outcome, Settings
    from sage_wheels.transaction.plan import Listing
    from sage_wheels.wheel import Wheel


class Options(NamedTuple):
    """How to install; see the command line for what each means.

    With `adopt`, files that no distribution owns make room (copies are kept), others do not. `also_remove` are
    normalised names of distributions that go in the same transaction, unless they are installed. `check` is called
    with the distributions that are there, and raises `Outdated` to prevent the commit; what it found about those with
    the normalised names `watched`, and those that come or go, is still so when the commit is made.
    """

    compile_bytecode: bool = True
    overwrite: bool = False
    reinstall: bool = False
    ignore_requires_python: bool = False
    also_remove: frozenset[str] = frozenset()
    adopt: bool = False
    check: Callable[[list[Distribution]], None] = lambda distributions: None
    watched: frozenset[str] = frozenset()


def install(
    prefix: Prefix,
    requests: list[Request],
    options: Options,
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Install the wheels of `requests` into `prefix`, replacing other versions, all or nothing.

    Raises `WheelRefused`, `Conflict`, `NotRemovable`, `Outdated`, `LockTimeout`, `LockUnusable`, `JournalDamaged`,
    `FileOperationFailed`; the prefix is unchanged then.
    """
    _refuse_twice([request.wheel for request in requests])
    for request in requests:
        tags.check_fits(request.wheel, prefix, ignore_requires_python=options.ignore_requires_python)
    recover_first(prefix, settings)
    options = options._replace(also_remove=options.also_remove - {each.wheel.canonical_name for each in requests})
    unchanged: tuple[str, ...] = ()
    try:
        listing = look(prefix)
        if not options.reinstall:
            requests, unchanged = _without_unchanged(prefix, requests, listing.distributions)
        if not requests:
            return _remove_only(prefix, options, settings)._replace(unchanged=unchanged)
        unmet = _unmet(prefix, [request.wheel for request in requests], listing.distributions)
        with Stage(prefix, settings.say) as own:
            images = image.write_images(
                requests,
                prefix,
                f"{own.path}/new",
                compile_bytecode=options.compile_bytecode,
                on_progress=on_progress,
            )
            outcome, replaced = _commit(prefix, own, images, options, settings, listing)
        kept = [*own.kept, *stage.sweep_dead(prefix, settings.say)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"installing into {prefix.root}") from error
    changes = [Change(each.name, _version_of(each.canonical_name, replaced), each.version) for each in images]
    changes += [Change(each.name, each.version, "") for each in replaced if each.canonical_name in options.also_remove]
    not_compiled = tuple((each.name, each.not_compiled) for each in images if each.not_compiled)
    report = report_of(prefix, outcome, changes, kept)
    marks = landmarks(prefix)
    starts = tuple(prefix.path(place) for each in images for place in each.files if runs_at_start(marks, place))
    return report._replace(unchanged=unchanged, not_compiled=not_compiled, runs_at_start=starts, unmet=unmet)


def _remove_only(prefix: Prefix, options: Options, settings: Settings) -> Report:
    if not options.also_remove:
        return Report()
    from sage_wheels.transaction.uninstall import uninstall

    return uninstall(prefix, sorted(options.also_remove), settings)


def _commit(
    prefix: Prefix, own: Stage, images: list[Image], options: Options, settings: Settings, listing: Listing
) -> tuple[Outcome, list[Distribution]]:
    """Plan and commit; also the distributions that were replaced."""
    new = {path: each.canonical_name for each in images for path in each.files}
    names = {each.canonical_name for each in images} | options.also_remove
    replaced: list[Distribution] = []

    def goal(distributions: list[Distribution]) -> Goal:
        options.check(distributions)
        replaced[:] = [each for each in distributions if each.canonical_name in names]
        return Goal(f"{own.path}/new", new, replaced, options.overwrite, adopt=options.adopt, watched=options.watched)

    return commit.run(prefix, own, goal, settings, listing), replaced


def _version_of(name: str, replaced: list[Distribution]) -> str:
    # an egg-link tells none
    return ", ".join(each.version for each in replaced if each.canonical_name == name and each.version)


def _unmet(prefix: Prefix, wheels: list[Wheel], listing: list[Distribution]) -> tuple[str, ...]:
    """Requirements of `wheels` that will not be there once these are installed, a sentence each."""
    available = {each.canonical_name: each.version for each in listing}
    available.update({wheel.canonical_name: wheel.version for wheel in wheels})
    return tuple(
        f"{wheel.name} {wheel.version} needs {problem}"
        for wheel in wheels
        for problem in requirements.unmet(prefix, wheel.metadata.get("requires-dist", []), available)
    )


def _refuse_twice(wheels: list[Wheel]) -> None:
    seen: dict[str, Wheel] = {}
    for wheel in wheels:
        other = seen.setdefault(wheel.canonical_name, wheel)
        if other is not wheel:
            raise UsageError(f"{other.path} and {wheel.path} are both {wheel.name}", "name only one of them")


def _without_unchanged(
    prefix: Prefix, requests: list[Request], listing: list[Distribution]
) -> tuple[list[Request], tuple[str, ...]]:
    """Leave out the wheels whose very content is installed; and those, as "NAME VERSION"."""
    from sage_wheels.installed import verify

    names = {request.wheel.canonical_name for request in requests}
    installed: dict[str, list[Distribution]] = {}
    for each in listing:
        if each.canonical_name in names:
            installed.setdefault(each.canonical_name, []).append(each)
    left, unchanged = [], []
    for request in requests:
        wheel, there = request.wheel, installed.get(request.wheel.canonical_name, [])
        if len(there) == 1 and verify.is_installed(
            prefix, there[0], wheel.version, Layout(wheel, prefix).expected_rows(generated=False)
        ):
            unchanged.append(f"{wheel.name} {wheel.version}")
        else:
            left.append(request)
    return left, tuple(unchanged)
