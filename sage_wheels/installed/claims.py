"""The files that a distribution can own: the rows of its RECORD that are plausible.

A row is ignored if it leads out of the prefix, or names a directory, the interpreter, a file of the standard library or
the state of this tool.
"""

from __future__ import annotations

import re

from sage_wheels.errors import NotRemovable
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.locator import Landmarks, Locator, is_short, landmarks
from sage_wheels.prefix.names import is_interpreter
from sage_wheels.prefix.paths import below, parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed import record
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath


class FileClaims(NamedTuple):
    """The files of a distribution: `rows` of its RECORD, by path in the prefix; and the paths in ignored rows."""

    rows: dict[PrefixPath, record.Row]
    ignored: list[str]


def base_of(distribution: Distribution) -> str:
    """The directory to which the paths in the list of files of `distribution` are relative."""
    return distribution.path if distribution.kind == ".egg-info" else distribution.library


def believed(prefix: Prefix, locator: Locator, distribution: Distribution, rows: list[record.Row]) -> FileClaims:
    """The files that `distribution` owns if its list of files has these `rows`."""
    base = base_of(distribution)
    marks = landmarks(prefix, locator)
    result = FileClaims({}, [])
    open_to_all: dict[str, PrefixPath | None] = {}  # by directory: its resolved path, if every file may be owned
    for row in rows:
        head, slash, name = row.path.rpartition("/")
        if not row.digest and row.path.rstrip("/").endswith("__pycache__"):
            continue  # virtualenv lists these directories
        if slash and head not in open_to_all:
            above = locator.above(base, f"{head}/")
            open_to_all[head] = above if above is not None and is_open(marks, above) else None
        above = open_to_all[head] if slash else None
        if above and is_short(row.path, name) and (path := below(above, name)) not in marks.skeleton:
            result.rows[path] = row
            continue
        found = locator.locate(base, row.path)
        if found is None and _is_cached_elsewhere(locator, base, row):
            continue
        if found is None or row.path.endswith("/") or is_protected(marks, found):
            result.ignored.append(row.path)
        else:
            result.rows[found] = row
    return result


def _is_cached_elsewhere(locator: Locator, base: str, row: record.Row) -> bool:
    """Whether `row` is of byte-code in a `__pycache__` of the prefix that somebody has replaced by a link out of it."""
    head = row.path.rpartition("/")[0]
    is_bytecode = not row.digest and row.path.endswith(".pyc") and head.rpartition("/")[2] == "__pycache__"
    return is_bytecode and locator.locate(base, head) is not None


def inside(prefix: Prefix, locator: Locator, distribution: Distribution, name: str = "") -> PrefixPath:
    """The resolved path of the metadata directory of `distribution`, or of the file `name` in it.

    Raises `NotRemovable` if it is outside the prefix.
    """
    path = locator.locate("", f"{distribution.path}/{name}" if name else distribution.path)
    if path is None:
        raise NotRemovable(
            f"{prefix.path(distribution.path)} leads out of the prefix by a link, so the metadata of "
            f"{distribution} are not trusted",
            "remove that link by hand",
        )
    return path


def is_protected(marks: Landmarks, path: PrefixPath) -> bool:
    """Whether no distribution can own `path`: interpreters, standard libraries, pyvenv.cfg, the state of this tool."""
    return _is_closed(marks, parent(path)) or _is_reserved(marks, path)


def is_open(marks: Landmarks, directory: PrefixPath) -> bool:
    """Whether a distribution can own every file directly in `directory`, except for those of `Landmarks.skeleton`."""
    return directory not in ("", *marks.scripts) and not _is_closed(marks, directory)


def _is_reserved(marks: Landmarks, path: PrefixPath) -> bool:
    """Whether `path` itself belongs to the prefix: pyvenv.cfg, an interpreter, or one of `Landmarks.skeleton`."""
    if path == "pyvenv.cfg" or path in marks.skeleton:
        return True
    directory, _, name = path.rpartition("/")
    return directory in marks.scripts and is_interpreter(name)


def _is_closed(marks: Landmarks, directory: PrefixPath) -> bool:
    """Whether no distribution can own any file in `directory`: a standard library, or the state of this tool.

    lib/python3.11/os.py is the interpreter's; lib/python3.11/site-packages/os.py would be a distribution's.
    """
    inside = f"{directory}/" if directory else ""
    if inside.startswith(f"{marks.state}/"):
        return True
    if inside.startswith(tuple(f"{each}/" for each in marks.libraries)):
        return False
    above = [(each, "") for each in marks.standard] + [(each, r"python3\.\d+t?/") for each in marks.parents]
    return any(
        re.match(f"{version}(?!(site|dist)-packages/)", inside[len(each) + 1 :])
        for each, version in above
        if inside.startswith(f"{each}/")
    )
