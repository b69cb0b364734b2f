"""Compare the files of an installed distribution with its RECORD."""

from __future__ import annotations

import os

from sage_wheels.errors import NotRemovable
from sage_wheels.fs import presence
from sage_wheels.fs.files import current_umask
from sage_wheels.installed import files
from sage_wheels.installed.dead_scripts import dead_scripts
from sage_wheels.installed.owners import Owners, area
from sage_wheels.installed.unchanged import UnchangedFiles
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.locator import Locator, landmarks
from sage_wheels.prefix.model import BESIDE
from sage_wheels.prefix.paths import below, plain
from sage_wheels.requirements import direct_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.claims import FileClaims
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.installed.record import Row
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath

# Files of the .dist-info that an installer adds to those of the wheel.
_ADDED = frozenset({"INSTALLER", "REQUESTED", "RECORD", direct_url.FILE})


class Problem(NamedTuple):
    """A difference between a RECORD and the file system. `path` is a full path, and `state` one of:

    - "missing", "changed", "unreadable": a file in RECORD.
    - "foreign": a file that no RECORD lists, in a directory of the distribution.
    - "ignored": a row of RECORD that is invalid or leads out of the prefix; `path` is the path in that row.
    - "dead": a script that is as in RECORD, but whose interpreter does not exist.
    """

    state: str
    path: str


def verify(
    prefix: Prefix, distribution: Distribution, owners: Owners, only: frozenset[str] | None = None
) -> list[Problem]:
    """Every difference between `distribution` and its RECORD; if `only` is given, those at these full paths.

    Every file is hashed; remembered stats (`unchanged`) are not used. Raises `NotRemovable` if RECORD cannot be read.
    """
    owned = files.owned(prefix, distribution)
    problems = [Problem("ignored", row) for row in owned.ignored]
    for path, row in owned.rows.items():
        if only is not None and prefix.path(path) not in only:
            continue
        state = files.state_of(prefix, path, row)
        if state != "same" and not (state == "missing" and files.may_be_absent(path, owned.rows)):
            problems.append(Problem(state, prefix.path(path)))
        elif state == "same":
            problems += [Problem("dead", prefix.path(each)) for each in dead_scripts(prefix, [path])]
    if only is None:
        unowned = _unowned(prefix, distribution, owned)
    else:
        unowned = [plain(full[len(prefix.root) + 1 :]) for full in only if presence.is_there(full)]
    unowned = [each for each in unowned if each not in owned.rows and not _is_bytecode_of(each, owned)]
    claimed = owners.claimed(unowned)
    problems += [Problem("foreign", prefix.path(each)) for each in sorted(unowned) if each not in claimed]
    return problems


def _unowned(prefix: Prefix, distribution: Distribution, owned: FileClaims) -> list[PrefixPath]:
    """Files that no distribution owns, in the directories of the distribution in its library directory."""
    own_directories = {os.path.dirname(path) for path in owned.rows}
    locator = Locator(prefix.root)
    libraries = landmarks(prefix, locator).libraries
    library = locator.directory(distribution.library)
    tops = {area(libraries, path) for path in owned.rows if path.startswith(f"{library}/")}
    unowned: list[PrefixPath] = []
    for top in tops:
        if not presence.is_real_directory(prefix.path(top)) or top.endswith("__pycache__"):
            continue
        for directory, names in presence.files_below(prefix.path(top)):
            path = plain(directory[len(prefix.root) + 1 :])
            if f"/{BESIDE}" in path:
                continue  # old files, kept where the package is on a volume of its own
            if path not in own_directories and not path.endswith("/__pycache__"):
                continue  # in a namespace package, it may belong to another distribution
            unowned += [below(path, name) for name in names]
    return unowned


def _is_bytecode_of(path: PrefixPath, owned: FileClaims) -> bool:
    source = files.source_of(path)
    return source is not None and (source in owned.rows or not source)


def is_installed(prefix: Prefix, distribution: Distribution, version: str, expected: dict[PrefixPath, Row]) -> bool:
    """Whether `distribution` was installed from the wheel with the files `expected`, rows by path in the prefix.

    The RECORD is compared with these rows, and each file with RECORD, so that what somebody edited is installed again.
    So is what the umask would now let others read, and of each script it is checked that its interpreter exists.
    """
    if distribution.kind != ".dist-info" or not _same_version(distribution.version, version):
        return False
    try:
        rows = files.owned(prefix, distribution).rows
    except NotRemovable:
        return False
    readable = 0o444 & ~current_umask()
    unchanged = UnchangedFiles(prefix, [distribution.canonical_name])
    for path, row in expected.items():
        if files.source_of_bytecode(path) in expected:
            continue  # the installer does not install byte-code of the wheel, but compiles the source
        there = rows.get(path)
        if there is None or (row.digest and there.digest != row.digest):
            return False
        try:
            status = os.lstat(prefix.path(path))
        except OSError:
            return False
        if readable & ~status.st_mode:
            return False
        if not unchanged.holds(status, there.digest) and files.state_of(prefix, path, there, status) != "same":
            return False
    if dead_scripts(prefix, rows):
        return False
    more = rows.keys() - expected.keys()
    metadata = Locator(prefix.root).directory(distribution.path)
    return all(_is_added(metadata, path, expected) or _never_was_there(path, rows) for path in more)


def _same_version(one: str, other: str) -> bool:
    if one == other:
        return True
    from packaging.utils import canonicalize_version  # late import: rarely needed

    return canonicalize_version(one) == canonicalize_version(other)


def _is_added(metadata: str | None, path: PrefixPath, expected: dict[PrefixPath, Row]) -> bool:
    directory, _, name = path.rpartition("/")
    if directory == metadata and name in _ADDED:
        return True
    return files.source_of_bytecode(path) in expected


def _never_was_there(path: PrefixPath, rows: dict[PrefixPath, Row]) -> bool:
    return files.source_beside(path) is not None and files.may_be_absent(path, rows)
