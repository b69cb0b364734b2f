"""Whether an installed distribution is what a wheel brings: RECORD against RECORD.

No file is hashed, and nothing of the wheel is read but its list of members and its RECORD: two hundred are compared
whenever somebody lists what is installed. Whoever installs a wheel of them checks it in full.
"""

from __future__ import annotations

import os

from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed import record
from sage_wheels.installed.distributions import NO_FILE, read_metadata, read_record
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.wheel.archive import Archive, Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

# What an installer says in the .dist-info.
_INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "RECORD.p7s", "direct_url.json")
_RECORD_LIMIT = 64 << 20  # bytes, as for a wheel that is installed


def has_files_of(prefix: Prefix, distribution: Distribution, wheel: str) -> bool | None:
    """Whether RECORD of `distribution` lists the files of the wheel at the path `wheel`, with their hashes, no others.

    Byte-code, the scripts of entry points and what the installer says of itself make no difference. None if the wheel
    is gone or damaged. Raises `FileOperationFailed` if one of the two cannot be read.
    """
    try:
        brought = _digests(prefix, distribution, wheel)
    except (Damaged, ValueError, FileNotFoundError):
        return None
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"comparing {distribution} with the wheelhouse") from error
    try:
        there = {row.path: row.digest.rstrip("=") for row in read_record(prefix, distribution)}
    except ValueError:
        return False
    except OSError as error:
        if error.errno in NO_FILE:  # a distribution of older tools has none
            return False
        raise FileOperationFailed.from_os_error(error, f"comparing {distribution} with the wheelhouse") from error
    info = os.path.basename(distribution.path)
    for path in (f"{info}/{name}" for name in _INSTALLERS):
        brought.pop(path, None)
        there.pop(path, None)
    for path, digest in brought.items():
        if path not in there or (digest and there[path] != digest and source_of_bytecode(path) not in brought):
            return False
    generated = os.path.relpath(prefix.scheme.scripts, distribution.library) + "/"
    more = there.keys() - brought.keys()
    return all(source_of_bytecode(path) in brought or path.startswith(generated) for path in more)


def _digests(prefix: Prefix, distribution: Distribution, wheel: str) -> dict[str, str]:
    """The files that `wheel` brings, by path as RECORD will have it; empty where the installation changes them.

    Raises `OSError`, `Damaged`, and `ValueError` if its RECORD makes no sense.
    """
    with Archive(wheel) as archive:
        names = [name for name in archive.members if name.endswith(".dist-info/RECORD") and name.count("/") == 1]
        if len(names) != 1:
            raise Damaged("it has no RECORD, or several")
        [name] = names
        rows = record.parse(archive.read(name, _RECORD_LIMIT))
    data = name.replace(".dist-info/RECORD", ".data/")
    digests = {row.path: row.digest.rstrip("=") for row in rows if not row.path.endswith("/")}
    elsewhere = [path for path in digests if path.startswith(data)]
    if elsewhere:
        # as in `wheel.layout`: each distribution has a directory of its own for headers, of the name it gives itself
        own = read_metadata(prefix, distribution).get("name", [""])[0]
        bases = {**prefix.scheme._asdict(), "headers": f"{prefix.scheme.headers}/{own}"}
        for path in elsewhere:
            scheme, _, rest = path[len(data) :].partition("/")
            place = f"{bases.get(scheme, '..')}/{rest}".lstrip("/")
            digest = digests.pop(path)
            digests[os.path.relpath(place, distribution.library)] = "" if scheme == "scripts" else digest
    return digests
