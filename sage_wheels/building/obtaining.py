"""Get a source ready to be built: copy a tree, clone a repository, fetch and unpack an sdist."""

from __future__ import annotations

import os

from sage_wheels.building.download import fetch
from sage_wheels.building.environment.interpreter import our_base
from sage_wheels.building.source.replica import copy_source_tree
from sage_wheels.errors import SourceError
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.fs.files import below
from sage_wheels.named import NamedTuple
from sage_wheels.requirements.sources import GitRepository, RemoteFile, Requirement, SdistFile, SourceTree, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.building.options import BuildOptions
    from sage_wheels.building.providing import Provider
    from sage_wheels.building.source.replica import SourceCopy
    from sage_wheels.prefix.interpreter import Facts
    from sage_wheels.requirements.direct_url import DirectUrl
    from sage_wheels.requirements.sources import Asked, Source

_NAMED = 10  # how many paths are named in a sentence
# hatchling searches them in all directories above a source that has none; those in the home must not count.
_ENDS_A_SEARCH = (".gitignore", ".hgignore")


class Obtained(NamedTuple):
    """A source that is here: the directory `project`, or an `sdist` that is unpacked only if it has to be built.

    `asked`: what its name and version have to be. `copy`: the copy that `project` is in, of a source tree.
    """

    asked: Asked
    direct_url: DirectUrl | None
    project: str | None = None
    sdist: SdistFile | None = None
    copy: SourceCopy | None = None


def obtain(source: Source, provider: Provider, note: Callable[[str], object]) -> Obtained:
    """Get `source` into the build directory, unless it is built where it stands. `note` is called with sentences for
    people. Raises `SourceError`, `FileOperationFailed`."""
    options = provider.options
    destination = source_directory(provider)
    if isinstance(source, SourceTree):
        direct_url = source.direct_url(editable=options.editable)
        if options.uses_the_tree_itself:
            return Obtained(source.asked, direct_url, source.project)
        copy = _copied(source.path, destination, provider, note)
        return Obtained(source.asked, direct_url, below(copy.path, source.subdirectory), copy=copy)
    if isinstance(source, GitRepository):
        from sage_wheels.building.clone import clone

        os.mkdir(destination)
        tree, direct_url = clone(source, f"{destination}/{provider.name}")
        return Obtained(source.asked, direct_url, tree.project)
    if isinstance(source, SdistFile):
        return Obtained(source.asked, source.direct_url(), sdist=source)
    assert isinstance(source, (Requirement, RemoteFile))
    fetched = fetch(
        source,
        f"{provider.directory}/download",
        from_source=True,
        find_links=options.find_links,
        choosing=options.choosing,
        target=_other_target(provider),
        on_note=options.on_note,
    )
    if not isinstance(fetched.source, SdistFile):
        raise SourceError(f"{written(source)} is a wheel already", "install it as it is")
    return Obtained(fetched.source.asked, fetched.direct_url, sdist=fetched.source)


def source_directory(provider: Provider, name: str = "src") -> str:
    """The path of this name in the build directory, where nothing is now."""
    directory = f"{provider.directory}/{name}"
    delete_tree(directory)
    for each in _ENDS_A_SEARCH:
        with open(f"{provider.directory}/{each}", "wb"):
            pass
    return directory


def unpacked(sdist: SdistFile, destination: str, options: BuildOptions) -> str:
    """Unpack `sdist` into the new directory `destination`; the directory of the project. Raises `SourceError`."""
    from sage_wheels.archive.sdist_members import SdistLimits
    from sage_wheels.archive.unpack import unpack_sdist

    os.mkdir(destination)
    limits = SdistLimits(options.max_sdist_size, options.max_sdist_members)
    return unpack_sdist(sdist.path, destination, limits, sdist.subdirectory, sdist.origin)


def _copied(tree: str, destination: str, provider: Provider, note: Callable[[str], object]) -> SourceCopy:
    """Copy a source tree; there is a note about files that cannot be read."""
    leave_out = (provider.options.cache_root(), provider.options.build_root())
    sandbox = provider.sandbox
    copy = copy_source_tree(
        tree, destination, name=provider.name, leave_out=leave_out, seen=sandbox.seen if sandbox else str
    )
    for each in copy.notes:
        note(each)
    if copy.unreadable:
        named = ", ".join(copy.unreadable[:_NAMED])
        more = f" and {len(copy.unreadable) - _NAMED} more" if len(copy.unreadable) > _NAMED else ""
        note(f"these cannot be read, so they are not in the copy that is built: {named}{more}")
    return copy


def _other_target(provider: Provider) -> Facts | None:
    """The interpreter that the wheel is for, if pip has to choose for another one than ours."""
    building = provider.interpreter
    return None if building.executable == our_base() else building.facts
