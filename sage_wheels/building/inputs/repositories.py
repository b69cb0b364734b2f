"""What a build can learn from git: the part of a repository that determines versions and lists of files.

The files of a git directory differ between equal repositories: objects are packed, and the index contains times. So
git is asked; if it is not installed, the files are read that it would read.
"""

from __future__ import annotations

import hashlib
import os

from sage_wheels.building.keyable import NotKeyable
from sage_wheels.fs import presence
from sage_wheels.fs.files import regular
from sage_wheels.store.results import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from sage_wheels.building.source.git import Git, Repository

_MOST_CHANGED = 2000  # files that are not committed, outside of the tree
_REFS = ["for-each-ref", "--format=%(refname) %(objectname) %(*objectname) %(symref)"]
_STATUS = ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none"]


def states(
    repositories: Mapping[str, Repository], git: Git, tree: str, left_out: Collection[str] = ()
) -> dict[str, Any]:
    """The state of each of `repositories`, which contain `tree` or are in it; `left_out` are paths in `tree` that the
    build does not see.

    Raises `NotKeyable`, and `OSError` if a file cannot be read.
    """
    hidden = tuple(f"{tree}/{each}/" for each in left_out)
    return {name: _state(each, git, tree, hidden) for name, each in sorted(repositories.items())}


def _state(repository: Repository, git: Git, tree: str, hidden: tuple[str, ...]) -> dict[str, str]:
    own, common = repository.git_directory, repository.common
    result = {
        "head": _read(f"{own}/HEAD").decode(errors="replace").strip(),
        "shallow": _digest(_read(f"{common}/shallow")),
        "config": _digest(_read(f"{common}/config") + b"\0" + _read(f"{own}/config.worktree")),
        "info": _digest(canonical([_digest(_read(f"{common}/info/{name}")) for name in ("attributes", "exclude")])),
        "operation": " ".join(name for name in ("MERGE_HEAD", "rebase-merge") if os.path.lexists(f"{own}/{name}")),
    }
    if not git.is_there:
        found = [_files_below(each) for each in (f"{common}/refs", f"{common}/reftable", f"{own}/reftable")]
        result["refs"] = _digest(canonical(found) + _read(f"{common}/packed-refs"))
        return result
    if os.path.isdir(f"{own}/reftable"):  # then HEAD is there, and the file says nothing
        result["head"] = git.run(["symbolic-ref", "-q", "HEAD"], repository.top).stdout.decode(errors="replace").strip()
    result["refs"] = _digest(_asked(git, _REFS, repository))
    result["commit"] = git.run(["rev-parse", "-q", "--verify", "HEAD"], repository.top).stdout.decode().strip()
    result["index"] = _digest(_asked(git, ["ls-files", "--stage", "-z"], repository))
    status = _without_untracked(_asked(git, _STATUS, repository), repository.top, hidden)
    result["status"] = _digest(status)
    result["changed"] = _changed_outside(repository, status, tree)
    return result


def _asked(git: Git, arguments: list[str], repository: Repository) -> bytes:
    done = git.run(["-c", "core.fsmonitor=false", *arguments], repository.top)
    if done.returncode:
        raise NotKeyable(f"git cannot list what is in {repository.top}")
    return done.stdout


def _without_untracked(status: bytes, top: str, hidden: tuple[str, ...]) -> bytes:
    """The output of git status without the files that git does not track and that are `hidden`, or in such a path."""
    lines = status.split(b"\0")
    return b"\0".join(
        each for each in lines if not (each.startswith(b"?? ") and f"{top}/{os.fsdecode(each[3:])}/".startswith(hidden))
    )


def _changed_outside(repository: Repository, status: bytes, tree: str) -> str:
    """The digest of files that are not committed and not in `tree` (the files of `tree` are in the key anyway)."""
    names = []
    fields = iter(status.split(b"\0"))
    for field in fields:
        if len(field) < 4:
            continue
        if field[0:1] in b"RC":
            next(fields, None)  # the old name
        path = os.path.join(repository.top, os.fsdecode(field[3:]))
        is_log = path.endswith(".log") and field.startswith(b"??")  # of a build, perhaps of this one
        if not f"{path}/".startswith(f"{tree}/") and not is_log and not path.endswith("/"):
            names.append(path)
    if len(names) > _MOST_CHANGED:
        raise NotKeyable(f"more than {_MOST_CHANGED} files of {repository.top} are not committed")
    return _digest(canonical([(_digest(os.fsencode(path)), *_seen(path)) for path in sorted(names)]))


def _seen(path: str) -> tuple[str, bool]:
    """The digest of what git would keep of a file or link, and whether it is a program."""
    if os.path.islink(path):
        return _digest(os.fsencode(os.readlink(path))), False
    return _digest(_read(path)), os.access(path, os.X_OK)


def _files_below(directory: str) -> list[tuple[str, str]]:
    found = []
    for here, names in presence.files_below(directory):
        found += [
            (os.path.relpath(os.path.join(here, name), directory), _digest(_read(os.path.join(here, name))))
            for name in names
        ]
    return sorted(found)


def _read(path: str) -> bytes:
    """The content of a file; b"" if it does not exist, or is a directory. Raises `OSError` if it cannot be read."""
    try:
        with open(path, "rb", opener=regular) as f:
            return f.read()
    except OSError:
        if presence.leads_somewhere(path) and not presence.is_directory(path):
            raise
        return b""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
