"""The environment variables of a build backend, and the descriptors that they name.

The variables of the caller are passed (compilers, flags, pkg-config, make, locale, PATH), with these exceptions: those
that would let the caller's Python or pip's configuration into the build, and those about the session, a CI job or
secrets. Variables that keep something out of the build are passed, too. Some others are set if the caller has not set
them, so that the same input gives the same wheel, if the backend supports that. The user's own site directory is never
used: a build must not depend on the home directory.

A variable that is passed is part of the key under which the store has the wheel (`keyed`), with few exceptions: the
home, the directory for temporary files, the terminal, the network, compiler caches, the jobserver, and the number of
jobs. None of these may change a wheel. The tables are in `variable_names`.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat

from sage_wheels.building.backend.variable_names import OF_HOOKS, is_keyed, is_withheld
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# 2020-02-02, the date that hatchling uses, too: after 1980, because zip files cannot have earlier times
SOURCE_DATE_EPOCH = "1580601600"
UMASK = 0o022

# Private names of `pyproject_hooks`, since 1.1: the variables with the name of the backend and its path, and the file
# with the answer of a hook. tests/building/test_private_names.py fails when they change.
BUILD_BACKEND = f"{OF_HOOKS}BUILD_BACKEND"
BACKEND_PATH = f"{OF_HOOKS}BACKEND_PATH"  # the beginning of the name; newer versions append _JSON
HOOK_ANSWER = "output.json"

# What begins the definitions in MAKEFLAGS, and the options before them that no file depends on (GNU make, 9.8): how
# many jobs run, when they stop, and what is printed. Others change what is made, such as -B, -e, -i, -n, -r, -t.
_DEFINITIONS = re.compile(r"(?:^|(?<=\s))-- ")
_NOT_OF_FILES = re.compile(
    r"--(?:jobs|load-average|max-load|jobserver-.+|sync-mutex|output-sync|(?:no-)?keep-going|stop|silent|quiet|no-silent|"
    r"(?:no-)?print-directory|trace|debug|print-data-base|warn-undefined-variables)(?:=.*)?"
)
_NOT_OF_FILES_SHORT = re.compile(r"[bdkmpsSw]|[jl][\d.]*|O.*")
_WITH_ARGUMENT = re.compile(r"[CEIWfo].*")
_WITH_NUMBER = re.compile(r"-[^-CEIWfoO]*[jl]|--(?:jobs|load-average|max-load)")
_KEEP_OUT = ("PYTHONNOUSERSITE", "PYTHONSAFEPATH")
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_JOBSERVER = re.compile(r"\s*--jobserver-(?:auth|fds)=(\S+)")


class Variables(NamedTuple):
    """`environ`: all environment variables of a build process; `descriptors`: those that MAKEFLAGS in it names."""

    environ: dict[str, str]
    descriptors: tuple[int, ...]


def for_build(environ: Mapping[str, str], *, above: str | None = None) -> Variables:
    """The variables for a backend, from those in `environ`; git searches no repository in `above` or higher.

    Left out: PYTHONPATH, PYTHONHOME and whatever else steers an interpreter, pip's variables and configuration files,
    the variables that name one git repository, and those of sessions, CI jobs and secrets.
    Set unless the caller did: PYTHONNOUSERSITE, SOURCE_DATE_EPOCH, PYTHONHASHSEED, and a UTF-8 locale where there is
    none at all.

    >>> result = for_build({"CC": "gcc", "PYTHONPATH": "/x", "PIP_INDEX_URL": "y", "LC_ALL": "C"}).environ
    >>> sorted(result)
    ['CC', 'LC_ALL', 'PIP_CONFIG_FILE', 'PIP_DISABLE_PIP_VERSION_CHECK', 'PIP_NO_INDEX', 'PYTHONHASHSEED', \
'PYTHONNOUSERSITE', 'SOURCE_DATE_EPOCH']
    """
    result = {name: value for name, value in environ.items() if not is_withheld(name)}
    result["PIP_CONFIG_FILE"] = os.devnull  # pip's word for: read no configuration file
    result["PIP_NO_INDEX"] = "1"
    result["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    result.update((name, environ[name]) for name in _KEEP_OUT if environ.get(name))
    result.setdefault("PYTHONNOUSERSITE", "1")
    result["PYTHONHASHSEED"] = environ.get("PYTHONHASHSEED") or "0"
    result.setdefault("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
    if not any(environ.get(name) for name in _LOCALE):
        result["LC_ALL"] = "C.UTF-8"
    if above and os.pathsep not in above:  # the cache may be in a repository that the source is not part of
        result["GIT_CEILING_DIRECTORIES"] = os.pathsep.join(
            filter(None, [above, environ.get("GIT_CEILING_DIRECTORIES")])
        )
    descriptors = _settle_jobserver(result)
    return Variables(result, descriptors)


def keyed(environ: Mapping[str, str], named_paths: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables of a backend that a wheel may depend on, with the names of `named_paths` for their paths.

    >>> keyed({"CC": "gcc", "HOME": "/h", "MAKEFLAGS": " -j2 -- X=1", "L": "-L/p/lib"}, {"prefix": "/p"})
    {'CC': 'gcc', 'L': '-L{prefix}/lib', 'MAKEFLAGS': '-- X=1'}
    """
    result = {}
    for name, value in sorted(environ.items()):
        if not is_keyed(name):
            continue
        if name in OF_MAKE:
            value = _of_files(value)
            if not value:
                continue
        result[name] = with_names(value, named_paths)
    return result


def counting(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the caller's variables that a wheel may depend on, without make's.

    >>> counting({"CC": "gcc", "HOME": "/h", "MAKEFLAGS": " -j2 -- X=1", "PIP_NO_INDEX": "1"})
    {'CC': 'gcc'}
    """
    passed = {name: value for name, value in environ.items() if name not in OF_MAKE and not is_withheld(name)}
    return keyed(passed, {})


def _of_files(flags: str) -> str:
    """The value `flags` of MAKEFLAGS without options that no file depends on; its definitions stay as they are.

    >>> _of_files("kBw -j2 -Oline --trace --eval=x:y -- X=1 -k")
    '-B --eval=x:y -- X=1 -k'
    """
    found = _DEFINITIONS.search(flags)
    start = found.start() if found else len(flags)
    kept, before = [], ""
    for number, word in enumerate(flags[:start].split()):
        if number == 0 and not word.startswith("-") and "=" not in word:
            word = f"-{word}"  # so make writes options of one letter
        is_number = _WITH_NUMBER.fullmatch(before) and re.fullmatch(r"[\d.]+", word)
        before = word
        if word.startswith("-") and not word.startswith("--"):
            word = _short(word)
        if word != "-" and not is_number and not _NOT_OF_FILES.fullmatch(word):
            kept.append(word)
    return " ".join([*kept, flags[start:]]).strip()


def _short(word: str) -> str:
    """`word`, options of one letter in one word, without those that no file depends on."""
    kept, at = "-", 1
    while at < len(word):
        found = _NOT_OF_FILES_SHORT.match(word, at) or _WITH_ARGUMENT.match(word, at)
        if not found or found.re is _WITH_ARGUMENT:
            kept += found[0] if found else word[at]
        at = found.end() if found else at + 1
    return kept


def with_names(text: str, named_paths: Mapping[str, str]) -> str:
    """`text` with each path of `named_paths` replaced by its name in braces; the longest path first.

    The path of something else may end in the same way. Braces in `text` are doubled, because they are no names.

    >>> with_names("-I/p/include:/px:/q/p:file:///p:{p}", {"prefix": "/p"})
    '-I{prefix}/include:/px:/q/p:file://{prefix}:{{p}}'
    """
    if not named_paths:
        return text
    names = {_with_braces(path): name for name, path in named_paths.items()}
    paths = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    word = rf"""(^|(?<=[\s:;,'"=]))(-[A-Za-z-]+|//)?({paths})(?=[\s/:;,'"=]|$)"""
    return re.sub(word, lambda found: f"{found[2] or ''}{{{names[found[3]]}}}", _with_braces(text))


def _with_braces(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def jobserver_of(environ: Mapping[str, str]) -> tuple[int, int] | tuple[str, str] | None:
    """The two ends of the jobserver in MAKEFLAGS, as descriptors or as the path of a fifo; None if there is none."""
    found = _JOBSERVER.search(environ.get("MAKEFLAGS", ""))
    descriptors = _jobserver_descriptors(found[1]) if found else None
    if not found or descriptors is None:
        return None
    if descriptors:
        return descriptors[0], descriptors[1]
    return found[1].removeprefix("fifo:"), found[1].removeprefix("fifo:")


def without_jobserver(flags: str) -> str:
    """`flags` (MAKEFLAGS) without the options of the jobserver."""
    return re.sub(r"(^| )-j\d*(?= |$)", "", _JOBSERVER.sub("", flags))


def _settle_jobserver(environ: dict[str, str]) -> tuple[int, ...]:
    """Keep the jobserver in MAKEFLAGS only if it is valid; return its descriptors (GNU make, 13.1.2).

    A program between make and this tool may have replaced the pipe by a file. A client that reads a token from it would
    wait for ever, or read wrong data.
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
        return None  # not open: make does not treat this command as a sub-make
    is_pipe = stat.S_ISFIFO(one.st_mode) and os.path.samestat(one, other)
    usable = modes[0] in (os.O_RDONLY, os.O_RDWR) and modes[1] in (os.O_WRONLY, os.O_RDWR)
    return (reader, writer) if is_pipe and usable else None


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
