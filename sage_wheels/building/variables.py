"""The variables that a build backend sees, and the descriptors that go with them.

Everything of the caller passes (compilers, flags, pkg-config, make, locale, PATH), except what would let the caller's
Python, or pip's configuration, into the build; and what is not settled by the caller is settled here, so that the
same input gives the same wheel where the backend can.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# 2020-02-02, the date that hatchling takes as well: after 1980, which is where the time stamps of zip begin
SOURCE_DATE_EPOCH = "1580601600"
UMASK = 0o022

_NOT_PASSED = re.compile(r"PIP_.*|PYTHON(?!_).*|__PYVENV_LAUNCHER__|VIRTUAL_ENV(_PROMPT)?|_PYPROJECT_HOOKS_.*")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_JOBSERVER = re.compile(r"\s*--jobserver-(?:auth|fds)=(\S+)")


class Variables(NamedTuple):
    """What a build process is started with: `environ` whole, and the `descriptors` that it speaks of."""

    environ: dict[str, str]
    descriptors: tuple[int, ...]


def for_build(environ: Mapping[str, str]) -> Variables:
    """The variables of `environ` as a backend shall see them.

    Left out: PYTHONPATH, PYTHONHOME and whatever else steers an interpreter, pip's variables and configuration files.
    Set unless the caller did: SOURCE_DATE_EPOCH, PYTHONHASHSEED, and a UTF-8 locale where there is none at all.

    >>> result = for_build({"CC": "gcc", "PYTHONPATH": "/x", "PIP_INDEX_URL": "y", "LC_ALL": "C"}).environ
    >>> sorted(result)
    ['CC', 'LC_ALL', 'PIP_CONFIG_FILE', 'PIP_DISABLE_PIP_VERSION_CHECK', 'PIP_NO_INDEX', 'PYTHONHASHSEED', \
'SOURCE_DATE_EPOCH']
    """
    result = {name: value for name, value in environ.items() if not _NOT_PASSED.fullmatch(name)}
    result["PIP_CONFIG_FILE"] = os.devnull  # pip's word for: read no configuration file
    result["PIP_NO_INDEX"] = "1"
    result["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    result["PYTHONHASHSEED"] = environ.get("PYTHONHASHSEED") or "0"
    result.setdefault("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
    if not any(environ.get(name) for name in _LOCALE):
        result["LC_ALL"] = "C.UTF-8"
    descriptors = _settle_jobserver(result)
    return Variables(result, descriptors)


def _settle_jobserver(environ: dict[str, str]) -> tuple[int, ...]:
    """Keep the jobserver that MAKEFLAGS announces only if it is one; return its descriptors (GNU make, 13.1.2).

    A logger between make and us may have put a file in place of the pipe; whoever took a token from that would wait
    for ever, or build with garbage.
    """
    found = _JOBSERVER.search(environ.get("MAKEFLAGS", ""))
    if not found:
        return ()
    descriptors = _jobserver_descriptors(found[1])
    if descriptors is not None:
        return descriptors
    for name in ("MAKEFLAGS", "MFLAGS"):
        if name in environ:
            environ[name] = _JOBSERVER.sub("", environ[name])
    return ()


def _jobserver_descriptors(announced: str) -> tuple[int, ...] | None:
    """The descriptors of a jobserver announced as `R,W` or `fifo:PATH`; None if there is no such jobserver."""
    if announced.startswith("fifo:"):
        return () if _is_fifo(announced[len("fifo:") :]) else None
    numbers = re.fullmatch(r"(\d+),(\d+)", announced)
    if not numbers:
        return None
    reader, writer = int(numbers[1]), int(numbers[2])
    try:
        one, other = os.fstat(reader), os.fstat(writer)
        modes = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE for fd in (reader, writer)]
    except OSError:
        return None  # not open: make was told that this command is no sub-make
    is_pipe = stat.S_ISFIFO(one.st_mode) and os.path.samestat(one, other)
    usable = modes[0] in (os.O_RDONLY, os.O_RDWR) and modes[1] in (os.O_WRONLY, os.O_RDWR)
    return (reader, writer) if is_pipe and usable else None


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
