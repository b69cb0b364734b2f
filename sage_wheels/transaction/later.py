"""Find out where the file is now that will be at a path once the steps that are planned so far are taken."""

from __future__ import annotations

from sage_wheels.prefix.paths import NO_FILE, ancestors, parent, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.paths import PrefixPath

# Instead of the path where something is now: a step makes it, an empty directory.
MADE = NO_FILE


class Later:
    """The paths after the moves, exchanges and so on that were passed to its methods.

    >>> later = Later()
    >>> later.move(plain("stage/new"), plain("lib/a"))
    >>> later.now(plain("lib/a/b")), later.now(plain("stage/new")), later.now(plain("lib/c"))
    ('stage/new/b', None, 'lib/c')
    """

    def __init__(self) -> None:
        self._now: dict[PrefixPath, PrefixPath | None] = {}
        self._inside: dict[PrefixPath, set[PrefixPath]] = {}  # for each directory, the paths in `_now` below it

    def now(self, path: PrefixPath) -> PrefixPath | None:
        """The path at which that is now which will be at `path`; None if nothing will be there."""
        above: PrefixPath = path
        while above not in self._now:
            above = parent(above)
            if not above:
                return path
        base = self._now[above]
        if base is None or above == path:
            return base
        return None if base == MADE else plain(base + path[len(above) :])

    def move(self, old: PrefixPath, new: PrefixPath) -> None:
        here = self.now(old)
        inside = self._take(old)
        self._take(new)
        for rest, to in inside.items():
            self._set(plain(new + rest), to)
        self._set(old, None)
        self._set(new, here)

    def exchange(self, one: PrefixPath, other: PrefixPath) -> None:
        first, second = self.now(one), self.now(other)
        in_first, in_second = self._take(one), self._take(other)
        for rest, to in in_first.items():
            self._set(plain(other + rest), to)
        for rest, to in in_second.items():
            self._set(plain(one + rest), to)
        self._set(one, second)
        self._set(other, first)

    def names(self, path: PrefixPath) -> list[str]:
        """The names in the directory `path` that steps have moved into it or out of it."""
        found = [each[len(path) + 1 :] for each in self._inside.get(path, ())]
        return sorted(name for name in found if "/" not in name)

    def make(self, path: PrefixPath) -> None:
        self._set(path, MADE)

    def remove(self, path: PrefixPath) -> None:
        self._set(path, None)

    def _set(self, path: PrefixPath, to: PrefixPath | None) -> None:
        self._now[path] = to
        for above in ancestors(path):
            self._inside.setdefault(above, set()).add(path)

    def _take(self, path: PrefixPath) -> dict[str, PrefixPath | None]:
        """Remove everything below `path` from `_now`, and return it, by the rest of its path (with a leading slash)."""
        taken = {}
        for each in sorted(self._inside.get(path, ())):
            taken[each[len(path) :]] = self._now.pop(each)
            for above in ancestors(each):
                self._inside[above].discard(each)
        return taken
