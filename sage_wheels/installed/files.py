"""The files of an installed distribution: its RECORD against what is on the disk.

RECORD is believed only as far as it makes sense: a row that leads out of the prefix, names a directory, the
interpreter, the standard library or this tool's own state is no file of the distribution, whatever wrote it.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from typing import NamedTuple

from sage_wheels.errors import FileOperationFailed, NotRemovable
from sage_wheels.installed import record
from sage_wheels.installed.distributions import NO_FILE, read_record
from sage_wheels.prefix.places import Landmarks, Places, landmarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

# Old installers wrote md5 and sha1, too: they tell an edited file well enough.
_ALGORITHMS = record.ALGORITHMS | {"md5", "sha1"}

# The tags whose like no source has in its name; behind them may be dots.
_TAG = re.compile(r"\.(cpython-|pypy)[0-9]")


class Owned(NamedTuple):
    """The files that a RECORD claims: `rows` by place in the prefix, and the rows that make no sense, as they stand."""

    rows: dict[str, record.Row]
    ignored: list[str]


def owned(prefix: Prefix, distribution: Distribution, places: Places | None = None) -> Owned:
    """What `distribution` owns. Raises `NotRemovable` if it has no RECORD that makes sense.

    Raises `FileOperationFailed` if the system does not let it be read: then nobody may take its files for nobody's.
    """
    places = places or Places(prefix.root)
    if distribution.kind != ".dist-info":
        from sage_wheels.installed import legacy

        return legacy.owned(prefix, distribution, places)
    try:
        rows = read_record(prefix, distribution)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in NO_FILE:
            raise FileOperationFailed.from_os_error(error, f"reading what belongs to {distribution}") from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NotRemovable(
            f"what belongs to {distribution} is not known, because {prefix.path(distribution.path)}/RECORD "
            f"cannot be read ({reason})",
            "install the same version again with --reinstall, then this works",
        ) from error
    result = believed(prefix, places, distribution, rows)
    # the record itself is the distribution's, listed or not
    own = inside(prefix, places, distribution, "RECORD")
    result.rows.setdefault(own, record.Row("RECORD"))
    return result


def base_of(distribution: Distribution) -> str:
    """The directory that the paths in its record are relative to."""
    return distribution.path if distribution.kind == ".egg-info" else distribution.library


def believed(prefix: Prefix, places: Places, distribution: Distribution, rows: list[record.Row]) -> Owned:
    """What `distribution` owns if its record has these `rows`."""
    base = base_of(distribution)
    marks = landmarks(prefix, places)
    result = Owned({}, [])
    for row in rows:
        place = places.locate(base, row.path)
        if place is None or row.path.endswith("/") or is_protected(marks, place):
            result.ignored.append(row.path)
        else:
            result.rows[place] = row
    return result


def inside(prefix: Prefix, places: Places, distribution: Distribution, name: str = "") -> str:
    """The place of the record of `distribution`, or of the file `name` in it.

    Raises `NotRemovable` if that is outside.
    """
    place = places.locate("", f"{distribution.path}/{name}" if name else distribution.path)
    if place is None:
        raise NotRemovable(
            f"{prefix.path(distribution.path)} leads out of the prefix by a link, so what it says of "
            f"{distribution} is not believed",
            "remove that link by hand",
        )
    return place


def is_protected(marks: Landmarks, place: str) -> bool:
    """Whether no distribution can own `place`: interpreters, the standard library, pyvenv.cfg, our own state."""
    if place == "pyvenv.cfg" or place in marks.skeleton or place.startswith(f"{marks.state}/"):
        return True
    directory, _, name = place.rpartition("/")
    if directory in marks.scripts and re.fullmatch(r"(python|pypy)(\d+(\.\d+)*t?d?)?(-config)?", name):
        return True
    return _is_standard(marks, place)


def _is_standard(marks: Landmarks, place: str) -> bool:
    """Whether `place` is in a standard library.

    lib/python3.11/os.py is the interpreter's; lib/python3.11/site-packages/os.py would be a distribution's.
    """
    if place.startswith(tuple(f"{each}/" for each in marks.libraries)):
        return False
    above = [(each, "") for each in marks.standard] + [(each, r"python3\.\d+t?/") for each in marks.parents]
    return any(
        re.match(f"{version}(?!(site|dist)-packages/)", place[len(each) + 1 :])
        for each, version in above
        if place.startswith(f"{each}/")
    )


def state_of(prefix: Prefix, place: str, row: record.Row) -> str:
    """How the file at `place` compares with `row`: "same", "missing", "changed" or "unreadable".

    A row without hash (byte-code, RECORD) is the same as whatever regular file is there. A symbolic link is never
    what a wheel installed, so it is changed.
    """
    path = prefix.path(place)
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "unreadable"
    if not stat.S_ISREG(status.st_mode):
        return "changed" if row.digest or stat.S_ISDIR(status.st_mode) else "same"
    if row.size is not None and row.size != status.st_size:
        return "changed"
    if not has_hash(row):
        return "same"
    algorithm = row.digest.partition("=")[0]
    try:
        found = _hash(path, algorithm)
    except OSError:
        return "unreadable"
    return "same" if record.encode(algorithm, found) == row.digest.rstrip("=") else "changed"


def has_hash(row: record.Row) -> bool:
    """Whether `row` has a hash that a file can be compared with.

    >>> has_hash(record.Row("six.py", "shake_128=abc")), has_hash(record.Row("six.py", "md5=abc"))
    (False, True)
    """
    algorithm, _, digest = row.digest.partition("=")
    return bool(digest) and algorithm in _ALGORITHMS


def _hash(path: str, algorithm: str) -> bytes:
    digest = hashlib.sha256() if algorithm == "sha256" else hashlib.new(algorithm, usedforsecurity=False)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while block := os.read(fd, 1 << 20):
            digest.update(block)
    finally:
        os.close(fd)
    return digest.digest()


def runs_at_start(marks: Landmarks, place: str) -> bool:
    """Whether Python runs the code in the file `place` whenever it starts (`site`; PEP 829), imported or not."""
    inside = marks.inside_library(place)
    return bool(re.fullmatch(r"[^/]+\.(pth|start)|(site|user)customize(/__init__)?\.[^/]+", inside))


def source_of_bytecode(path: str) -> str | None:
    """The source that a file in `__pycache__` was compiled from, for any interpreter (PEP 3147); None if it is none.

    pytest puts its own version behind the tag, and a Python that was killed leaves its temporary name, a number behind
    the whole.

    >>> source_of_bytecode("lib/__pycache__/six.cpython-311.opt-1.pyc")
    'lib/six.py'
    >>> source_of_bytecode("lib/__pycache__/test_six.cpython-311-pytest-9.2.0.pyc.139876")
    'lib/test_six.py'
    """
    directory, name = posixpath.split(path)
    above, cache = posixpath.split(directory)
    before, found, number = name.rpartition(".pyc")
    if cache != "__pycache__" or not found or (number and not re.fullmatch(r"\.[0-9]+", number)):
        return None
    stem = _without_tag(before)
    if not stem:
        return None
    return f"{above}/{stem}.py" if above else f"{stem}.py"


def _without_tag(name: str) -> str:
    """`name` up to the tag of the interpreter; "" if it has none."""
    if tag := _TAG.search(name):
        return name[: tag.start()]
    parts = name.split(".")
    return ".".join(parts[:-2] if parts[-1].startswith("opt-") and len(parts) > 2 else parts[:-1])
