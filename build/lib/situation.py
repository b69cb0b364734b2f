"""What is at the path of each file that build/overlay has replaced or added: ours, the genuine one, or another.

For overlay.py, which runs with nothing but the standard library of Python 3.10.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from repository import Refused, in_git, is_in_git, run_git
from scripts import ADDED_IF_MISSING, REPLACED, has_our_lines, is_ours

HOME = "build/sage-wheels"
LIST = f"{HOME}/overlay.json"
GENUINE = f"{HOME}/genuine"


class State(NamedTuple):
    """What overlay.json says: the hash of each file of ours, by its path, and the directories made for them."""

    replaced: dict[str, str]
    added: dict[str, str]
    made_directories: list[str]

    @classmethod
    def of(cls, root: Path) -> State | None:
        """The state of the tree at `root`; None if it has no overlay.json. Raises `Refused` if that is damaged."""
        try:
            content = json.loads((root / LIST).read_text())
            return cls(content["replaced"], content["added"], content["made_directories"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise Refused(
                f"{root / LIST} is damaged; put it back, or move the files in {root / GENUINE} back to their paths"
                f" by hand, and delete {root / HOME}"
            ) from None


def kind_of(root: Path, path: str, state: State) -> str:
    """What is at `path`: "ours", "missing", "edited", or "genuine", which includes what git has put there.

    "merged": git has merged our lines into the script of another release, as `git stash pop` does.
    """
    if not os.path.lexists(root / path):
        was_there = path in state.added or is_kept(root, path)
        git_took_it = path in state.replaced and in_git(root, path) is None and is_in_git(root)
        return "missing" if was_there and not git_took_it else "genuine"
    try:
        text = (root / path).read_bytes()
    except OSError:
        text = b""  # a dangling symbolic link
    if hash_of(text) == {**state.added, **state.replaced}[path]:
        return "ours"
    if path in state.replaced and (not is_kept(root, path) or _is_kept_text(root, path, text)):
        return "genuine"  # it was never replaced, or is back
    text_in_git = in_git(root, path)
    return "genuine" if text_in_git == text else "merged" if has_our_lines(path, text, text_in_git) else "edited"


def genuine_text(root: Path, path: str, state: State | None) -> bytes | None:
    """The content of the genuine file: at `path`, or in `GENUINE` if ours is at `path`; None if there is none.

    Raises `OSError` if it cannot be read.
    """
    found, kept = root / path, root / GENUINE / path
    if state is None and path in ADDED_IF_MISSING and found.is_file() and is_ours(path, found.read_bytes()):
        return None  # git does not know it, so it stayed when the rest was taken out by hand
    what = kind_of(root, path, state) if state and path in {**state.added, **state.replaced} else "genuine"
    if what == "merged":
        return in_git(root, path)
    if what == "ours" and went_with_its_release(root, path):
        return None
    if state and what in ("ours", "missing") and (path in state.added or is_kept(root, path)):
        found = found.parent / kept.readlink() if kept.is_symlink() else kept
    try:
        return found.read_bytes()
    except FileNotFoundError:
        return None


def has_to_come_back(root: Path, path: str, state: State) -> bool:
    """Whether to put the kept file back to `path`: also if the same content is there already, to restore its time."""
    if kind_of(root, path, state) in ("ours", "missing"):
        return True
    return os.path.lexists(root / path) and _is_kept_text(root, path, (root / path).read_bytes())


def went_with_its_release(root: Path, path: str) -> bool:
    """Whether the release that is checked out has no such script, and git has the one that was kept."""
    optional = any(entry.path == path and entry.optional for entry in REPLACED)
    if not optional or not is_kept(root, path) or in_git(root, path) is not None or not is_in_git(root):
        return False
    kept = run_git(root, "hash-object", "--no-filters", f"{GENUINE}/{path}")
    return kept is not None and run_git(root, "cat-file", "-e", kept.decode().strip()) is not None


def is_of_another_release(root: Path, path: str) -> bool:
    """Whether the script that was kept differs from that of the release that is checked out."""
    text_in_git = in_git(root, path) if is_kept(root, path) else None
    return text_in_git is not None and not _is_kept_text(root, path, text_in_git)


def is_kept(root: Path, path: str) -> bool:
    return os.path.lexists(root / GENUINE / path)  # a relative symbolic link may be dangling in this directory


def _is_kept_text(root: Path, path: str, text: bytes) -> bool:
    kept = root / GENUINE / path
    if os.path.lexists(root / path) and os.path.samestat(kept.lstat(), (root / path).lstat()):
        return True
    try:
        return ((root / path).parent / kept.readlink() if kept.is_symlink() else kept).read_bytes() == text
    except OSError:
        return False


def hash_of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
