"""Find a pip for a prefix that has none: one that supports the Python of that prefix.

The metadata of a pip say which Pythons it supports: Requires-Python excludes older ones, and the classifiers name those
with which it was tested. A pip whose classifiers do not name this Python may be too old for it (pip 23.0 cannot be
imported by Python 3.12, and pip 24.3 reads no metadata on Python 3.15). So these come last, newest first. `driver` uses
the first one that runs.
"""

from __future__ import annotations

import glob
import os
import re
import sys

from sage_wheels.manifests import providers
from sage_wheels.metadata import headers
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix


class _Candidate(NamedTuple):
    """A directory or wheel that contains a pip, its version, and whether it may be too old for this Python."""

    path: str
    version: tuple[int, ...]
    may_be_too_old: bool


def candidates(prefix: Prefix) -> list[str]:
    """The paths of directories and wheels that contain a pip, best first, without those too new for the Python of
    `prefix`."""
    found: list[_Candidate] = []
    for paths in _paths(prefix):
        described = filter(None, (_described(path, prefix) for path in paths))
        found += sorted(described, key=lambda each: each.version, reverse=True)
    doubtful = sorted((each for each in found if each.may_be_too_old), key=lambda each: each.version, reverse=True)
    return list(dict.fromkeys(each.path for each in [*(e for e in found if not e.may_be_too_old), *doubtful]))


def _paths(prefix: Prefix) -> Iterator[list[str]]:
    """Paths of pips, in groups, the best group first: those that the Python of this process can import; the wheels in
    each wheelhouse of the prefix; the wheels of `ensurepip`."""
    import site
    import sysconfig

    for directory in [*sys.path, *site.getsitepackages()]:
        if os.path.isfile(f"{directory}/pip/__init__.py"):
            yield [directory]
    base = os.path.dirname(os.path.dirname(os.path.realpath(interpreter.base_executable(prefix))))
    houses = [
        *providers.wheelhouses(prefix),
        prefix.path("var/lib/sage-wheels/wheels"),
        *glob.glob(f"{glob.escape(base)}/lib*/python{prefix.version[0]}.{prefix.version[1]}*/ensurepip/_bundled"),
        sysconfig.get_config_var("WHEEL_PKG_DIR") or "",  # where Debian and Fedora keep ensurepip's
        f"{base}/share/python-wheels",  # the same for the Python of the prefix
        os.path.join(sysconfig.get_path("stdlib"), "ensurepip", "_bundled"),
    ]
    for house in filter(None, houses):
        yield glob.glob(f"{glob.escape(house)}/pip-*.whl")


def _described(path: str, prefix: Prefix) -> _Candidate | None:
    """The pip at `path`; None if it is too new for the Python of `prefix`, or cannot be read."""
    import zipfile

    about = {}
    try:
        if os.path.isdir(path):
            for metadata in glob.glob(f"{glob.escape(path)}/pip-*.dist-info/METADATA"):
                with open(metadata, encoding="utf-8", errors="replace") as f:
                    about = headers(f.read())
        else:
            with zipfile.ZipFile(path) as wheel:
                (name,) = (each for each in wheel.namelist() if re.fullmatch(r"pip-[^/]+\.dist-info/METADATA", each))
                about = headers(wheel.read(name).decode("utf-8", "replace"))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return _Candidate(path, (0,), may_be_too_old=False)  # `driver` finds out whether it runs
    if not versions.is_allowed(interpreter.full_version(prefix), about.get("requires-python", [""])[0]):
        return None
    named = re.findall(r"Programming Language :: Python :: (\d+\.\d+)$", "\n".join(about.get("classifier", [])), re.M)
    numbers = re.findall(r"\d+", about.get("version", ["0"])[0])
    own = "{}.{}".format(*prefix.version)
    return _Candidate(path, tuple(map(int, numbers[:4])), bool(named) and own not in named)
