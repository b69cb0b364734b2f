"""Find the wheel for a requirement by name: Sage's package scripts only install by name what is in the wheelhouse."""

from __future__ import annotations

import contextlib

from sage_wheels import trace
from sage_wheels.errors import FileOperationFailed, SourceError, WheelRefused
from sage_wheels.requirements.sources import Requirement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.building import BuildOptions
    from sage_wheels.prefix import Prefix
    from sage_wheels.requirements.sources import Source


def stored(
    source: Source, text: str, prefix: Prefix, building: BuildOptions, *, ignore_requires_python: bool = False
) -> str:
    """For a requirement by name, the path of its wheel, with the extras; else `text`, from which `source` was parsed.

    The wheel is the newest one in the directories `find_links` of `building` that satisfies the requirement and fits
    `prefix`. Raises `SourceError` if there is none.
    """
    if not isinstance(source, Requirement):
        return text
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name

    from sage_wheels.building.environment.wheelhouse import Wheelhouse
    from sage_wheels.wheel import tags

    directories = building.find_links
    wanted = SpecifierSet(source.asked.specifier)
    entries = [
        entry
        for entry in Wheelhouse(directories, tags.taken_by(prefix)).of(canonicalize_name(source.name))
        if wanted.contains(entry.version, prereleases=True)
    ]
    # as pip: a pre-release only if there is nothing else
    entries.sort(key=lambda entry: not wanted.contains(entry.version, prereleases=False))
    paths = [entry.path for entry in entries]
    if not paths:
        where = " and ".join(directories) or "a wheelhouse, because none is named"
        raise SourceError(f"no wheel of {source.text} is in {where}", "build it first, or name a file")
    chosen = paths[0]  # if none fits, the installation of this one reports why
    if len(paths) > 1 and not ignore_requires_python:
        chosen = next((path for path in paths if _fits(path, prefix, building.wheel_limits)), chosen)
    trace.decided("%s stands for %s: the newest that fits, of %s", chosen, source.text, ", ".join(paths))
    return f"{chosen}[{','.join(source.asked.extras)}]" if source.asked.extras else chosen


def _fits(path: str, prefix: Prefix, limits: WheelLimits | None) -> bool:
    """Whether the wheel at `path` is for the Python of `prefix`; True if it cannot be read, so that its installation
    reports why, and no older one is installed instead."""
    from sage_wheels.wheel import tags
    from sage_wheels.wheel.wheel import Wheel

    with contextlib.ExitStack() as stack:
        try:
            wheel = stack.enter_context(Wheel(path, limits))
        except (WheelRefused, FileOperationFailed):
            return True
        try:
            tags.check_fits(wheel, prefix)
        except WheelRefused:
            return False
    return True
