"""Git's part of build/overlay: what it has of a tree, what it is told to ignore, and what is taken out of its index.

For overlay.py, which runs with nothing but the standard library of Python 3.10.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess

from scripts import is_ours, speaks_of_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path
    from typing import Any

# Files that make git ignore what is added beside them, and themselves; so `git checkout` may put a tracked file there.
IGNORING = ("build/bin/.gitignore", "build/lib/.gitignore")
IGNORING_ALL = "*\n"  # neither stash -u nor clean nor add takes it


class Refused(Exception):
    """Nothing was changed; the message is one sentence that says why."""


def in_git(root: Path, path: str) -> bytes | None:
    """The genuine text that git has at `path` in the tree at `root`; None where it has none, or there is no git.

    That is what is in its index or, after a conflict or if that has our lines (`git stash pop` adds them), what is
    checked out. Raises `Refused` as `run_git`.
    """
    for place in (":0", ":2", "HEAD"):
        text = run_git(root, "show", f"{place}:./{path}")
        if text is not None and not is_ours(path, text):
            return text
    return None


def is_in_git(root: Path) -> bool:
    return in_git(root, "build/bin/sage-spkg") is not None


def run_git(root: Path, *arguments: str) -> bytes | None:
    """What git prints in the tree at `root`; None if it fails, or there is no git.

    If the tree belongs to another user, git is run as that user, because it may run what the tree's configuration
    names. Raises `Refused` if that is impossible.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    owner = root.stat()
    as_owner: dict[str, Any] = {}
    if os.geteuid() == 0 != owner.st_uid:
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        environment |= {"HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull}
    environment["LC_ALL"] = "C"
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, env=environment, capture_output=True, check=False, **as_owner
        )
    except OSError:
        return None
    if b"dubious ownership" in done.stderr:
        raise Refused(
            f"git does not read {root}, which belongs to another user; run this as that user, or run first:"
            f" {shlex.join(['git', 'config', '--global', '--add', 'safe.directory', str(root)])}"
        )
    return done.stdout if done.returncode == 0 else None


def unstage(root: Path, replaced: Collection[str], added: Collection[str]) -> None:
    """Take out of git's index what is ours there, also as one side of a conflict: `git stash pop` adds it."""
    paths = [*replaced, *added]
    changed = run_git(root, "diff", "--cached", "--name-only", "--no-renames", "-z", "--relative", "--", *paths)
    ours = []
    for path in sorted({os.fsdecode(each) for each in (changed or b"").split(b"\0") if each}):
        texts = [run_git(root, "show", f"{place}:./{path}") or b"" for place in (":0", ":3")]
        if any(is_ours(path, text) or (path in added and speaks_of_us(text)) for text in texts):
            ours.append(path)
    if ours:
        run_git(root, "reset", "-q", "--", *ours)


def git_command(root: Path, *arguments: str) -> str:
    return shlex.join(["git", "-C", str(root), *arguments])


def ignoring(path: str, added: Iterable[str]) -> str:
    """The text of the file of `IGNORING` at `path`, for the paths `added` to the tree."""
    directory = os.path.dirname(path)
    names = [path, *(each for each in added if os.path.dirname(each) == directory)]
    lines = ["# what sage-wheels (build/overlay) has added", *(f"/{os.path.basename(each)}" for each in names)]
    return "\n".join([*lines, ""])


def has_conflict(text: bytes) -> bool:
    """Whether git has left a conflict in `text`."""
    return re.search(rb"^(<<<<<<<|>>>>>>>) ", text, re.MULTILINE) is not None
