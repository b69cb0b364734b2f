"""The wheel that a name stands for: in Sage, what is to be installed by its name lies in the wheelhouse."""

from __future__ import annotations

from sage_wheels.building.sources import Requirement
from sage_wheels.errors import SourceError, WheelRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.building import BuildOptions
    from sage_wheels.building.sources import Source
    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.archive import Limits


def applying(text: str, prefix: Prefix, on_note: Callable[[str], object]) -> str | None:
    """`text` without its marker (PEP 508); None, and a note, if that does not hold for the Python of `prefix`.

    Raises `SourceError` for a marker that compares what cannot be compared, and `InterpreterError`.
    """
    if ";" not in text:
        return text  # without the 15 ms that packaging takes to import
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    from sage_wheels.prefix import interpreter

    try:
        parsed = Parsed(text)
    except (InvalidRequirement, RecursionError):  # a path, or what `parse_source` has a sentence for
        return text
    marker, parsed.marker = parsed.marker, None
    if marker is None:
        return text
    try:
        holds = marker.evaluate({**interpreter.ask(prefix).markers, "extra": ""})
    except ValueError as error:
        raise SourceError(f"the marker of {text!r} cannot be evaluated ({error})", "mend it") from error
    if not holds:
        on_note(f"{parsed} is skipped, for {marker} does not hold for the Python of {prefix.root}")
    return str(parsed) if holds else None


def stored(
    source: Source, text: str, prefix: Prefix, building: BuildOptions, *, ignore_requires_python: bool = False
) -> str:
    """`text`, which `source` was read from, or the path of the wheel if it is a requirement by name.

    The newest wheel in the directories of `building` that fulfils it and fits `prefix`. Raises `SourceError` if there
    is none.
    """
    if not isinstance(source, Requirement):
        return text
    from packaging.requirements import Requirement as Parsed
    from packaging.utils import canonicalize_name

    from sage_wheels.building.wheelhouse import Wheelhouse
    from sage_wheels.wheel import tags

    directories = building.find_links
    wanted = Parsed(source.text).specifier
    entries = [
        entry
        for entry in Wheelhouse(directories, tags.taken_by(prefix)).of(canonicalize_name(source.name))
        if wanted.contains(entry.version, prereleases=True)
    ]
    # as pip: a pre-release only if there is nothing else
    entries.sort(key=lambda entry: not wanted.contains(entry.version, prereleases=False))
    paths = [entry.path for entry in entries]
    if not paths:
        places = " and ".join(directories) or "a wheelhouse, because none is named"
        raise SourceError(f"no wheel of {source.text} is in {places}", "build it first, or name a file")
    if len(paths) == 1 or ignore_requires_python:
        return paths[0]
    # if none fits, who installs the best one says why it does not
    return next((path for path in paths if _fits(path, prefix, building.wheel_limits)), paths[0])


def _fits(path: str, prefix: Prefix, limits: Limits | None) -> bool:
    """Whether the wheel at `path` is for the Python of `prefix`. Raises `WheelRefused` if it is damaged."""
    from sage_wheels.wheel import Wheel, tags

    with Wheel(path, limits) as wheel:
        try:
            tags.check_fits(wheel, prefix)
        except WheelRefused:
            return False
    return True
