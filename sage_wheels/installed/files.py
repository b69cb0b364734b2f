"""The files of an installed distribution, whichever tool installed it, and how they compare with its RECORD."""

from __future__ import annotations

import os
import posixpath
import re
import stat

from sage_wheels.errors import FileOperationFailed, NotRemovable
from sage_wheels.fs import digest
from sage_wheels.installed import record
from sage_wheels.installed.claims import FileClaims, believed, inside
from sage_wheels.installed.distributions import NO_FILE, read_record, read_text
from sage_wheels.prefix import advice
from sage_wheels.prefix.locator import Landmarks, Locator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import overload

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath

# Old installers also wrote md5 and sha1, which are good enough to recognise an edited file.
_ALGORITHMS = record.ALGORITHMS | {"md5", "sha1"}

# Cache tags of interpreters, such as cpython-311; dots may follow.
_TAG = r"\.(cpython-|pypy)[0-9]"


def owned(prefix: Prefix, distribution: Distribution, locator: Locator | None = None) -> FileClaims:
    """The files that `distribution` owns. Raises `NotRemovable` if its RECORD is missing or invalid.

    Raises `FileOperationFailed` if RECORD exists and cannot be read (its files must not count as files without owner).
    """
    locator = locator or Locator(prefix.root)
    if distribution.kind != ".dist-info":
        from sage_wheels.installed import legacy

        return legacy.owned(prefix, distribution, locator)
    try:
        rows = read_record(prefix, distribution)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in NO_FILE:
            raise FileOperationFailed.from_os_error(error, f"reading what belongs to {distribution}") from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise NotRemovable(
            f"what belongs to {distribution} is not known, because {prefix.path(distribution.path)}/RECORD "
            f"cannot be read ({reason})",
            _way_out(prefix, distribution),
        ) from error
    result = believed(prefix, locator, distribution, rows)
    # RECORD itself belongs to the distribution, even if it does not list itself
    own = inside(prefix, locator, distribution, "RECORD")
    result.rows.setdefault(own, record.Row("RECORD"))
    return result


def _way_out(prefix: Prefix, distribution: Distribution) -> str:
    """Advice for a distribution without RECORD. Some installers write none, so that other tools do not remove it."""
    installer = " ".join((read_text(prefix, f"{distribution.path}/INSTALLER") or "").split())
    if installer not in ("", "pip", "sage-wheels"):
        return f"see whether {installer!r}, which installed it, can uninstall it"
    name = f"{distribution.name}=={distribution.version}"
    again = advice.command(prefix.root, f"install --reinstall {name}")
    return f"run '{again}', which makes a new one, and try again"


def state_of(prefix: Prefix, path: PrefixPath, row: record.Row, status: os.stat_result | None = None) -> str:
    """Compare the file at `path` with `row`: "same", "missing", "changed" or "unreadable".

    `status` may be given if it is known. If the row has no hash (byte-code, RECORD), any regular file is "same". A
    symbolic link is "changed", because wheels contain none.
    """
    full = prefix.path(path)
    try:
        status = status or os.lstat(full)
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
        found = digest_of(full, algorithm, status.st_size)
    except OSError:
        return "unreadable"
    return "same" if record.encode(algorithm, found) == row.digest.rstrip("=") else "changed"


def has_hash(row: record.Row) -> bool:
    """Whether `row` has a hash by a known algorithm, with which a file can be compared.

    >>> has_hash(record.Row("six.py", "shake_128=abc")), has_hash(record.Row("six.py", "md5=abc"))
    (False, True)
    """
    algorithm, _, digest = row.digest.partition("=")
    return bool(digest) and algorithm in _ALGORITHMS


def digest_of(path: str, algorithm: str, size: int) -> bytes:
    """The hash of the file at `path`, of about `size` bytes; a link is not followed. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return digest.of_open(fd, algorithm, size)
    finally:
        os.close(fd)


def running_at_start(marks: Landmarks, paths: Iterable[PrefixPath]) -> list[PrefixPath]:
    """Those of the files `paths` in which Python runs code at each start (`site`, PEP 829): .pth files and similar
    ones."""
    # few, so that the rest is not done for each file
    possible = [path for path in paths if path.endswith((".pth", ".start")) or "customize" in path]
    form = r"[^/]+\.(pth|start)|(site|user)customize(/__init__)?\.[^/]+"
    return [path for path in possible if re.fullmatch(form, marks.inside_library(path))]


if TYPE_CHECKING:

    @overload
    def source_of_bytecode(path: PrefixPath) -> PrefixPath | None: ...
    @overload
    def source_of_bytecode(path: str) -> str | None: ...


def source_of_bytecode(path: str) -> str | None:
    """The source of a byte-code file in `__pycache__`, for any interpreter (PEP 3147); None if `path` is no such file.

    pytest appends its own version to the tag. A Python that was killed leaves a temporary file, whose name ends in a
    number.

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


if TYPE_CHECKING:

    @overload
    def source_beside(path: PrefixPath) -> PrefixPath | None: ...
    @overload
    def source_beside(path: str) -> str | None: ...


def source_beside(path: str) -> str | None:
    """The source of a byte-code file that is in the same directory as the source; None if `path` is no such file.

    Before PEP 3147, byte-code was stored there. RECORD of virtualenv has rows for such files with a tag, which do not
    exist.

    >>> source_beside("lib/six.pyc"), source_beside("lib/six.cpython-311.pyc"), source_beside("lib/six.so")
    ('lib/six.py', 'lib/six.py', None)
    """
    directory, name = posixpath.split(path)
    stem, _, kind = name.rpartition(".")
    if kind not in ("pyc", "pyo") or not stem or posixpath.basename(directory) == "__pycache__":
        return None
    return posixpath.join(directory, f"{_without_tag(name) or stem}.py")


def source_of(path: PrefixPath) -> PrefixPath | None:
    """The source of a byte-code file, wherever Python has stored that; None if `path` is no such file.

    >>> source_of("lib/__pycache__/six.cpython-311.pyc"), source_of("lib/six.pyc"), source_of("lib/six.py")
    ('lib/six.py', 'lib/six.py', None)
    """
    return source_of_bytecode(path) or source_beside(path)


def may_be_absent(path: PrefixPath, rows: Mapping[PrefixPath, record.Row]) -> bool:
    """Whether the file at `path`, one of `rows`, may be missing: it is byte-code, which Python can make again."""
    if source_of_bytecode(path):
        return True
    beside = source_beside(path)
    return beside is not None and (beside in rows or not rows[path].digest)


def _without_tag(name: str) -> str:
    """`name` up to the cache tag of the interpreter; "" if it has no tag."""
    if tag := re.search(_TAG, name):
        return name[: tag.start()]
    parts = name.split(".")
    return ".".join(parts[:-2] if parts[-1].startswith("opt-") and len(parts) > 2 else parts[:-1])
