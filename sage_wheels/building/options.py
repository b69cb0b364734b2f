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

# As in `sage_wheels.archive.unpack`, which is not imported for the sake of two numbers.
_MAX_SDIST_SIZE = 2 << 30
_MAX_SDIST_MEMBERS = 200_000


class BuildOptions(NamedTuple):
    """How to build; the defaults are an isolated build without wheelhouse and without network.

    find_links: wheelhouses that build requirements come from, first ones first.
    use_index: let pip fetch from the package index what they lack.
    isolation, fallback_no_isolation, skip_dependency_check, editable, sdist_then_wheel, keep_build_dir: as the
        options of `sage-wheels build`.
    in_place: build source trees where they stand; the config setting `build-dir` names what is locked meanwhile.
    config_settings: for the backend (PEP 517); a key that was given several times has a list.
    python: the interpreter that builds (a path, or a name on PATH). None: that of `prefix`, else the one that runs us.
    prefix: what the wheel is for; it must fit, and without isolation it is what the backend is imported from.
    log: the file that gets the whole output; None: one in the build directory, which goes with it.
    cache_dir: where the store, build directories and logs of failed builds are; refused if others may write there.
        None: $SAGE_WHEELS_CACHE, else in the user's cache directory; if others may write there, for this process only,
        in the directory for temporary files.
    usual_build_dir: a directory for build directories alone, if nobody else may write there.
    store: take what was built before, and keep what is built; rebuild: keep, and take nothing;
        verify_store: build once more at another path, and compare.
    sandbox: let the backend see nothing but the system, the interpreter, the prefix, its sources and what it requires,
        and the directories `sandbox_read`; store_sandboxed: take from the store only what was built so.
    cache_size: how large the store may be, in bytes; None: 10 GiB.
    store_url, store_mode, store_sign, store_trust: the store behind it that several machines use, as the options of
        `sage-wheels build`. None: $SAGE_WHEELS_STORE, $SAGE_WHEELS_STORE_MODE ... say.
    cache_paths: more paths, by name, that stand for themselves where a variable or a setting has them.
    cache_cpu, cache_system: what the caller vouches for in place of the features of the processor, and of what is
        installed on this system.
    cache_declared: without isolation, the declared requirements are all that the build depends on; the caller says so.
    max_sdist_size, max_sdist_members: how much an sdist may unpack to, in bytes and in number.
    wheel_limits: how much a build requirement, and the wheel that is built, may unpack to; None: the usual limits.
    editables: items that are installed editable, where `editable` is not said of all.
    constraints: which versions may be taken of what is named: requirements, each with where it stands, for messages.
    indexed: normalised names of projects that are named by a URL but come from an index: they get no direct_url.json.
    built: the wheel that was built of the one source tree, by whomever; what installs takes it and builds nothing.
    preferred: a wheelhouse whose wheels win over those of find_links, whatever their versions.
    build_name: the name of the build directory in the cache; None: that of the project.
    build_all: builds two sources and more into a directory; None: one after the other.
    on_requires: called with the lines that the build requires, once they are known; what it raises ends the build.
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

    def of_builds(self) -> BuildOptions:
        """These options without what is about the items, and is nothing to the build of any of them."""
        return self._replace(editables=(), constraints=(), indexed=())

    def cache_root(self) -> str:
        """The directory of the store, absolute; it need not be there. Raises `UnsafePath` if it was named.

        >>> BuildOptions(cache_dir="/sage/cache/").cache_root()
        '/sage/cache'
        """
        from sage_wheels.fs import caches

        told = self.cache_dir or environment.get(environment.SAGE_WHEELS_CACHE)
        if told:
            return caches.named(os.path.abspath(told), "name a directory of your own with --cache-dir")
        return self._chosen(*caches.directories_of_user())

    def build_root(self) -> str:
        """The directory that build directories are made in."""
        from sage_wheels.fs import caches

        if not self.usual_build_dir:
            return self.cache_root()
        return self._chosen(os.path.abspath(self.usual_build_dir), *caches.directories_of_user())

    def tools_directory(self) -> str:
        """The directory for scripts that take the place of old tools."""
        return f"{self.cache_root()}/tools"

    def _chosen(self, *candidates: str) -> str:
        from sage_wheels.fs import caches

        choice = caches.choose(*candidates)
        if self.on_note:
            caches.say_once(choice.notes, self.on_note)
        return choice.directory or caches.temporary()


def store_of(options: BuildOptions) -> Store:
    """The store that these options name. Raises what `cache_root` and `remote_of` raise."""
    from sage_wheels.store.store import LIMIT, Store

    return Store(
        options.cache_root(), limit=options.cache_size or LIMIT, remote=remote_of(options), on_note=options.on_note
    )


def remote_of(options: BuildOptions) -> RemoteTier | None:
    """The store of several machines behind it, None if none is named.

    Raises `UnsafePath`, `UsageError` or `FileOperationFailed` if it was named wrongly.
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
    """Wait, for a bounded time, until what this process has built is in the store of several machines, too.

    For the end of a command: what is built next does not wait for it.
    """
    import sys

    remote = sys.modules.get("sage_wheels.store.remote")  # not imported: nothing was sent
    if remote:
        remote.finish()


class BuiltWheel(NamedTuple):
    """A wheel that was built, and is in the wheel directory now.

    `phases` has the seconds of each phase; `direct_url` is for direct_url.json (PEP 610); `log` is None if the log went
    with the build directory; `notes` are sentences that people should read; `is_stored` says that it was
    not built, but came from the store, and `stored_seconds` how long its build had taken; `is_sandboxed` that it was
    built in a sandbox, by whomever.
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
