"""Build Python packages into wheels, and install wheels into a prefix so that each change happens fully or not at all.

>>> import sage_wheels
>>> sage_wheels.install(["six-1.16.0-py2.py3-none-any.whl"], "/opt/prefix").changes  # doctest: +SKIP
(Change(name='six', old_version='', new_version='1.16.0'),)

Every function raises `SageWheelsError` if it fails, and leaves the prefix as it was then. This module is the whole
public API: the functions, the types that they take and return, and the errors. Types and errors are imported when they
are first used (PEP 562), because start-up time matters to a tool that is started once for each package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.building.options import BuildOptions, BuiltWheel
    from sage_wheels.errors import (
        BuildFailed,
        Conflict,
        FileOperationFailed,
        InterpreterError,
        JournalDamaged,
        LockTimeout,
        LockUnusable,
        NotRemovable,
        NotThere,
        OldFilesGone,
        Outdated,
        PrefixError,
        SageWheelsError,
        SourceError,
        UnsafePath,
        UsageError,
        WheelNotValid,
        WheelRefused,
        WheelsMissing,
    )
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.installed.verify import Problem
    from sage_wheels.prefix.model import Prefix, PrefixLike, Scheme
    from sage_wheels.requirements.direct_url import DirectUrl
    from sage_wheels.requirements.sources import (
        Asked,
        GitRepository,
        LocalSource,
        SdistFile,
        SourceTree,
        WheelFile,
    )
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.history import HistoryBounds
    from sage_wheels.transaction.install import InstallOptions
    from sage_wheels.transaction.prefix_destination import PrefixDestination
    from sage_wheels.transaction.report import Change, HistoryEntry, PathChange, Report, Unchanged
    from sage_wheels.version import __version__
    from sage_wheels.wheel.source import VerifiedWheel

__all__ = [
    "Asked",
    "BuildFailed",
    "BuildOptions",
    "BuiltWheel",
    "Change",
    "CommitOptions",
    "Conflict",
    "DirectUrl",
    "Distribution",
    "FileOperationFailed",
    "FullPath",
    "GitRepository",
    "HistoryBounds",
    "HistoryEntry",
    "InstallOptions",
    "InterpreterError",
    "JournalDamaged",
    "LocalSource",
    "LockTimeout",
    "LockUnusable",
    "NotRemovable",
    "NotThere",
    "OldFilesGone",
    "Outdated",
    "PathChange",
    "Prefix",
    "PrefixDestination",
    "PrefixError",
    "PrefixLike",
    "Problem",
    "Report",
    "SageWheelsError",
    "Scheme",
    "SdistFile",
    "SourceError",
    "SourceTree",
    "Unchanged",
    "UnsafePath",
    "UsageError",
    "VerifiedWheel",
    "WheelFile",
    "WheelLimits",
    "WheelNotValid",
    "WheelRefused",
    "WheelsMissing",
    "__version__",
    "build",
    "distributions",
    "history",
    "install",
    "recover",
    "undo",
    "uninstall",
    "verify",
]

# The module of each name that is imported when it is first used; names in `__all__` that are missing are in `errors`.
_MODULES = {
    "Asked": "requirements.sources",
    "BuildOptions": "building.options",
    "BuiltWheel": "building.options",
    "Change": "transaction.report",
    "CommitOptions": "transaction.commit",
    "DirectUrl": "requirements.direct_url",
    "Distribution": "installed.distributions",
    "FullPath": "fs.paths",
    "GitRepository": "requirements.sources",
    "HistoryBounds": "transaction.history",
    "HistoryEntry": "transaction.report",
    "InstallOptions": "transaction.install",
    "LocalSource": "requirements.sources",
    "PathChange": "transaction.report",
    "Prefix": "prefix.model",
    "PrefixDestination": "transaction.prefix_destination",
    "PrefixLike": "prefix.model",
    "Problem": "installed.verify",
    "Report": "transaction.report",
    "Scheme": "prefix.model",
    "SdistFile": "requirements.sources",
    "SourceTree": "requirements.sources",
    "Unchanged": "transaction.report",
    "VerifiedWheel": "wheel.source",
    "WheelFile": "requirements.sources",
    "WheelLimits": "archive.strict_zip",
    "__version__": "version",
}


if not TYPE_CHECKING:  # else mypy would believe that every name exists

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
        value = getattr(module, name)
        globals()[name] = value  # so that this function is not called for it again
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def build(
    sources: Iterable[str | os.PathLike[str]],
    wheel_dir: str | os.PathLike[str] = ".",
    options: BuildOptions | None = None,
) -> list[str]:
    """Build `sources` into wheels in the directory `wheel_dir`; returns the paths of the wheels, in the same order.

    A source is what `sage-wheels build` takes: the path of a source tree or sdist, a requirement (PEP 508), or a URL.
    A `str` without a separator is a requirement; a `pathlib.Path` is always a path. Raises `SourceError` for one that
    is no source, `UsageError` if `sources` is itself a `str` or path, `BuildFailed`, and `InterpreterError`.
    """
    import os

    from sage_wheels.building import BuildOptions, build_wheel, sources_of
    from sage_wheels.fs import trust

    destination, options = os.fspath(wheel_dir), options or BuildOptions()
    with trust.masked():
        found = sources_of(_several(sources), options)
        return [build_wheel(each, wheel_dir=destination, options=options).path for each in found]


def install(
    items: Iterable[str | os.PathLike[str]],
    prefix: PrefixLike = None,
    options: InstallOptions | None = None,
    commit_options: CommitOptions | None = None,
    *,
    build_options: BuildOptions | None = None,
    limits: WheelLimits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Install `items`, which are paths of wheels or sources to build wheels from (see `build`), in one transaction.

    `prefix` is a path, or None for the one that an environment variable names (`environment.OF_PREFIX`).
    `commit_options` are about the commit (lock timeout, durability); `limits` limit the size to which each wheel may
    unpack. `on_progress` is called with the number of pieces of work begun, and of all pieces.

    Raises `WheelRefused`, `Conflict`, `SourceError`, `BuildFailed`, `PrefixError`, `LockTimeout` and other
    `SageWheelsError`, also if `items` is itself a `str` or path; nothing is installed then.
    """
    from sage_wheels import installing

    return installing.install(
        _several(items),
        _prefix(prefix),
        options,
        commit_options,
        build_options=build_options,
        limits=limits,
        on_progress=on_progress,
    )


def uninstall(names: Iterable[str], prefix: PrefixLike = None, commit_options: CommitOptions | None = None) -> Report:
    """Remove the distributions `names` in one transaction: their files, and no others.

    `prefix` and `commit_options` are as for `install`. Names that are not installed are in `unchanged` of the report.
    Raises `NotRemovable` if the files of a distribution are not known, and `UsageError` if `names` is itself a `str`;
    nothing is removed then.
    """
    from sage_wheels.fs import trust
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.uninstall import uninstall

    with trust.masked():
        return uninstall(_prefix(prefix), _several(names), commit_options or CommitOptions())


def undo(
    number: int | None = None,
    prefix: PrefixLike = None,
    commit_options: CommitOptions | None = None,
    *,
    to: int | None = None,
    force: bool = False,
) -> Report:
    """Undo the last change, or the one with the `number`, or all changes after number `to`, in one transaction.

    If old files are not kept any more, the earlier versions are installed from their wheels, if these are found. With
    `force`, files that other tools, which write no history, have put at the same paths since are set aside.

    Raises `NotThere` if there is no such change or if it cannot be undone any more, `Conflict` if something else was
    changed at the same paths since, and the errors of `install`; nothing is changed then.
    """
    import warnings

    from sage_wheels.fs import trust
    from sage_wheels.manifests.wheels import wheel_finder
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.undo import UndoOptions, undo

    where = _prefix(prefix)
    with trust.masked():
        options = UndoOptions(number, to, force)
        return undo(where, options, commit_options or CommitOptions(), lambda: wheel_finder(where, warnings.warn))


def history(prefix: PrefixLike = None) -> list[HistoryEntry]:
    """The changes of `prefix` that are in its history, the oldest first. Raises `PrefixError`."""
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.history import entries, public

    with Tree(_prefix(prefix).root) as tree:
        return [public(each) for each in entries(tree)][::-1]


def distributions(prefix: PrefixLike = None) -> list[Distribution]:
    """The distributions that are installed in `prefix`, sorted by name. Raises `PrefixError`."""
    from sage_wheels.installed import find_all

    return find_all(_prefix(prefix))


def verify(name: str, prefix: PrefixLike = None) -> list[Problem]:
    """Compare the files of the distribution `name` with its RECORD; returns the differences, an empty list if none.

    What is not installed has none. Raises `NotRemovable` if RECORD cannot be read.
    """
    import warnings

    from sage_wheels.installed.settled import verify_settled
    from sage_wheels.metadata import canonical_name

    found = verify_settled(_prefix(prefix), frozenset({canonical_name(name)}), warnings.warn)
    for each in found:
        if each.unknown:
            raise each.unknown
    return [problem for each in found for problem in each.problems]


def recover(
    prefix: PrefixLike = None, commit_options: CommitOptions | None = None, *, set_aside: bool = False
) -> list[str]:
    """Undo the transaction of a killed process, if there is one. Returns a sentence for each thing that was found.

    With `set_aside`, files that cannot be restored are moved to `PREFIX/var/lib/sage-wheels/set-aside`. Without it,
    `JournalDamaged` is raised for them. Also raises `PrefixError`, `LockTimeout`, `LockUnusable` and
    `FileOperationFailed`.
    """
    from sage_wheels.fs import trust
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.recover import recover

    with trust.masked():
        return recover(_prefix(prefix), commit_options or CommitOptions(), set_aside=set_aside)


def _several(items: Iterable[str | os.PathLike[str]]) -> list[str]:
    """`items` as on a command line. Raises `UsageError` for one `str`, whose characters would be taken for items."""
    import os

    from sage_wheels.errors import UsageError

    if isinstance(items, (str, os.PathLike)):
        raise UsageError(f"{items!r} is one item, where several are expected", f"write [{items!r}]")
    return [each if isinstance(each, str) else os.path.join(os.curdir, each) for each in items]


def _prefix(prefix: PrefixLike) -> Prefix:
    from sage_wheels.prefix import Prefix, find_prefix

    return prefix if isinstance(prefix, Prefix) else find_prefix(prefix)
