"""The fingerprint of a source tree: everything in it and around it that a build can read.

    files          path, executable bit, content; of a link its text and, if it leads outside, what is there
    generated      whether a .pyx is newer than the .c or .cpp of the same name: then Cython is run; the same of a .pxd,
                   and of the sources of parsers
    beside         what is outside of the tree and is named by its build files, by `#include "../x.h"`, or by variables
                   and settings; the workspace of Cargo that it is part of; files above the tree, and directories there
                   that build files name, if these mention `..`; .gitignore, .hgignore; the settings of cargo above it
    repositories   what git knows: HEAD, refs, shallow, configuration, index, and what is not committed

The copy is read, not the tree: nobody changes the copy, and it is what the backend gets.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat

from sage_wheels.building.inputs import absolute
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.building.source.surroundings import LEVELS
from sage_wheels.fs.digest import of_file
from sage_wheels.fs.files import data_in, has_holes, regular
from sage_wheels.named import NamedTuple
from sage_wheels.store.results import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_MOST_OUTSIDE = 20_000  # files outside that links may lead to
_MOST_BESIDE = 200  # files above the tree
_NO_SOURCE = (".git", "__pycache__")  # outside of the copy; an import during a build writes byte-code there
_BLOCK = 1 << 20  # bytes
# Words for what is above, of Python, CMake, make, meson and Rust. A path may follow an option immediately
# (`-I../include`). Each begins with bytes that are found quickly.
_OPTIONS = (rb"-[BFIL]", rb"-isystem", rb"-iquote")
_AFTER_OPTION, _AFTER_OPTION_AND_SLASH = (
    b"|".join(rb"(?<=%b%b)" % (option, path) for option in _OPTIONS) for path in (rb"..", rb"...")
)
_ABOVE = (
    re.compile(rb"\.\.(?![\w.])(?:(?<![\w.]..)|%b)" % _AFTER_OPTION),
    re.compile(rb"pardir\b(?<!\wpardir)"),
    re.compile(rb"parent(?:s?\[|(?<=\.parent)(?:\.parent|\(\))|(?<=\bfs\.parent)\()"),
    re.compile(rb"dirname\(\s*(?:os\.path\.)?dirname"),
    re.compile(rb"""_DIR\}(?:(?<=SOURCE_DIR\})|(?<=LIST_DIR\}))"?\s+(?:DIRECTORY|PATH)\b"""),
    re.compile(rb"PARENT_PATH\b"),
    re.compile(rb"CURDIR(?<=\(dir \$[({]CURDIR)"),
)
_NAMED_ABOVE = re.compile(rb"\.\./(?:(?<![\w.]...)|%b)(?:\.\./)*[\w.+/-]*" % _AFTER_OPTION_AND_SLASH)
# What a variable or setting names: it may be a path alone, or stand in a list of options or paths.
_TOLD_ABOVE = re.compile(rb"""(?:^|[\s=:;,"']|-[BFIL]|-isystem|-iquote)(\.\.(?:/[\w.+/-]*)?)(?=$|[\s:;,"'])""")
_PART = re.compile(rb"""["'/]([\w.+-]+)(?=["'/\s)])|(?:import|from) (\w+)""")  # of a path, or what is imported
# A variable with the directory of the file itself, and what is above such a variable, or above the current directory.
_OWN_DIRECTORY = re.compile(rb"^[ \t]*(\w+)[^=\n]*=(?=[^\n]*__file__)(?=[^\n]*(?:dirname|\.parent\b))", re.MULTILINE)
_ABOVE_CURRENT = rb"(?:os\.)?getcwd\(\)|(?:\w+\.)?cwd\(\)"
_OF_CARGO = "Cargo.toml"
# What cargo and rustup read in each directory above a package.
_ABOVE_CARGO = (".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain")
_NO_WORKSPACE = (".git", "target")
_WORKSPACE = re.compile(rb"^\s*\[workspace\b", re.MULTILINE)
_OF_CYTHON = (".pyx", ".py")
_PARTS_OF_CYTHON = (".pxd", ".pxi")  # what any of these may include
_GENERATED = (".c", ".cpp", ".cxx", ".cc")
# What other generators make of a file: bison, flex, ragel, re2c.
_GENERATING = (".y", ".yy", ".l", ".ll", ".rl", ".re")
_GENERATED_BY_THEM = (*_GENERATED, ".tab.c", ".tab.cc", ".yy.c", ".yy.cc")
_TIMED = (*_OF_CYTHON, *_PARTS_OF_CYTHON, *_GENERATING, *_GENERATED)


class Source(NamedTuple):
    """The fingerprint of a source tree; `files` has a part of the digest of each file, for messages. `absolute` are the
    absolute paths that the tree names."""

    digest: str
    files: dict[str, str]
    repositories: dict[str, Any]
    absolute: list[str]


def fingerprint(
    copy: str,
    tree: str,
    repositories: dict[str, Any],
    log: str = "",
    *,
    told: Iterable[str] = (),
    project: str = "",
) -> Source:
    """The fingerprint of the source in `copy`, a copy of `tree`; `repositories` are from `inputs.repositories`.

    The `log` of this build may be in the tree, and is left out. `told` are the values of variables and settings; paths
    in them begin in `project`, a directory in the copy (default: `copy`). Raises `NotKeyable`, and `OSError` if the
    copy cannot be read.
    """
    walk = _Walk(copy)
    own = os.path.relpath(log, tree) if log else ""
    entries = sorted(each for each in walk.below(copy, "") if each[0] != own)
    walk.look_at(told, os.path.relpath(project or copy, copy))
    is_part = any(name.startswith("..") for name in repositories)
    outside = [*_Beside(walk, tree).digests(is_part), *_ignored(copy), *(_of_cargo(copy) if walk.has_cargo else ())]
    times = {path: entry.mtime for path, entry in walk.times.items()}
    about = {
        "files": entries,
        "generated": sorted(_newer(times)),
        "beside": sorted(outside),
        "repositories": repositories,
    }
    names = {path: digest[:16] for path, _, digest in entries} | {path: digest[-16:] for path, digest in outside}
    return Source(hashlib.sha256(canonical(about)).hexdigest(), names, repositories, sorted(walk.absolute))


class _Seen(NamedTuple):
    mtime: int


class _Walk:
    """A walk through a copy, and what it has found.

    times: of files that may be generated, or be the source of such files.
    speaks_of_above: whether a file that says how to build mentions what is above the tree.
    parts: the parts of paths in such files.
    named: path and paths with `../` of each file that has any.
    absolute: the absolute paths in files (see `absolute`).
    has_cargo: whether there is a Cargo.toml; has_package: whether one is of a package that may be in a workspace.
    """

    def __init__(self, top: str) -> None:
        self.top = top
        self.times: dict[str, _Seen] = {}
        self.speaks_of_above = False
        self.parts: set[bytes] = set()
        self.named: list[tuple[str, set[bytes]]] = []
        self.absolute: set[str] = set()
        self.has_cargo = self.has_package = False
        self._outside = 0

    def look_at(self, told: Iterable[str], where: str) -> None:
        """Look for paths with `..` in texts; they begin in the directory `where`."""
        names = {name for text in told if ".." in text for name in _TOLD_ABOVE.findall(os.fsencode(text))}
        if names:
            self.speaks_of_above = self.speaks_of_above or not names.isdisjoint((b"..", b"../"))
            self.named.append((f"{where}/{_OF_CARGO}", names))

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
        says_how = absolute.SAYS_HOW.fullmatch(name)
        keeps_text = says_how or absolute.is_compiled(name)
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
        if is_inside and keeps_text:
            self.absolute.update(absolute.named_in(name, text))
        if is_inside and says_how and _is_above(text):
            self.speaks_of_above = True
            self.parts.update(part for found in _PART.findall(text) for part in found if part)
        if is_inside and name == _OF_CARGO:
            self.has_cargo = True
            self.has_package = self.has_package or not _WORKSPACE.search(text)
        if is_inside and path.endswith(_TIMED):
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
    """For each source with a generated file of the same name: which of the two is newer, for Cython also of the newest
    file that the source may include and the generated one."""
    of_parts = max((time for path, time in times.items() if path.endswith(_PARTS_OF_CYTHON)), default=0)
    for path, time in times.items():
        stem, extension = os.path.splitext(path)
        is_cython = extension in _OF_CYTHON
        if is_cython or extension in _GENERATING:
            for each in _GENERATED if is_cython else _GENERATED_BY_THEM:
                if stem + each in times:
                    made = times[stem + each]
                    parts = ["parts are newer"] if is_cython and of_parts > made else []
                    yield [_text(path), each, "newer" if time > made else "older", *parts]


def _is_above(text: bytes) -> bool:
    """Whether the `text` of a build file mentions what is above the tree."""
    if any(each.search(text) for each in _ABOVE):
        return True
    if b".parent" not in text and b"dirname" not in text:
        return False
    own = rb"|".join([_ABOVE_CURRENT, *map(re.escape, _OWN_DIRECTORY.findall(text))])
    return re.search(rb"(?<![\w.])(?:%b)\.parent\b|dirname\(\s*(?:%b)\s*\)" % (own, own), text) is not None


class _Beside:
    """What a build may read outside of `tree`, whose copy `walk` has seen."""

    def __init__(self, walk: _Walk, tree: str) -> None:
        self._walk = walk
        self._tree = tree

    def digests(self, is_part: bool) -> Iterator[list[str]]:
        """Path, from the tree on, and digest of each file, or directory (`x/`).

        `is_part` is whether the tree is a directory in a repository, whose state is in the key. Raises `NotKeyable` if
        it is too much.
        """
        done: dict[str, list[str]] = {}
        waiting = [*self._files_above(), *([] if is_part else self._workspace())]
        while waiting or self._walk.named:
            waiting += self._named()
            for path in waiting:
                if path not in done:
                    name = _text(os.path.relpath(path, self._tree)) + "/" * os.path.isdir(path)
                    done[path] = [name, self._walk.outside(path)]
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
        named = [f"{above}/{os.fsdecode(each)}" for each in self._walk.parts - {b".", b".."}]
        return [*files, *(each for each in named if each != self._tree and os.path.isdir(each))]

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


def _of_cargo(copy: str) -> Iterator[list[str]]:
    """Name and digest of the settings of cargo and rustup above `copy`."""
    for level in range(1, LEVELS + 1):
        for name in _ABOVE_CARGO:
            path = f"{'../' * level}{name}"
            with contextlib.suppress(OSError):
                yield [path, of_file(f"{copy}/{path}").hex()]


def _text(path: str) -> str:
    """A path for JSON: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
