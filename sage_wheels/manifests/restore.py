"""`restore`: install again the distributions of packages that were replaced or removed since.

They are installed from their wheels in the wheelhouse, with the options of the package, in one transaction.
"""

from __future__ import annotations

from sage_wheels.errors import NotRemovable, NotThere, SageWheelsError, SourceError
from sage_wheels.fs import presence
from sage_wheels.installed import files, find_all, verify
from sage_wheels.installed.dead_scripts import dead_scripts
from sage_wheels.manifests.entries import entries
from sage_wheels.manifests.state import is_from, state
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import advice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.installed import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.manifests.state import State
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.report import Report


class Restored(NamedTuple):
    """The `report` of the installation; in `as_it_was` the distributions that needed no change, with the entries of
    their packages; in `refusals` an error for each distribution that cannot be restored."""

    report: Report
    as_it_was: list[tuple[Distribution, ManifestEntry]]
    refusals: list[SageWheelsError]


class _Case(NamedTuple):
    """An entry of a manifest, the distribution that is installed under its name, and how the two compare."""

    entry: ManifestEntry
    there: Distribution | None
    state: State


def restore(
    prefix: Prefix,
    names: list[str] | None,
    commit_options: CommitOptions,
    limits: WheelLimits,
    *,
    compile_bytecode: bool = True,
) -> Restored:
    """Restore `names`, which are names of distributions or packages; None stands for all that were replaced or removed.

    If names are given, either all of them are restored, or an error is raised: `NotThere` for a name that no manifest
    has, `SourceError` if the package has to be built again, and the errors of `install`.
    """
    from sage_wheels.installing import install
    from sage_wheels.transaction.install import InstallOptions
    from sage_wheels.transaction.recover import recover_first
    from sage_wheels.transaction.report import Report, Unchanged

    recover_first(prefix, commit_options)
    brought = entries(prefix, commit_options.say)
    if names is None:
        cases = _cases(prefix, brought.values())
        changed = [case for case in cases if case.state in ("replaced", "missing") or _has_dead_scripts(prefix, case)]
    else:
        cases = _cases(prefix, _named(prefix, brought, names))
        changed = [case for case in cases if not _is_as_it_was(prefix, case, limits)]
    refusals = [error for case in changed if (error := _refusal(case.entry))]
    if refusals and names is not None:
        raise refusals[0]
    wheels = [case.entry.source for case in changed if not _refusal(case.entry)]
    # what was there comes back, as it was accepted before
    how = InstallOptions(compile_bytecode=compile_bytecode, reinstall=True, ignore_requires_python=True, adopt=True)
    report = install(wheels, prefix, how, commit_options, limits=limits) if wheels else Report()
    as_it_was = [(case.there, case.entry) for case in cases if case.there and case not in changed]
    unchanged = tuple(Unchanged(each.name, each.version) for each, _ in as_it_was)
    return Restored(report._replace(unchanged=unchanged), as_it_was, refusals)


def _named(prefix: Prefix, brought: dict[str, ManifestEntry], names: list[str]) -> list[ManifestEntry]:
    """The entries for `names`: a distribution, or all distributions of a package. Raises `NotThere`."""
    found: dict[str, ManifestEntry] = {}
    for name in names:
        wanted = canonical_name(name)
        own = [brought[wanted]] if wanted in brought else []
        own = own or [entry for entry in brought.values() if canonical_name(entry.package) == wanted]
        if not own:
            import difflib

            known = [*brought, *(entry.package for entry in brought.values())]
            close = difflib.get_close_matches(wanted, known, 1)
            listing = advice.command(prefix.root, "list")
            raise NotThere(
                f"no package has installed {name} into {prefix.root}",
                f"did you mean {close[0]}?" if close else f"'{listing}' shows what they have installed",
            )
        found.update((entry.name, entry) for entry in own)
    return list(found.values())


def _cases(prefix: Prefix, chosen: Iterable[ManifestEntry]) -> list[_Case]:
    installed: dict[str, list[Distribution]] = {}
    for each in find_all(prefix):
        installed.setdefault(each.canonical_name, []).append(each)
    cases = []
    for entry in chosen:
        there = installed.get(entry.name, [])
        # two distributions of the same name are left by a crash of another tool
        found = state(prefix, entry, there[0] if there else None) if len(there) < 2 else "replaced"
        cases.append(_Case(entry, there[0] if there else None, found))
    return cases


def _has_dead_scripts(prefix: Prefix, case: _Case) -> bool:
    """Whether the interpreter of scripts does not exist, as in a prefix that was moved."""
    if case.state != "same" or case.there is None:
        return False
    try:
        return bool(dead_scripts(prefix, files.owned(prefix, case.there).rows))
    except NotRemovable:
        return False


def _is_as_it_was(prefix: Prefix, case: _Case, limits: WheelLimits) -> bool:
    """Whether a distribution that the user named needs no change: all files exist, and are those of that wheel."""
    from sage_wheels.wheel.layout import Layout
    from sage_wheels.wheel.wheel import Wheel

    entry, there = case.entry, case.there
    if case.state != "same" or there is None:
        return False
    if entry.is_editable:
        return True
    if not is_from(prefix, there, entry.source):
        return False  # the same files, but direct_url.json is different
    with Wheel(entry.source, limits) as wheel:
        return verify.is_installed(prefix, there, wheel.version, Layout(wheel, prefix).expected_rows(generated=False))


def _refusal(entry: ManifestEntry) -> SageWheelsError | None:
    """The error if the entry cannot be restored from the wheelhouse; None if it can."""
    advice = f"build package {entry.package} again{f': {entry.rebuild}' if entry.rebuild else ''}"
    if entry.is_editable:
        what = f"package {entry.package} had installed {entry.name} as a source tree, not as a wheel"
        return SourceError(what, advice)
    if not presence.is_file(entry.source):
        return SourceError(f"{entry.source}, the wheel of {entry.name}, is gone", advice)
    return None
