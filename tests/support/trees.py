"""Prefixes, and what stands in them."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

STATE = "var/lib/sage-wheels"

Entry = tuple[str, int, bytes | str]
Tree = dict[str, Entry]


def make_prefix(tmp_path: str | os.PathLike[str], name: str = "prefix") -> Path:
    """A minimal virtual environment of the running interpreter, made by hand (venv takes a hundred times as long)."""
    root = Path(tmp_path) / name
    base = Path(os.path.realpath(sys.executable))
    major, minor, micro = sys.version_info[:3]
    site_packages(root).mkdir(parents=True)
    (root / "include").mkdir()
    (root / "bin").mkdir()
    (root / "bin/python").symlink_to(base)
    for alias in ("python3", f"python{major}.{minor}"):
        (root / "bin" / alias).symlink_to("python")
    (root / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {major}.{minor}.{micro}\n"
    )
    return root


def site_packages(prefix: str | os.PathLike[str]) -> Path:
    """The library directory of a prefix that `make_prefix` made."""
    return Path(prefix) / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def snapshot(prefix: str | os.PathLike[str]) -> Tree:
    """Everything in `prefix` by its path there: kind, permission bits, and content or target of a link.

    What the tool keeps for itself (`var/lib/sage-wheels`, the directories on the way there, and old files on other file
    systems that the history keeps) is left out.
    """
    tree: Tree = {}
    _enter(os.fspath(prefix), "", tree, kept_beside(prefix))
    return tree


def kept_beside(prefix: str | os.PathLike[str]) -> set[str]:
    """The names of the directories of old files that are on other file systems."""
    kept = Path(prefix) / STATE / "kept"
    return {f".sage-wheels-{each.name.partition('-')[2]}" for each in kept.iterdir()} if kept.is_dir() else set()


def _enter(root: str, below: str, tree: Tree, kept: set[str]) -> None:
    with os.scandir(f"{root}/{below}" if below else root) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if path == STATE or entry.name in kept:
                continue
            status = entry.stat(follow_symlinks=False)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                tree[path] = ("link", 0, os.readlink(entry.path))
            elif stat.S_ISDIR(status.st_mode):
                if not STATE.startswith(f"{path}/"):
                    tree[path] = ("directory", mode, "")
                _enter(root, path, tree, kept)
            elif stat.S_ISREG(status.st_mode):
                with open(entry.path, "rb") as f:
                    tree[path] = ("file", mode, f.read())
            else:
                tree[path] = ("other", mode, "")


def leftovers(prefix: str | os.PathLike[str]) -> list[str]:
    """What the tool left in its own directory and should not have: journals, stages, temporary files.

    The lock, caches, files that were set aside, the history and the old files of its entries are meant to stay.
    """
    state = Path(prefix) / STATE
    if not state.is_dir():
        return []
    lasting = ("lock", "cache", "set-aside", "stage", "history", "kept")
    found = [f"{each.name}" for each in state.iterdir() if each.name not in lasting]
    entries = set(os.listdir(state / "history")) if (state / "history").is_dir() else set()
    kept = os.listdir(state / "kept") if (state / "kept").is_dir() else []
    found += [f"kept/{name}" for name in kept if name not in entries]
    for each in ("stage", "cache"):
        if (state / each).is_dir():
            found += [f"{each}/{name}" for name in os.listdir(state / each) if not name.endswith((".json", ".stats"))]
    return sorted(found)


def set_aside(prefix: str | os.PathLike[str]) -> dict[str, bytes]:
    """The files that were set aside: their path below the directory of their transaction, and content."""
    top = Path(prefix) / STATE / "set-aside"
    if not top.is_dir():
        return {}
    found = [each for each in top.rglob("*") if not each.is_dir() or each.is_symlink()]
    return {
        each.relative_to(top).as_posix().partition("/")[2]: each.read_bytes() if not each.is_symlink() else b""
        for each in found
    }


def difference(one: Tree, other: Tree) -> list[str]:
    """What two trees differ in, for the message of a failed assertion.

    >>> difference({"a": ("file", 0o644, b"")}, {"b": ("file", 0o644, b"")})
    ['only in the first: a', 'only in the second: b']
    """
    result = [f"only in the first: {path}" for path in sorted(one.keys() - other.keys())]
    result += [f"only in the second: {path}" for path in sorted(other.keys() - one.keys())]
    return result + [f"differs: {path}" for path in sorted(one.keys() & other.keys()) if one[path] != other[path]]


def faded(tree: Tree) -> Tree:
    """`tree` without the contents of byte-code, which hold the time at which its source was written."""
    return {path: (kind, mode, "" if path.endswith(".pyc") else what) for path, (kind, mode, what) in tree.items()}
