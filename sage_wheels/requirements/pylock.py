"""Lock files (PEP 751): what a pylock.toml pins of each project: a source for a build, a wheel for an installation."""

from __future__ import annotations

import os

from sage_wheels.errors import SourceError
from sage_wheels.metadata import canonical_name
from sage_wheels.requirements import references, toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from packaging.pylock import Package, Pylock


def is_lock(path: str) -> bool:
    """Whether the file at `path` has a name of a lock file: pylock.toml, pylock.NAME.toml.

    >>> [is_lock(each) for each in ("a/pylock.toml", "pylock.dev.toml", "requirements.txt", "mypylock.toml")]
    [True, True, False, False]
    """
    name = os.path.basename(path)
    return name == "pylock.toml" or (name.startswith("pylock.") and name.endswith(".toml") and name.count(".") == 2)


def sources_in(
    path: str,
    markers: Mapping[str, str],
    find_links: Iterable[str] = (),
    best: Callable[[list[str]], str | None] | None = None,
) -> list[str]:
    """The source of each package in the lock file at `path`, with its hashes, in a form for `arguments.parse_source`.

    `best` returns the best of several file names of wheels, or None if none fits; without it, wheels are not used.
    Packages whose marker is false in the environment `markers` (PEP 508) are left out. If one of the directories
    `find_links` has a file of the pinned name, that file is used. Raises `SourceError` if the lock file is invalid, is
    for another Python, or pins nothing that can be used of a package.
    """
    directory = os.path.dirname(os.path.abspath(path))
    lock = _read(path)
    _check_python(lock, markers, path)
    environment: dict[str, Any] = {**markers, "extras": set(), "dependency_groups": {*(lock.default_groups or ())}}
    found = []
    for package in lock.packages:
        if package.marker and not _holds(package, environment, path):
            continue
        _check_python(package, markers, f"{package.name} in {path}")
        if wheel := _wheel(package, best) if best else None:
            found.append(_archive(package, wheel, directory, list(find_links)))
        else:
            found.append(_source(package, directory, list(find_links), path))
    return found


def _holds(package: Package, environment: Mapping[str, Any], path: str) -> bool:
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName

    try:
        return package.marker is None or package.marker.evaluate(environment, context="lock_file")
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        what = f"the marker of {package.name} in {path} cannot be evaluated ({error})"
        raise SourceError(what, "correct it") from error


def indexed_in(path: str) -> set[str]:
    """The normalised names of the packages in the lock file at `path` that come from an index, not from their own URL.

    When they are installed, they get no direct_url.json (PEP 610). Raises `SourceError`.
    """
    return {canonical_name(each.name) for each in _read(path).packages if not each.is_direct}


def _check_python(locked: Any, markers: Mapping[str, str], what: str) -> None:
    version = markers.get("python_full_version", "").rstrip("+")
    if locked.requires_python and version and not locked.requires_python.contains(version, prereleases=True):
        raise SourceError(f"{what} requires Python {locked.requires_python}, and this is {version}", "lock it for that")


def _wheel(package: Package, best: Callable[[list[str]], str | None]) -> Any:
    by_name = {each.filename: each for each in package.wheels or ()}
    return by_name.get(best(list(by_name)) or "")


def versions_in(path: str) -> dict[str, str]:
    """The version of each project in the lock file at `path`, by normalised name. Raises `SourceError`."""
    return {canonical_name(each.name): str(each.version) for each in _read(path).packages if each.version}


def _read(path: str) -> Pylock:
    from packaging.pylock import Pylock, PylockValidationError

    try:
        with open(path, "rb") as f:
            content = f.read()
    except OSError as error:
        raise SourceError(f"the lock file {path} cannot be read ({error.strerror})", "check its name") from error
    try:
        lock = Pylock.from_dict(toml.loads(content.decode()))
    except (ValueError, RecursionError, PylockValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise SourceError(f"{path} is no lock file ({reason})", "lock again, or correct it") from error
    return lock


def _source(package: Package, directory: str, find_links: list[str], lock: str) -> str:
    if package.sdist:
        return _archive(package, package.sdist, directory, find_links)
    if package.archive:
        return _archive(package, package.archive, directory, find_links, package.archive.subdirectory or "")
    if package.directory:
        path = os.path.join(directory, package.directory.path)
        return references.requirement(
            package.name, references.file_url(path), subdirectory=package.directory.subdirectory or ""
        )
    if package.vcs and package.vcs.url and package.vcs.type == "git":
        url = f"git+{package.vcs.url}@{package.vcs.commit_id}"
        return references.requirement(package.name, url, subdirectory=package.vcs.subdirectory or "")
    raise SourceError(f"{lock} pins no source of {package.name}", "lock it for this Python, with its sdist")


def _archive(package: Package, file: Any, directory: str, find_links: list[str], subdirectory: str = "") -> str:
    here = next(_local(file, directory, find_links), None)
    url = references.file_url(here) if here else file.url
    what = references.requirement(package.name, url, subdirectory=subdirectory)
    hashes = [f"--hash={algorithm}:{value}" for algorithm, value in sorted(file.hashes.items())]
    return " ".join([what, *hashes])


def _local(file: Any, directory: str, find_links: list[str]) -> Iterator[str]:
    if file.path:
        yield os.path.abspath(os.path.join(directory, file.path))
    name = getattr(file, "filename", None) or os.path.basename((file.url or "").partition("#")[0].partition("?")[0])
    for each in find_links if name else ():
        if os.path.isfile(os.path.join(each, name)):
            yield os.path.abspath(os.path.join(each, name))
    if not file.url:
        yield os.path.join(directory, name)
