"""Resolve paths to `PrefixPath`s that can be compared: relative to the prefix, with all symbolic links resolved.

A path that leaves the prefix, by `..` or through a symbolic link, has no such form. `Locator` returns None for it, and
the tool never touches it. `Landmarks` has the directories of the installation scheme in the same form, because they may
be reached through links, too.
"""

from __future__ import annotations

import os
import posixpath
import stat

from sage_wheels.named import NamedTuple
from sage_wheels.prefix.model import STATE
from sage_wheels.prefix.paths import NOWHERE, ancestors, below, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix, Scheme
    from sage_wheels.prefix.paths import PrefixPath


class Locator:
    """Resolves paths in the prefix at `root`, with one lstat(2) for each directory; results are remembered."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.real_root = os.path.realpath(root)
        self._directories: dict[str, PrefixPath | None] = {"": NOWHERE}
        self._missing: set[PrefixPath] = set()
        self._above: dict[tuple[str, str], PrefixPath | None] = {}
        self.known_landmarks: dict[Scheme, Landmarks] = {}

    def locate(self, base: str, path: str) -> PrefixPath | None:
        """Resolve `path`, which is absolute or relative to the directory `base` of the prefix; None if it is outside.

        If the last component is a symbolic link, it is not followed.

        >>> Locator("/nowhere").locate("lib/site-packages", "../../../etc/passwd") is None
        True
        """
        head, slash, name = path.rpartition("/")
        above = self.above(base, head + slash) if is_short(path, name) else None
        if above is not None:
            return below(above, name)
        relative = self.unresolved(base, path)
        if relative is None:
            return None
        directory, _, name = relative.rpartition("/")
        real = self.directory(directory)
        if real is None:
            return None
        return below(real, name) if name else real  # the prefix itself has no name

    def above(self, base: str, head: str) -> PrefixPath | None:
        """Resolve the directory `head`, a path that ends in a slash, relative to `base`; None if it is outside.

        This is for RECORD, which lists many files of the same directory: the directory is resolved once.

        >>> Locator("/nowhere").above("lib/site-packages", "../../bin/")
        'bin'
        """
        try:
            return self._above[base, head]
        except KeyError:
            pass
        relative = self.unresolved(base, f"{head}x")
        real = None if relative is None else self.directory(relative.rpartition("/")[0])
        self._above[base, head] = real
        return real

    def unresolved(self, base: str, path: str) -> str | None:
        """`path`, absolute or relative to `base`, made relative to the prefix without resolving links."""
        if "\0" in path or (len(path) > 60 and not _is_possible(path)):
            return None
        relative: str | None
        if path.startswith("/"):
            relative = self._inside(posixpath.normpath(path))
        else:
            relative = posixpath.normpath(f"{base}/{path}" if base else path)
        if relative is None or relative in (".", "..") or relative.startswith("../"):
            return None
        return relative

    def directory(self, relative: str) -> PrefixPath | None:
        """Resolve the directory `relative`, including a link in its last component; None if it is outside."""
        try:
            return self._directories[relative]
        except KeyError:
            pass
        parent, _, name = relative.rpartition("/")
        above = self.directory(parent)
        real = above
        if above is not None and name:
            real = here = below(above, name)
            full = f"{self.root}/{real}"
            try:
                if above in self._missing:
                    self._missing.add(here)
                elif stat.S_ISLNK(os.lstat(full).st_mode):
                    real = self._inside(os.path.realpath(full))
            except FileNotFoundError:
                self._missing.add(here)
            except OSError:
                pass  # it cannot be examined
        self._directories[relative] = real
        return real

    def is_missing(self, directory: PrefixPath) -> bool:
        """Whether the resolved `directory` did not exist when it was looked at."""
        self.directory(directory)
        return directory in self._missing

    def _inside(self, path: str) -> PrefixPath | None:
        for base in (self.root, self.real_root):
            if path == base:
                return NOWHERE
            if path.startswith(f"{base}/"):
                return plain(path[len(base) + 1 :])
        return None


def is_short(path: str, name: str) -> bool:
    """Whether `path`, whose last component is `name`, is certainly short enough for any file system."""
    return name not in ("", ".", "..") and len(name) < 64 and len(path) < 1024 and "\0" not in path


def _is_possible(path: str) -> bool:
    """Whether `path` is short enough for a file system: 255 bytes in each component, 4,096 in all."""
    raw = path.encode("utf-8", "surrogateescape")
    return len(raw) < 4096 and path.count("/") < 256 and max(map(len, raw.split(b"/"))) <= 255


class Landmarks(NamedTuple):
    """The directories of a prefix to which special rules apply, with links resolved.

    `libraries` are purelib and platlib; `scripts` the directories of scripts and interpreters; `standard` the standard
    libraries; `parents` the directories that contain a library for each version of Python (lib). `skeleton` are these
    directories, those above them, and the links to them; they are never removed, even if they are empty.
    `skeleton_parents` are the directories that contain these.
    """

    libraries: tuple[PrefixPath, ...]
    scripts: tuple[PrefixPath, ...]
    standard: tuple[PrefixPath, ...]
    parents: tuple[PrefixPath, ...]
    state: PrefixPath
    skeleton: frozenset[str]
    skeleton_parents: frozenset[str]

    def inside_library(self, path: str) -> str:
        """`path` relative to the library directory that contains it; "" if none does."""
        return next((path[len(each) + 1 :] for each in self.libraries if path.startswith(f"{each}/")), "")

    def is_in_metadata(self, path: str) -> bool:
        """Whether `path` is in a `.dist-info` directory in one of the library directories."""
        return self.inside_library(path).partition("/")[0].endswith(".dist-info")


def landmarks(prefix: Prefix, locator: Locator | None = None) -> Landmarks:
    """The landmarks of `prefix`; they are resolved by `locator` or, if that is None, by a new `Locator`."""
    locator = locator or Locator(prefix.root)
    if prefix.scheme not in locator.known_landmarks:
        locator.known_landmarks[prefix.scheme] = _look_up(prefix.scheme, locator)
    return locator.known_landmarks[prefix.scheme]


def _look_up(scheme: Scheme, locator: Locator) -> Landmarks:
    def real(*directories: str) -> tuple[PrefixPath, ...]:
        found = (locator.directory(each) for each in dict.fromkeys(directories))
        return tuple(dict.fromkeys(each for each in found if each is not None))

    libraries = (scheme.purelib, scheme.platlib)
    spelled = (*libraries, scheme.scripts, "bin", "include", "lib", "lib64", STATE)
    standard = real(*(posixpath.dirname(each) for each in libraries if each.startswith(("lib/python", "lib64/python"))))
    own = {*spelled, *real(*spelled), *standard}
    skeleton = frozenset({"", *own, *(above for each in own for above in ancestors(plain(each)))})
    return Landmarks(
        real(*libraries),
        real(scheme.scripts, "bin"),
        standard,
        real("lib", "lib64"),
        next(iter(real(STATE)), NOWHERE),
        skeleton,
        frozenset(posixpath.dirname(each) for each in skeleton),
    )
