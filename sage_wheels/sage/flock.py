"""Run a command while a lock is held.

usage: sage-flock [-s|-x|-u] [--timeout SECONDS] [--close] LOCK [COMMAND [ARG...]]

LOCK is the path of a lock file, which is made with its directories and never deleted, or the number of a descriptor
that the caller has open; then there is no COMMAND, and the lock lasts until the caller closes it.

  -x, --exclusive    nobody else may hold the lock meanwhile (this is the default)
  -s, --shared       others may hold it shared, nobody exclusively
  -u, --unlock       release it: for a descriptor; a COMMAND is not run
  --timeout SECONDS  give up after that time, with exit status 3
  --close            hold the lock until COMMAND itself ends, and no longer, even if processes that it has started
                     still run

Without --close, COMMAND replaces this process, and it and the processes that it starts keep the lock. The exit status
is that of COMMAND, 126 if it cannot be run, 127 if there is none of that name, 1 if LOCK cannot be locked, 2 for wrong
usage.

Every command that changes a prefix holds PREFIX/var/lib/sage-wheels/lock. So a package script that changes it by other
means (copying into it, rebasing its libraries, running pip) must do so under that lock:

    sage-flock "$SAGE_VENV/var/lib/sage-wheels/lock" sage-rebase ...

Do not run sage-wheels, sage-pip-install or sage-move-tree for the same prefix in COMMAND: they would wait for the lock
that sage-flock holds.
"""

# The same file and the same primitive, flock(2), as sage_wheels/prefix/lock.py, but another way to wait: it may be for
# hours here, so it is in the kernel's queue.

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import signal
import sys

from sage_wheels.fs import holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_FLAGS = {"-s": "shared", "--shared": "shared", "-x": "exclusive", "--exclusive": "exclusive"}
_FLAGS |= {"-u": "unlock", "--unlock": "unlock"}
_OPERATIONS = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX, "unlock": fcntl.LOCK_UN}
_STATUS_LOCK, _STATUS_USAGE, _STATUS_TIMEOUT, _STATUS_CANNOT_RUN, _STATUS_NOT_FOUND = 1, 2, 3, 126, 127
# About three years: setitimer(2) of macOS takes no longer time, and that of Linux not many times more.
_LONGEST_TIMEOUT = 1e8


class _TimeOut(Exception):
    """The lock was not obtained in time."""


def main(arguments: list[str]) -> int:
    """Do what the command line says; returns only if no command takes our place."""
    kind, timeout, close, rest = _parse(arguments)
    lock, command = rest[0], rest[1:]
    if lock.isdecimal():
        if command:
            _fail(_STATUS_USAGE, f"a command cannot be run under the descriptor {lock}; name a lock file")
        _lock(_descriptor(lock), kind, timeout, f"descriptor {lock}", command)
        return 0
    if kind == "unlock":
        return 0  # no lock outlives the process that has it
    if not command:
        _fail(_STATUS_USAGE, f"there is no command to run under {lock}; see sage-flock --help")
    fd = _acquire(lock, kind, timeout, command)
    return _run_and_wait(fd, command) if close else _become(fd, command)


def _parse(arguments: list[str]) -> tuple[str, float | None, bool, list[str]]:
    """The kind of lock, the time limit, --close, and the rest: LOCK and COMMAND."""
    kind, timeout, close = "", None, False
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if option in ("-h", "--help"):
            print(__doc__, end="")
            sys.exit(0)
        name, equals, value = option.partition("=")
        if option in _FLAGS:
            if kind not in ("", _FLAGS[option]):
                _fail(_STATUS_USAGE, f"a lock cannot be {kind} and {_FLAGS[option]}; give one of -s, -x and -u")
            kind = _FLAGS[option]
        elif option == "--close":
            close = True
        elif name == "--timeout":
            timeout = _seconds(value if equals else rest.pop(0) if rest else "")
        else:
            _fail(_STATUS_USAGE, f"there is no option {option}; see sage-flock --help")
    if not rest:
        _fail(_STATUS_USAGE, "no lock is named; see sage-flock --help")
    return kind or "exclusive", timeout, close, rest


def _seconds(text: str) -> float:
    try:
        if 0 <= float(text) < float("inf"):
            return min(float(text), _LONGEST_TIMEOUT)
    except ValueError:
        pass
    _fail(_STATUS_USAGE, f"{text!r} is no number of seconds; write --timeout 60")


def _descriptor(text: str) -> int:
    try:
        fd = int(text)
        os.fstat(fd)
    except (OSError, OverflowError, ValueError):
        _fail(_STATUS_LOCK, f"the descriptor {text} is not open; open a lock file there before, or name that file")
    return fd


def _acquire(path: str, kind: str, timeout: float | None, command: list[str]) -> int:
    """A descriptor of the lock file `path`, locked."""
    while True:
        try:
            fd = _above_the_standard_ones(_open(path))
        except OSError as error:
            _fail(_STATUS_LOCK, f"the lock file {path} cannot be opened ({error.strerror}); check its permissions")
        _lock(fd, kind, timeout, path, command)
        if holder.is_still_at(fd, path):
            break
        os.close(fd)  # somebody deleted the file while we waited
    if kind == "exclusive" and holder.is_lock_file(fd):
        holder.write(fd, ["sage-flock", *sys.argv[1:]])
    return fd


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # somebody else's file can be locked all the same
        except FileNotFoundError:
            raise error from None  # in somebody else's directory none can be made


def _above_the_standard_ones(fd: int) -> int:
    """Move `fd` away from 0, 1 and 2, which are free if the caller has closed them.

    COMMAND would write into the lock file there, or lose the lock by a redirection.
    """
    if fd > 2:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def _lock(fd: int, kind: str, timeout: float | None, name: str, command: list[str]) -> None:
    operation = _OPERATIONS[kind]
    try:
        try:
            fcntl.flock(fd, operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            to_run = f" to run {shlex.join(command)}" if command else ""
            _say(f"waiting for {name} ({kind}){_held_by(fd)}{to_run}")
        if timeout is not None:
            signal.signal(signal.SIGALRM, _on_alarm)
            # one that comes too early, between two system calls, is followed by others
            signal.setitimer(signal.ITIMER_REAL, max(timeout, 0.001), 0.05)
        try:
            fcntl.flock(fd, operation)  # waits in the kernel's queue: first come, first served
        finally:
            if timeout is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
    except _TimeOut:
        _fail(
            _STATUS_TIMEOUT, f"{name} was not free within {timeout:g} s{_held_by(fd)}; wait, or give a longer --timeout"
        )
    except OSError as error:
        _fail(
            _STATUS_LOCK, f"{name} cannot be locked ({error.strerror}); name a file on a file system where flock works"
        )


def _on_alarm(*_: object) -> None:
    raise _TimeOut


def _held_by(fd: int) -> str:
    return f", {said}" if (said := holder.read(fd)) else ""


def _become(fd: int, command: list[str]) -> NoReturn:
    os.set_inheritable(fd, True)  # PEP 446: else the lock is gone before the command starts
    _execute(command)


def _run_and_wait(fd: int, command: list[str]) -> int:
    """Run the command as a child that does not get the lock; its exit status as a shell tells it."""
    pid = os.fork()
    if pid == 0:
        os.close(fd)
        _execute(command)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # from the terminal: the command gets it as well and decides
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(pid, received))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _execute(command: list[str]) -> NoReturn:
    # Python ignores these, and so would the command
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        if not command[0]:
            raise FileNotFoundError  # execvp(3) says so; Python raises a ValueError
        os.execvp(command[0], command)
    except FileNotFoundError:
        status, why = _STATUS_NOT_FOUND, "there is no command of that name"
    except OSError as error:
        status, why = _STATUS_CANNOT_RUN, f"it cannot be run: {error.strerror}"
    _say(f"{command[0] or repr('')}: {why}; see that it is on PATH and may be executed")
    os._exit(status)


def _fail(status: int, sentence: str) -> NoReturn:
    _say(sentence)
    sys.exit(status)


def _say(sentence: str) -> None:
    if sys.stderr is not None:  # it is None if the caller has closed it, and print() takes standard output then
        print(f"sage-flock: {sentence}", file=sys.stderr, flush=True)
