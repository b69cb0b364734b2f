"""What tools before wheels left behind: `.egg-info`, `.egg-link`, `.egg`.

Their files are known exactly in three cases: an `.egg-info` with the `installed-files.txt` that old pip had setuptools
write; an `.egg`, which is one directory or file of its own; an `.egg-link`, which only points at a source tree. The
latter two also have a line in `easy-install.pth`, and scripts that name the distribution in their second line.
Everything else is refused, as pip refuses it, unless a wheel takes its place: then the record goes, and what the wheel
does not bring stays.
"""

from __future__ import annotations

import os
import re

from sage_wheels.errors import FileOperationFailed, NotRemovable
from sage_wheels.installed.distributions import NO_FILE
from sage_wheels.installed.files import Owned, believed, inside, is_protected
from sage_wheels.installed.metadata import canonical_name
from sage_wheels.installed.record import Row
from sage_wheels.prefix import presence
from sage_wheels.prefix.filesystem import regular
from sage_wheels.prefix.places import landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.places import Places

_SCRIPT_MARK = re.compile(rb"^# EASY-INSTALL-(?:ENTRY-|DEV-)?SCRIPT: '([^=']+)", re.MULTILINE)
EASY_INSTALL = "easy-install.pth"


def owned(prefix: Prefix, distribution: Distribution, places: Places) -> Owned:
    """What `distribution` owns. Raises `NotRemovable` where that is not known, `FileOperationFailed`."""
    if distribution.kind == ".egg-info":
        result = _listed(prefix, distribution, places)
    else:
        marks, scripts = landmarks(prefix, places), _scripts(prefix, distribution, places)
        result = Owned({place: Row(place) for place in scripts if not is_protected(marks, place)}, [])
    result.rows.update((place, Row(place)) for place in _tree(prefix, inside(prefix, places, distribution)))
    return result


def easy_install_without(
    prefix: Prefix, distributions: Iterable[Distribution], places: Places
) -> Iterator[tuple[str, bytes]]:
    """The place of each `easy-install.pth` that changes when `distributions` go, and what it shall hold then.

    Raises `OSError`.
    """
    targets: dict[str, set[bytes]] = {}
    for each in distributions:
        place = places.locate(each.library, EASY_INSTALL)
        if each.kind in (".egg", ".egg-link") and place is not None:
            targets.setdefault(place, set()).update(map(os.fsencode, _sys_path_entries(prefix, each)))
    for place, gone in targets.items():
        try:
            with open(prefix.path(place), "rb", opener=regular) as f:
                lines = f.readlines()
        except FileNotFoundError:
            continue
        kept = [line for line in lines if line.strip() not in gone]
        if len(kept) < len(lines):
            yield place, b"".join(kept)


def _sys_path_entries(prefix: Prefix, distribution: Distribution) -> list[str]:
    full = prefix.path(distribution.path)
    if distribution.kind == ".egg":
        return [full, f"./{os.path.basename(full)}"]
    with open(full, encoding="utf-8", errors="surrogateescape", opener=regular) as f:
        return [f.readline().strip()]


def _listed(prefix: Prefix, distribution: Distribution, places: Places) -> Owned:
    """What `installed-files.txt` says, believed as far as RECORD would be; it lists directories, too."""
    listing = inside(prefix, places, distribution, "installed-files.txt")
    try:
        with open(prefix.path(listing), encoding="utf-8", errors="surrogateescape", opener=regular) as f:
            lines = f.read().splitlines()
    except OSError as error:
        if error.errno not in NO_FILE:
            raise FileOperationFailed.from_os_error(error, f"reading what belongs to {distribution}") from error
        raise NotRemovable(
            f"what belongs to {distribution} is not known: {prefix.path(distribution.path)} was left by distutils or "
            "setuptools without a list of files",
            "remove its files by hand, or install a wheel of the same name over it with --on-conflict overwrite",
        ) from None
    rows = [Row(line) for line in lines if line.strip(" ./") and not line.endswith("/")]
    found = believed(prefix, places, distribution, rows)
    return found._replace(
        rows={place: row for place, row in found.rows.items() if not presence.is_directory(prefix.path(place))}
    )


def _tree(prefix: Prefix, place: str) -> Iterator[str]:
    full = prefix.path(place)
    if not presence.is_real_directory(full):
        yield place
        return
    for directory, names in presence.files_below(full):
        for name in names:
            yield f"{directory}/{name}"[len(prefix.root) + 1 :]


def _scripts(prefix: Prefix, distribution: Distribution, places: Places) -> Iterator[str]:
    scripts = places.directory(prefix.scheme.scripts)
    if scripts is None or not presence.is_directory(prefix.path(scripts)):
        return
    with os.scandir(prefix.path(scripts)) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as f:
                    mark = _SCRIPT_MARK.search(f.read(4096))
                # scripts are in any encoding; so the name is read as a file name is
                if mark and canonical_name(os.fsdecode(mark[1])) == distribution.canonical_name:
                    yield f"{scripts}/{entry.name}"
