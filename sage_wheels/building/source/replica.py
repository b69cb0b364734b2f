"""Copy a source tree so that a backend sees the same in the copy as in the tree itself.

The copy consists of the files (`copied_files`), links to files beside and above the tree (`surroundings`), and a git
directory for each repository that contains the tree or is in it (`git_directory`).
"""

from __future__ import annotations

import os

from sage_wheels.building.directory import ELSEWHERE, ON_ANOTHER_DISK
from sage_wheels.building.source import surroundings
from sage_wheels.building.source.copied_files import CopiedFiles
from sage_wheels.building.source.git import (
    Git,
    Refused,
    Repository,
    read_git_directory,
    refused_for,
)
from sage_wheels.building.source.git_directory import make_git_directory
from sage_wheels.errors import FileOperationFailed
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class SourceCopy(NamedTuple):
    """A copy at `path`; `unreadable` are the paths of the tree that are not in it, `notes` sentences for people.

    `repositories` are those that the copy has a git directory for, by the paths of their tops relative to the tree;
    `refused` says that git would not look at one. `left_out` are paths that are no source, relative to the tree.
    """

    path: str
    unreadable: list[str]
    notes: list[str]
    repositories: dict[str, Repository]
    refused: bool
    left_out: set[str]


def copy_source_tree(
    tree: str, directory: str, *, name: str = "", leave_out: Iterable[str] = (), seen: Callable[[str], str] = str
) -> SourceCopy:
    """Copy the source tree at `tree` into `directory`, which must not exist; the copy is some levels below it.

    `name` is that of the project. `leave_out` are directories that are not copied; `seen` says at which path a build
    sees a path in the copy. Raises `FileOperationFailed`, and `SourceError` if the tree cannot be read.
    """
    tree = os.path.realpath(tree)
    try:
        return _copy(tree, directory, name, frozenset(map(os.path.realpath, leave_out)), seen)
    except OSError as error:
        doing = f"copying {tree} to {directory}"
        raise FileOperationFailed.from_os_error(error, doing, denied=ELSEWHERE, full=ON_ANOTHER_DISK) from error


def _copy(tree: str, directory: str, name: str, leave_out: frozenset[str], seen: Callable[[str], str]) -> SourceCopy:
    notes: list[str] = []
    repositories: dict[str, Repository] = {}
    git = Git()
    try:
        around = git.around(tree)
    except Refused as error:
        around = []
        notes.append(str(error))
    top = around[-1].top if around else tree
    part = os.path.relpath(tree, os.path.dirname(top))
    files = CopiedFiles(tree, surroundings.destination_in(directory, part), name=name, leave_out=leave_out)
    files.run()
    files.destination = surroundings.make_room(directory, part, files.climbs)
    beside = surroundings.link(tree, files.destination, top, files.climbs)
    for below, kind in files.endless[:1]:
        around, files.repositories = [], []
        notes = [str(refused_for(os.path.join(tree, below), kind))]
    for repository in around:
        repositories[os.path.relpath(repository.top, tree)] = repository
        root = files.destination.removesuffix(f"/{repository.path_of(tree)}")
        listed = [os.path.relpath(os.path.join(top, each), repository.top) for each in beside]
        make_git_directory(git, repository, top=root, tree=tree, beside=listed, bring=files.bring, seen=seen)
    for below in files.repositories:
        nested = os.path.join(tree, below) if below else tree
        if all(repository.top != nested for repository in around):
            notes += _repository_within(git, files, nested, below, repositories, seen)
    return SourceCopy(files.destination, files.unreadable, notes, repositories, bool(notes), files.left_out)


def _repository_within(
    git: Git,
    files: CopiedFiles,
    directory: str,
    below: str,
    repositories: dict[str, Repository],
    seen: Callable[[str], str],
) -> list[str]:
    """Make the git directory for a repository that is checked out in `directory`, which is in the tree.

    It is added to `repositories`. Returns sentences about what cannot be done.
    """
    try:
        found = git.at(directory)
    except Refused as error:
        return [] if directory == files.tree else [str(error)]
    if found is None or found.top != directory:
        found = read_git_directory(directory)  # git cannot use it; perhaps git is too old
    if found is None:
        files.bring(os.path.join(below, ".git"))
        return []
    repositories[below or "."] = found
    make_git_directory(
        git,
        found,
        top=os.path.join(files.destination, below) if below else files.destination,
        tree=directory,
        beside=[],
        bring=lambda path: files.bring(os.path.join(below, path)),
        seen=seen,
    )
    return []
