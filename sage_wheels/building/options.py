"""The options of a build, and its result."""

from __future__ import annotations

import os

from sage_wheels import environment
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.prefix import Prefix
    from sage_wheels.requirements.direct_url import DirectUrl
    from sage_wheels.requirements.sources import GitRepository, LocalSource
    from sage_wheels.store.remote import RemoteTier
    from sage_wheels.store.store import Store

# As in `sage_wheels.archive.sdist_members`, which is not imported for the sake of two numbers.
_MAX_SDIST_SIZE = 2 << 30
_MAX_SDIST_MEMBERS = 200_000


class BuildOptions(NamedTuple):
    """How to build; the defaults are an isolated build without wheelhouse and without network.

    find_links: wheelhouses for build requirements; earlier ones are preferred.
    use_index: let pip download what they do not have from the package index.
    isolation, fallback_no_isolation, skip_dependency_check, ignore_requires_python, editable, sdist_then_wheel,
        keep_build_dir: as the options of `sage-wheels build`.
    in_place: build source trees without a copy; the directory in the config setting `build-dir` is locked meanwhile.
    config_settings: for the backend (PEP 517); a key that was given several times has a list.
    python: the interpreter that builds (a path, or a name on PATH). None: that of `prefix`, or else the one that runs
        this tool.
    prefix: the wheel must fit this prefix; without isolation, the backend is imported from it.
    log: the file for the whole output; None: a file in the build directory, which is deleted with it.
    cache_dir: the directory of the store, build directories and logs of failed builds; refused if others can write
        there. None: $SAGE_WHEELS_CACHE, or else a directory in the user's cache directory; if others can write there,
        a temporary directory for this process only.
    usual_build_dir: a directory for build directories alone, if nobody else can write there.
    store: use wheels that were built before, and keep those that are built. rebuild: keep, but use none.
        verify_store: build a second time at another path, and compare.
    sandbox: let the backend read nothing but the system, the interpreter, the prefix, its sources, its requirements and
        the directories `sandbox_read`. store_sandboxed: use only wheels from the store that were built in this way.
    cache_size: how large the store may be, in bytes; None: 10 GiB.
    store_url, store_mode, store_sign, store_trust: the store that several machines use, as the options of `sage-wheels
        build`. None: the values of $SAGE_WHEELS_STORE, $SAGE_WHEELS_STORE_MODE ...
    cache_paths: names and paths; in the key of a build, a name replaces its path in variables and settings.
    cache_cpu, cache_system: texts that the key contains instead of the features of the processor, and instead of what
        is installed on this system.
    cache_declared: the caller states that a build without isolation depends on nothing but its declared requirements.
    max_sdist_size, max_sdist_members: limits of what an sdist unpacks to: bytes, and number of members.
    wheel_limits: limits of what a build requirement, and the wheel that is built, unpacks to; None: the default limits.
    editables: items to install as editable, if `editable` does not make all of them so.
    constraints: requirements that limit the versions of projects, each with its file and line for messages.
    choosing: options for the pip that chooses and downloads the files of items: --no-binary=NAME, --pre and the like.
    indexed: normalised names of projects that are named by a URL but come from an index: they get no direct_url.json.
    built: the wheel of the one source tree, built by another program; it is installed, and nothing is built.
    preferred: a wheelhouse whose wheels are preferred to those of find_links, whatever their versions.
    build_name: the name of the build directory in the cache; None: that of the project.
    build_all: builds two or more sources into a directory; None: they are built one after the other.
    on_requires: called with the requirements of the build, once they are known; an error that it raises ends the build.
    on_phase: called with the name of each phase as it begins; on_note: with a sentence for people; on_log: with the
        path of the log.
    """

    find_links: tuple[str, ...] = ()
    use_index: bool = False
    isolation: bool = True
    fallback_no_isolation: bool = False
    skip_dependency_check: bool = False
    editable: bool = False
    sdist_then_wheel: bool = False
    keep_build_dir: bool = False
    config_settings: Mapping[str, str | list[str]] = {}
    python: str | None = None
    prefix: Prefix | None = None
    ignore_requires_python: bool = False
    log: str | None = None
    cache_dir: str | None = None
    usual_build_dir: str | None = None
    store: bool = True
    rebuild: bool = False
    verify_store: bool = False
    sandbox: bool = False
    sandbox_read: tuple[str, ...] = ()
    store_sandboxed: bool = False
    cache_size: int | None = None
    store_url: str | None = None
    store_mode: str | None = None
    store_sign: str | None = None
    store_trust: str | None = None
    cache_paths: tuple[tuple[str, str], ...] = ()
    cache_cpu: str | None = None
    cache_system: str | None = None
    cache_declared: bool = False
    max_sdist_size: int = _MAX_SDIST_SIZE
    max_sdist_members: int = _MAX_SDIST_MEMBERS
    wheel_limits: WheelLimits | None = None
    editables: tuple[str, ...] = ()
    constraints: tuple[tuple[str, str], ...] = ()
    choosing: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    built: str | None = None
    in_place: bool = False
    preferred: str | None = None
    build_name: str | None = None
    build_all: Callable[[Sequence[LocalSource | GitRepository], str, BuildOptions], Sequence[BuiltWheel]] | None = None
    on_requires: Callable[[set[str]], None] | None = None
    on_phase: Callable[[str], None] | None = None
    on_note: Callable[[str], None] | None = None
    on_log: Callable[[str], None] | None = None

    @property
    def uses_the_tree_itself(self) -> bool:
        """Whether the backend runs in the source tree, and not in a copy of it."""
        return self.editable or self.in_place

    def of_builds(self) -> BuildOptions:
        """These options without those about the items to install, which the build of a source does not need."""
        return self._replace(editables=(), constraints=(), indexed=())

    def cache_root(self) -> str:
        """The directory of the store, absolute; it need not exist. Raises `UnsafePath` if a named one is not safe, and
        `FileOperationFailed` if it cannot be used.

        >>> BuildOptions(cache_dir="/sage/cache/").cache_root()
        '/sage/cache'
        """
        from sage_wheels.fs import caches

        told = self.cache_dir or environment.get(environment.SAGE_WHEELS_CACHE)
        if told:
            return caches.named(os.path.abspath(told))
        return self._chosen(*caches.directories_of_user())

    def build_root(self) -> str:
        """The directory in which build directories are made."""
        from sage_wheels.fs import caches

        if not self.usual_build_dir:
            return self._writable_root()
        return self._chosen(os.path.abspath(self.usual_build_dir), *caches.directories_of_user())

    def tools_directory(self) -> str:
        """The directory for scripts that run instead of old tools (see `stand_ins`)."""
        return f"{self._writable_root()}/tools"

    def _writable_root(self) -> str:
        """The directory of the store or, if that is read-only, a temporary one."""
        import errno

        from sage_wheels.fs import caches
        from sage_wheels.store.store import Store

        root = self.cache_root()
        if caches.can_be_written(root):
            return root
        number = errno.EROFS if os.statvfs(root).f_flag & os.ST_RDONLY else errno.EACCES
        Store(root, on_note=self.on_note).report(OSError(number, os.strerror(number)))
        return caches.temporary()

    def _chosen(self, *candidates: str) -> str:
        from sage_wheels.fs import caches

        choice = caches.choose(*candidates)
        if self.on_note:
            caches.say_once(choice.notes, self.on_note)
        return choice.directory or caches.temporary()


def store_of(options: BuildOptions) -> Store:
    """The store that these options name. Raises what `cache_root` and `remote_of` raise."""
    from sage_wheels.store.store import Store

    return Store(options.cache_root(), limit=options.cache_size, remote=remote_of(options), on_note=options.on_note)


def remote_of(options: BuildOptions) -> RemoteTier | None:
    """The store that several machines use; None if none is named.

    Raises `UnsafePath`, `UsageError` or `FileOperationFailed` if an option about it is wrong.
    """
    url = options.store_url or environment.get(environment.SAGE_WHEELS_STORE)
    if not url or not options.store:
        return None
    from sage_wheels.store import remote

    return remote.opened(
        url=url,
        mode=options.store_mode or environment.get(environment.SAGE_WHEELS_STORE_MODE) or "read",
        sign=options.store_sign or environment.get(environment.SAGE_WHEELS_STORE_SIGN),
        trust=options.store_trust or environment.get(environment.SAGE_WHEELS_STORE_TRUST),
        root=options.cache_root(),
        on_note=options.on_note,
    )


def finish_uploads() -> None:
    """Wait, for a limited time, until everything that this process has built was sent to the store of several machines.

    Called at the end of a command, so that a next build need not wait for it.
    """
    import sys

    remote = sys.modules.get("sage_wheels.store.remote")  # not imported: nothing was sent
    if remote:
        remote.finish()


class BuiltWheel(NamedTuple):
    """A wheel that was built, and is in the wheel directory now.

    `phases` has the seconds of each phase. `direct_url` is for direct_url.json (PEP 610). `log` is None if the log was
    deleted with the build directory. `notes` are sentences for people. `is_stored` is whether it came from the store
    instead of being built; then `stored_seconds` is how long its build had taken. `is_sandboxed` is whether it was
    built in a sandbox, here or elsewhere.
    """

    path: str
    name: str
    direct_url: DirectUrl | None
    phases: dict[str, float]
    log: str | None
    notes: tuple[str, ...] = ()
    is_stored: bool = False
    stored_seconds: float = 0.0
    is_sandboxed: bool = False
