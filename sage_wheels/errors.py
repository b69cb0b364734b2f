"""One exception for each kind of failure, with its exit status and its advice.

Every message is one sentence: what is wrong, with which file or argument, and what to do about it. The command line
prints the message and exits with `exit_status`. No mistake of a user ends in a traceback.

>>> str(WheelRefused("six.whl: its RECORD has no row for 'six.py'", "get the wheel again or rebuild it"))
"six.whl: its RECORD has no row for 'six.py'; get the wheel again or rebuild it"
"""

from __future__ import annotations

import errno
import os
import stat
import sys

NOWHERE = "the current directory was deleted"
_LONGEST = 1000  # characters; a longer message is shortened in the middle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar


def printable(text: str) -> str:
    r"""`text` as one printable line: control characters are replaced by their escape sequences.

    A file name in a message must not be able to end the line, move the cursor or change the direction of the text.

    >>> printable("a\nb")
    'a\\nb'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def path_of(error: OSError) -> str:
    """The path that `error` is about; "" if it names none, or only a descriptor (`os.scandir`, `os.truncate`).

    >>> path_of(OSError(errno.ENOMEM, "no memory", "/p/x")), path_of(OSError(errno.ENOMEM, "no memory", 8))
    ('/p/x', '')
    """
    name = error.filename2 or error.filename
    return "" if name is None or isinstance(name, int) else os.fsdecode(name)


def reason_of(error: BaseException | None) -> str:
    """Why `error` was raised, without the path, which the sentence around it has: for parentheses.

    >>> reason_of(FileNotFoundError(errno.ENOENT, "No such file or directory", "/p/x")), reason_of(ValueError("line 1"))
    ('No such file or directory', 'line 1')
    """
    return (isinstance(error, OSError) and error.strerror) or str(error)


class SageWheelsError(Exception):
    """The base class of all errors that this package raises on purpose.

    `what` says what is wrong and where, `advice` what to do about it. `details` are lines that are printed below the
    message, such as the end of a build log or the list of conflicting files. `exit_status` is that of the command.

    >>> error = UsageError("--prefix is missing", "give one")
    >>> error.what, error.exit_status
    ('--prefix is missing', 2)
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, advice: str = "", details: str = "") -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice
        self.details = details

    def as_json(self) -> dict[str, object]:
        """The error for programs; docs/schemas/error.json describes it."""
        told: dict[str, object] = {"kind": type(self).__name__, "status": self.exit_status, "what": self.what}
        return {**told, "advice": self.advice, "details": self.details}

    def __str__(self) -> str:
        text = printable(f"{self.what}; {self.advice}" if self.advice else self.what)
        if len(text) > _LONGEST:  # it may quote a file, whose lines may be of any length
            text = f"{text[: _LONGEST // 2]}...{text[3 - _LONGEST // 2 :]}"
        return text


class UsageError(SageWheelsError):
    """Options of the command line, or arguments of a function, are wrong or contradict each other."""

    exit_status = 2


class LockTimeout(SageWheelsError):
    """The lock of the prefix was not obtained within the time limit."""

    exit_status = 3


class LockUnusable(SageWheelsError):
    """The file system on which the lock file is does not support flock(2)."""


class SourceError(SageWheelsError):
    """A source tree, sdist, repository or requirement from which no wheel can be built."""


class BuildFailed(SageWheelsError):
    """The build backend failed, or the build environment could not be made.

    `log` is the path of the build log, and `details` are its last lines. `was_killed` is true if the build was ended by
    SIGKILL, which is what the kernel sends when memory runs out.
    """

    log = ""
    was_killed = False


class WheelsMissing(BuildFailed):
    """The available wheels do not fulfil the requirements of a build; `names` are the projects that lack a wheel."""

    def __init__(self, what: str, advice: str, names: Iterable[str] = ()) -> None:
        super().__init__(what, advice)
        self.names = sorted(names)


class WheelRefused(SageWheelsError):
    """A wheel is damaged, contradicts itself, or does not fit the target interpreter."""


class WheelNotValid(WheelRefused, ValueError):
    """Raised by `VerifiedWheel.validate_record`; a `ValueError`, because the interface of `installer` requires that."""


class PrefixError(SageWheelsError):
    """The prefix does not exist, is neither a virtual environment nor a Python, or must not be changed (PEP 668)."""


class UnsafePath(SageWheelsError):
    """A directory that another user of the machine can change, or may have put there."""


class InterpreterError(SageWheelsError):
    """The target interpreter has to be asked about itself, but it does not run or gives no usable answer."""


class Conflict(SageWheelsError):
    """A file in the prefix is in the way, or something was changed there that does not fit the change."""


class NotRemovable(SageWheelsError):
    """A distribution cannot be removed, because it is not known exactly which files belong to it."""


class JournalDamaged(SageWheelsError):
    """The journal of an interrupted transaction cannot be read, or does not match what is in the prefix."""


class Outdated(SageWheelsError):
    """Another program has changed the prefix since it was decided what to install."""


class NotThere(SageWheelsError):
    """A distribution or file that was named is not installed."""


class OldFilesGone(NotThere):
    """A change cannot be undone, because its old files are not kept any more."""


class FileOperationFailed(SageWheelsError):
    """The operating system refused a file operation; the prefix is as it was."""

    @classmethod
    def from_os_error(cls, error: OSError, doing: str, *, denied: str = "", full: str = "") -> FileOperationFailed:
        """The exception for `error`; `doing` says what was being done ("installing into /prefix").

        `denied` is the advice for missing permissions, if there is a better one than to get them, and `full` that for a
        full disk.

        >>> print(FileOperationFailed.from_os_error(OSError(errno.ENOSPC, "full", "/p/x"), "staging"))
        staging failed at /p/x (No space left on device); free some space and run the command again
        """
        path = path_of(error)
        # errors that `shutil` raises have no errno; their `str` would repeat the path (since Python 3.13)
        reason = os.strerror(error.errno) if error.errno else " ".join(map(str, error.args))
        advice = advice_for(error.errno or 0)
        if error.errno in (errno.EACCES, errno.EPERM):
            path = _nearest(path)
            advice = _own_mode(path) or (_own_attribute(path) if error.errno == errno.EPERM else "") or advice
        if error.errno == errno.ENOENT and not path and not is_somewhere():
            reason, advice = NOWHERE, "go to another one and run the command again"
        if denied and error.errno in _DENIED:
            advice = denied
        if full and error.errno in NO_SPACE:
            advice = full
        return cls(f"{doing} failed{f' at {path}' if path else ''} ({reason})", advice)

    @classmethod
    def from_encoding_error(cls, error: UnicodeEncodeError, doing: str) -> FileOperationFailed:
        """The exception for a file name that the locale's character set cannot express."""
        lacks = f"the character set of the locale, {sys.getfilesystemencoding()}, cannot express it"
        return cls(f"{doing} failed at {error.object} ({lacks})", "set LC_ALL=C.UTF-8 and run the command again")


def advice_for(number: int) -> str:
    """What to do about the error of the system with that number."""
    return _ADVICE.get(number, "solve that problem and run the command again")


def is_somewhere() -> bool:
    """Whether the current directory exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _nearest(path: str) -> str:
    """`path`, or the nearest directory above it that is there: that one has an owner, and refuses what is below it."""
    above = path
    while above.startswith("/") and not os.path.lexists(above):
        above = os.path.dirname(above)
    return above or path


def _own_mode(path: str) -> str:
    """The advice if the caller owns what is at `path` or above it, and its mode keeps the owner out; "" if not."""
    while path.startswith("/") and path != "/":
        try:
            status = os.lstat(path)
        except OSError:
            status = None
        if status is not None and not stat.S_ISLNK(status.st_mode):
            wanted, letters = (0o700, "rwx") if stat.S_ISDIR(status.st_mode) else (0o400, "r")
            if status.st_mode & wanted != wanted:
                mine = status.st_uid == os.geteuid()
                return f"run 'chmod u+{letters} {path}', and the command again" if mine else ""
        path = os.path.dirname(path)
    return ""


def _own_attribute(path: str) -> str:
    """The advice if the caller owns what is at `path`, or is root, and yet it may not be changed; "" if not."""
    try:
        mine = os.lstat(path).st_uid == os.geteuid()
    except OSError:
        mine = False
    if not mine and os.geteuid() != 0:
        return ""
    program = "chflags -R nouchg,noschg,nouappnd" if sys.platform == "darwin" else "chattr -i -a"
    return f"if it or its directory is immutable, run '{program}' on that, and the command again"


_PERMITTED = "run the command as a user who has the permission, such as the owner of that path"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_ADVICE = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EDQUOT: "free some of your quota and run the command again",
    errno.ENOENT: "check that path and run the command again",
    errno.ENOTDIR: "check that path, of which a part is no directory, and run the command again",
    errno.EISDIR: "name a file and run the command again",
    errno.EEXIST: "name another path, or move away what is there, and run the command again",
    errno.EROFS: "mount that file system writable, or name another place",
    errno.EACCES: _PERMITTED,
    errno.EPERM: _PERMITTED,
    errno.ELOOP: "replace the symbolic link there with what it points to, and run the command again",
    errno.ENXIO: "remove that file, which is not a regular one, and run the command again",
    errno.EAGAIN: "run the command again when fewer processes run, or raise their limit (ulimit -u)",
    errno.ENOMEM: "free some memory and run the command again",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run the command again",
    errno.ENFILE: "run the command again when other programs have fewer files open",
    errno.EIO: "check the disk for errors, then run the command again",
}
