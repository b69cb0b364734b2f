"""Paths inside a prefix, in the one form that can be compared: relative, `/` between components, links resolved.

A path that leads out of the prefix, lexically or through a symbolic link on the way, has no such form: None stands for
it, and nothing ever touches it. What is compared with such a path has to be in that form, too: the directories of the
installation scheme, which may themselves be reached by links, are so in `Landmarks`.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import NamedTuple

from sage_wheels.prefix.layout import STATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix, Scheme


class Places:
    """Resolves paths in the prefix at `root`, one lstat(2) for each directory and none twice."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.real_root = os.path.realpath(root)
        self._directories: dict[str, str | None] = {"": ""}
        self.known_landmarks: dict[Scheme, Landmarks] = {}

    def locate(self, base: str, path: str) -> str | None:
        """The place of `path`, which is absolute or relative to the place `base`; its last component is not resolved.

        >>> Places("/nowhere").locate("lib/site-packages", "../../../etc/passwd") is None
        True
        """
        relative = self.unresolved(base, path)
        if relative is None:
            return None
        directory, _, name = relative.rpartition("/")
        real = self.directory(directory)
        if real is None:
            return None
        return f"{real}/{name}" if real else name

    def unresolved(self, base: str, path: str) -> str | None:
        """`path` relative to the prefix, no link on the way resolved."""
        if "\0" in path or (len(path) > 60 and not _is_possible(path)):
            return None
        if path.startswith("/"):
            relative = self._inside(posixpath.normpath(path))
        else:
            relative = posixpath.normpath(f"{base}/{path}" if base else path)
        if relative is None or relative in (".", "..") or relative.startswith("../"):
            return None
        return relative

    def directory(self, relative: str) -> str | None:
        """The place of the directory `relative`, every link on the way resolved."""
        try:
            return self._directories[relative]
        except KeyError:
            pass
        parent, _, name = relative.rpartition("/")
        above = self.directory(parent)
        real = above
        if above is not None:
            real = f"{above}/{name}" if above else name
            full = f"{self.root}/{real}"
            try:
                if stat.S_ISLNK(os.lstat(full).st_mode):
                    real = self._inside(os.path.realpath(full))
            except OSError:
                pass  # not there: nothing to resolve
        self._directories[relative] = real
        return real

    def _inside(self, path: str) -> str | None:
        for base in (self.root, self.real_root):
            if path == base:
                return ""
            if path.startswith(f"{base}/"):
                return path[len(base) + 1 :]
        return None


def _is_possible(path: str) -> bool:
    """Whether a file system could hold `path` (255 bytes a component, 4,096 in all), and nobody need despair of it."""
    raw = path.encode("utf-8", "surrogateescape")
    return len(raw) < 4096 and path.count("/") < 256 and max(map(len, raw.split(b"/"))) <= 255


class Landmarks(NamedTuple):
    """The directories of a prefix that rules speak of, as places.

    `libraries` are purelib and platlib, `scripts` where scripts and interpreters are, `standard` the standard libraries
    and `parents` the directories that hold one for each version of Python. `skeleton` is what belongs to the prefix
    itself, even if it is empty: these directories, those above them, and the links that lead there.
    """

    libraries: tuple[str, ...]
    scripts: tuple[str, ...]
    standard: tuple[str, ...]
    parents: tuple[str, ...]
    state: str
    skeleton: frozenset[str]

    def inside_library(self, place: str) -> str:
        """The path of `place` inside the library that it lies in; "" if it lies in none."""
        return next((place[len(each) + 1 :] for each in self.libraries if place.startswith(f"{each}/")), "")

    def is_in_record(self, place: str) -> bool:
        """Whether `place` is in a `.dist-info` that tells of a distribution."""
        return self.inside_library(place).partition("/")[0].endswith(".dist-info")


def landmarks(prefix: Prefix, places: Places | None = None) -> Landmarks:
    """The landmarks of `prefix`; `places` may know some of its directories already, and keeps what is found."""
    places = places or Places(prefix.root)
    if prefix.scheme not in places.known_landmarks:
        places.known_landmarks[prefix.scheme] = _look_up(prefix.scheme, places)
    return places.known_landmarks[prefix.scheme]


def _look_up(scheme: Scheme, places: Places) -> Landmarks:
    def real(*directories: str) -> tuple[str, ...]:
        found = (places.directory(each) for each in dict.fromkeys(directories))
        return tuple(dict.fromkeys(each for each in found if each is not None))

    libraries = (scheme.purelib, scheme.platlib)
    spelled = (*libraries, scheme.scripts, "bin", "include", "lib", "lib64", STATE)
    standard = real(*(posixpath.dirname(each) for each in libraries if each.startswith(("lib/python", "lib64/python"))))
    own = {*spelled, *real(*spelled), *standard}
    return Landmarks(
        real(*libraries),
        real(scheme.scripts, "bin"),
        standard,
        real("lib", "lib64"),
        "".join(real(STATE)),
        frozenset({"", *own, *(above for each in own for above in ancestors(each))}),
    )


def ancestors(place: str) -> Iterator[str]:
    """The directories above `place`, from the inside out, without the prefix itself.

    >>> list(ancestors("lib/a/b.py"))
    ['lib/a', 'lib']
    """
    while "/" in place:
        place = place.rpartition("/")[0]
        yield place
