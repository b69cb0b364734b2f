"""Several mentions of one project in one installation, such as `-r requirements.txt -e .`; as with pip, all count.

Requirements by name become one requirement. If a file, a tree or a URL of the project is named as well, that is taken,
and must have a version and a hash that the requirements admit. A directory has no hash, and is refused then.
"""

from __future__ import annotations

from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements import constraints
from sage_wheels.requirements.sources import Requirement, Source, certain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_POSITION = "another requirement"  # what a message calls a requirement that is a constraint now


class Joined(NamedTuple):
    """The sources that are left, and the requirements that were left out."""

    sources: list[Source]
    left_out: list[Requirement]

    @property
    def constraints(self) -> tuple[tuple[str, str], ...]:
        """What was left out, as `constraints.texts` returns it."""
        return tuple((_without_extras(each), _POSITION) for each in self.left_out)

    def extras_for(self, name: str, extras: Collection[str]) -> tuple[str, ...]:
        """`extras`, and those that were asked for by what was left out of the project `name`."""
        more = [each.asked.extras for each in self.left_out if canonical_name(each.name) == canonical_name(name)]
        return tuple(sorted({*extras, *(extra for each in more for extra in each)}))


def joined(sources: Sequence[Source], others: Collection[str]) -> Joined:
    """`sources` without requirements of projects that are named before them, in another way, or are among `others`.

    Raises `SourceError` for hashes of one project that exclude each other, or what is taken.
    """
    taken = {
        *map(canonical_name, others),
        *(certain_name(each) for each in sources if not isinstance(each, Requirement)),
    }
    kept: dict[str, Requirement] = {}
    found, left_out = list[Source](), list[Requirement]()
    for source in sources:
        if not isinstance(source, Requirement):
            found.append(source)
        elif (name := certain_name(source)) in taken:
            left_out.append(source)
        elif name not in kept:
            kept[name] = source
            found.append(source)
        else:
            left_out.append(source)
    result = Joined(found, left_out)
    if not left_out:
        return result
    more = [
        each._replace(asked=each.asked._replace(extras=result.extras_for(certain_name(each), each.asked.extras)))
        for each in found
    ]
    return result._replace(sources=constraints.applied(more, result.constraints))


def _without_extras(source: Requirement) -> str:
    hashes = [f"--hash={each.replace('=', ':')}" for each in source.asked.hashes]
    return " ".join([f"{source.name}{source.asked.specifier}", *hashes])
