"""Put back what packages of the distribution have brought, where somebody has replaced or removed it.

The wheels come from the wheelhouse, and are installed as the package had installed them, in one transaction.
"""

from __future__ import annotations

from typing import NamedTuple

from sage_wheels.errors import NotThere, SageWheelsError, SourceError
from sage_wheels.installed import find_all, verify
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.prefix import presence
from sage_wheels.sage.distribution import is_from, parts, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.sage.distribution import Part, State
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.report import Report
    from sage_wheels.wheel.archive import Limits


class Restored(NamedTuple):
    """What was put back; what is as it was, with its package; and why the rest cannot be put back."""

    report: Report
    as_it_was: list[tuple[Distribution, Part]]
    refusals: list[SageWheelsError]


class _Case(NamedTuple):
    """Something that a package brings, what is installed under its name, and how the two compare."""

    part: Part
    there: Distribution | None
    state: State


def restore(
    prefix: Prefix, names: list[str] | None, settings: Settings, limits: Limits, *, compile_bytecode: bool = True
) -> Restored:
    """Put back what `names` stand for, distributions or packages; None: everything that was replaced or is missing.

    If names are given, all or none is put back. Raises `NotThere` for a name that no package has brought, `SourceError`
    for something that has to be built anew, and what `install` raises.
    """
    import sage_wheels
    from sage_wheels.transaction.install import Options
    from sage_wheels.transaction.recover import recover_first
    from sage_wheels.transaction.report import Report

    recover_first(prefix, settings)
    brought = parts(prefix)
    if names is None:
        cases = _cases(prefix, brought.values())
        changed = [case for case in cases if case.state in ("replaced", "missing")]
    else:
        cases = _cases(prefix, _named(prefix, brought, names))
        changed = [case for case in cases if not _is_as_it_was(prefix, case, limits)]
    refusals = [error for case in changed if (error := _refusal(case.part))]
    if refusals and names is not None:
        raise refusals[0]
    wheels = [case.part.source for case in changed if not _refusal(case.part)]
    how = Options(compile_bytecode=compile_bytecode, reinstall=True, adopt=True)
    report = sage_wheels.install(wheels, prefix, how, settings, limits=limits) if wheels else Report()
    as_it_was = [(case.there, case.part) for case in cases if case.there and case not in changed]
    return Restored(report._replace(unchanged=tuple(str(each) for each, _ in as_it_was)), as_it_was, refusals)


def _named(prefix: Prefix, brought: dict[str, Part], names: list[str]) -> list[Part]:
    """What `names` stand for: distributions, or packages with all that they bring. Raises `NotThere`."""
    found: dict[str, Part] = {}
    for name in names:
        wanted = canonical_name(name)
        own = [brought[wanted]] if wanted in brought else []
        own = own or [part for part in brought.values() if canonical_name(part.package) == wanted]
        if not own:
            import difflib

            known = [*brought, *(part.package for part in brought.values())]
            close = difflib.get_close_matches(wanted, known, 1)
            raise NotThere(
                f"no package of the distribution has brought {name} into {prefix.root}",
                f"did you mean {close[0]}?" if close else "'sage-wheels list' tells what they have brought",
            )
        found.update((part.name, part) for part in own)
    return list(found.values())


def _cases(prefix: Prefix, chosen: Iterable[Part]) -> list[_Case]:
    installed: dict[str, list[Distribution]] = {}
    for each in find_all(prefix):
        installed.setdefault(each.canonical_name, []).append(each)
    cases = []
    for part in chosen:
        there = installed.get(part.name, [])
        # two of one name are what a crash of another tool leaves
        found = state(prefix, part, there[0] if there else None) if len(there) < 2 else "replaced"
        cases.append(_Case(part, there[0] if there else None, found))
    return cases


def _is_as_it_was(prefix: Prefix, case: _Case, limits: Limits) -> bool:
    """Whether nothing at all need be done about what somebody has named: the files are there, and from that wheel."""
    from sage_wheels.wheel import Wheel
    from sage_wheels.wheel.layout import Layout

    part, there = case.part, case.there
    if case.state != "same" or there is None:
        return False
    if part.is_editable:
        return True
    if not is_from(prefix, there, part.source):
        return False  # the same files, but an index or another wheel is named as where they came from
    with Wheel(part.source, limits) as wheel:
        return verify.is_installed(prefix, there, wheel.version, Layout(wheel, prefix).expected_rows(generated=False))


def _refusal(part: Part) -> SageWheelsError | None:
    """Why it cannot be put back from the wheelhouse."""
    advice = f"build the package again: make {part.package}-clean, then make {part.package}"
    if part.is_editable:
        return SourceError(f"package {part.package} brings {part.name} as a source tree, not as a wheel", advice)
    if not presence.is_file(part.source):
        return SourceError(f"{part.source}, the wheel of {part.name}, is gone", advice)
    return None
