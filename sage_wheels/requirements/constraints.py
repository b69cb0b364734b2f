"""Constraints (pip's `-c FILE`): which versions of a project are accepted, if anything requires it.

A constraint is a requirement by name, or `NAME @ URL`, which says where the project comes from; the path or URL of a
wheel names its project, too. As with pip, a constraint has no extras and is not editable, and its hashes count. A
directory or a repository has no hash, and so it is refused if a constraint gives one.
"""

from __future__ import annotations

import re

from sage_wheels.errors import SourceError
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements.arguments import applying, parse_source
from sage_wheels.requirements.references import file_url
from sage_wheels.requirements.sources import (
    GitRepository,
    RemoteFile,
    Requirement,
    SdistFile,
    Source,
    SourceTree,
    WheelFile,
    certain_name,
    check_asked,
    has_one_of,
    project_of_file,
    version_of_wheel,
    without_credentials,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sage_wheels.requirements.files import Line


class Constraint(NamedTuple):
    """The constraint in the line at `position`. `source` is a `Requirement` or, for `NAME @ URL`, the source there."""

    position: str
    source: Source

    @property
    def name(self) -> str:
        return canonical_name(_name_of(self.source))


def texts(lines: Iterable[Line], markers: Callable[[], Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """The constraints in `lines`, without those whose marker is false: pairs of the requirement, and the position of
    its line.

    Raises `SourceError` for a line that is not a constraint.
    """
    found = []
    for line in lines:
        if line.is_editable:
            raise SourceError(f"{line.position} is an editable constraint", "write NAME @ URL, or take it out")
        with line.named():
            text = applying(line.argument, markers)
            if text is None:
                continue
            source = parse_source(text)
        if not _name_of(source):
            raise SourceError(f"{line.position} names no project", "write NAME==VERSION, or NAME @ URL")
        if source.asked.extras:
            raise SourceError(f"{line.position} is a constraint with extras", "leave the extras out")
        found.append((text, line.position))
    return tuple(found)


def _name_of(source: Source) -> str:
    if source.asked.name or not isinstance(source, (WheelFile, RemoteFile)):
        return source.asked.name
    path = source.path if isinstance(source, WheelFile) else source.url.partition("#")[0]
    return project_of_file(path) if path.endswith(".whl") else ""


def parsed(constraints: Iterable[tuple[str, str]]) -> list[Constraint]:
    """Parse `constraints`, which are pairs as `texts` returns them."""
    return [Constraint(position, parse_source(text)) for text, position in constraints]


def applied(sources: Iterable[Source], constraints: Iterable[tuple[str, str]]) -> list[Source]:
    """`sources`, where each requirement by name also has the specifiers and hashes of the constraints for its project.

    If such a constraint has a URL, the source at that URL takes the place of the requirement. The hashes count for
    every source whose name is certain: raises `SourceError` for one that does not have them, or cannot have any.
    """
    by_name: dict[str, list[Constraint]] = {}
    for each in parsed(constraints):
        by_name.setdefault(each.name, []).append(each)
    return [_applied(source, by_name.get(certain_name(source), [])) if by_name else source for source in sources]


def _applied(source: Source, constraints: list[Constraint]) -> Source:
    by_name = [each for each in constraints if isinstance(each.source, Requirement)]
    if isinstance(source, Requirement) and constraints:
        own = Constraint(written(source), source)
        source, place = _limited(source, constraints)
        by_name += [own] if place else []
    for each in by_name:
        source = _with_hashes(source, each)
    return source


def _with_hashes(source: Source, constraint: Constraint) -> Source:
    """`source`, which must have one of the hashes of `constraint`; a file that is here is looked at."""
    hashes, position = constraint.source.asked.hashes, constraint.position
    if not hashes:
        return source
    if isinstance(source, (SourceTree, GitRepository)):
        raise _without_hash(written(source), constraint)
    if isinstance(source, (WheelFile, SdistFile)):
        if not has_one_of(source.path, hashes):
            raise SourceError(
                f"{source.path} has none of the hashes that {position} gives for {constraint.source.asked.name}",
                "get the file again, or correct the hash",
            )
        return source
    both = tuple(each for each in source.asked.hashes if each in hashes) if source.asked.hashes else hashes
    if not both:
        raise SourceError(
            f"{written(source)} and {position} have different hashes", "correct those that are not of the file"
        )
    return source._replace(asked=source.asked._replace(hashes=both))


def _without_hash(what: str, constraint: Constraint) -> SourceError:
    return SourceError(
        f"{what} is no file and has no hash, but {constraint.position} gives one for {constraint.source.asked.name}",
        "leave the hash out, or name a file",
    )


def _limited(source: Requirement, constraints: list[Constraint]) -> tuple[Source, bool]:
    """What is at the URL of one of `constraints`, and True; else `source` with the specifiers of all, and False."""
    specifiers = [source.asked.specifier]
    for each in constraints:
        if not isinstance(each.source, Requirement):
            asked = each.source.asked._replace(name=source.name, extras=source.asked.extras)
            found = each.source._replace(asked=asked._replace(specifier=source.asked.specifier))
            if isinstance(found, WheelFile):
                check_asked(found, project_of_file(found.path), version_of_wheel(found.path))
            return found, True
        specifiers.append(each.source.asked.specifier)
    specifier = ",".join(filter(None, specifiers))
    extras = f"[{','.join(source.asked.extras)}]" if source.asked.extras else ""
    return Requirement(f"{source.name}{extras}{specifier}", source.asked._replace(specifier=specifier)), False


def check_wheels(paths: Iterable[str], constraints: Iterable[tuple[str, str]]) -> None:
    """Raise `SourceError` if one of `constraints` does not admit the version in the name of a wheel at `paths`."""
    each_parsed = parsed(constraints)
    for path in paths:
        _check_wheel(path, each_parsed)


def check_places(wheels: Iterable[tuple[str, str]], constraints: Iterable[tuple[str, str]]) -> None:
    """Raise `SourceError` for a wheel that comes from elsewhere than a constraint with a URL says, as pip does.

    `wheels` are the paths of wheels, and the URLs of what they were made from.
    """
    places = {each.name: each for each in parsed(constraints) if not isinstance(each.source, Requirement)}
    for path, url in wheels if places else ():
        constraint = places.get(canonical_name(project_of_file(path)))
        if constraint and url != _place_of(constraint.source):
            raise SourceError(
                f"{project_of_file(path)} from {url or 'an index'} does not fit {constraint.position}, "
                f"{written(constraint.source)}",
                "ask for it by its name only, or change the constraint",
            )


def check_hashless(wheels: Iterable[tuple[str, str]], constraints: Iterable[tuple[str, str]]) -> None:
    """Raise `SourceError` for a wheel that was made from a directory or a repository, if a constraint gives a hash.

    `wheels` are the paths of such wheels, and what they were made from. `applied` does so before the build, if the name
    is certain by then.
    """
    with_hash = {each.name: each for each in parsed(constraints) if each.source.asked.hashes}
    for path, origin in wheels if with_hash else ():
        if constraint := with_hash.get(canonical_name(project_of_file(path))):
            raise _without_hash(origin, constraint)


def _place_of(source: Source) -> str:
    if isinstance(source, (RemoteFile, GitRepository)):
        return without_credentials(source.url).partition("#")[0]
    return "" if isinstance(source, Requirement) else file_url(source.path)


def _check_wheel(path: str, constraints: list[Constraint]) -> None:
    found = re.match(r"([^/-]+)-([^/-]+)-[^/]*$", path.rpartition("/")[2])
    name, version = found.groups() if found else ("", "")
    for each in constraints:
        specifier = each.source.asked.specifier
        if each.name == canonical_name(name) and specifier:
            from packaging.specifiers import SpecifierSet

            if not SpecifierSet(specifier).contains(version, prereleases=True):
                raise SourceError(
                    f"{name} {version} does not fit {each.position}, {each.source.asked.name}{specifier}",
                    "ask for another version, or change the constraint",
                )
