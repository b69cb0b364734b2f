"""Compare an installed distribution with a wheel by their RECORDs.

No file is hashed, and only the list of members and the RECORD of the wheel are read, because `list` compares hundreds
of wheels. `install` verifies a wheel in full.
"""

from __future__ import annotations

import os

from sage_wheels.archive.strict_zip import Archive, Damaged
from sage_wheels.errors import FileOperationFailed
from sage_wheels.installed import record
from sage_wheels.installed.distributions import NO_FILE, read_metadata, read_record
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.metadata import in_data, is_data
from sage_wheels.prefix.paths import relative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix import Prefix

# Files that an installer writes into the .dist-info.
_INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "RECORD.p7s", "direct_url.json")
_RECORD_LIMIT = 64 << 20  # bytes, as for a wheel that is installed


def has_files_of(prefix: Prefix, distribution: Distribution, wheel: str) -> bool | None:
    """Whether the RECORD of `distribution` lists exactly the files of the wheel at the path `wheel`, with their hashes.

    Byte-code, scripts of entry points, and files that installers write are ignored. None if the wheel does not exist or
    is damaged. Raises `FileOperationFailed` if one of the two cannot be read.
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
        if error.errno in NO_FILE:  # distributions of older tools have no RECORD
            return False
        raise FileOperationFailed.from_os_error(error, f"comparing {distribution} with the wheelhouse") from error
    info = os.path.basename(distribution.path)
    for path in (f"{info}/{name}" for name in _INSTALLERS):
        brought.pop(path, None)
        there.pop(path, None)
    for path, digest in brought.items():
        if source_of_bytecode(path) in brought:
            continue  # installers leave out byte-code, or compile it anew
        if path not in there or (digest and there[path] != digest):
            return False
    generated = relative(prefix.scheme.scripts, distribution.library) + "/"
    more = there.keys() - brought.keys()
    return all(source_of_bytecode(path) in brought or path.startswith(generated) for path in more)


def _digests(prefix: Prefix, distribution: Distribution, wheel: str) -> dict[str, str]:
    """The digest of each file of `wheel`, by its path in the RECORD after installation; "" if installation changes it.

    Raises `OSError`, `Damaged`, and `ValueError` if its RECORD is invalid.
    """
    with Archive(wheel) as archive:
        names = [name for name in archive.members if name.endswith(".dist-info/RECORD") and name.count("/") == 1]
        if len(names) != 1:
            raise Damaged("it has no RECORD, or several")
        [name] = names
        rows = record.parse(archive.read(name, _RECORD_LIMIT))
    digests = {row.path: row.digest.rstrip("=") for row in rows if not row.path.endswith("/")}
    elsewhere = [path for path in digests if is_data(path)]
    if elsewhere:
        # as in `wheel.layout`: each distribution has its own directory for headers, with its name
        own = read_metadata(prefix, distribution).get("name", [""])[0]
        bases = {**prefix.scheme._asdict(), "headers": f"{prefix.scheme.headers}/{own}"}
        for path in elsewhere:
            scheme, rest = in_data(path)
            destination = f"{bases.get(scheme, '..')}/{rest}".lstrip("/")
            digest = digests.pop(path)
            digests[relative(destination, distribution.library)] = "" if scheme == "scripts" else digest
    return digests
