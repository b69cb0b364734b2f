"""SOURCE -> WHEEL: provide the build requirements of a source, and call its build backend (PEP 517).

>>> from sage_wheels.building import BuildOptions, build_wheel, parse_source
>>> source = parse_source("./pexpect-4.9.0.tar.gz")                               # doctest: +SKIP
>>> options = BuildOptions(find_links=("wheels",))
>>> build_wheel(source, wheel_dir="wheels", options=options).path                 # doctest: +SKIP
'/home/me/wheels/pexpect-4.9.0-py2.py3-none-any.whl'

Importing this package is fast, because the installation of a wheel needs only `parse_source`.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels import trace
from sage_wheels.building.options import BuildOptions, BuiltWheel, finish_uploads
from sage_wheels.errors import UsageError
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements.arguments import as_directory, once, parse_source, selected
from sage_wheels.requirements.direct_url import DirectUrl
from sage_wheels.requirements.references import file_url
from sage_wheels.requirements.sources import (
    Asked,
    GitRepository,
    LocalSource,
    RemoteFile,
    Requirement,
    SdistFile,
    Source,
    SourceTree,
    WheelFile,
    certain_name,
    check_asked,
    project_of_file,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.interpreter import Facts


class FoundWheel(NamedTuple):
    """A wheel to install, the content of its direct_url.json (None: it gets none), and the requested extras.

    `origin` is where it came from, if neither of the two says it: its file is deleted after the installation. `url` is
    that of the wheel itself: its direct_url.json has this URL, and the hash that is computed during the installation.
    """

    path: str
    direct_url: DirectUrl | None
    extras: tuple[str, ...] = ()
    origin: str = ""
    url: str = ""


def build_wheel(
    source: Source, *, wheel_dir: str | os.PathLike[str], options: BuildOptions | None = None
) -> BuiltWheel:
    """Build the wheel of an sdist, a source tree or a requirement, and move it to `wheel_dir` by one rename.

    The source is not changed, unless the build is editable or in place; then the backend may write there. Raises
    `SourceError` for an invalid source, `BuildFailed` with the end of the log, and `FileOperationFailed`.
    """
    from sage_wheels.building import project

    try:
        return project.build_wheel(source, wheel_dir=os.fspath(wheel_dir), options=options or BuildOptions())
    finally:
        finish_uploads()


def sources_of(items: Iterable[str], options: BuildOptions) -> list[Source]:
    """The sources that `items` name, without those whose marker is false; a note names each of those.

    Markers are evaluated for the prefix in `options` or, if there is none, for the building interpreter. Raises
    `SourceError`, `FileOperationFailed`, and `InterpreterError` if the interpreter has to be run and cannot.
    """
    if options.editable:
        items = map(as_directory, items)
    found = selected(items, lambda: markers_of(options), options.on_note)
    if options.constraints:
        from sage_wheels.requirements import constraints

        return once(constraints.applied(found, options.constraints))
    return found


def check_constraints(wheels: Iterable[str], options: BuildOptions) -> None:
    """Raise `SourceError` if a constraint does not admit the version of a wheel at these paths."""
    if options.constraints:
        from sage_wheels.requirements import constraints

        constraints.check_wheels(wheels, options.constraints)


def markers_of(options: BuildOptions) -> Mapping[str, str]:
    """The marker environment (PEP 508) of the prefix in `options` or, if there is none, of the building interpreter.

    Raises `InterpreterError` if the interpreter has to be run and cannot.
    """
    from sage_wheels.building.environment.interpreter import find_building
    from sage_wheels.prefix import interpreter

    if options.prefix:
        return interpreter.markers_of(options.prefix)
    return find_building(options.python, None, options.cache_root()).facts.markers


@contextlib.contextmanager
def wheels_of(items: Iterable[str], prefix: Prefix, options: BuildOptions | None = None) -> Iterator[list[FoundWheel]]:
    """Within this context, the wheels of `items` (see `parse_source`), without items whose marker is false.

    Items that are wheels are used as they are; others are downloaded by pip, or built for `prefix`, into a directory
    that is deleted at the end. Raises the errors of `build_wheel` and `fetch`; an item that is not a source is refused
    before anything is built.
    """
    options = (options or BuildOptions())._replace(prefix=prefix)
    items = list(items)
    sources = sources_of(items, options)
    if options.built is not None and (sources or not items):
        yield [_already_built(options.built, sources, options)]
        return
    editables = sources_of(options.editables, options)
    for source in [*editables, *(sources if options.editable else ())]:
        if not isinstance(source, SourceTree):
            raise UsageError(f"{written(source)} is no source tree, and only that can be editable", "name a directory")
    if options.in_place and not all(isinstance(source, (SourceTree, WheelFile)) for source in sources):
        raise UsageError("only a source tree can be built in place", "name the directory of each project")
    if all(isinstance(source, WheelFile) for source in sources) and not editables:
        wheels = [source for source in sources if isinstance(source, WheelFile)]
        trace.decided("nothing is built: every item is a wheel")
        found = [FoundWheel(each.path, None, each.asked.extras, url=file_url(each.path)) for each in wheels]
        yield _as_told(found, options)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as directory:
        made = _wheels_of(editables, f"{directory}/editable", options.of_builds()._replace(editable=True))
        if len(sources) + len(made) > 1 and any(isinstance(each, Requirement) for each in sources):
            made, options = _joined(sources, made, directory, options)
        else:
            made = _wheels_of(sources, directory, options.of_builds()) + made
        yield _as_told(made, options)


def _joined(
    sources: list[Source], made: list[FoundWheel], directory: str, options: BuildOptions
) -> tuple[list[FoundWheel], BuildOptions]:
    """The wheels of `sources`, and `made`, where no requirement is of a project that is there in another way.

    What tells no name is built first. Requirements that were left out are constraints in the options returned.
    """
    from sage_wheels.requirements import joining

    nameless = [each for each in sources if not certain_name(each)]
    made = _wheels_of(nameless, f"{directory}/nameless", options.of_builds()) + made
    rest = [each for each in sources if certain_name(each)]
    joined = joining.joined(rest, [project_of_file(each.path) for each in made])
    options = options._replace(constraints=(*options.constraints, *joined.constraints))
    made = [each._replace(extras=joined.extras_for(project_of_file(each.path), each.extras)) for each in made]
    return _wheels_of(joined.sources, directory, options.of_builds()) + made, options


def _as_told(found: list[FoundWheel], options: BuildOptions) -> list[FoundWheel]:
    """`found`, without direct_url.json for projects from an index. Raises `SourceError` for a constraint."""
    check_constraints((each.path for each in found), options)
    if options.constraints:
        from sage_wheels.requirements import constraints

        told = [(each.path, each.url or (each.direct_url or {}).get("url", "")) for each in found]
        constraints.check_places(told, options.constraints)
        hashless = [(path, url) for each, (path, url) in zip(found, told, strict=True) if _has_no_hash(each.direct_url)]
        constraints.check_hashless(hashless, options.constraints)
    if not options.indexed:
        return found
    return [
        each._replace(direct_url=None, url="")
        if canonical_name(project_of_file(each.path)) in options.indexed
        else each
        for each in found
    ]


def _has_no_hash(told: DirectUrl | None) -> bool:
    return told is not None and "archive_info" not in told


def _already_built(wheel: str, sources: list[Source], options: BuildOptions) -> FoundWheel:
    """Use `wheel` instead of building one. The source tree is not read, because it may belong to another user."""
    built = parse_source(wheel)
    is_one = len(sources) == 1 and not options.editables
    if not is_one or not isinstance(built, WheelFile) or not isinstance(sources[0], SourceTree):
        raise UsageError("--built needs exactly one source tree", "give a wheel and one directory")
    check_asked(sources[0], project_of_file(built.path))
    return FoundWheel(built.path, sources[0].direct_url(editable=options.editable), sources[0].asked.extras)


def _wheels_of(sources: list[Source], directory: str, options: BuildOptions) -> list[FoundWheel]:
    fetched = [_fetched(source, f"{directory}/{number}", options) for number, source in enumerate(sources)]
    to_build = [file for file, _ in fetched if not isinstance(file, WheelFile)]
    build_all = options.build_all if options.build_all and len(to_build) > 1 else _one_by_one
    made = iter(build_all(to_build, f"{directory}/wheels", options))
    found = []
    for source, (file, direct_url) in zip(sources, fetched, strict=True):
        if isinstance(file, WheelFile):
            trace.decided("%s is used as it is, because it is a wheel", file.path)
            path = file.path
        else:
            built = next(made)
            path, direct_url = built.path, built.direct_url if file is source else direct_url
        found.append(FoundWheel(path, direct_url, source.asked.extras, "" if direct_url else written(source)))
    return found


def _one_by_one(
    sources: Sequence[LocalSource | GitRepository], wheel_dir: str, options: BuildOptions
) -> list[BuiltWheel]:
    from sage_wheels.building import project

    try:
        return [
            project.build_wheel(source, wheel_dir=f"{wheel_dir}/{number}", options=options)
            for number, source in enumerate(sources)
        ]
    finally:
        finish_uploads()


def _fetched(
    source: Source, directory: str, options: BuildOptions
) -> tuple[LocalSource | GitRepository, DirectUrl | None]:
    """`source` as a file, tree or repository that needs no download, and the content of its direct_url.json."""
    if not isinstance(source, (Requirement, RemoteFile)):
        return source, None if isinstance(source, (SourceTree, GitRepository)) else source.direct_url()
    from sage_wheels.building import download

    fetched = download.fetch(
        source,
        f"{directory}/download",
        find_links=options.find_links,
        choosing=options.choosing,
        target=_other_target(options.prefix),
        on_note=options.on_note,
    )
    if isinstance(source, Requirement) and os.path.isdir(source.text) and options.on_note:
        name = source.text
        options.on_note(f"{name} is taken as the name of a project; for the directory of that name, write ./{name}")
    return fetched.source, fetched.direct_url


def _other_target(prefix: Prefix | None) -> Facts | None:
    """The facts about the interpreter of `prefix`, if it is not the one that runs this tool; for pip's choice of
    files."""
    from sage_wheels.prefix import interpreter

    return None if prefix is None or interpreter.is_ours(prefix) else interpreter.ask(prefix)


__all__ = [
    "Asked",
    "BuildOptions",
    "BuiltWheel",
    "DirectUrl",
    "FoundWheel",
    "GitRepository",
    "LocalSource",
    "RemoteFile",
    "Requirement",
    "SdistFile",
    "Source",
    "SourceTree",
    "WheelFile",
    "build_wheel",
    "markers_of",
    "parse_source",
    "sources_of",
    "wheels_of",
]
