"""Links to the files beside and above a source tree, so that a build of the copy finds `../VERSION`.

The copy is at DIRECTORY/up/up/up/NAME. Each `up` has links to the entries of the corresponding directory above the
original. The name `up` does not depend on the original, so a project is always built at the same path. A backend that
writes through such a link changes the original file.
"""

from __future__ import annotations

import contextlib
import os
import shutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.building.source.copied_files import Climb

# Files that git reads only if they are no links (gitignore(5), gitattributes(5), gitmailmap(5), gitmodules(5)).
_COPIED = frozenset({".gitignore", ".gitattributes", ".mailmap", ".gitmodules"})
LEVELS = 3  # directories above the tree, or above its repository, that are always there
_NAME = "up"
# How many names a directory above may hold to be linked: beside the tree or its repository, then further up. A link
# costs as much as a small file, and a directory with a thousand entries does not belong to one project.
MOST_BESIDE = 1000
_MOST_ABOVE = 50


def destination_in(directory: str, part: str) -> str:
    """The destination, in `directory`, of the copy of a tree called `part` (a relative path)."""
    return os.path.join(directory, *[_NAME] * LEVELS, part)


def make_room(directory: str, part: str, climbs: Iterable[Climb]) -> str:
    """Move the copy deeper into `directory` if its links lead further up; returns its path. Raises `OSError`."""
    there = LEVELS + part.count("/") + 1
    missing = max((climb.levels for climb in climbs), default=0) - there
    if missing <= 0:
        return destination_in(directory, part)
    aside, destination = f"{directory}.deeper", os.path.join(directory, *[_NAME] * missing)
    os.rename(directory, aside)
    os.makedirs(os.path.dirname(destination))
    os.rename(aside, destination)
    return destination_in(destination, part)


def link(tree: str, copy: str, top: str, climbs: Iterable[Climb]) -> list[str]:
    """Make the links beside and above `copy`: for the directories between `tree` and `top`, and some above `top`.

    `climbs` are the targets of links in the tree, which also get links, however far up they are. Returns the links to
    directories below `top`, relative to it. Directories that cannot be read are skipped. Raises `OSError` if a link
    cannot be made.
    """
    result = []
    original, mirror = tree, copy
    is_inside = tree != top
    for most in [None] * _depth(tree, top) + [MOST_BESIDE] + [_MOST_ABOVE] * (LEVELS - 1):
        name, original, mirror = os.path.basename(original), os.path.dirname(original), os.path.dirname(mirror)
        entries = _link_entries(original, mirror, name, most)
        if entries is None or original == "/":
            break
        if is_inside:
            below = os.path.relpath(original, top)
            result += [os.path.normpath(os.path.join(below, each.name)) for each in entries if _is_directory(each)]
            is_inside = original != top
    _link_names(tree, copy)
    for level, name in climbs:
        original, mirror = tree, copy
        for _ in range(level):
            original, mirror = os.path.dirname(original), os.path.dirname(mirror)
        if name and name != ".git":
            _link_one(f"{original}/{name}", f"{mirror}/{name}")
    return result


def _depth(tree: str, top: str) -> int:
    return 0 if tree == top else os.path.relpath(tree, top).count("/") + 1


def _link_entries(original: str, mirror: str, but: str, most: int | None) -> list[os.DirEntry[str]] | None:
    """Link all entries of `original` except `but`; returns those that are links now.

    Does nothing and returns None if there are more than `most` entries.
    """
    try:
        with os.scandir(original) as scan:
            entries = list(scan)
    except OSError:
        return None
    if most is not None and len(entries) > most:
        return None
    linked = []
    for entry in entries:
        if entry.name in (but, ".git"):  # git would change the index of the original: see `source.git`
            continue
        with contextlib.suppress(OSError):
            if entry.name in _COPIED and entry.is_file(follow_symlinks=False):
                shutil.copy2(entry.path, mirror)
                continue
        with contextlib.suppress(FileExistsError):
            os.symlink(entry.path, f"{mirror}/{entry.name}")
        linked.append(entry)
    return linked


def _is_directory(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        return entry.is_dir()
    return False


def _link_names(tree: str, copy: str) -> None:
    """Make the directories above available by their own names, too: such as `project` in ../../project/VERSION."""
    while os.path.basename(copy := os.path.dirname(copy)) == _NAME:
        tree = os.path.dirname(tree)
        name = os.path.basename(tree)
        if not name:
            break
        with contextlib.suppress(FileExistsError):
            os.symlink(_NAME, f"{os.path.dirname(copy)}/{name}")


def _link_one(original: str, link: str) -> None:
    with contextlib.suppress(FileExistsError):
        if os.path.lexists(original):
            os.symlink(original, link)
