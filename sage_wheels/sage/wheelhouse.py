"""The wheel that a name stands for: in Sage, what is to be installed by its name lies in the wheelhouse."""

from __future__ import annotations

from sage_wheels.building.sources import Requirement
from sage_wheels.errors import SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_wheels.building.sources import Source
    from sage_wheels.prefix import Prefix


def stored(source: Source, text: str, directories: Sequence[str], prefix: Prefix) -> str:
    """`text`, which `source` was read from, or the path of the wheel if it is a requirement by name.

    The newest wheel in `directories` that fulfils it and fits `prefix`. Raises `SourceError` if there is none.
    """
    if not isinstance(source, Requirement):
        return text
    from packaging.requirements import Requirement as Parsed
    from packaging.utils import canonicalize_name

    from sage_wheels.building.wheelhouse import Wheelhouse
    from sage_wheels.wheel import tags

    wheels = Wheelhouse(directories, tags.taken_by(prefix))
    wanted = Parsed(source.text).specifier
    candidates = wheels.of(canonicalize_name(source.name))
    for pre in (False, True):  # as pip: a pre-release only if there is nothing else
        for entry in candidates:
            if wanted.contains(entry.version, prereleases=pre):
                return entry.path
    places = " and ".join(directories) or "a wheelhouse, because none is named"
    raise SourceError(f"no wheel of {source.text} is in {places}", "build it first, or name a file")
