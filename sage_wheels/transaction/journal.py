"""The journal: what a transaction is about to do, written before it does it, so that it can be undone.

A step is one or two renames. Every step can tell from what is on the disk whether it was taken, so no progress is
recorded, and both doing and undoing can be stopped at any instant and begun again. The table, with S the staged path,
P the path in the prefix, B the path that keeps what stood there:

    step       not taken                 half-way                    taken
    place      S there                                               S gone              S -> P
    replace    B not there               B is the inode of P         B is another inode  link P B; S -> P
    exchange   S is what it was                                      P is what S was     S <-> P
    swap       S there, B not            S and B there, P not        S gone              P -> B; S -> P
    remove     P there, B not                                        B there             P -> B
    rmdir      P there                                               P gone              rmdir P

`replace` is for a file over a file, `exchange` for a directory; `swap` does what `exchange` does where the file system
cannot. A `place` never overwrites. Paths are relative to the prefix.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import zlib
from typing import NamedTuple

from sage_wheels.errors import JournalDamaged
from sage_wheels.prefix import filesystem, presence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1


class Step(NamedTuple):
    """One step. `inode` and `time` (of the last change, ns) tell S from P for `exchange`; `mode` is P's for `rmdir`."""

    do: str
    path: str
    staged: str = ""
    backup: str = ""
    inode: int = 0
    time: int = 0
    mode: int = 0


class Journal(NamedTuple):
    """The steps of one transaction, and the directory of its stage; paths relative to the prefix.

    `durable` is whether undoing has to survive the loss of power, too.
    """

    stage: str
    steps: list[Step]
    durable: bool = False

    def to_bytes(self) -> bytes:
        body = json.dumps({"format": FORMAT, **self._asdict()}).encode()
        return b"%08x %d\n%s" % (zlib.crc32(body), len(body), body)


def from_bytes(data: bytes) -> Journal:
    """Read a journal. Raises `ValueError` saying what is wrong with it.

    >>> from_bytes(Journal("var/stage", [Step("rmdir", "lib/x")]).to_bytes()).steps[0].path
    'lib/x'
    """
    head, newline, body = data.partition(b"\n")
    if not newline or head != b"%08x %d" % (zlib.crc32(body), len(body)):
        raise ValueError("its check sum is wrong")
    try:
        content: Any = json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested without end") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError("it is of another version of sage-wheels")
    try:
        steps = [Step(*fields) for fields in content["steps"]]
        stage, durable = content["stage"], content["durable"] is True
    except (KeyError, TypeError) as error:
        raise ValueError("it does not hold what a journal holds") from error
    paths = [stage, *(path for step in steps for path in step[1:4])]
    if not all(isinstance(path, str) and _is_plain(path) for path in paths):
        raise ValueError("it names a path outside the prefix")
    known = all(isinstance(step.do, str) and step.do in _UNDO for step in steps)
    if not known or not all(isinstance(each, int) for step in steps for each in step[4:]):
        raise ValueError("it has a step that is not known")
    return Journal(stage, steps, durable)


def _is_plain(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/") and "\0" not in path


def keep_replaced(root: str, steps: list[Step]) -> bool:
    """Do the first half of every `replace`; whether there was any.

    If power is lost, the second half may have reached the disk and the first one not, and the old file would be gone.
    """
    replaced = [step for step in steps if step.do == "replace"]
    for step in replaced:
        os.link(f"{root}/{step.path}", f"{root}/{step.backup}", follow_symlinks=False)
    return bool(replaced)


def take(root: str, step: Step) -> None:
    """Take one step in the prefix at `root`. Raises `OSError`, and `FileExistsError` if a `place` is taken."""
    path, staged, backup = (f"{root}/{each}" for each in step[1:4])
    if step.do == "place":
        if presence.is_there(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(staged, path)
    elif step.do == "replace":
        if not presence.is_there(backup):  # see `keep_replaced`
            os.link(path, backup, follow_symlinks=False)
        os.rename(staged, path)
    elif step.do == "exchange":
        filesystem.exchange(staged, path)
    elif step.do == "swap":
        os.rename(path, backup)
        os.rename(staged, path)
    elif step.do == "remove":
        os.rename(path, backup)
    else:
        os.rmdir(path)


def undo(root: str, journal: Journal) -> None:
    """Take back every step that was taken, the last one first.

    May be called again after it was stopped. Raises `OSError`, and `JournalDamaged` if what is on the disk is neither
    the state before nor the one after a step.
    """
    for step in reversed(journal.steps):
        _UNDO[step.do](step, *(f"{root}/{each}" for each in step[1:4]))


def _undo_place(step: Step, path: str, staged: str, backup: str) -> None:
    if presence.is_there(staged) or not presence.is_there(path):
        return  # not taken; or somebody removed it since, and gone is what it was before
    try:
        os.rename(path, staged)
    except FileNotFoundError as error:
        raise _stage_is_gone(path) from error


def _undo_replace(step: Step, path: str, staged: str, backup: str) -> None:
    old, here = _identity(backup), _identity(path)
    if old is None:
        return
    if here is not None and here[0] == old[0]:
        os.unlink(backup)
        return
    if here is not None and not presence.is_there(staged):
        with contextlib.suppress(OSError):  # what was to come is wanted only for another try: see commit
            os.link(path, staged, follow_symlinks=False)
    os.rename(backup, path)


def _undo_exchange(step: Step, path: str, staged: str, backup: str) -> None:
    new, here, there = (step.inode, step.time), _identity(path), _identity(staged)
    if there is None and here is not None and here[0] != new[0]:
        return  # not taken, and now it never will be
    if here is None and there is not None:
        # somebody removed P since; what is in S goes back if it is the old one
        if there[0] != new[0]:
            os.rename(staged, path)
        return
    # An inode number tells for certain, but a copied prefix has others, and so has an overlay mounted again.
    for ours, at_path, at_stage in zip(new, here or (0, 0), there or (0, 0), strict=True):
        if ours == at_path != at_stage and there is not None:
            filesystem.exchange(staged, path)
            return
        if ours == at_stage != at_path:
            return
    raise _stage_is_gone(path)


def _stage_is_gone(path: str) -> JournalDamaged:
    return JournalDamaged(
        f"an interrupted installation cannot be undone, because the stage of {path} was deleted or changed since",
        "delete var/lib/sage-wheels/journal in the prefix, and install again what 'sage-wheels verify' names",
    )


def _identity(path: str) -> tuple[int, int] | None:
    status = presence.lstat(path)
    return None if status is None else (status.st_ino, status.st_mtime_ns)


def _undo_swap(step: Step, path: str, staged: str, backup: str) -> None:
    if not presence.is_there(backup):
        return
    if not presence.is_there(staged):
        os.rename(path, staged)
    os.rename(backup, path)


def _undo_remove(step: Step, path: str, staged: str, backup: str) -> None:
    if presence.is_there(backup):
        os.rename(backup, path)


def _undo_rmdir(step: Step, path: str, staged: str, backup: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    if stat.S_IMODE(os.lstat(path).st_mode) != step.mode:
        os.chmod(path, step.mode)


_UNDO = {
    "place": _undo_place,
    "replace": _undo_replace,
    "exchange": _undo_exchange,
    "swap": _undo_swap,
    "remove": _undo_remove,
    "rmdir": _undo_rmdir,
}
