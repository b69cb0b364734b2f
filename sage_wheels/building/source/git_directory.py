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
import os
import re
import stat

from sage_wheels.building.source import git_index
from sage_wheels.building.source.git import quoted
from sage_wheels.fs import presence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sage_wheels.building.source.git import Git, Repository

# What the worktrees of a repository share (gitrepository-layout(5)).
_SHARED = ("branches", "config", "description", "hooks", "objects", "packed-refs", "refs", "remotes", "shallow", "svn")
# What each worktree has for itself, or what points to the real directory.
_NOT_TAKEN = re.compile(r"commondir|gitdir|index|info|locked|logs|sharedindex\..*|worktrees|.*\.lock|.*\.pid")


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
        f.write(f"\n[core]\n\tbare = false\n\tworktree = {quoted(top)}\n")
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
    lines = [b"/" + re.sub(rb"([\\*?\[ ])", rb"\\\1", name) for name in names]
    # a line cannot have a line break in it, so any other character is excluded there, too
    lines = [re.sub(rb"[\r\n]", b"?", line) + b"\n" for line in lines]
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
