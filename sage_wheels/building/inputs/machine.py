"""What a compilation depends on: the processor, the packages of the system, and settings in the home directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import subprocess
import sys
import time

from sage_wheels.building.backend.variable_names import is_keyed
from sage_wheels.building.backend.variables import with_names
from sage_wheels.building.inputs import directories
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.fs.digest import of_file
from sage_wheels.named import NamedTuple
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
# Variables that name another place for directories in the home, and those whose value is a file of settings.
_INSTEAD = {"XDG_CONFIG_HOME": ".config/", "XDG_DATA_HOME": ".local/share/", "CARGO_HOME": ".cargo/"}
# The ends of names of such files (matplotlib's $MPLSETUPCFG), and of those that may name directories.
_OF_SETTINGS = (".cfg", ".cmake", ".conf", ".ini", ".toml")
_WITH_DIRECTORIES = (".cfg", ".cmake", ".ini")
_FILES = ("DIST_EXTRA_CONFIG", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "CMAKE_TOOLCHAIN_FILE")
# Options whose value is a file of settings, or a header.
_FILE_OPTION = re.compile(
    r"""(?:^|[\s=,;"'])(?:--(?:cross|native)-file[=\s]|-(?:include|imacros)\s*|-DCMAKE_TOOLCHAIN_FILE(?::\w+)?=)"""
    r"""["']?(/[^\s:,;'"]+)"""
)
# Texts with options, or that are libraries themselves; and the paths in them.
_HAS_FILES = re.compile(r"(?:^|[\s=])[-@]|\.(?:a|so|o|dylib)$")
_PATH = re.compile(r"""(?:^|[\s,=:;"'@])(/[^\s,=:;"']+)""")
_FILE_NAME = re.compile(r"(?:\.\./)*\w[\w.+/-]*\.[A-Za-z]\w*")  # in a file that names others beside it
_MOST_BESIDE = 200  # files
_LOCAL = "/usr/local"
# Directories that compilers do not read: modules of Pythons (an isolated build imports none) and of Node.js,
# documentation. TeX Live alone has more files than `_MOST`; what Homebrew has installed is read from `_DATABASES`.
_NOT_READ = re.compile(
    r"(?:.*/)?(?:lib(?:32|64)?/(?:python[^/]*|node_modules)|share/(?:doc|man|info|locale|icons)|man|games|src|var"
    r"|texlive|Cellar|Caskroom|Homebrew)"
)
_EVERYTHING = re.compile(".*", re.DOTALL)
_MOST = 50_000  # files in one of these directories
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
# Where programs are in any case, and what the system's administrator has chosen there.
_USUAL = tuple(f"{each}{name}" for each in ("/usr/local/", "/usr/", "/") for name in ("bin", "sbin"))
_ALTERNATIVES = "/etc/alternatives"
_COMPILED_WITH = re.compile(r"/include(?:/|$)|\.(?:so(?:\.[\d.]+)?|a|h|pc|cmake|mod)$|/cuda[^/]*$")
# Programs that say how to compile with a library: `pg_config`, `llvm-config-14`, `mpicc`.
_SAYS_HOW = re.compile(r"(?!python).*[-_]config(?:-[\d.]+)?|mpi(?:cc|cxx|c\+\+|f77|f90|fort)|h5p?cc")
_NEW = 2.0  # seconds
looked_at: dict[str, Seen] = {}  # by directory: what `look_ahead` found
# The lines of /proc/cpuinfo that matter.
_OF_PROCESSOR = re.compile(r"(vendor_id|cpu family|model|stepping|flags|Features|CPU (impl|arch|var|part|rev)|isa)\b")
_GRAPHICS = "/proc/driver/nvidia/gpus"
_LINES = re.compile(rb"^(?:Package|Version|Architecture|Status|P|V|A): ?.*|^[PVA]:.*", re.MULTILINE)


def home(environ: Mapping[str, str]) -> dict[str, str]:
    """The digest of each known configuration file of the user, by name; variables may say that it is elsewhere."""
    return {name: _digest_of(path) for name, path in _of_home(environ).items() if os.path.exists(path)}


def _of_home(environ: Mapping[str, str]) -> dict[str, str]:
    """The path of each file or directory with settings of the user, by name; it need not exist."""
    where = environ.get("HOME") or os.path.expanduser("~")
    paths = {f"~/{name}": f"{where}/{name}" for name in _IN_HOME}
    for variable, directory in _INSTEAD.items():
        if there := environ.get(variable):
            names = [name.removeprefix(directory) for name in _IN_HOME if name.startswith(directory)]
            paths.update((f"${variable}/{name}", f"{there}/{name}") for name in names)
    return {**paths, **_of_variables(environ)}


def _of_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The files of settings that variables name, by `$VARIABLE`."""
    paths = {}
    for variable, value in environ.items():
        is_settings = is_keyed(variable) and value.endswith(_OF_SETTINGS) and os.path.isabs(value)
        if value and (variable in _FILES or is_settings):
            paths[f"${variable}"] = value
    return paths


def named_files(
    environ: Mapping[str, str], more: Iterable[str], of_source: Iterable[str], named_paths: Mapping[str, str]
) -> dict[str, str]:
    """The digest of each file that an option in variables, or in the texts `more`, names, and of the files `of_source`;
    see `system`."""
    more = list(more)
    named = _named_files(environ, more).union(of_source)
    of_variables = filter(os.path.isabs, _of_variables(environ).values())  # `home` has these themselves
    paths = named.union(_linked_files(environ, more), _beside(named.union(of_variables)))
    return {with_names(path, named_paths): _digest_of(path) for path in sorted(paths)}


def _beside(files: Iterable[str]) -> set[str]:
    """The files that are named in `files` by paths which begin in the same directory, and those that are named there: a
    header includes another one, a toolchain file of CMake the common part of several. And precompiled headers."""
    found: set[str] = set()
    waiting = sorted(files)
    while waiting:
        path = waiting.pop()
        directory = os.path.dirname(path)
        words = set(_FILE_NAME.findall(directories.text_of(path)))
        paths = {f"{path}.gch", f"{path}.pch", *(os.path.normpath(f"{directory}/{each}") for each in words)}
        new = [each for each in paths - found if each != path and os.path.exists(each)]
        found.update(new)
        waiting += [each for each in new if os.path.isfile(each) and len(found) < _MOST_BESIDE]
    return found


def _linked_files(environ: Mapping[str, str], more: Iterable[str]) -> Iterator[str]:
    """The files that stand between options for a compiler or linker, or in an option: libraries, scripts, profiles."""
    values = (value for name, value in environ.items() if is_keyed(name))
    for path in {each for text in (*values, *more) if _HAS_FILES.search(text) for each in _PATH.findall(text)}:
        if not directories.is_managed(path) and not path.endswith(".log") and os.path.isfile(path):
            yield path


def _named_files(environ: Mapping[str, str], more: Iterable[str]) -> set[str]:
    return {path for text in (*environ.values(), *more) for path in _FILE_OPTION.findall(text)}


def _digest_of(path: str) -> str:
    if os.path.isdir(path):
        return tree(path)
    try:
        return of_file(path).hex()
    except OSError:
        return "cannot be read"


def processor() -> str:
    """The digest of the properties of the processor that compilers use for -march=native, and of the graphics
    processors, for which CUDA's extensions are compiled."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            first = f.read(16384).partition("\n\n")[0]
    except OSError:
        if sys.platform != "darwin":
            raise NotKeyable("the system does not say what its processor is") from None
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu", "hw.optional"]
        first = subprocess.run(command, capture_output=True, check=False, encoding="locale").stdout
    kept = [" ".join(line.split()) for line in first.splitlines() if _OF_PROCESSOR.match(line)]
    return hashlib.sha256("\n".join([*(kept or [first]), *_graphics()]).encode()).hexdigest()


def _graphics() -> list[str]:
    """The models of Nvidia's graphics processors."""
    found = []
    with contextlib.suppress(OSError), os.scandir(_GRAPHICS) as scan:
        for entry in scan:
            with open(f"{entry.path}/information", encoding="ascii", errors="replace") as f:
                found += [" ".join(line.split()) for line in f if line.startswith("Model:")]
    return sorted(found)


def system(
    environ: Mapping[str, str],
    more: Iterable[str],
    readable: Iterable[str],
    named_paths: Mapping[str, str],
    store: Store,
) -> dict[str, str]:
    """The digests of the installed packages, of /usr/local and of the directories that variables and settings name.

    `more` are further texts with options; files of settings are read, too. `readable` are further directories.
    `named_paths` are replaced by their names.
    If no database of packages could be read, the result does not contain "packages". Raises `NotKeyable` if there are
    too many files.
    """
    result = {}
    packages = [each for each in (_packages(path, how, store) for path, how in _DATABASES) if each]
    if packages:
        result["packages"] = hashlib.sha256(canonical(packages)).hexdigest()
    more = list(more)
    files = [path for path in _of_home(environ).values() if path.endswith(_WITH_DIRECTORIES)]
    found = directories.named(environ, more, [*files, *_named_files(environ, more)])
    for directory in sorted({_LOCAL, *found.whole, *map(os.path.abspath, readable)}):
        seen = looked_at.get(directory)
        result[with_names(directory, named_paths)] = seen.digest if seen and seen.is_new() else tree(directory)
    if programs := _programs_that_say_how(environ):
        result["programs on PATH"] = hashlib.sha256(canonical(programs)).hexdigest()
    # a link cannot be changed, only replaced: then its directory has another time
    if chosen := remembered(store, "alternatives", stat_of(_ALTERNATIVES), {str: str}, _chosen):
        result["alternatives"] = hashlib.sha256(canonical(chosen)).hexdigest()
    for directory in sorted(found.flat):
        result[f"{with_names(directory, named_paths)}/*"] = tree(directory, _EVERYTHING)
    return result


def _programs_that_say_how(environ: Mapping[str, str]) -> dict[str, list[int] | str]:
    """Each program of `_SAYS_HOW` that PATH leads to: size and time, or of a package the directory that it is in.

    What is in the usual directories is left out: the list of packages or the digest of /usr/local tells it. So is what
    RECORDs tell.
    """
    found: dict[str, list[int] | str] = {}
    usual: list[str] = []  # the usual directories that come first
    for directory in environ.get("PATH", "").split(os.pathsep):
        if directory in _USUAL:
            usual.append(directory)
        elif directory.startswith("/") and not os.path.exists(f"{directory}/../pyvenv.cfg"):
            is_told = directories.is_managed(directory)
            for name, status in _that_say_how(directory, usual):
                found.setdefault(name, directory if is_told else [status.st_size, status.st_mtime_ns])
    return found


def _that_say_how(directory: str, before: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Name and stat of each program of `_SAYS_HOW` in a directory, if none of the directories `before` has one."""
    with contextlib.suppress(OSError), os.scandir(directory) as scan:
        for entry in scan:
            if _SAYS_HOW.fullmatch(entry.name) and not any(os.path.exists(f"{each}/{entry.name}") for each in before):
                with contextlib.suppress(OSError):
                    yield entry.name, entry.stat()


def _chosen() -> dict[str, str]:
    """What update-alternatives(1) has chosen of programs that say how to compile, of headers and of libraries.

    No list of packages says that.
    """
    found = {}
    with contextlib.suppress(OSError), os.scandir(_ALTERNATIVES) as scan:
        for entry in scan:
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)
                if _SAYS_HOW.fullmatch(entry.name) or _COMPILED_WITH.search(target):
                    found[entry.name] = target
    return found


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


def tree(top: str, but: re.Pattern[str] = _NOT_READ, most: int = _MOST) -> str:
    """The digest of name, size and time of all files below `top`, without directories whose paths match `but`.

    What links lead to counts, too. Raises `NotKeyable` if there are more than `most` files.
    """
    found, count, waiting = [], 0, [""]
    real, outside = os.path.realpath(top), set[str]()
    own = os.path.basename(top)  # for `lib`, whose `python3.11` is left out
    while waiting:
        path = waiting.pop()
        lines, directories, links = _contents(os.path.join(top, path))
        count += len(lines)
        if count > most:
            raise NotKeyable(f"there are more than {most} files in {top}")
        found.append("\0".join([path, *lines]))
        below = [f"{path}/{name}" if path else name for name in directories]
        waiting.extend(each for each in below if not but.fullmatch(f"{own}/{each}"))
        for name, target in links:
            is_new = target not in outside and not f"{target}/".startswith(f"{real}/")
            if is_new and not but.fullmatch(f"{own}/{path}/{name}"):
                outside.add(target)
                waiting.append(target)
    found.sort()
    return hashlib.sha256("\0\0".join(found).encode(errors="surrogateescape")).hexdigest()


def _contents(path: str) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """A line about each entry of the directory at `path`, the names of the directories in it, and name and real path of
    each link that leads to a directory. All are empty if it cannot be read."""
    lines: list[str] = []
    directories: list[str] = []
    links: list[tuple[str, str]] = []
    try:
        # by descriptor: the system then looks for a file in this directory, and not from the root on
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return lines, directories, links
    try:
        with os.scandir(directory) as scan:
            for entry in scan:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    lines.append(f"{name}/")
                    directories.append(name)
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                lines.append(f"{name} {status.st_size} {status.st_mtime_ns}")
                if entry.is_symlink():
                    about, target = _target(f"{path}/{name}")
                    lines[-1] += f" {about}"
                    if target:
                        links.append((name, target))
    except OSError:  # a network file system may fail at any moment
        pass
    finally:
        os.close(directory)
    lines.sort()  # here, because short lists are sorted sooner
    return lines, directories, links


def _target(link: str) -> tuple[str, str]:
    """Of what a link leads to: size and time, if it is a file; the real path, if it is a directory."""
    try:
        status = os.stat(link)
    except OSError:
        return "", ""
    if stat.S_ISDIR(status.st_mode):
        return "", os.path.realpath(link)
    return f"{status.st_size} {status.st_mtime_ns}", ""
