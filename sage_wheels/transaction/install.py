"""Install wheels: stage their images, plan, commit. The wheels of one call are installed in one transaction."""

from __future__ import annotations

import contextlib
import os

from sage_wheels import environment, trace
from sage_wheels.errors import FileOperationFailed, Outdated, UsageError
from sage_wheels.fs import caches
from sage_wheels.fs.paths import full
from sage_wheels.installed import unchanged
from sage_wheels.installed.files import running_at_start
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter
from sage_wheels.prefix.locator import landmarks
from sage_wheels.store.remembered import remembered
from sage_wheels.store.store import Store
from sage_wheels.transaction import commit, history, sweep
from sage_wheels.transaction.commit import Purpose
from sage_wheels.transaction.destination import Destination
from sage_wheels.transaction.outcome import report_of
from sage_wheels.transaction.plan import is_same, look
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.report import Change, Report, Unchanged
from sage_wheels.transaction.unmet import unmet_requirements
from sage_wheels.wheel import image, tags
from sage_wheels.wheel.image import Image, Request
from sage_wheels.wheel.layout import Layout
from sage_wheels.wheel.unpacked import UnpackedWheels, may_be_in
from sage_wheels.wheel.wheel import refuse_twice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.transaction.commit import CommitOptions, CommitOutcome
    from sage_wheels.transaction.plan import Listing, Plan
    from sage_wheels.transaction.stage import Stage


class InstallOptions(NamedTuple):
    """Options of an installation; those that are not explained here are options of the command line.

    `is_there` is called with the normalised name of a wheel and the installed distribution of that name, and returns
    whether the wheel is left out because of it; if that changes twice meanwhile, `Outdated` is raised. By default, it
    is left out if that very content is installed. With `reinstall`, nothing is left out. With `adopt`, files that no
    distribution owns are replaced, and copies of them are kept.
    `also_remove` are normalised names of distributions to remove in the same transaction, unless a wheel of that name
    is installed. `check` is called with the installed distributions, and may raise `Outdated` to prevent the commit.
    The commit is only made if the distributions of the transaction, and those with the normalised names `watched`, are
    still as `check` saw them.

    `link_mode` is "auto" (files that the store has unpacked are cloned or copied) or "hardlink"; "" stands for the
    value of $SAGE_WHEELS_LINK_MODE. `cache_dir` is the directory of the store, None for the user's own; it may have
    `cache_size` bytes (None: 10 GiB). Without `store`, no store is used. `processes` is how many processes write the
    files, at most (None: one for each processor).
    """

    compile_bytecode: bool = True
    overwrite: bool = False
    reinstall: bool = False
    ignore_requires_python: bool = False
    also_remove: frozenset[str] = frozenset()
    adopt: bool = False
    is_there: Callable[[str, Distribution], bool] | None = None
    check: Callable[[list[Distribution]], None] = lambda distributions: None
    watched: frozenset[str] = frozenset()
    link_mode: str = ""
    cache_dir: str | None = None
    cache_size: int | None = None
    store: bool = True
    processes: int | None = None


LINK_MODES = ("auto", "hardlink")


class _Changed(Outdated):
    """What was left out, because that very content was installed, is not what is there any more."""


def install(
    prefix: Prefix,
    requests: list[Request],
    options: InstallOptions,
    commit_options: CommitOptions,
    on_progress: Callable[[int, int], None] | None = None,
    undoes: tuple[int, ...] = (),
) -> Report:
    """Install the wheels of `requests` into `prefix` in one transaction; other versions are replaced.

    `undoes` are the numbers of entries in the history that this undoes. `on_progress` is called with the number of
    pieces of work that were begun, and of all pieces, while the wheels are staged. Raises `WheelRefused`, `Conflict`,
    `NotRemovable`, `Outdated`, `LockTimeout`, `LockUnusable`, `JournalDamaged`, `FileOperationFailed`; the prefix is
    unchanged then.
    """
    refuse_twice([request.wheel for request in requests])
    for request in requests:
        tags.check_fits(request.wheel, prefix, ignore_requires_python=options.ignore_requires_python)
    options = options._replace(also_remove=options.also_remove - {each.wheel.canonical_name for each in requests})
    try:
        return _install(prefix, requests, options, commit_options, on_progress, undoes)
    except _Changed:
        trace.decided("deciding again what is to be installed: what was left out has changed meanwhile")
    # Then nothing is left out, so this cannot happen twice. But what `is_there` accepts must be left out; if it happens
    # again, the caller, who gave that, has to decide.
    again = options if options.is_there else options._replace(reinstall=True)
    return _install(prefix, requests, again, commit_options, on_progress, undoes)


def _install(
    prefix: Prefix,
    requests: list[Request],
    options: InstallOptions,
    commit_options: CommitOptions,
    on_progress: Callable[[int, int], None] | None,
    undoes: tuple[int, ...],
) -> Report:
    """Decide what is to be installed, and do it. Raises `_Changed` as well."""
    recover_first(prefix, commit_options)
    unchanged: tuple[Unchanged, ...] = ()
    there: list[Distribution] = []
    try:
        listing = look(prefix)
        everything = requests
        if not options.reinstall:
            requests, unchanged, there = _without_unchanged(prefix, requests, listing.distributions, options)
        new = [each for each in everything if each in requests or each.extras]
        store = store_for(options, commit_options.say)
        unmet = unmet_requirements(prefix, new, listing.distributions, store)
        if options.ignore_requires_python:
            unmet = (*_made_for_others(prefix, new), *unmet)
        if not requests:
            _check_there(prefix, there, listing, options, commit_options)
            return _remove_only(prefix, options, commit_options, undoes)._replace(unchanged=unchanged, unmet=unmet)
        for each in requests:
            if each.wheel.newer_format:  # the specification requires a warning
                commit_options.say(
                    f"{each.wheel.path} has Wheel-Version {each.wheel.newer_format}, and only 1.0 is known"
                )
        with (
            sweep.own_stage(prefix, commit_options.say, commit_options.history) as own,
            _unpacked(store, options, own.path, commit_options.say) as unpacked,
        ):
            trace.step("staging %d wheels in %s", len(requests), own.path)
            images = image.write_images(
                requests,
                prefix,
                f"{own.path}/new",
                compile_bytecode=options.compile_bytecode,
                on_progress=on_progress,
                unpacked=unpacked,
                store=store,
                processes=options.processes,
                on_uncached=lambda paths: commit_options.say(_uncached(prefix, paths)),
            )
            outcome = _commit(prefix, own, requests, images, options, commit_options, listing, there, undoes)
            if not commit_options.dry_run:
                _remember(prefix, images, outcome, options)
        kept = [*own.kept, *sweep.sweep_dead(prefix, commit_options.say, commit_options.history)]
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"installing into {prefix.root}") from error
    replaced = outcome.plan.removed
    changes = [Change(each.name, _version_of(each.canonical_name, replaced), each.version) for each in images]
    changes += [Change(each.name, each.version, "") for each in replaced if each.canonical_name in options.also_remove]
    not_compiled = tuple((each.name, each.not_compiled) for each in images if each.not_compiled)
    report = report_of(prefix, outcome, changes, kept)
    marks = landmarks(prefix)
    starts = tuple(prefix.path(path) for each in images for path in running_at_start(marks, each.files))
    return report._replace(unchanged=unchanged, not_compiled=not_compiled, runs_at_start=starts, unmet=unmet)


def _uncached(prefix: Prefix, paths: list[PrefixPath]) -> str:
    """The message about `paths`, each of which is in the place of a directory for byte-code."""
    more = f" (and {len(paths) - 1} like it)" if len(paths) > 1 else ""
    return (
        f"no byte-code is written to {prefix.path(paths[0])}{more}, which is not a directory of the prefix; delete it"
    )


def store_for(options: InstallOptions, say: Callable[[str], None]) -> Store | None:
    """The store, None for none. Raises what `caches.named` does for one that is named."""
    if not options.store:
        return None
    if options.cache_dir:
        root: str | None = caches.named(os.path.abspath(options.cache_dir))
    else:
        found = caches.of_user()
        if options.compile_bytecode:
            caches.say_once(found.notes, say)
        root = found.directory
    return Store(root, limit=options.cache_size, on_note=say) if root else None


def may_know_wheels(store: Store, options: InstallOptions) -> bool:
    """Whether `store` may know wheels that are installed with these `options`. Raises `UsageError`."""
    return may_be_in(store.root, linking=_is_linking(options))


def remembering_interpreters(store: Store | None) -> contextlib.AbstractContextManager[None]:
    """Take the answers of interpreters from the store: to run one takes as long as a small installation."""

    def keep(key: object, run: Callable[[], Any]) -> Any:
        return remembered(store, "facts", key, dict, run) if store else run()

    return interpreter.keeping(keep if store else None)


def _unpacked(
    store: Store | None, options: InstallOptions, stage: str, say: Callable[[str], None]
) -> contextlib.AbstractContextManager[UnpackedWheels | None]:
    """The unpacked wheels of the store. Raises `UsageError`."""
    linking = _is_linking(options)
    return UnpackedWheels(store, stage, linking=linking, say=say) if store else contextlib.nullcontext()


def _is_linking(options: InstallOptions) -> bool:
    """Whether files are to be links to the store. Raises `UsageError`."""
    mode = options.link_mode or environment.get(environment.SAGE_WHEELS_LINK_MODE) or LINK_MODES[0]
    if mode not in LINK_MODES:
        raise UsageError(f"{mode!r} is no link mode", f"write {' or '.join(LINK_MODES)}")
    return mode == "hardlink"


def _check_there(
    prefix: Prefix, there: list[Distribution], listing: Listing, options: InstallOptions, commit_options: CommitOptions
) -> None:
    """Raise `_Changed` if these distributions of `listing` were part of a change that was then undone, and what
    `options.check` raises."""
    recover_first(prefix, commit_options)  # whatever change was under way is made or undone then
    now = listing if is_same(prefix, listing) else look(prefix)
    options.check(now.distributions)
    if not set(there) <= set(now.distributions):
        raise _Changed(f"{prefix.root} was changed meanwhile")


def _remove_only(
    prefix: Prefix, options: InstallOptions, commit_options: CommitOptions, undoes: tuple[int, ...]
) -> Report:
    if not options.also_remove:
        return Report()
    from sage_wheels.transaction.uninstall import uninstall

    return uninstall(prefix, sorted(options.also_remove), commit_options, undoes, options.check)


def _commit(
    prefix: Prefix,
    own: Stage,
    requests: list[Request],
    images: list[Image],
    options: InstallOptions,
    commit_options: CommitOptions,
    listing: Listing,
    there: list[Distribution],
    undoes: tuple[int, ...],
) -> CommitOutcome:
    """Plan and commit; returns the outcome. Raises `_Changed` if one of `there`, which were left out, has changed, or
    if one of `requests` need not be installed any more."""
    new = {path: each.canonical_name for each in images for path in each.files}
    names = {each.canonical_name for each in images} | options.also_remove
    watched = options.watched | options.also_remove | {each.canonical_name for each in there}
    wheels = [] if commit_options.history.is_off or commit_options.dry_run else [_told(request) for request in requests]

    def purpose(plan: Plan) -> Purpose:
        came = [each._replace(old=_version_of(canonical_name(each.name), plan.removed)) for each in wheels]
        gone = [each for each in plan.removed if each.canonical_name in options.also_remove]
        changes = [*came, *(history.HistoryChange(each.name, each.version, "") for each in gone)]
        return Purpose("undo" if undoes else "install", changes, undoes)

    def is_outdated(distributions: list[Distribution]) -> bool:
        # comparing contents would take too long here, and the same content may as well be installed once more
        may_be_left_out = options.is_there is not None and not options.reinstall
        return may_be_left_out and bool(_there(prefix, requests, _by_name(distributions), options))

    def destination(distributions: list[Distribution]) -> Destination:
        options.check(distributions)
        if not set(there) <= set(distributions) or is_outdated(distributions):
            raise _Changed(f"{prefix.root} was changed meanwhile")
        replaced = [each for each in distributions if each.canonical_name in names]
        return Destination(
            full(f"{own.path}/new"), new, replaced, options.overwrite, adopt=options.adopt, watched=watched
        )

    return commit.run(prefix, own, destination, commit_options, purpose, listing)


def _told(request: Request) -> history.HistoryChange:
    """What the history says of a wheel."""
    wheel = request.wheel
    origin = request.origin or request.url or str((request.direct_url or {}).get("url") or wheel.path)
    digest = ""
    with contextlib.suppress(FileOperationFailed):
        digest = f"sha256={wheel.digest}"
    return history.HistoryChange(wheel.name, "", wheel.version, digest, origin)


def _remember(prefix: Prefix, images: list[Image], outcome: CommitOutcome, options: InstallOptions) -> None:
    """Store the stats of the new files (see `installed.unchanged`). Errors are ignored: the change is committed."""
    unchanged.forget(prefix, options.also_remove)
    unchanged.store(prefix, {each.canonical_name: each.stats for each in images}, outcome.plan.began)


def _version_of(name: str, replaced: list[Distribution]) -> str:
    # an .egg-link has no version
    return ", ".join(each.version for each in replaced if each.canonical_name == name and each.version)


def _made_for_others(prefix: Prefix, requests: list[Request]) -> Iterator[str]:
    """A sentence for each wheel whose Requires-Python is ignored."""
    for each in requests:
        if wanted := tags.other_python(each.wheel, prefix):
            there = interpreter.full_version(prefix)
            yield f"{each.wheel.name} {each.wheel.version} needs Python {wanted}, not {there}"


def _without_unchanged(
    prefix: Prefix, requests: list[Request], listing: list[Distribution], options: InstallOptions
) -> tuple[list[Request], tuple[Unchanged, ...], list[Distribution]]:
    """Split `requests`: the wheels to install; and those that need not be installed, as it is reported and as it was
    found in `listing`."""
    installed = _by_name(listing)
    there = _there(prefix, requests, installed, options)
    how = "already" if options.is_there else "with the same content"
    left, unchanged = [], []
    for request in requests:
        wheel = request.wheel
        if wheel.canonical_name in there:
            trace.decided("%s %s is left out: it is installed %s", wheel.name, wheel.version, how)
            unchanged.append(Unchanged(wheel.name, wheel.version))
        else:
            others = ", ".join(map(str, installed.get(wheel.canonical_name, []))) or "nothing"
            trace.decided("%s %s is installed from %s, instead of %s", wheel.name, wheel.version, wheel.path, others)
            left.append(request)
    return left, tuple(unchanged), list(there.values())


def _there(
    prefix: Prefix, requests: list[Request], installed: dict[str, list[Distribution]], options: InstallOptions
) -> dict[str, Distribution]:
    """Those of the `installed` distributions because of which requests need not be installed, by normalised name."""
    found = {}
    for request in requests:
        name = request.wheel.canonical_name
        there = installed.get(name, [])
        if len(there) != 1:
            continue
        if options.is_there(name, there[0]) if options.is_there else _is_same_content(prefix, request, there[0]):
            found[name] = there[0]
    return found


def _by_name(listing: list[Distribution]) -> dict[str, list[Distribution]]:
    found: dict[str, list[Distribution]] = {}
    for each in listing:
        found.setdefault(each.canonical_name, []).append(each)
    return found


def _is_same_content(prefix: Prefix, request: Request, there: Distribution) -> bool:
    from sage_wheels.installed import verify

    rows = Layout(request.wheel, prefix).expected_rows(generated=False)
    return verify.is_installed(prefix, there, request.wheel.version, rows)
