"""Make a git directory for the copy of a source tree, so that git sees the same commit and the same changes there.

HEAD and the index in it are copies; everything else is a link to the repository, and `commondir`
(gitrepository-layout(5)) points to it, as in a linked worktree. So nothing large is copied, and the index of the
repository is not changed when git runs in the copy.

In the index of the copy, files that are unchanged in the tree get the stat that they have in the copy. So even plumbing
commands such as `git diff-index`, which only compare the stat, call them unchanged. Files that are not in the copy,
because they are outside the tree or cannot be read, are marked "skip worktree", unless they were changed in the tree.

If git is not installed, the copied index is not changed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import stat
import subprocess
from typing import NamedTuple

from sage_wheels import environment
from sage_wheels.building.git_variables import OF_ONE_REPOSITORY
from sage_wheels.building.source import git_index
from sage_wheels.fs import presence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# What the worktrees of a repository share (gitrepository-layout(5)).
_SHARED = ("branches", "config", "description", "hooks", "objects", "packed-refs", "refs", "remotes", "shallow", "svn")
# What each worktree has for itself, or what points to the real directory.
_NOT_TAKEN = re.compile(r"commondir|gitdir|index|info|locked|logs|sharedindex\..*|worktrees|.*\.lock|.*\.pid")
# What git reads in each directory of a tree, and at the top before anything else.
READ_IN_EACH_DIRECTORY = (".gitignore", ".gitattributes")
_READ_FIRST = ("HEAD", "config", "index", "packed-refs", "info/exclude", "info/attributes")
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


def refused_for_pipe(path: str) -> Refused:
    """Git would wait for ever for somebody to write to the named pipe at `path`."""
    return Refused(f"git cannot read {path}, which is a named pipe, so the build sees nothing of git; delete it")


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

    known = [_quoted(f"{repository.common}/objects"), environment.get(environment.GIT_ALTERNATE_OBJECT_DIRECTORIES)]
    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as objects:
        yield {
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(filter(None, known)),
        }


def _quoted(path: str) -> str:
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
    """Raise `Refused` if one of the files that git reads in `directory`, or above it up to `top`, is a named pipe."""
    paths = [f"{top}/.git/{name}" for name in _READ_FIRST]
    while True:
        paths += [os.path.join(directory, name) for name in READ_IN_EACH_DIRECTORY]
        if directory == top or directory == os.path.dirname(directory):
            break
        directory = os.path.dirname(directory)
    for path in paths:
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.stat(path).st_mode):
                raise refused_for_pipe(path)


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


def make_git_directory(
    git: Git,
    repository: Repository,
    *,
    top: str,
    tree: str,
    beside: Iterable[str],
    bring: Callable[[str], None],
    seen: Callable[[str], str] = str,
) -> None:
    """Give the copy of (a part of) `repository` whose root is `top` a git directory of its own.

    Of the repository, `tree` was copied, a directory in it or its top; `beside` are the directories of the repository
    for which there are links, relative to the top. `bring` copies a path below the tree that is not there yet; `seen`
    says at which path a build sees one in the copy. Raises `OSError` if it cannot be written.
    """
    directory = f"{top}/.git"
    os.mkdir(directory)
    is_whole = tree == repository.top  # else it needs an info/exclude of its own, which git looks for in the commondir
    _link_what_is_shared(repository, directory, own_exclude=not is_whole)
    with open(f"{directory}/commondir", "w", encoding="utf-8", errors="surrogateescape") as f:
        f.write(f"{repository.common if is_whole else _own_commondir(repository, directory)}\n")
    _write_worktree_settings(directory, seen(top))
    index = f"{directory}/index"
    if not _copy_file(f"{repository.git_directory}/index", index):
        if not is_whole:
            _exclude(repository, directory, [])
        return
    changed = git.refresh(repository, index)
    parsed = _parse(index, repository.hash_size) if changed is not None else None
    if not is_whole:
        _exclude(repository, directory, _not_to_be_listed(git, repository, list(beside), parsed))
    if changed is None or parsed is None:
        return
    below = os.fsencode(repository.path_of(tree))
    within = below + b"/" if below else b""
    entries = []
    for entry in parsed.entries:
        if entry.name == below or entry.name.startswith(within):
            entries.append(_of_copied(entry, repository.top, top, len(within), changed, bring))
        else:
            entries.append(entry if entry.name in changed else entry.not_looked_at())
    _rewrite(index, git_index.assemble(parsed._replace(entries=entries)))


def _of_copied(
    entry: git_index.Entry, original: str, top: str, start: int, changed: set[bytes], bring: Callable[[str], None]
) -> git_index.Entry:
    """The entry of something that the copy should have, whose root is `top`; that of the repository is `original`."""
    if entry.is_submodule:
        return entry
    path = os.path.join(top, os.fsdecode(entry.name))
    copied = presence.lstat(path)
    if copied is None:
        bring(os.fsdecode(entry.name[start:]))
        copied = presence.lstat(path)
    if entry.name in changed:
        return entry
    if copied is None:
        return entry.not_looked_at()
    file = presence.lstat(os.path.join(original, os.fsdecode(entry.name)))
    is_what_git_saw = file and (file.st_size, file.st_mtime_ns) == (copied.st_size, copied.st_mtime_ns)
    return entry.seen_as(copied) if is_what_git_saw else entry


def _link_what_is_shared(repository: Repository, directory: str, *, own_exclude: bool) -> None:
    """Link what the worktrees of `repository` share, for programs that read it directly; copy its own files."""
    own, common = repository.git_directory, repository.common
    for name in _SHARED:
        if os.path.lexists(f"{common}/{name}"):
            os.symlink(f"{common}/{name}", f"{directory}/{name}")
    if own_exclude:
        os.mkdir(f"{directory}/info")
        for source in (f"{own}/info", f"{common}/info"):
            _link_all(source, f"{directory}/info", but="exclude")
    elif os.path.lexists(f"{own}/info"):
        os.symlink(f"{own}/info", f"{directory}/info")
    with os.scandir(own) as entries:
        for entry in entries:
            destination = f"{directory}/{entry.name}"
            if _NOT_TAKEN.fullmatch(entry.name) or os.path.lexists(destination):
                continue
            if entry.name == "HEAD" and entry.is_symlink():
                os.symlink(os.readlink(entry.path), destination)  # of the oldest kind, to refs/heads/NAME
            elif entry.is_file():
                _copy_file(entry.path, destination)
            elif entry.is_dir():
                os.symlink(entry.path, destination)


def _own_commondir(repository: Repository, directory: str) -> str:
    """The commondir of a copy that has an info/exclude of its own: the git directory itself, unless the references of
    the worktree and those of all worktrees are two stacks of reftables, each in the directory `reftable` of its own."""
    if repository.own_is_common or not os.path.isdir(f"{repository.common}/reftable"):
        return "."
    os.mkdir(f"{directory}/common")
    os.symlink("../info", f"{directory}/common/info")
    for name in (*_SHARED, "reftable"):
        if os.path.lexists(f"{repository.common}/{name}"):
            os.symlink(f"{repository.common}/{name}", f"{directory}/common/{name}")
    return "common"


def _link_all(source: str, destination: str, *, but: str) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for name in os.listdir(source):
            if name != but and not os.path.lexists(f"{destination}/{name}"):
                os.symlink(f"{source}/{name}", f"{destination}/{name}")


def _write_worktree_settings(directory: str, top: str) -> None:
    """Write the settings of the copy, which count with extensions.worktreeConfig: there the repository's own settings
    may name the original checkout. In a sparse checkout, allow unexpected files beside the tree, and write no objects.
    """
    with open(f"{directory}/config.worktree", "a", encoding="utf-8", errors="surrogateescape") as f:
        f.write(f"\n[core]\n\tbare = false\n\tworktree = {_quoted(top)}\n")
        f.write("[sparse]\n\texpectFilesOutsideOfPatterns = true\n[index]\n\tsparse = false\n")


def _parse(index: str, hash_size: int) -> git_index.Index | None:
    with open(index, "rb") as f:
        try:
            return git_index.parse(f.read(), hash_size)
        except ValueError:
            return None


def _not_to_be_listed(
    git: Git, repository: Repository, beside: list[str], index: git_index.Index | None
) -> list[bytes]:
    """The links among `beside` that git would list as untracked, although it tracks or ignores those directories."""
    names = [os.fsencode(each) for each in beside]
    if index is None:
        return names
    tracked = set()
    for entry in index.entries:
        name = entry.name
        while slash := name.rfind(b"/") + 1:
            name = name[: slash - 1]
            if name in tracked:
                break
            tracked.add(name)
    rest = [name for name in names if name not in tracked]
    return [name for name in names if name in tracked] + git.ignored(repository, rest)


def _exclude(repository: Repository, directory: str, names: list[bytes]) -> None:
    """Write info/exclude of the copy: that of the repository, and `names`, relative to its top (gitignore(5))."""
    known = b""
    with contextlib.suppress(OSError), open(f"{repository.common}/info/exclude", "rb") as f:
        known = f.read() + b"\n"
    lines = [b"/" + re.sub(rb"([\\*?\[ ])", rb"\\\1", name) + b"\n" for name in names if b"\n" not in name]
    with open(f"{directory}/info/exclude", "wb") as f:
        f.write(known + b"".join(lines))


def _copy_file(source: str, destination: str) -> bool:
    """Copy a small file with its time, which git compares with those of files; False if it does not exist."""
    try:
        with open(source, "rb") as f:
            data, status = f.read(), os.fstat(f.fileno())
    except OSError:
        return False
    with open(destination, "wb") as f:
        f.write(data)
    os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.chmod(destination, stat.S_IMODE(status.st_mode) | stat.S_IRUSR | stat.S_IWUSR)
    return True


def _rewrite(path: str, data: bytes) -> None:
    """Rewrite a file and keep its time, so that git still checks files that were changed at that very time."""
    status = os.stat(path)
    with open(path, "wb") as f:
        f.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
