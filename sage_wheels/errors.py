"""One exception for each kind of failure, with its exit status and its advice.

Every message is one sentence: what is wrong with which thing, in which place; then what to do about it.
The command line prints it as it stands and exits with `exit_status`; nothing that a user can cause ends in a
traceback.

>>> str(WheelRefused("six.whl: its RECORD has no row for 'six.py'", "get the wheel again or rebuild it"))
"six.whl: its RECORD has no row for 'six.py'; get the wheel again or rebuild it"
"""

from __future__ import annotations

import errno
import os

_LONGEST = 1000  # characters of a sentence that somebody may still read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class SageWheelsError(Exception):
    """The base of everything that this project raises on purpose.

    `what` names the thing and the place, `advice` says what to do; `details` are lines worth reading below the
    sentence (the end of a build log, the list of conflicting files).
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, advice: str = "", details: str = "") -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice
        self.details = details

    def __str__(self) -> str:
        text = f"{self.what}; {self.advice}" if self.advice else self.what
        # file names may hold anything, and must not be able to end the line, move the cursor or turn the direction
        if not text.isprintable():
            text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        if len(text) > _LONGEST:  # what somebody wrote into a file may be of any length
            text = f"{text[: _LONGEST // 2]}...{text[3 - _LONGEST // 2 :]}"
        return text


class UsageError(SageWheelsError):
    """The command line, or the arguments of a function, make no sense together."""

    exit_status = 2


class LockTimeout(SageWheelsError):
    """The lock was not obtained within the time given."""

    exit_status = 3


class LockUnusable(SageWheelsError):
    """The file system of the lock file cannot lock."""


class SourceError(SageWheelsError):
    """A source tree, sdist or requirement that nothing can be built from."""


class BuildFailed(SageWheelsError):
    """The build backend, or the environment it needs, failed; `details` ends its log."""


class WheelRefused(SageWheelsError):
    """A wheel that is damaged, lies about itself, or does not fit the target interpreter."""


class PrefixError(SageWheelsError):
    """The prefix is not there, is not one, or is not ours to change."""


class UnsafePlace(SageWheelsError):
    """A directory that another user of the machine could have planted, or can change."""


class InterpreterError(SageWheelsError):
    """A fact about the target interpreter is needed that cannot be found out."""


class Conflict(SageWheelsError):
    """Something that stands in the prefix belongs to somebody else."""


class NotRemovable(SageWheelsError):
    """A distribution whose files are not known exactly."""


class JournalDamaged(SageWheelsError):
    """The journal of an interrupted transaction cannot be read or does not fit what is there."""


class Outdated(SageWheelsError):
    """What was decided beforehand no longer fits what is installed."""


class NotThere(SageWheelsError):
    """What was asked for is not installed."""


class FileOperationFailed(SageWheelsError):
    """The operating system refused a file operation; the prefix is as it was."""

    @classmethod
    def from_os_error(cls, error: OSError, doing: str) -> FileOperationFailed:
        """Make the sentence for `error`, met while `doing` something ("installing into /prefix").

        >>> print(FileOperationFailed.from_os_error(OSError(errno.ENOSPC, "full", "/p/x"), "staging"))
        staging failed at /p/x (No space left on device); free some space and run the command again
        """
        path = os.fsdecode(error.filename2 or error.filename or "")
        reason = os.strerror(error.errno) if error.errno else str(error)
        return cls(
            f"{doing} failed{f' at {path}' if path else ''} ({reason})",
            _ADVICE.get(error.errno or 0, "mend that and run the command again"),
        )


_ADVICE = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EDQUOT: "free some of your quota and run the command again",
    errno.EROFS: "mount that file system writable or choose another prefix",
    errno.EACCES: "run the command as the user who owns the prefix",
    errno.EPERM: "run the command as the user who owns the prefix",
    errno.ENXIO: "remove what stands there, which is no regular file, and run the command again",
    errno.EAGAIN: "run the command again when fewer processes run, or raise their limit (ulimit -u)",
    errno.ENOMEM: "free some memory and run the command again",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run the command again",
    errno.EIO: "look at the disk, then run the command again",
}
