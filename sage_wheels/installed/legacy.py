"""Distributions that were installed by tools older than wheels: `.egg-info`, `.egg-link`, `.egg`.

Their files are known in four cases:

- an `.egg-info` with `installed-files.txt`, which old versions of pip let setuptools write;
- an `.egg-info` with `top_level.txt` of setuptools, which names modules and packages (used as pip uses it);
- an `.egg`, which is a single directory or file;
- an `.egg-link`, which points to a source tree.

The last two also have a line in `easy-install.pth`, and scripts that name the distribution in their second line. In all
other cases removal is refused, as by pip. If a wheel of that name is installed over it, the old metadata are removed,
and files that the wheel does not replace stay.
"""

from __future__ import annotations

import os
import re

from sage_wheels.errors import FileOperationFailed, NotRemovable
from sage_wheels.fs import presence
from sage_wheels.fs.files import regular
from sage_wheels.installed.claims import FileClaims, believed, inside, is_protected
from sage_wheels.installed.distributions import KINDS, NO_FILE
from sage_wheels.installed.record import Row
from sage_wheels.metadata import canonical_name
from sage_wheels.prefix import advice
from sage_wheels.prefix.locator import landmarks
from sage_wheels.prefix.paths import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.locator import Locator
    from sage_wheels.prefix.paths import PrefixPath

_SCRIPT_MARK = rb"(?m)^# EASY-INSTALL-(?:ENTRY-|DEV-)?SCRIPT: '([^=']+)"
EASY_INSTALL = "easy-install.pth"
# The end of the file name of a module, after the name of the module.
_MODULE = r"\.(pyc?|pyo|(cpython-[^.]+\.|abi3\.)?so)$"


def owned(prefix: Prefix, distribution: Distribution, locator: Locator) -> FileClaims:
    """The files of `distribution`. Raises `NotRemovable` if they are not known, and `FileOperationFailed`."""
    if distribution.kind == ".egg-info":
        result = _listed(prefix, distribution, locator) or _named(prefix, distribution, locator)
    else:
        marks, scripts = landmarks(prefix, locator), _scripts(prefix, distribution, locator)
        result = FileClaims({path: Row(path) for path in scripts if not is_protected(marks, path)}, [])
    result.rows.update((path, Row(path)) for path in _tree(prefix, inside(prefix, locator, distribution)))
    return result


def easy_install_without(
    prefix: Prefix, distributions: Iterable[Distribution], locator: Locator
) -> Iterator[tuple[PrefixPath, bytes]]:
    """The path and new content of each `easy-install.pth` that has to change when `distributions` are removed.

    Raises `OSError`.
    """
    targets: dict[PrefixPath, set[bytes]] = {}
    for each in distributions:
        pth_file = locator.locate(each.library, EASY_INSTALL)
        if each.kind in (".egg", ".egg-link") and pth_file is not None:
            targets.setdefault(pth_file, set()).update(map(os.fsencode, _sys_path_entries(prefix, each)))
    for path, gone in targets.items():
        try:
            with open(prefix.path(path), "rb", opener=regular) as f:
                lines = f.readlines()
        except FileNotFoundError:
            continue
        kept = [line for line in lines if line.strip() not in gone]
        if len(kept) < len(lines):
            yield path, b"".join(kept)


def _sys_path_entries(prefix: Prefix, distribution: Distribution) -> list[str]:
    full = prefix.path(distribution.path)
    if distribution.kind == ".egg":
        return [full, f"./{os.path.basename(full)}"]
    with open(full, encoding="utf-8", errors="surrogateescape", opener=regular) as f:
        return [f.readline().strip()]


def _lines(prefix: Prefix, distribution: Distribution, locator: Locator, name: str) -> list[str] | None:
    """The lines of the file `name` in the metadata directory, or None. Raises `FileOperationFailed`."""
    try:
        path = prefix.path(inside(prefix, locator, distribution, name))
        with open(path, encoding="utf-8", errors="surrogateescape", opener=regular) as f:
            return f.read().splitlines()
    except OSError as error:
        if error.errno not in NO_FILE:
            raise FileOperationFailed.from_os_error(error, f"reading what belongs to {distribution}") from error
        return None


def _named(prefix: Prefix, distribution: Distribution, locator: Locator) -> FileClaims:
    """The files of the modules and packages in `top_level.txt`, without namespace packages, and the scripts.

    This is what pip removes, and extension modules, too. The -nspkg.pth file of setuptools has the name of the metadata
    directory.
    """
    tops = _lines(prefix, distribution, locator, "top_level.txt")
    library = locator.directory(distribution.library)
    if tops is None or library is None:
        overwrite = advice.command(prefix.root, "install --on-conflict overwrite")
        raise NotRemovable(
            f"what belongs to {distribution} is not known: {prefix.path(distribution.path)} was left by distutils or "
            "setuptools without a list of files",
            f"remove its files by hand, or run '{overwrite}' with a wheel of that name",
        )
    shared = _lines(prefix, distribution, locator, "namespace_packages.txt") or ()
    names = set(filter(None, tops)).difference(shared)
    stem = os.path.basename(distribution.path).removesuffix(distribution.kind)
    found = [
        below(library, entry)
        for entry in os.listdir(prefix.path(library))
        if (re.sub(_MODULE, "", entry) in names and not entry.endswith(KINDS)) or entry == f"{stem}-nspkg.pth"
    ]
    deeper = [name for name in names if "/" in name and not re.search(r"(^|/)\.{0,2}(/|$)", name)]
    located = (
        locator.locate(distribution.library, name + kind) for name in deeper for kind in ("", ".py", ".pyc", ".pyo")
    )
    found += [path for path in located if path is not None and path.startswith(f"{library}/")]
    scripts = locator.directory(prefix.scheme.scripts)
    if scripts is not None:
        found += [below(scripts, name) for name in _script_names(prefix, distribution, locator)]
    marks = landmarks(prefix, locator)
    files = (file for path in found if presence.is_there(prefix.path(path)) for file in _tree(prefix, path))
    return FileClaims({path: Row(path) for path in files if not is_protected(marks, path)}, [])


def _script_names(prefix: Prefix, distribution: Distribution, locator: Locator) -> Iterator[str]:
    """The names of the scripts of an `.egg-info`: those in its directory `scripts`, and those of its entry points."""
    copies = prefix.path(f"{distribution.path}/scripts")
    if presence.is_real_directory(copies):
        yield from os.listdir(copies)
    section = ""
    for line in _lines(prefix, distribution, locator, "entry_points.txt") or ():
        if line.startswith("["):
            section = line.strip()
        elif section in ("[console_scripts]", "[gui_scripts]") and "=" in line:
            name = line.partition("=")[0].strip()
            if name and "/" not in name and name not in (".", ".."):
                yield name


def _listed(prefix: Prefix, distribution: Distribution, locator: Locator) -> FileClaims | None:
    """The files in `installed-files.txt`, with the same checks as for RECORD; None if it does not exist.

    That file lists directories, too.
    """
    lines = _lines(prefix, distribution, locator, "installed-files.txt")
    if lines is None:
        return None
    rows = [Row(line) for line in lines if line.strip(" ./") and not line.endswith("/")]
    found = believed(prefix, locator, distribution, rows)
    return found._replace(
        rows={path: row for path, row in found.rows.items() if not presence.is_directory(prefix.path(path))}
    )


def _tree(prefix: Prefix, path: PrefixPath) -> Iterator[PrefixPath]:
    full = prefix.path(path)
    if not presence.is_real_directory(full):
        yield path
        return
    with os.scandir(full) as scan:
        entries = list(scan)
    for entry in entries:
        inner = below(path, entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _tree(prefix, inner)
        else:
            yield inner


def _scripts(prefix: Prefix, distribution: Distribution, locator: Locator) -> Iterator[PrefixPath]:
    scripts = locator.directory(prefix.scheme.scripts)
    if scripts is None or not presence.is_directory(prefix.path(scripts)):
        return
    with os.scandir(prefix.path(scripts)) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as f:
                    mark = re.search(_SCRIPT_MARK, f.read(4096))
                # scripts may be in any encoding, so the name is decoded as a file name
                if mark and canonical_name(os.fsdecode(mark[1])) == distribution.canonical_name:
                    yield below(scripts, entry.name)
