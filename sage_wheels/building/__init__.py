"""SOURCE -> WHEEL: what an argument is, where its build requirements come from, and the PEP 517 call.

>>> from sage_wheels.building import BuildOptions, build_wheel, parse_source
>>> source = parse_source("./pexpect-4.9.0.tar.gz")                               # doctest: +SKIP
>>> options = BuildOptions(find_links=("wheels",))
>>> build_wheel(source, wheel_dir="wheels", options=options).path                 # doctest: +SKIP
'/home/me/wheels/pexpect-4.9.0-py2.py3-none-any.whl'

Importing this room is cheap: installing a wheel needs `parse_source` and nothing else of it.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.building.options import BuildOptions, BuiltWheel
from sage_wheels.building.sources import (
    DirectUrl,
    LocalSource,
    RemoteFile,
    Requirement,
    SdistFile,
    Source,
    SourceTree,
    WheelFile,
    parse_source,
)
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sage_wheels.prefix import Prefix


def build_wheel(
    source: Source, *, wheel_dir: str | os.PathLike[str], options: BuildOptions | None = None
) -> BuiltWheel:
    """Build the wheel of an sdist, a source tree or a requirement, and put it into `wheel_dir` by one rename.

    The source stays as it is; an editable build is about the original and lets the backend write there. Raises
    `SourceError` for what is no source, `BuildFailed` with the end of the log, and `FileOperationFailed`.
    """
    if options and options.editable and options.sdist_then_wheel:
        raise UsageError("what is built from an sdist cannot be used where it is", "leave out one of the two options")
    from sage_wheels.building import project

    return project.build_wheel(source, wheel_dir=os.fspath(wheel_dir), options=options or BuildOptions())


@contextlib.contextmanager
def wheels_of(
    items: Iterable[str], prefix: Prefix, options: BuildOptions | None = None
) -> Iterator[list[tuple[str, DirectUrl | None]]]:
    """The wheel of each item, given as `parse_source` takes it, and its direct_url.json (PEP 610; None: none).

    Wheels are taken as they are; the rest is downloaded by pip, or built for `prefix`, into a directory that goes at
    the end. Raises what `build_wheel` and `fetch` raise, before anything is built if an item is no source.
    """
    options = (options or BuildOptions())._replace(prefix=prefix)
    sources = [parse_source(item) for item in items]
    if options.built is not None:
        yield [_already_built(options.built, sources, options)]
        return
    if options.editable and not all(isinstance(source, SourceTree) for source in sources):
        raise UsageError("only a source tree can be editable", "name directories")
    if all(isinstance(source, WheelFile) for source in sources):
        yield [(source.path, source.direct_url()) for source in sources if isinstance(source, WheelFile)]
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as directory:
        yield [_wheel_of(source, f"{directory}/{number}", options) for number, source in enumerate(sources)]


def _already_built(wheel: str, sources: list[Source], options: BuildOptions) -> tuple[str, DirectUrl]:
    """`wheel` in the place of the one that would be built; nothing is read in the source tree, which may be another
    user's."""
    built = parse_source(wheel)
    if len(sources) != 1 or not isinstance(built, WheelFile) or not isinstance(sources[0], SourceTree):
        raise UsageError("--built does not name the wheel of one source tree", "give a wheel and one directory")
    return built.path, sources[0].direct_url(editable=options.editable)


def _wheel_of(source: Source, directory: str, options: BuildOptions) -> tuple[str, DirectUrl | None]:
    if isinstance(source, (Requirement, RemoteFile)):
        from sage_wheels.building import download

        fetched = download.fetch(
            source, f"{directory}/download", find_links=options.find_links, python=_other_python(options.prefix)
        )
        file: LocalSource = fetched.source
        direct_url = fetched.direct_url
    else:
        file, direct_url = source, None if isinstance(source, SourceTree) else source.direct_url()
    if isinstance(file, WheelFile):
        return file.path, direct_url
    built = build_wheel(file, wheel_dir=directory, options=options)
    return built.path, built.direct_url if file is source else direct_url


def _other_python(prefix: Prefix | None) -> str | None:
    """The interpreter of `prefix` if pip has to choose for another one than ours."""
    from sage_wheels.prefix import interpreter

    return None if prefix is None or interpreter.is_ours(prefix) else prefix.python


__all__ = [
    "BuildOptions",
    "BuiltWheel",
    "DirectUrl",
    "LocalSource",
    "RemoteFile",
    "Requirement",
    "SdistFile",
    "Source",
    "SourceTree",
    "WheelFile",
    "build_wheel",
    "parse_source",
    "wheels_of",
]
