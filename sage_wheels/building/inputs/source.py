"""The fingerprint of a source tree: everything in it and around it that a build can read.

    files          path, executable bit, content; of a link its text and, if it leads outside, what is there
    generated      whether a .pyx is newer than the .c or .cpp of the same name: then Cython is run
    beside         files above the tree, if the files that say how to build it mention `..`; .gitignore, .hgignore
    repositories   what git knows: HEAD, refs, shallow, configuration, index, and what is not committed

The copy is read, not the tree: nobody changes the copy, and it is what the backend gets.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import NamedTuple

from sage_wheels.building.keyable import NotKeyable
from sage_wheels.building.source.surroundings import LEVELS
from sage_wheels.fs.digest import of_file
from sage_wheels.fs.files import data_in, has_holes
from sage_wheels.store.results import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
_NAMED_ABOVE = re.compile(rb"""(?<![\w.])((?:\.\./)+[\w.+/-]+)""")
_GENERATED = (".c", ".cpp", ".cxx", ".cc")


class Source(NamedTuple):
    """The fingerprint of a source tree; `files` has the beginning of the digest of each file, for messages."""

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
    times = {path: entry.mtime for path, entry in walk.times.items()}
    about = {
        "files": entries,
        "generated": sorted(_newer(times)),
        "beside": sorted([*_beside(copy, tree, walk.speaks_of_above), *_ignored(copy)]),
        "repositories": repositories,
    }
    names = {path: digest[:16] for path, _, digest in entries}
    return Source(hashlib.sha256(canonical(about)).hexdigest(), names, repositories)


class _Seen(NamedTuple):
    mtime: int


class _Walk:
    """A walk through a copy. `times` are those of files that may be generated, or be the source of such files;
    `speaks_of_above` are the path and text of files that say how to build and mention `..`."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.times: dict[str, _Seen] = {}
        self.speaks_of_above: list[tuple[str, bytes]] = []
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
        keeps_text = _SAYS_HOW.fullmatch(os.path.basename(path))
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
        if text and _ABOVE.search(text):
            self.speaks_of_above.append((path, text))
        if path.endswith((".pyx", ".py", *_GENERATED)):
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
            raise NotKeyable(f"its links lead to more than {_MOST_OUTSIDE} files outside of it")
        try:
            if os.path.isdir(path):
                names = sorted(os.listdir(path))
                each = [(_text(name), self.outside(f"{path}/{name}")) for name in names if name not in _NO_SOURCE]
                return hashlib.sha256(canonical(each)).hexdigest()
            if not stat.S_ISREG(os.stat(path).st_mode):
                return "special"
            return " ".join(self._file(path, "")[1:])
        except FileNotFoundError:
            return "nothing"
        except (OSError, RecursionError) as error:
            raise NotKeyable(f"its links lead to {path}, which cannot be read ({error})") from error


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


def _beside(copy: str, tree: str, speaking: Iterable[tuple[str, bytes]]) -> Iterator[list[str]]:
    """Name and digest of the files above `tree` that its build may read.

    If a file that says how to build mentions `..`, these are the files in the directory above and those that it names.
    """
    walk = _Walk(copy)
    names: set[str] = set()
    for path, text in speaking:
        where = os.path.dirname(path)
        for found in _NAMED_ABOVE.findall(text):
            named = os.path.normpath(os.path.join(where, os.fsdecode(found)))
            if named.startswith("../"):
                names.add(named)
    if speaking:
        above = os.path.dirname(tree)
        with os.scandir(above) as scan:
            files = sorted(entry.name for entry in scan if entry.is_file() and not entry.name.endswith(".log"))
        if len(files) > _MOST_BESIDE:
            raise NotKeyable(f"it may read what is in {above}, where there are {len(files)} files")
        names.update(f"../{name}" for name in files)
    for name in names:
        path = os.path.realpath(os.path.join(tree, name))
        if os.path.lexists(path) and not (path == tree or f"{tree}/".startswith(f"{path}/")):
            yield [_text(name), walk.outside(path)]


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
