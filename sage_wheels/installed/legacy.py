"""What tools before wheels left behind: `.egg-info`, `.egg-link`, `.egg`.

Their files are known exactly in three cases: an `.egg-info` with the `installed-files.txt` that old pip had setuptools
write; an `.egg`, which is one directory or file of its own; an `.egg-link`, which only points at a source tree. The
latter two also have a line in `easy-install.pth`, and scripts that name the distribution in their second line.
Everything else is refused, as pip refuses it.
"""

from __future__ import annotations

import os
import re
import stat

from sage_wheels.errors import NotRemovable
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.installed.record import Row
from sage_wheels.prefix import presence
from sage_wheels.prefix.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

_SCRIPT_MARK = re.compile(rb"^# EASY-INSTALL-(?:ENTRY-|DEV-)?SCRIPT: '([^=']+)", re.MULTILINE)
EASY_INSTALL = "easy-install.pth"


def rows(prefix: Prefix, distribution: Distribution) -> dict[str, Row]:
    """The files of `distribution` by their place in the prefix. Raises `NotRemovable` where they are not known."""
    if distribution.kind == ".egg-info":
        found = _installed_files(prefix, distribution)
    else:
        found = [*_tree(prefix, distribution.path), *_scripts(prefix, distribution)]
    return {place: Row(place) for place in found}


def easy_install_without(prefix: Prefix, distribution: Distribution) -> tuple[str, bytes] | None:
    """The place of `easy-install.pth` and what it shall hold once `distribution` is gone; None if nothing changes."""
    if distribution.kind not in (".egg", ".egg-link"):
        return None
    place = f"{distribution.library}/{EASY_INSTALL}"
    try:
        with open(prefix.path(place), "rb") as f:
            lines = f.readlines()
    except FileNotFoundError:
        return None
    targets = {os.fsencode(each) for each in _sys_path_entries(prefix, distribution)}
    kept = [line for line in lines if line.strip() not in targets]
    return (place, b"".join(kept)) if len(kept) < len(lines) else None


def _sys_path_entries(prefix: Prefix, distribution: Distribution) -> list[str]:
    full = prefix.path(distribution.path)
    if distribution.kind == ".egg":
        return [full, f"./{os.path.basename(full)}"]
    with open(full, encoding="utf-8", errors="surrogateescape") as f:
        return [f.readline().strip()]


def _installed_files(prefix: Prefix, distribution: Distribution) -> list[str]:
    listing = f"{distribution.path}/installed-files.txt"
    try:
        with open(prefix.path(listing), encoding="utf-8", errors="surrogateescape") as f:
            lines = f.read().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise NotRemovable(
            f"what belongs to {distribution} is not known: {prefix.path(distribution.path)} was left by distutils or "
            "setuptools without a list of files",
            "remove its files by hand, or install a wheel of the same name over it with --on-conflict overwrite",
        ) from None
    places = Places(prefix.root)
    found = [places.locate(distribution.path, line) for line in lines if line.strip(" ./")]
    inside = [place for place in found if place and not presence.is_directory(prefix.path(place))]
    return [*inside, *_tree(prefix, distribution.path)]


def _tree(prefix: Prefix, place: str) -> Iterator[str]:
    full = prefix.path(place)
    status = presence.lstat(full)
    if status is None or not stat.S_ISDIR(status.st_mode):
        yield place
        return
    for directory, names in presence.files_below(full):
        for name in names:
            yield f"{directory}/{name}"[len(prefix.root) + 1 :]


def _scripts(prefix: Prefix, distribution: Distribution) -> Iterator[str]:
    scripts = prefix.scheme.scripts
    with os.scandir(prefix.path(scripts)) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as f:
                    mark = _SCRIPT_MARK.search(f.read(4096))
                if mark and canonical_name(mark[1].decode()) == distribution.canonical_name:
                    yield f"{scripts}/{entry.name}"
