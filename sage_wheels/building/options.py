"""What can be said about a build, and what comes of one."""

from __future__ import annotations

import os
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sage_wheels.building.sources import DirectUrl
    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.archive import Limits

# As in `sage_wheels.building.unpack`, which is not imported for the sake of two numbers.
_MAX_SDIST_SIZE = 2 << 30
_MAX_SDIST_MEMBERS = 200_000


class BuildOptions(NamedTuple):
    """How to build; the defaults are an isolated build without wheelhouse and without network.

    find_links: wheelhouses that build requirements come from, first ones first.
    use_index: let pip fetch from the package index what they lack.
    isolation, fallback_no_isolation, skip_dependency_check, editable, sdist_then_wheel, keep_build_dir: as the
        options of `sage-wheels build`.
    config_settings: for the backend (PEP 517); a key that was given several times has a list.
    python: the interpreter that builds (a path, or a name on PATH). None: that of `prefix`, else the one that runs us.
    prefix: what the wheel is for; it must fit, and without isolation it is what the backend is imported from.
    log: the file that gets the whole output; None: one in the build directory, which goes with it.
    cache_dir: where images, build directories and logs of failed builds are; None: beside the first wheelhouse, else
        in the user's cache directory.
    max_sdist_size, max_sdist_members: how much an sdist may unpack to, in bytes and in number.
    wheel_limits: how much a build requirement, and the wheel that is built, may unpack to; None: the usual limits.
    built: the wheel that was built of the one source tree, by whomever; what installs takes it and builds nothing.
    on_phase: called with the name of each phase as it begins; on_note: with a sentence for people.
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
    max_sdist_size: int = _MAX_SDIST_SIZE
    max_sdist_members: int = _MAX_SDIST_MEMBERS
    wheel_limits: Limits | None = None
    built: str | None = None
    on_phase: Callable[[str], None] | None = None
    on_note: Callable[[str], None] | None = None

    def cache_root(self) -> str:
        """The directory of caches and builds, absolute.

        >>> BuildOptions(cache_dir="/sage/cache/").cache_root()
        '/sage/cache'
        """
        if self.cache_dir:
            return os.path.abspath(self.cache_dir)
        if self.find_links and os.access(os.path.dirname(os.path.abspath(self.find_links[0])), os.W_OK):
            return os.path.abspath(self.find_links[0]) + ".cache"
        return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sage-wheels")


class BuiltWheel(NamedTuple):
    """A wheel that stands in the wheel directory.

    `phases` has the seconds of each phase; `direct_url` is for direct_url.json (PEP 610); `log` is None if the log went
    with the build directory; `notes` are sentences that people should read.
    """

    path: str
    name: str
    direct_url: DirectUrl | None
    phases: dict[str, float]
    log: str | None
    notes: tuple[str, ...] = ()
