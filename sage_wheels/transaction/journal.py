"""The rollback journal: the steps of a transaction, written before they are taken, so that they can be undone.

A step is one or two renames. The files on the disk show whether a step was taken, so progress is not recorded, and both
taking and undoing steps can be interrupted at any time and begun again. In the tables, P is the path in the prefix, S
the path in the stage, and B the path of the backup of P in the stage. "new" is the file or directory that was at S,
"old" the one that was at P; they are recognised by inode number, or in a copied prefix by mtime. "other" is anything
else.

    step       before, or undone         half-way                    after                      how
    place      S new, P not there                                    S not there, P new         S -> P
    replace    S new, P old, no B        S new, P old, B old         P new, B old               link P B; S -> P
    exchange   S new, P old                                          S old, P new               S <-> P
    swap       S new, P old, no B        S new, no P, B old          no S, P new, B old         P -> B; S -> P
    remove     P old, no B                                           no P, B old                P -> B
    rmdir      P a directory                                         no P                       rmdir P
    mkdir      no P                                                  P a directory              mkdir P

`replace` is for a file that replaces a file, `exchange` for a directory; `swap` is used instead of `exchange` if the
file system does not support that. `place` never overwrites. Paths are relative to the prefix.

In a journal that is `chained`, a step may depend on earlier ones: the file at S or P may have been put there by an
earlier step. Such steps are taken in order, and no two steps have the same S and P. So undoing looks for the first step
that was certainly not taken: neither it nor any later step is undone.

Between a kill and the undoing, people may have changed something. Nothing that belongs to somebody else is overwritten,
and no step counts as undone if its old files are missing. This table has every situation that can be found, and what
undoing does then. "Lost" means that the step cannot be undone, which `JournalDamaged` reports; "-" is anything or
nothing, "*" what is not above. An old directory in S or B from which something was deleted is lost, too:

    step       S       P               B      what is done
    place      there   -                      nothing: not taken
               gone    gone                   nothing: somebody removed it since
               gone    new                    P -> S
               gone    other                  lost: P may be the new one or not
    replace    -       old             there  B is deleted
               -       new, gone       there  [link P S;] B -> P
               -       other           there  lost: B would overwrite it
               -       old             gone   nothing: not taken
               -       new             gone   lost
               there   gone, other     gone   nothing: not taken, and somebody removed or replaced it since
               gone    gone, other     gone   lost
    exchange   new     -                      nothing: not taken
               gone    old                    nothing: not taken, and now it never will be
               old     new                    S <-> P
               old     gone                   S -> P: somebody removed the new one since
               *       *                      lost
    swap       there   gone            there  B -> P
               gone    new             there  P -> S; B -> P
               gone    gone            there  B -> P: somebody removed the new one since
               *       *               there  lost: B would overwrite it
               -       old             gone   nothing: not taken
               there   other           gone   nothing: not taken, and somebody replaced it since
               *       *               gone   lost
    remove     -       gone            there  B -> P
               -       there           there  lost: B would overwrite it
               -       old             gone   nothing: not taken
               -       gone, other     gone   lost
    rmdir      -       a directory            nothing but its mode
               -       gone                   mkdir P
               -       something else         lost
    mkdir      -       gone                   nothing: not taken, or somebody removed it since
               -       an empty directory     rmdir P
               -       anything else          nothing: somebody uses it
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import zlib

from sage_wheels.errors import JournalDamaged, path_of
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import advice
from sage_wheels.prefix.paths import NOWHERE, is_plain, parent
from sage_wheels.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.prefix.tree import Tree

# The version of the format of journals, and of the meaning of steps. It is raised at every change of either, because a
# journal must be undone by the rules of the version that wrote it.
FORMAT = 3
ANY_TIMES = -1
_CANNOT = "an interrupted installation cannot be undone"
# The errors that mean that something else is at a path of the step, so that trying again would not help.
_FOR_GOOD = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.EXDEV)


class Step(NamedTuple):
    """One step: `do` is its kind; `path`, `staged` and `backup` are P, S and B of the tables above.

    `inode` and `time` (mtime in ns) identify the staged file, `old_inode` and `old_time` the file that was at `path`.
    For a directory, `old_times` is the sum of the times of it and all directories below it, except __pycache__, or
    `ANY_TIMES` if earlier steps change it. `mode` is that of a directory that is removed by `rmdir`.
    """

    do: str
    path: PrefixPath
    staged: PrefixPath = NOWHERE
    backup: PrefixPath = NOWHERE
    inode: int = 0
    time: int = 0
    old_inode: int = 0
    old_time: int = 0
    old_times: int = 0
    mode: int = 0


class Journal(NamedTuple):
    """The steps of one transaction, and the directory of its stage; paths are relative to the prefix.

    `durable` is whether undoing has to survive the loss of power, too; `inode` that of the file of the journal;
    `chained` is explained above; `about` is for the history (see `history.TransactionSummary`), and nothing else
    depends on it, nor on the `version` of the tool.
    """

    stage: PrefixPath
    steps: list[Step]
    durable: bool = False
    inode: int = 0
    chained: bool = False
    about: str = ""
    version: str = __version__

    def to_bytes(self) -> bytes:
        body = json.dumps({"format": FORMAT, **self._asdict()}).encode()
        return b"%08x %d\n%s" % (zlib.crc32(body), len(body), body)


def from_bytes(data: bytes) -> Journal:
    """Parse a journal. Raises `ValueError`; its message says what is wrong.

    >>> from sage_wheels.prefix.paths import plain
    >>> from_bytes(Journal(plain("var/stage"), [Step("rmdir", plain("lib/x"))]).to_bytes()).steps[0].path
    'lib/x'
    """
    head, newline, body = data.partition(b"\n")
    if not newline or head != b"%08x %d" % (zlib.crc32(body), len(body)):
        raise ValueError("its checksum is wrong")
    try:
        content: Any = json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("its content is not that of a journal")
    if content.get("format") != FORMAT:
        raise ValueError(_other_format(content))
    try:
        steps = [Step(*fields) for fields in content["steps"]]
        stage, durable, inode = content["stage"], content["durable"] is True, content["inode"]
        chained, about, version = content["chained"] is True, content["about"], str(content["version"])
    except (KeyError, TypeError) as error:
        raise ValueError("its content is not that of a journal") from error
    paths = [stage, *(path for step in steps for path in step[1:4])]
    if not stage or not all(isinstance(path, str) and is_plain(path) for path in paths):
        raise ValueError("it names a path outside the prefix")
    if not all(step.path for step in steps):
        raise ValueError("it has a step without a path")
    known = isinstance(about, str) and all(isinstance(step.do, str) and step.do in _KINDS for step in steps)
    if not known or not all(isinstance(each, int) for each in [inode, *(n for step in steps for n in step[4:])]):
        raise ValueError("it has a step that is not known")
    return Journal(stage, steps, durable, inode, chained, about, version)


def _other_format(content: dict[str, Any]) -> str:
    """A message that says which version of the tool can read a journal of another format."""
    number, version = content.get("format"), content.get("version")
    if not isinstance(number, int):
        return "it does not say which format it has"
    writer = f"sage-wheels {version}" if isinstance(version, str) else "an earlier version of sage-wheels"
    return (
        f"it has format {number}, which {writer} wrote, and this is sage-wheels {__version__} with format {FORMAT}; "
        "'sage-wheels recover' of the version that wrote it undoes it"
    )


def way_out(root: str) -> str:
    """Advice for what cannot be undone in the prefix at `root`."""
    set_aside = advice.command(root, "recover --set-aside")
    return f"run '{set_aside}', which keeps what is left and lets other commands work again"


def keep_replaced(tree: Tree, steps: list[Step]) -> bool:
    """Take the first half of every `replace`: make the backup link B. Returns whether there was any.

    It is flushed to the disk before the second half. Otherwise, after a power loss, the disk might have the second half
    without the first, and the old file would be lost.
    """
    replaced = [step for step in steps if step.do == "replace"]
    for step in replaced:
        tree.link(step.path, step.backup)
    return bool(replaced)


def apply(tree: Tree, step: Step) -> None:
    """Take one step. Raises `OSError`; `FileExistsError` if a file exists at the path of a `place`."""
    _KINDS[step.do].apply(tree, step)


def undo(tree: Tree, journal: Journal, taken: int | None = None) -> None:
    """Undo every step that was taken, the last one first.

    If this process has taken the steps, `taken` is their number; the next step may have been begun, and later ones were
    not. So if a later step has no backup, somebody else has removed the file, and the step is skipped. It may be called
    again after an interruption. Raises `OSError`, and `JournalDamaged` if a step may have been taken and cannot be
    undone.
    """
    steps = journal.steps[: _reached(tree, journal.steps, taken)] if journal.chained else journal.steps
    for number, step in reversed(list(enumerate(steps))):
        if taken is None or number < taken or not step.backup or tree.is_there(step.backup):
            undo_step(tree, step)
            if journal.chained:
                forget_moved(tree, step)


def forget_moved(tree: Tree, step: Step) -> None:
    """Close directories that `step` has moved: later steps of a chained journal may go on in them."""
    for path in filter(None, (step.path, step.staged, step.backup)):
        tree.forget_below(path)


def _reached(tree: Tree, steps: list[Step], taken: int | None) -> int:
    """How many of the steps of a chained journal may have been taken, wholly or by half."""
    if taken is not None:
        return taken + 1
    return next((number for number, step in enumerate(steps) if _was_not_taken(tree, step)), len(steps))


def _was_not_taken(tree: Tree, step: Step) -> bool:
    """Whether `step` shows that it was not taken, not even by half."""
    if step.do in ("rmdir", "mkdir") or (step.backup and tree.is_there(step.backup)):
        return False
    if step.do == "remove":
        return who(step, tree.lstat(step.path)) == "old"
    return who(step, tree.lstat(step.staged)) == "new"


def undo_step(tree: Tree, step: Step) -> None:
    """Undo one step, if it was taken; all later steps must have been undone. Raises as `undo`."""
    try:
        _KINDS[step.do].undo(tree, step)
    except OSError as error:
        if error.errno not in _FOR_GOOD:
            raise
        where = path_of(error) or tree.path(step.path)
        raise JournalDamaged(f"{_CANNOT}: {where} is in the way ({error.strerror})", way_out(tree.root)) from error


def who(step: Step, status: os.stat_result | None) -> str:
    """Which file has the `status`: "new", "old" or "other" as in the tables above; "gone" if `status` is None.

    It is recognised by inode number and mtime. A copied prefix, and an overlay file system that was mounted again, have
    other inode numbers; then the time alone decides.
    """
    if status is None:
        return "gone"
    new = 2 * (status.st_ino == step.inode) + (status.st_mtime_ns == step.time)
    old = 2 * (status.st_ino == step.old_inode) + (status.st_mtime_ns == step.old_time)
    return "other" if new == old else "new" if new > old else "old"


def _apply_place(tree: Tree, step: Step) -> None:
    if tree.is_there(step.path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), tree.path(step.path))
    tree.rename(step.staged, step.path)


def _undo_place(tree: Tree, step: Step) -> None:
    if tree.is_there(step.staged):
        return
    here = who(step, tree.lstat(step.path))
    if here == "new":
        _back_into_the_stage(tree, step)
    elif here != "gone":
        raise _lost(tree, step)


def _apply_replace(tree: Tree, step: Step) -> None:
    if not tree.is_there(step.backup):  # see `keep_replaced`
        tree.link(step.path, step.backup)
    tree.rename(step.staged, step.path)


def _undo_replace(tree: Tree, step: Step) -> None:
    kept, status = tree.lstat(step.backup), tree.lstat(step.path)
    here, is_staged = who(step, status), tree.is_there(step.staged)
    if kept is None:
        if here == "new" or (here != "old" and not is_staged):
            raise _lost(tree, step)
    elif status is not None and status.st_ino == kept.st_ino:
        tree.unlink(step.backup)
    elif here in ("new", "gone"):
        if here == "new" and not is_staged:
            with contextlib.suppress(OSError):  # the new file is needed only for another attempt, see `commit`
                tree.link(step.path, step.staged)
        tree.rename(step.backup, step.path)
    else:
        raise _lost(tree, step)


def _apply_exchange(tree: Tree, step: Step) -> None:
    tree.exchange(step.staged, step.path)


def _undo_exchange(tree: Tree, step: Step) -> None:
    here, there = who(step, tree.lstat(step.path)), who(step, tree.lstat(step.staged))
    if there == "new" or (there, here) == ("gone", "old"):
        return
    if there != "old" or here not in ("new", "gone"):
        raise _lost(tree, step)
    _check_whole(tree, step, step.staged)
    if here == "new":
        tree.exchange(step.staged, step.path)
    else:
        tree.rename(step.staged, step.path)


def _apply_swap(tree: Tree, step: Step) -> None:
    tree.rename(step.path, step.backup)
    tree.rename(step.staged, step.path)


def _undo_swap(tree: Tree, step: Step) -> None:
    here, is_staged = who(step, tree.lstat(step.path)), tree.is_there(step.staged)
    if not tree.is_there(step.backup):
        if here != "old" and not (here == "other" and is_staged):
            raise _lost(tree, step)
        return
    _check_whole(tree, step, step.backup)
    if here == "new" and not is_staged:
        _back_into_the_stage(tree, step)
    elif here != "gone":
        raise _lost(tree, step)
    tree.rename(step.backup, step.path)


def _apply_remove(tree: Tree, step: Step) -> None:
    tree.rename(step.path, step.backup)


def _undo_remove(tree: Tree, step: Step) -> None:
    here, is_kept = who(step, tree.lstat(step.path)), tree.is_there(step.backup)
    if is_kept and here == "gone":
        _check_whole(tree, step, step.backup)
        tree.rename(step.backup, step.path)
    elif is_kept or here != "old":
        raise _lost(tree, step)


def _apply_rmdir(tree: Tree, step: Step) -> None:
    tree.rmdir(step.path)


def _undo_rmdir(tree: Tree, step: Step) -> None:
    status = tree.lstat(step.path)
    if status is None:
        tree.mkdir(step.path)
        status = tree.lstat(step.path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        raise _lost(tree, step)
    if stat.S_IMODE(status.st_mode) != step.mode:
        tree.chmod_directory(step.path, step.mode)


def _apply_mkdir(tree: Tree, step: Step) -> None:
    tree.mkdir(step.path)
    tree.chmod_directory(step.path, step.mode)


def _undo_mkdir(tree: Tree, step: Step) -> None:
    try:
        tree.rmdir(step.path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise


def _back_into_the_stage(tree: Tree, step: Step) -> None:
    tree.make_directories(parent(step.staged))  # the stage may have been deleted
    tree.rename(step.path, step.staged)


def _check_whole(tree: Tree, step: Step, kept: PrefixPath) -> None:
    """Raise `JournalDamaged` if an entry was added to the directory `kept`, or deleted from it, since the plan."""
    status = tree.lstat(kept)
    if status is not None and stat.S_ISDIR(status.st_mode):
        directories = [(step.path, status), *tree.directories_below(kept)]
        times = sum(each.st_mtime_ns for path, each in directories if not path.endswith("/__pycache__"))
        if step.old_times not in (times, ANY_TIMES):
            raise _lost(tree, step)


def _lost(tree: Tree, step: Step) -> JournalDamaged:
    return JournalDamaged(
        f"{_CANNOT}: {tree.path(step.path)} was changed by another program, or its backup is missing",
        way_out(tree.root),
    )


class _Kind(NamedTuple):
    """How one kind of step is done, and how it is undone."""

    apply: Callable[[Tree, Step], None]
    undo: Callable[[Tree, Step], None]


_KINDS = {
    "place": _Kind(_apply_place, _undo_place),
    "replace": _Kind(_apply_replace, _undo_replace),
    "exchange": _Kind(_apply_exchange, _undo_exchange),
    "swap": _Kind(_apply_swap, _undo_swap),
    "remove": _Kind(_apply_remove, _undo_remove),
    "rmdir": _Kind(_apply_rmdir, _undo_rmdir),
    "mkdir": _Kind(_apply_mkdir, _undo_mkdir),
}
