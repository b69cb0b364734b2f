"""Find the contents of files for `repair`: in the history, in wheels, or by making them again.

They are written into `new/` of the stage, with the same directories as in the prefix. A content that does not have the
hash in RECORD is not used.
"""

from __future__ import annotations

import os
import shutil
import stat

from sage_wheels.errors import SageWheelsError
from sage_wheels.fs.paths import full
from sage_wheels.installed import files
from sage_wheels.prefix.paths import plain
from sage_wheels.transaction import history, kept
from sage_wheels.wheel import codes
from sage_wheels.wheel.image import Request, write_images
from sage_wheels.wheel.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed import Distribution
    from sage_wheels.installed.record import Row
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction.history import FindWheels
    from sage_wheels.transaction.repair_faults import FileToRestore
    from sage_wheels.transaction.stage import Stage

# What installers write into INSTALLER and REQUESTED.
_SMALL = (b"", b"pip\n", b"pip", b"uv", b"uv\n", b"sage-wheels\n")


def put_together(
    prefix: Prefix, own: Stage, wanted: dict[PrefixPath, FileToRestore], wheels: FindWheels, limits: WheelLimits | None
) -> dict[PrefixPath, str]:
    """Write the `wanted` files into the stage, as far as they can be found. Returns where each content came from.

    With a source, the byte-code that RECORD lists is written, too. Raises `OSError`.
    """
    os.mkdir(f"{own.path}/new")
    sources = _from_history(prefix, own, wanted)
    for path in wanted.keys() - sources.keys():
        if (content := _small(path, wanted[path].row, own)) is not None:
            sources[path] = content
    sources.update(_from_wheels(prefix, own, wanted, sources, wheels, limits))
    _compile(prefix, own, wanted, sources)
    return sources


def _fits(tree: FullPath, path: PrefixPath, row: Row, prefix: Prefix) -> bool:
    """Whether the file at `path` in the directory `tree` has size and hash as in `row`."""
    return files.state_of(prefix._replace(root=tree), path, row) == "same"


def _target(own: Stage, path: PrefixPath) -> str:
    target = f"{own.path}/new/{path}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return target


def _from_history(prefix: Prefix, own: Stage, wanted: dict[PrefixPath, FileToRestore]) -> dict[PrefixPath, str]:
    """Copy `wanted` files that the history keeps into the stage. Returns the entry from which each came."""
    found: dict[PrefixPath, str] = {}
    numbers = [each.number for each in kept.everything(own.tree)] if wanted else []
    for entry in history.entries(own.tree, range(min(numbers), max(numbers) + 1)) if numbers else ():
        if not entry.kept or entry.journal is None:
            continue
        for step in entry.journal.steps:
            gone = step.staged if step.do == "exchange" else step.backup
            if not gone.startswith(f"{entry.stage}/"):
                continue
            old = f"{entry.kept}/{gone[len(entry.stage) + 1 :]}"
            for path in wanted.keys() - found.keys():
                if path != step.path and not path.startswith(f"{step.path}/"):
                    continue
                here = plain(old + path[len(step.path) :])
                if _is_file(own.tree, here):
                    shutil.copy2(prefix.path(here), _target(own, path), follow_symlinks=False)
                    if _fits(full(f"{own.path}/new"), path, wanted[path].row, prefix):
                        found[path] = f"number {entry.number} of the history"
                    else:
                        os.unlink(_target(own, path))
    return found


def _is_file(tree: Tree, path: PrefixPath) -> bool:
    status = tree.lstat(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def _small(path: PrefixPath, row: Row, own: Stage) -> str | None:
    """Write INSTALLER or REQUESTED, if `row` has the hash of a content that an installer writes.

    Returns how it was made; None if it was not written.
    """
    if path.rpartition("/")[2] not in ("INSTALLER", "REQUESTED"):
        return None
    import hashlib

    from sage_wheels.installed.record import encode

    algorithm, _, digest = row.digest.partition("=")
    for content in _SMALL:
        if encode(algorithm, hashlib.new(algorithm, content).digest()) == f"{algorithm}={digest.rstrip('=')}":
            with open(_target(own, path), "wb") as f:
                f.write(content)
            return "made anew"
    return None


def _from_wheels(
    prefix: Prefix,
    own: Stage,
    wanted: dict[PrefixPath, FileToRestore],
    found: dict[PrefixPath, str],
    wheels: FindWheels,
    limits: WheelLimits | None,
) -> dict[PrefixPath, str]:
    """Unpack wheels, and move `wanted` files from there into the stage. Returns the wheel from which each came."""
    sources: dict[PrefixPath, str] = {}
    waiting: dict[Distribution, list[PrefixPath]] = {}
    for destination, each in wanted.items():
        if destination not in found:
            waiting.setdefault(each.distribution, []).append(destination)
    told = history.told_of(own.tree, {each.canonical_name: each.version for each in waiting}) if waiting else {}
    for distribution, destinations in waiting.items():
        for path in wheels(distribution.name, distribution.version, told.get(distribution.canonical_name, [])):
            tree = full(f"{own.path}/image")
            try:
                with Wheel(path, limits) as wheel:
                    if wheel.canonical_name == distribution.canonical_name:
                        write_images([Request(wheel)], prefix, tree, compile_bytecode=False)
            except SageWheelsError:
                pass  # another wheel may do; files that are not found in any are reported
            for destination in [each for each in destinations if each not in sources]:
                if _fits(tree, destination, wanted[destination].row, prefix):
                    os.rename(f"{tree}/{destination}", _target(own, destination))
                    sources[destination] = path
            if os.path.isdir(tree):
                shutil.rmtree(tree)
            if all(destination in sources for destination in destinations):
                break
    return sources


def _compile(
    prefix: Prefix, own: Stage, wanted: dict[PrefixPath, FileToRestore], sources: dict[PrefixPath, str]
) -> None:
    """Compile the byte-code of the new sources, if RECORD lists it: the old byte-code may be that of other contents."""
    new = [path for path in sources if path.endswith(".py")]
    if not new:
        return
    codes.run_compiler(prefix, f"{own.path}/new", {path: prefix.path(path) for path in new})
    listed: set[PrefixPath] = set()
    for distribution in {wanted[path].distribution for path in new}:
        listed |= files.owned(prefix, distribution).rows.keys()
    for found, _ in list(_below(f"{own.path}/new")):
        path = plain(found)
        if files.source_of_bytecode(path) and path not in listed:
            os.unlink(f"{own.path}/new/{path}")
        elif files.source_of_bytecode(path):
            sources.setdefault(path, "made anew")


def _below(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for directory, _, names in os.walk(top):
        with os.scandir(directory) as scan:
            for entry in scan:
                if entry.name in names:
                    yield os.path.relpath(entry.path, top), entry
