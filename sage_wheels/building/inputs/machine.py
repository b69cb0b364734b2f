"""What a compilation depends on: the processor, the packages of the system, and settings in the home directory."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from typing import NamedTuple

from sage_wheels.building.backend.variables import with_names
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.fs.digest import of_file
from sage_wheels.store.remembered import remembered, stat_of
from sage_wheels.store.results import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sage_wheels.store.store import Store

# Settings that compilers and build backends read without being told.
_IN_HOME = (
    *(".pydistutils.cfg", ".numpy-site.cfg", "site.cfg", ".cargo/config", ".cargo/config.toml", ".gitconfig"),
    *(".config/git/config", ".config/meson", ".local/share/meson", ".cmake/packages", ".local/share/pkgconfig"),
    *(".local/lib/pkgconfig", ".config/pythran", ".pythranrc", ".pyxbld"),
)
_LOCAL = "/usr/local"
# Directories that compilers do not read: modules of Pythons (an isolated build imports none), documentation.
_NOT_READ = re.compile(r"(?:.*/)?(?:lib(?:32|64)?/python[^/]*|share/(?:doc|man|info|locale|icons)|man|games|src)")
_MOST = 50_000  # files in one of these directories
# Options and variables that name directories to compile or link against.
_OPTION = re.compile(r"(?:^|\s)-(?:I|L|isystem|iquote|idirafter|B)\s*(/[^\s:]+)")
_PATHS = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR")
# The databases of installed packages, and the command that lists them; without a command, the file itself is read.
_DATABASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("/var/lib/dpkg/status", ()),
    ("/lib/apk/db/installed", ()),
    ("/usr/lib/sysimage/rpm/rpmdb.sqlite", ("rpm", "-qa")),
    ("/var/lib/rpm/rpmdb.sqlite", ("rpm", "-qa")),
    ("/var/lib/rpm/Packages", ("rpm", "-qa")),
    ("/var/lib/pacman/local", ("ls", "/var/lib/pacman/local")),
    ("/opt/homebrew/Cellar", ("sh", "-c", "ls -d /opt/homebrew/Cellar/*/*")),
    ("/usr/local/Cellar", ("sh", "-c", "ls -d /usr/local/Cellar/*/*")),
    ("/home/linuxbrew/.linuxbrew/Cellar", ("sh", "-c", "ls -d /home/linuxbrew/.linuxbrew/Cellar/*/*")),
)
_NEW = 2.0  # seconds
looked_at: dict[str, Seen] = {}  # by directory: what `look_ahead` found
# The lines of /proc/cpuinfo that matter.
_OF_PROCESSOR = re.compile(r"(vendor_id|cpu family|model|stepping|flags|Features|CPU (impl|arch|var|part|rev)|isa)\b")
_LINES = re.compile(rb"^(?:Package|Version|Architecture|Status|P|V|A): ?.*|^[PVA]:.*", re.MULTILINE)


def home(environ: Mapping[str, str]) -> dict[str, str]:
    """The digest of each known configuration file in the home directory, by name."""
    where = environ.get("HOME")
    return {name: _digest_of(f"{where}/{name}") for name in _IN_HOME if where and os.path.exists(f"{where}/{name}")}


def _digest_of(path: str) -> str:
    if os.path.isdir(path):
        return tree(path)
    try:
        return of_file(path).hex()
    except OSError:
        return "cannot be read"


def processor() -> str:
    """The digest of the properties of the processor that compilers use for -march=native."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            first = f.read(16384).partition("\n\n")[0]
    except OSError:
        if sys.platform != "darwin":
            raise NotKeyable("the system does not say what its processor is") from None
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu", "hw.optional"]
        first = subprocess.run(command, capture_output=True, check=False, text=True).stdout
    kept = [" ".join(line.split()) for line in first.splitlines() if _OF_PROCESSOR.match(line)]
    return hashlib.sha256("\n".join(kept or [first]).encode()).hexdigest()


def system(
    environ: Mapping[str, str],
    more: Iterable[str],
    readable: Iterable[str],
    named_paths: Mapping[str, str],
    store: Store,
) -> dict[str, str]:
    """The digests of the installed packages, of /usr/local and of the directories that variables and settings name.

    `more` are further texts with options, `readable` further directories; `named_paths` are replaced by their names.
    If no database of packages could be read, the result does not contain "packages". Raises `NotKeyable` if there are
    too many files.
    """
    result = {}
    packages = [each for each in (_packages(path, how, store) for path, how in _DATABASES) if each]
    if packages:
        result["packages"] = hashlib.sha256(canonical(packages)).hexdigest()
    for directory in sorted({_LOCAL, *_directories(environ, more), *map(os.path.abspath, readable)}):
        seen = looked_at.get(directory)
        result[with_names(directory, named_paths)] = seen.digest if seen and seen.is_new() else tree(directory)
    return result


class Seen(NamedTuple):
    """The `digest` of a directory that this process found, or the one from which it was forked.

    time: when it began to look, in seconds of the monotonic clock.
    took: the seconds that it took.
    """

    digest: str
    time: float
    took: float

    def is_new(self) -> bool:
        """Whether that was two seconds ago at most, or twenty times as long as it takes to look again."""
        return time.monotonic() - self.time <= max(_NEW, 20 * self.took)


def look_ahead(directory: str = _LOCAL, most: int = _MOST) -> None:
    """Look at a directory of which `system` gives the digest, unless that was just done.

    The builds that are then forked from this process need not look. If nobody calls this, each build does.
    """
    if (seen := looked_at.get(directory)) and seen.is_new():
        return
    start = time.monotonic()
    try:
        digest = tree(directory, most=most)
    except NotKeyable:  # each build says so
        looked_at.pop(directory, None)
    else:
        looked_at[directory] = Seen(digest, start, time.monotonic() - start)


def _packages(path: str, command: tuple[str, ...], store: Store) -> str | None:
    status = stat_of(path)
    if len(status) == 1:
        return None
    answer: str = remembered(store, "packages", [status, list(command)], str, lambda: _read_packages(path, command))
    return answer or None


def _read_packages(path: str, command: tuple[str, ...]) -> str:
    try:
        if command:
            lines = subprocess.run(
                command, capture_output=True, check=True, stdin=subprocess.DEVNULL
            ).stdout.splitlines()
            lines.sort()
        else:
            with open(path, "rb") as f:
                lines = _LINES.findall(f.read())
    except (OSError, subprocess.CalledProcessError):
        return ""
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _directories(environ: Mapping[str, str], more: Iterable[str]) -> Iterator[str]:
    for name in _PATHS:
        yield from (os.path.normpath(each) for each in environ.get(name, "").split(":") if each.startswith("/"))
    for text in (*environ.values(), *more):
        yield from map(os.path.normpath, _OPTION.findall(text))


def tree(top: str, but: re.Pattern[str] = _NOT_READ, most: int = _MOST) -> str:
    """The digest of name, size and time of all files below `top`, without directories whose paths there match `but`.

    Raises `NotKeyable` if there are more than `most`.
    """
    found, count, waiting = [], 0, [""]
    while waiting:
        path = waiting.pop()
        try:
            directory = os.open(f"{top}/{path}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        lines = []
        try:
            # by descriptor: the system then looks for a file in this directory, and not from the root on
            with os.scandir(directory) as scan:
                for entry in scan:
                    name = entry.name
                    if not entry.is_dir(follow_symlinks=False):
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        lines.append(f"{name} {status.st_size} {status.st_mtime_ns}")
                        continue
                    lines.append(f"{name}/")
                    below = f"{path}/{name}" if path else name
                    if not but.fullmatch(below):
                        waiting.append(below)
        except OSError:
            continue
        finally:
            os.close(directory)
        count += len(lines)
        if count > most:
            raise NotKeyable(f"there are more than {most} files in {top}")
        lines.sort()  # one directory after the other: short lists are sorted sooner
        found.append("\0".join([path, *lines]))
    found.sort()
    return hashlib.sha256("\0\0".join(found).encode(errors="surrogateescape")).hexdigest()
