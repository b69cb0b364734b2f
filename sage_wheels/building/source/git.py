"""Ask git about the repositories that contain a source tree, or that are in it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import stat
import subprocess

from sage_wheels import environment
from sage_wheels.building.git_variables import OF_ONE_REPOSITORY
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What git reads in each directory of a tree, and at the top before anything else.
READ_IN_EACH_DIRECTORY = (".gitignore", ".gitattributes", ".gitmodules")
# What git reads in a git directory itself, and in the directories below it.
_READ_FIRST = r"([A-Z]+_)?HEAD|config(\.worktree)?|index|packed-refs|shallow|commondir|gitdir|sharedindex\..*"
_READ_BELOW = ("info", "objects/info", "objects/pack", "refs")
_MOST_OF_GITFILE = 64 << 10  # bytes of a `.git` that is a file
_DOUBTFUL = "safe.directory"  # part of git's message about a repository of another user, in any language


class Repository(NamedTuple):
    """A worktree of a repository: its top directory, its git directory, the git directory that all worktrees share, and
    the size of an object name (bytes). Paths are absolute, with links resolved.
    """

    top: str
    git_directory: str
    common: str
    hash_size: int

    @property
    def own_is_common(self) -> bool:
        """Whether this is no linked worktree."""
        return self.git_directory == self.common

    def directories(self) -> list[str]:
        """The directories that git reads for it, with those of other repositories whose objects it uses."""
        found = [self.git_directory, self.common]
        for directory in iter(found):  # which grows
            with contextlib.suppress(OSError), open(f"{directory}/objects/info/alternates", encoding="utf-8") as f:
                more = [os.path.join(directory, "objects", line.strip()) for line in f if line.strip()]
                found += [above for each in more if (above := os.path.dirname(os.path.realpath(each))) not in found]
        return found

    def path_of(self, directory: str) -> str:
        """`directory`, which is the top or below, as the index names it; the top itself is ""."""
        return "" if directory == self.top else os.path.relpath(directory, self.top)


class Refused(Exception):
    """Git cannot be asked about a repository; the message is a sentence about it, for people."""


def refused_as_foreign(path: str) -> Refused:
    """Git does not trust the repository at `path`, because it belongs to another user."""
    return Refused(
        f"git refuses to read {path}, which belongs to another user, so the build sees nothing of git there; "
        f"'git config --global --add safe.directory {shlex.quote(path)}' allows it"
    )


def refused_for(path: str, kind: str) -> Refused:
    """Git would wait for ever for what comes from `path`, which is of that `kind`."""
    return Refused(f"git cannot read {path}, which is {kind}, so the build sees nothing of git; delete it")


def endless(path: str) -> str:
    """What there is at `path` if reading it may never end: a named pipe or a device; else "". Links are followed."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    if stat.S_ISFIFO(status.st_mode):
        return "a named pipe"
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    return "a device" if is_device and not os.path.samestat(status, os.stat(os.devnull)) else ""


class Git:
    """The git that is first on PATH, if there is one."""

    @functools.cached_property
    def _program(self) -> str | None:
        return shutil.which("git")

    @property
    def is_there(self) -> bool:
        return self._program is not None

    def around(self, tree: str) -> list[Repository]:
        """The repositories that contain `tree`, the innermost one first; the outer ones have the inner as a submodule.

        A repository that ignores the directory (for example a build directory) is left out. Raises `Refused` if git
        refuses the innermost one.
        """
        result: list[Repository] = []
        here = part = tree
        while above := _nearest_with_git(here):
            try:
                _check_files(here, above)
                found = self.at(here if self._program else above)
            except Refused:
                if not result:
                    raise
                break
            if (
                not found
                or not f"{part}/".startswith(f"{found.top}/")
                or not self._has(part, found, may_be_new=not result)
            ):
                break
            result.append(found)
            part, here = found.top, os.path.dirname(found.top)
            if here == part:
                break
        return result

    def at(self, directory: str) -> Repository | None:
        """The repository that git finds for `directory`; None if it finds none. Raises `Refused`."""
        _check_files(directory, directory)
        if not self._program:
            return read_git_directory(directory)
        done = self.run(
            ["rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--show-object-format"],
            directory,
        )
        if done.returncode:
            if _DOUBTFUL.encode() in done.stderr:
                raise refused_as_foreign(_nearest_with_git(directory) or directory)
            return None
        lines = os.fsdecode(done.stdout).splitlines()
        if len(lines) != 4:  # a path contains a line break
            above = _nearest_with_git(directory)
            return read_git_directory(above) if above else None
        top, own, common, kind = lines
        common = os.path.join(directory, common)  # it may be relative to where git ran
        return _repository(top, own, common, 32 if kind == "sha256" else 20)

    def ignored(self, repository: Repository, paths: list[bytes]) -> list[bytes]:
        """Those of `paths` (relative to the top) that the repository ignores."""
        if not self._program or not paths:
            return []
        with _only_looking(repository) as where:
            done = self.run(["check-ignore", "-z", "--stdin"], repository.top, where, given=b"\0".join(paths))
        return list(filter(None, done.stdout.split(b"\0")))

    def refresh(self, repository: Repository, index: str) -> set[bytes] | None:
        """Let git compare `index`, a copy of the repository's, with the files and write it in a form that can be read.

        Returns the names of the files that were changed, or None if git fails.
        """
        if not self._program:
            return None
        # run no hooks, and no file system monitor
        plain = [f"core.hooksPath={os.devnull}", "core.fsmonitor=false"]
        plain += ["core.splitIndex=false", "core.untrackedCache=false", "index.sparse=false"]
        settings = [part for each in plain for part in ("-c", each)]
        with _only_looking(repository) as where:
            where |= {"GIT_DIR": repository.git_directory, "GIT_WORK_TREE": repository.top, "GIT_INDEX_FILE": index}
            self.run([*settings, "update-index", "-q", "--index-version", "2", "--refresh"], repository.top, where)
            done = self.run([*settings, "diff-files", "--name-only", "-z"], repository.top, where)
        return None if done.returncode else set(filter(None, done.stdout.split(b"\0")))

    def _has(self, path: str, repository: Repository, *, may_be_new: bool) -> bool:
        """Whether the repository tracks `path` or something below; with `may_be_new`, also if it does not yet."""
        if path == repository.top:
            return True
        if not self._program:
            return may_be_new
        with _only_looking(repository) as where:
            if self.run(["--literal-pathspecs", "ls-files", "--", path], repository.top, where).stdout:
                return True
        return may_be_new and not self.ignored(repository, [os.fsencode(repository.path_of(path))])

    def run(
        self, arguments: list[str], directory: str, more: Mapping[str, str] | None = None, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        assert self._program
        environ = {
            name: value
            for name, value in environment.for_processes().items()
            if name not in OF_ONE_REPOSITORY and not name.endswith("_PATHSPECS")
        }
        # GIT_OPTIONAL_LOCKS: not even a submodule's index is written
        environ |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        return subprocess.run(
            [self._program, *arguments],
            cwd=directory,
            env=environ | dict(more or {}),
            input=given,
            capture_output=True,
            check=False,
        )


@contextlib.contextmanager
def _only_looking(repository: Repository) -> Iterator[dict[str, str]]:
    """Environment variables with which git writes no objects to `repository` (as it would for a sparse index)."""
    import tempfile

    known = [quoted(f"{repository.common}/objects"), environment.get(environment.GIT_ALTERNATE_OBJECT_DIRECTORIES)]
    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as objects:
        yield {
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(filter(None, known)),
        }


def quoted(path: str) -> str:
    """`path`, quoted for git's configuration files and lists of directories."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _nearest_with_git(directory: str) -> str | None:
    """The nearest directory, at or above `directory`, that contains `.git`."""
    while not os.path.lexists(os.path.join(directory, ".git")):
        above = os.path.dirname(directory)
        if above == directory:
            return None
        directory = above
    return directory


def _check_files(directory: str, top: str) -> None:
    """Raise `Refused` if what git reads in `directory`, or above it up to `top`, is a named pipe or a device."""
    paths = list(_unusual_files(top))
    while True:
        paths += [os.path.join(directory, name) for name in READ_IN_EACH_DIRECTORY]
        if directory == top or directory == os.path.dirname(directory):
            break
        directory = os.path.dirname(directory)
    for path in paths:
        if kind := endless(path):
            raise refused_for(path, kind)


def _unusual_files(top: str) -> Iterator[str]:
    """Of the files that git reads in the git directories of `top`, those that are not regular, among them links."""
    own = os.path.join(top, ".git")
    if not os.path.isdir(own):
        yield own
        own = _named_in(own, "gitdir:") or own
    directories = [own]
    if common := _named_in(f"{own}/commondir"):
        directories.append(common)
    for each in directories:
        yield from (path for path in _irregular(each, []) if re.fullmatch(_READ_FIRST, os.path.basename(path)))
        waiting = [os.path.join(each, name) for name in _READ_BELOW]
        while waiting:
            yield from _irregular(waiting.pop(), waiting)


def _named_in(path: str, word: str = "") -> str:
    """The directory that the small file `path` names, behind `word`; "" if it is no regular file."""
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            name = f.read(_MOST_OF_GITFILE).removeprefix(word).strip()
        return os.path.realpath(os.path.join(os.path.dirname(path), name))
    except (OSError, ValueError):
        return ""


def _irregular(directory: str, waiting: list[str]) -> Iterator[str]:
    """What is no regular file in `directory`; `waiting` gets its directories."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                yield entry.path


def read_git_directory(top: str) -> Repository | None:
    """The repository that is checked out in `top`, found by reading its files, without git; None if there is none."""
    own = os.path.join(top, ".git")
    try:
        if os.path.isfile(own):
            with open(own, encoding="utf-8", errors="surrogateescape") as f:
                own = os.path.join(top, f.read().removeprefix("gitdir:").strip())
        common = own
        with contextlib.suppress(FileNotFoundError), open(f"{own}/commondir", encoding="utf-8") as f:
            common = os.path.join(own, f.read().strip())
    except (OSError, ValueError):
        return None
    if not os.path.lexists(f"{own}/HEAD") or not os.path.isdir(f"{common}/objects"):
        return None
    return _repository(top, own, common, 20)


def _repository(top: str, own: str, common: str, hash_size: int) -> Repository:
    return Repository(os.path.realpath(top), os.path.realpath(own), os.path.realpath(common), hash_size)
