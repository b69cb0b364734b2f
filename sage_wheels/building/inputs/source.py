"""The fingerprint of a source tree: everything in it and around it that a build can read.

    files          path, executable bit, content; of a link its text and, if it leads outside, what is there
    generated      whether a .pyx is newer than the .c or .cpp of the same name: then Cython is run
    beside         what is outside of the tree and is named by its build files or by `#include "../x.h"`; the workspace
                   of Cargo that it is part of; files above the tree, if build files mention `..`; .gitignore, .hgignore
    repositories   what git knows: HEAD, refs, shallow, configuration, index, and what is not committed

The copy is read, not the tree: nobody changes the copy, and it is what the backend gets.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat

from sage_wheels.building.keyable import NotKeyable
from sage_wheels.building.source.surroundings import LEVELS
from sage_wheels.fs.digest import of_file
from sage_wheels.fs.files import data_in, has_holes, regular
from sage_wheels.named import NamedTuple
from sage_wheels.store.results import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_MOST_OUTSIDE = 20_000  # files outside that links may lead to
_MOST_BESIDE = 200  # files above the tree
_NO_SOURCE = (".git", "__pycache__")  # outside of the copy; an import during a build writes byte-code there
_BLOCK = 1 << 20  # bytes
# Files that say how to build. If they mention "..", files above the tree may matter.
_SAYS_HOW = re.compile(
    r"pyproject\.toml|setup\.(py|cfg)|MANIFEST\.in|hatch(_build\.py|\.toml)|pdm_build\.py|meson\.(build|options)"
    r"|meson_options\.txt|CMakeLists\.txt|[^/]*\.cmake|Makefile|[^/]*build[^/]*\.py|Cargo\.toml|build\.rs"
)
_ABOVE = re.compile(
    rb"""(?<![\w.])\.\.(?![\w.])|\bpardir\b|parents?\[|\.parent\.parent|dirname\(\s*(os\.path\.)?dirname"""
)
_NAMED_ABOVE = re.compile(rb"\.\./(?<![\w.]...)(?:\.\./)*[\w.+/-]+")  # begins with bytes that are found quickly
# A variable with the directory of the file itself, and what is above such a variable, or above the current directory.
_OWN_DIRECTORY = re.compile(rb"^[ \t]*(\w+)[^=\n]*=(?=[^\n]*__file__)(?=[^\n]*(?:dirname|\.parent\b))", re.MULTILINE)
_ABOVE_CURRENT = rb"(?:os\.)?getcwd\(\)|(?:\w+\.)?cwd\(\)"
# Files for compilers; they may include, by `../x.h`, what is outside of the tree.
_COMPILED = frozenset(
    (
        *("c", "cc", "cpp", "cxx", "cu", "h", "hh", "hpp", "hxx", "cuh", "inc", "inl", "ipp", "m", "mm", "s", "asm"),
        *("f", "f77", "f90", "f95", "f03", "f08", "for", "pyx", "pxd", "pxi", "i", "swg", "y", "l", "rs", "mk", "am"),
    )
)
_OF_CARGO = "Cargo.toml"
_NO_WORKSPACE = (".git", "target")
_WORKSPACE = re.compile(rb"^\s*\[workspace\b", re.MULTILINE)
_GENERATED = (".c", ".cpp", ".cxx", ".cc")


class Source(NamedTuple):
    """The fingerprint of a source tree; `files` has a part of the digest of each file, for messages."""

    digest: str
    files: dict[str, str]
    repositories: dict[str, Any]


def fingerprint(copy: str, tree: str, repositories: dict[str, Any], log: str = "") -> Source:
    """The fingerprint of the source in `copy`, a copy of `tree`; `repositories` are from `inputs.repositories`.

    The `log` of this build may be in the tree, and is left out. Raises `NotKeyable`, and `OSError` if the copy cannot
    be read.
    """
    walk = _Walk(copy)
    own = os.path.relpath(log, tree) if log else ""
    entries = sorted(each for each in walk.below(copy, "") if each[0] != own)
    is_part = any(name.startswith("..") for name in repositories)
    outside = list(_Beside(walk, tree).digests(is_part))
    times = {path: entry.mtime for path, entry in walk.times.items()}
    about = {
        "files": entries,
        "generated": sorted(_newer(times)),
        "beside": sorted([*outside, *_ignored(copy)]),
        "repositories": repositories,
    }
    names = {path: digest[:16] for path, _, digest in entries} | {path: digest[-16:] for path, digest in outside}
    return Source(hashlib.sha256(canonical(about)).hexdigest(), names, repositories)


class _Seen(NamedTuple):
    mtime: int


class _Walk:
    """A walk through a copy. `times` are those of files that may be generated, or be the source of such files;
    `speaks_of_above` is whether a file that says how to build mentions what is above the tree, `named` are path and
    paths with `../` in each file that has any, and `has_package` is whether there is a package of Cargo."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.times: dict[str, _Seen] = {}
        self.speaks_of_above = False
        self.named: list[tuple[str, set[bytes]]] = []
        self.has_package = False
        self._outside = 0

    def below(self, directory: str, path: str) -> Iterator[tuple[str, str, str]]:
        """Path, kind and digest of everything below `directory`, which is called `path`."""
        with os.scandir(directory) as scan:
            for entry in scan:
                below = f"{path}/{entry.name}" if path else entry.name
                if entry.name == ".git":
                    continue  # see `repositories`
                if entry.is_symlink():
                    yield _text(below), "link", self._link(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    yield _text(below), "directory", ""
                    yield from self.below(entry.path, below)
                elif entry.is_file(follow_symlinks=False):
                    yield self._file(entry.path, below)

    def _file(self, file: str, path: str) -> tuple[str, str, str]:
        """Path, kind and digest of a file. If it is outside of the tree, `path` is absolute."""
        name = os.path.basename(path)
        is_inside = not path.startswith("/")
        says_how = _SAYS_HOW.fullmatch(name)
        keeps_text = says_how or name.rpartition(".")[2].lower() in _COMPILED
        digest = hashlib.sha256()
        with open(file, "rb", buffering=0) as f:
            status = os.fstat(f.fileno())
            kind = "program" if status.st_mode & stat.S_IXUSR else "file"
            if status.st_size > _BLOCK and has_holes(status):
                return _text(path), f"sparse {kind}", _digest_between_holes(f.fileno(), status.st_size)
            text = b""
            while block := f.read(_BLOCK):
                digest.update(block)
                if keeps_text:
                    text += block
        if b"../" in text:
            self.named.append((path, set(_NAMED_ABOVE.findall(text))))
        if is_inside and says_how and _is_above(text):
            self.speaks_of_above = True
        if is_inside and name == _OF_CARGO and not _WORKSPACE.search(text):
            self.has_package = True
        if is_inside and path.endswith((".pyx", ".py", *_GENERATED)):
            self.times[path] = _Seen(status.st_mtime_ns)
        return _text(path), kind, digest.hexdigest()

    def _link(self, link: str) -> str:
        """The text of a link, and the digest of its target if that is outside the copy."""
        text = _text(os.readlink(link))
        real = os.path.realpath(link)
        if real == self.top or real.startswith(f"{self.top}/") or not os.path.lexists(real):
            return text
        return f"{text} {self.outside(real)}"

    def outside(self, path: str) -> str:
        """The digest of everything at `path`, which is outside the copy. Raises `NotKeyable` if it is too much."""
        self._outside += 1
        if self._outside > _MOST_OUTSIDE:
            raise NotKeyable(f"it names more than {_MOST_OUTSIDE} files outside of it")
        try:
            if os.path.isdir(path):
                names = sorted(os.listdir(path))
                each = [(_text(name), self.outside(f"{path}/{name}")) for name in names if name not in _NO_SOURCE]
                return hashlib.sha256(canonical(each)).hexdigest()
            if not stat.S_ISREG(os.stat(path).st_mode):
                return "special"
            return " ".join(self._file(path, path)[1:])
        except FileNotFoundError:
            return "nothing"
        except (OSError, RecursionError) as error:
            raise NotKeyable(f"it names {path}, which cannot be read ({error})") from error


def _digest_between_holes(fd: int, size: int) -> str:
    """A digest of a sparse file that does not read the holes: of the blocks that are not all zeros, and their places.

    So it does not depend on where the holes are, but it is not that of the same content without holes.
    """
    digest = hashlib.sha256(b"%d\n" % size)
    done = 0
    for start, end in data_in(fd, size):
        for offset in range(max(done, start - start % _BLOCK), end, _BLOCK):
            block = os.pread(fd, _BLOCK, offset)
            done = offset + _BLOCK
            if block.count(0) != len(block):
                digest.update(b"%d %d\n" % (offset, len(block)))
                digest.update(block)
    return digest.hexdigest()


def _newer(times: dict[str, int]) -> Iterator[list[str]]:
    """For each .pyx or .py with a generated file of the same name: which of the two is newer."""
    for path, time in times.items():
        stem, extension = os.path.splitext(path)
        if extension in (".pyx", ".py"):
            for each in _GENERATED:
                if stem + each in times:
                    yield [_text(path), each, "newer" if time > times[stem + each] else "older"]


def _is_above(text: bytes) -> bool:
    """Whether the `text` of a build file mentions what is above the tree."""
    if _ABOVE.search(text):
        return True
    own = rb"|".join([_ABOVE_CURRENT, *map(re.escape, _OWN_DIRECTORY.findall(text))])
    return re.search(rb"(?<![\w.])(?:%b)\.parent\b|dirname\(\s*(?:%b)\s*\)" % (own, own), text) is not None


class _Beside:
    """What a build may read outside of `tree`, whose copy `walk` has seen."""

    def __init__(self, walk: _Walk, tree: str) -> None:
        self._walk = walk
        self._tree = tree

    def digests(self, is_part: bool) -> Iterator[list[str]]:
        """Path, from the tree on, and digest of each file or directory; `is_part` is whether the tree is a directory in
        a repository, whose state is in the key. Raises `NotKeyable` if it is too much."""
        done: dict[str, list[str]] = {}
        waiting = [*self._files_above(), *([] if is_part else self._workspace())]
        while waiting or self._walk.named:
            waiting += self._named()
            for path in waiting:
                if path not in done:
                    done[path] = [_text(os.path.relpath(path, self._tree)), self._walk.outside(path)]
            waiting = []
        yield from done.values()

    def _named(self) -> list[str]:
        """What files mention by `../`: a directory, or of a file the directory that it is in, unless the tree is in
        that directory, too."""
        found = []
        for path, names in self._walk.named:
            where = os.path.dirname(os.path.join(self._tree, path))
            for name in names:
                target = os.path.realpath(os.path.join(where, os.fsdecode(name)))
                if not self._is_around(target) and not f"{target}/".startswith(f"{self._tree}/"):
                    above = os.path.dirname(target)
                    is_file = os.path.isfile(target)
                    found += [above if is_file and not self._is_around(above) else target] * os.path.lexists(target)
        self._walk.named.clear()
        return found

    def _is_around(self, directory: str) -> bool:
        return f"{self._tree}/".startswith(f"{directory.rstrip('/')}/")

    def _files_above(self) -> list[str]:
        """The files in the directory above, if a file that says how to build mentions it."""
        if not self._walk.speaks_of_above:
            return []
        above = os.path.dirname(self._tree)
        with os.scandir(above) as scan:
            files = [entry.path for entry in scan if entry.is_file() and not entry.name.endswith(".log")]
        if len(files) > _MOST_BESIDE:
            raise NotKeyable(f"it may read what is in {above}, where there are {len(files)} files")
        return files

    def _workspace(self) -> list[str]:
        """Everything but the tree in the workspace of Cargo that the tree is part of, and without saying so."""
        directory, beside = self._tree, []
        for _ in range(LEVELS if self._walk.has_package else 0):
            own, directory = directory, os.path.dirname(directory)
            with contextlib.suppress(OSError):
                beside += [f"{directory}/{each}" for each in os.listdir(directory) if each not in _NO_WORKSPACE]
                beside.remove(own)
                with open(f"{directory}/{_OF_CARGO}", "rb", opener=regular) as f:
                    if _WORKSPACE.search(f.read(_BLOCK)):
                        return beside
        return []


def _ignored(copy: str) -> Iterator[list[str]]:
    """Name and digest of the files above `copy` in which hatchling finds what to leave out, if the tree has none."""
    for name, end in ((".gitignore", ".git"), (".hgignore", ".hg")):
        directory, above = copy, ""
        for _ in range(LEVELS):
            if os.path.exists(f"{directory}/{name}") or os.path.exists(f"{directory}/{end}"):
                break
            directory, above = os.path.dirname(directory), f"../{above}"
            if os.path.isfile(f"{directory}/{name}"):
                yield [above + name, of_file(f"{directory}/{name}").hex()]


def _text(path: str) -> str:
    """A path for JSON: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
