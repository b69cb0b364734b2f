"""Directories of old files on other file systems which no stage names any more, because its file `beside` was deleted.

Such a directory is named until `recover --set-aside` has given it another name. It may belong to an interrupted
transaction, or to an entry of the history.
"""

from __future__ import annotations

import os
import re

from sage_wheels.fs.files import LinkInTheWay
from sage_wheels.prefix.locator import Locator
from sage_wheels.prefix.model import BESIDE, STATE
from sage_wheels.prefix.paths import NOWHERE, ancestors, below, plain
from sage_wheels.transaction import history
from sage_wheels.transaction.history import KEPT
from sage_wheels.transaction.pending import JOURNAL
from sage_wheels.transaction.stage import STAGES, stages_beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree

_NAME = rf"{re.escape(BESIDE)}(\d+-[0-9a-f]+)"


def forgotten(prefix: Prefix, tree: Tree) -> list[PrefixPath]:
    """The directories of old files that no stage names. None while a transaction is pending: an undo moves them."""
    found = {path: id for directory in _elsewhere(prefix, tree) for path, id in _directories_in(tree, directory)}
    if found:
        # a stage may be kept, or given up, meanwhile
        named = {*_named(tree, STAGES), *_named(tree, KEPT), *_named(tree, STAGES)}
        if not tree.is_there(JOURNAL):
            return sorted(path for path in found if path not in named and tree.is_there(path))
    return []


def sentence_about(tree: Tree, path: PrefixPath) -> str:
    """The message about `path`, one of the `forgotten`."""
    return (
        f"what {tree.path(path)} belongs to was deleted; it may have files that an interrupted installation had removed"
    )


def _elsewhere(prefix: Prefix, tree: Tree) -> Iterator[PrefixPath]:
    """The directories in which there may be such directories: see `Stage.beside`."""
    locator = Locator(prefix.root)
    schemes = [locator.directory(each) for each in prefix.scheme]
    directories = {NOWHERE, *tree.mount_points(), *(each for each in schemes if each is not None)}
    directories.update(above for each in list(directories) for above in ancestors(each))
    own = _volume(tree, plain(STATE))
    for each in directories:
        if (volume := _volume(tree, each)) and volume != own:
            yield each


def _volume(tree: Tree, path: PrefixPath) -> object:
    try:
        return tree.volume(path, os.stat(tree.path(path)))
    except OSError:
        return None


def _directories_in(tree: Tree, directory: PrefixPath) -> Iterator[tuple[PrefixPath, str]]:
    try:
        names = tree.names(directory)
    except (OSError, LinkInTheWay):
        return
    for name in names:
        if name.startswith(BESIDE) and (parsed := re.fullmatch(_NAME, name)):
            yield below(directory, name), parsed[1]


def _named(tree: Tree, directory: PrefixPath) -> Iterator[PrefixPath]:
    """What the stages in `directory` name."""
    try:
        names = tree.names(directory)
    except OSError:
        return
    for name in names:
        entry = history.parse_name(name)
        yield from stages_beside(tree, below(directory, name), entry[1] if entry else "")
