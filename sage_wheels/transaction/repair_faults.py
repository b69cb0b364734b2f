"""Find what `repair` has to do: files that are missing or changed, and what a killed installer has left."""

from __future__ import annotations

import os
import re

from sage_wheels.fs import presence
from sage_wheels.installed import files, find_all
from sage_wheels.installed.distributions import libraries, read_text
from sage_wheels.installed.owners import Owners
from sage_wheels.installed.settled import verify_settled
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.paths import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_wheels.installed import Distribution
    from sage_wheels.installed.record import Row
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath

_INSTALLERS = ("", "pip", "uv", "sage-wheels")


class Fault(NamedTuple):
    """A full path that is not as it should be. `distribution` is its owner ("" if it has none). `state` is as in
    `verify`, or "left" for what a killed installer has left. `source` is where the new content came from; if it is "",
    nothing was done, and `problem` says why."""

    distribution: str
    state: str
    path: str
    source: str = ""
    problem: str = ""


class FileToRestore(NamedTuple):
    """A file that is to be restored: its owner, its state, and its row in RECORD."""

    distribution: Distribution
    state: str
    row: Row


def find_faults(
    prefix: Prefix, names: frozenset[str] | None, say: Callable[[str], None]
) -> tuple[dict[PrefixPath, FileToRestore], list[Fault]]:
    """The files to restore, by path; and the faults that cannot be repaired. Raises what `verify_settled` raises."""
    wanted: dict[PrefixPath, FileToRestore] = {}
    faults: list[Fault] = []
    owners = Owners(prefix, find_all(prefix))
    for finding in verify_settled(prefix, names, say):
        distribution = finding.distribution
        name = str(distribution)
        if finding.unknown:
            faults.append(Fault(name, "unknown", prefix.path(distribution.path), "", str(finding.unknown)))
            continue
        rows = files.owned(prefix, distribution).rows
        for problem in finding.problems:
            if problem.state in ("dead", "unreadable"):
                why = "its Python is not there: install it again" if problem.state == "dead" else "it cannot be read"
                faults.append(Fault(name, problem.state, problem.path, "", why))
            if problem.state not in ("missing", "changed"):
                continue
            path = plain(problem.path[len(prefix.root) + 1 :])
            others = [each for each in owners.owners(path) if each != distribution]
            if os.path.isdir(problem.path) and not os.path.islink(problem.path):
                faults.append(Fault(name, problem.state, problem.path, "", "a directory is there"))
            elif mine := [each for each in others if _is_as_in(prefix, owners, each, path)]:
                why = f"it is as {mine[0]} has installed it"
                faults.append(Fault(name, problem.state, problem.path, "", why))
            elif path in rows and files.has_hash(rows[path]):
                wanted[path] = FileToRestore(distribution, problem.state, rows[path])
            else:
                faults.append(Fault(name, problem.state, problem.path, "", "RECORD has no hash of it"))
    return wanted, faults


def _is_as_in(prefix: Prefix, owners: Owners, owner: Distribution, path: PrefixPath) -> bool:
    row = owners.claims(owner).rows.get(path)
    return row is not None and files.has_hash(row) and files.state_of(prefix, path, row) == "same"


def left_behind(prefix: Prefix, names: frozenset[str] | None) -> list[PrefixPath]:
    """What a killed pip has left: directories `~ame`, to which it renames what it removes, and `.dist-info` directories
    without a RECORD."""
    found: list[PrefixPath] = []
    for library in libraries(prefix) if names is None else ():
        if presence.is_directory(prefix.path(library)):
            renamed = (name for name in os.listdir(prefix.path(library)) if re.fullmatch(r"~[^~].*", name))
            found += [plain(f"{library}/{name}") for name in sorted(renamed)]
    for each in find_all(prefix):
        if each.kind != ".dist-info" or (names is not None and each.canonical_name not in names):
            continue
        installer = (read_text(prefix, f"{each.path}/INSTALLER") or "").strip()
        if installer in _INSTALLERS and not os.path.lexists(prefix.path(f"{each.path}/RECORD")):
            found.append(plain(each.path))
    return found
