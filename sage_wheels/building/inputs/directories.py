"""Find the directories that a compilation may read because a variable, a setting, or a file that these name says so.

What the package manager keeps (/usr, but not /usr/local) is left out if only a definition or a .pc file names it: the
list of the installed packages says what is there.
"""

from __future__ import annotations

import os
import re

from sage_wheels.building.backend.variable_names import is_keyed
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Variables with a list of directories to compile or link against.
_PATHS = (
    *("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH"),
    *("CMAKE_PREFIX_PATH", "CMAKE_INCLUDE_PATH", "CMAKE_LIBRARY_PATH"),
    *("CMAKE_PROGRAM_PATH", "CMAKE_FRAMEWORK_PATH"),
)
_OF_PKG_CONFIG = ("PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR")
# Options that name a directory. An option may stand in a list or in a definition (MAKEFLAGS, meson's -Dc_args=...); the
# option or its path may be quoted. To distutils, -I and -L give a list. rustc wants a kind before the path.
_FOR_HEADERS = r"I|F|isystem|iquote|idirafter|iframework|(?:cxx|stdlib\+\+)-isystem|-include-directory"
_OPTION = re.compile(
    rf"""(?:^|[\s=,;]|(?P<whole>["']))-(?:{_FOR_HEADERS}|L|B|-library-(?:directory|path)|-gcc-toolchain"""
    r"""|fprofile-(?:use|dir))(?:[=,]|\s*)(?:(?:native|dependency|crate|framework|all)=)?(?P<path>["'])?"""
    r"""(/(?(whole)[^"']|(?(path)[^"']|(?:[^\s,;'"\\]|\\(?!\s-).)))+)"""
)
_INCLUDE = re.compile(rf"\s*-(?:{_FOR_HEADERS})")
# Definitions of CMake and meson, and options of distutils and meson, that name a list of directories or libraries.
_DEFINITION = re.compile(
    r"""(?:^|[\s;,="'(])(?:-D|--)?(?:build\.)?"""
    r"(CMAKE_(?:PREFIX|INCLUDE|LIBRARY|PROGRAM|FRAMEWORK|MODULE|FIND_ROOT)_PATH|(?:pkg_config|cmake_prefix)_path"
    r"|(?:pkg-config|cmake-prefix)-path|(?:include|library)[-_]dirs"
    r"|(?<=-D)(?!\w*(?:INSTALL|[Pp]ython|PYTHON))\w+_(?:ROOT|DIR|DIRS|LIBRARY|LIBRARIES))"
    r"""(?::\w+)?(?:\s*=\s*|\s+)["'\[]*(/[^\s"')\]]*)"""
)
# Options that name a root for headers and libraries, and where these are below it.
_SYSROOT = re.compile(
    r"""(?:^|[\s=,;"'])(?:--sysroot[=\s]\s*|-isysroot\s*|-DCMAKE_SYSROOT(?::\w+)?=)["']?(/[^\s,;:"']+)"""
)
_IN_SYSROOT = (
    "include",
    "lib",
    "lib64",
    "usr/include",
    "usr/lib",
    "usr/lib64",
    "usr/local",
    "System/Library/Frameworks",
)
# Variables such as Boost_ROOT, HDF5_DIR, CUDA_HOME and MKLROOT say where something is installed. Build files read them,
# and some read shorter ones.
_ENDS = ("ROOT", "DIR", "HOME", "PREFIX")
_SHORT = frozenset(("ATLAS", "BLAS", "FFTW", "LAPACK", "MKL", "NETCDF", "OPENBLAS"))
_OF_BUILDS = frozenset(("BUILDDIR", "DESTDIR", "OBJDIR", "SRCDIR", "WORKDIR"))  # nothing is installed there
# Variables such as GEOS_INCLUDE_PATH, PROJ_LIBDIR and OPENSSL_LIB_DIR name the directories themselves.
_DIRECTORIES = re.compile(r"(?!LD_|DYLD_)\w*(?:INC|INCLUDE|LIB|LIBRARY)S?_?(?:DIR|PATH)S?", re.IGNORECASE)
_IN_INSTALLED = ("include", "lib", "lib32", "lib64", "cmake", "share/cmake", "share/pkgconfig")
_OF_CMAKE = ("lib/cmake", "lib64/cmake", "share/cmake", "cmake")
_OF_PC_FILES = ("lib/pkgconfig", "lib64/pkgconfig", "share/pkgconfig")
_PKG_CONFIGS = ("pkg-config", "pkgconf")
_MANAGED = re.compile(r"/(?:usr(?!/local(?:/|$))|lib\d*|s?bin|opt/homebrew|home/linuxbrew/\.linuxbrew)(?:/.*)?")
# Where pkg-config looks in any case, but for what is of the system, and pip's and cmake's users put .pc files.
_USUAL = ("/usr/local/lib/pkgconfig", "/usr/local/lib64/pkgconfig", "/usr/local/share/pkgconfig")
_USUAL_IN_HOME = (".local/lib/pkgconfig", ".local/share/pkgconfig")
_PC_VARIABLE = re.compile(r"^([\w.]+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)
_PC_FIELD = re.compile(r"^(?:Cflags|CFlags|Libs)(?:\.private)?[ \t]*:(.*)$", re.MULTILINE)
_MOST = 1 << 18  # bytes of a file in which directories are searched


class Named(NamedTuple):
    """Directories of which everything counts (`whole`), and those of which only the files in them do (`flat`)."""

    whole: set[str]
    flat: set[str]


def named(environ: Mapping[str, str], more: Iterable[str], files: Iterable[str]) -> Named:
    """The directories that are named in the variables `environ`, in the texts `more` and in the `files`, as far as
    these can be read; and in .pc files in them."""
    found = Named(set(), set())
    for name in (*_PATHS, *_OF_PKG_CONFIG):
        found.whole.update(os.path.normpath(each) for each in environ.get(name, "").split(":") if each.startswith("/"))
    pkg_config = [each for name in _OF_PKG_CONFIG for each in environ.get(name, "").split(":")]
    for root in _roots(environ):
        _add(found, installed_in(root), is_whole=True)
        _add(found, _with_cmake_files(root), is_whole=False)
        pkg_config += [f"{root}/{each}" for each in _OF_PC_FILES]
    _add(found, _in_variables(environ), is_whole=True)
    defined = [f"-D{each}" for each in environ.get("SKBUILD_CMAKE_DEFINE", "").split(";")]
    for text in (*environ.values(), *defined, *more, *map(text_of, files)):
        found.whole.update(path for _, path in _options(text))
        for root in map(os.path.normpath, _SYSROOT.findall(text)):
            _add(found, _there(root, _IN_SYSROOT), is_whole=True)
        for name, path in _definitions(text):
            _add(found, [path], is_whole=True)
            pkg_config += [path] if "pkg" in name else []
    home = environ.get("HOME") or os.path.expanduser("~")
    pkg_config += [*_USUAL, *(f"{home}/{each}" for each in _USUAL_IN_HOME)]
    root = environ.get("PKG_CONFIG_SYSROOT_DIR", "")
    for directory in dict.fromkeys(filter(os.path.isabs, pkg_config)):
        for is_whole, path in _of_pc_files(directory, root):
            _add(found, [path, *([os.path.normpath(root + path)] if root else [])], is_whole=is_whole)
    return found._replace(flat=found.flat - found.whole)


def _roots(environ: Mapping[str, str]) -> Iterator[str]:
    """The directories that keyed variables such as Boost_ROOT name, and those in which PATH leads CMake and pkg-config
    to files. Virtual environments are none: they have no libraries."""
    named = [
        os.path.normpath(each)
        for name, value in environ.items()
        if "/" in value and _says_where(name) and is_keyed(name)
        for each in value.split(":")
        if each.startswith("/")
    ]
    for each in dict.fromkeys((*named, *_above_programs(environ))):
        if not os.path.exists(f"{each}/pyvenv.cfg"):
            yield each


def _says_where(name: str) -> bool:
    """Whether a variable of this name says where something is installed."""
    name = name.upper()
    return (name.endswith(_ENDS) and name not in _OF_BUILDS and name not in _ENDS) or name in _SHORT


def _above_programs(environ: Mapping[str, str]) -> Iterator[str]:
    """Each directory whose `bin` is on PATH, if find_package() of CMake finds files in it, or a pkg-config in it does;
    not /usr/local, whose files count in any case."""
    for directory in environ.get("PATH", "").split(":"):
        root, _, name = directory.rstrip("/").rpartition("/")
        if name in ("bin", "sbin") and root not in ("", "/usr", "/usr/local") and root.startswith("/"):
            has_pkg_config = any(os.path.exists(f"{directory}/{each}") for each in _PKG_CONFIGS)
            if has_pkg_config or any(os.path.isdir(f"{root}/{each}") for each in _OF_CMAKE):
                yield os.path.normpath(root)


def _in_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """What keyed variables of `_DIRECTORIES` name."""
    for name, value in environ.items():
        if _DIRECTORIES.fullmatch(name) and is_keyed(name):
            yield from (os.path.normpath(each) for each in re.split("[:;]", value) if each.startswith("/"))


def installed_in(root: str) -> Iterator[str]:
    """The directories of headers and libraries in `root`."""
    return _there(root, _IN_INSTALLED)


def _with_cmake_files(directory: str) -> Iterator[str]:
    """`directory`, if it is one that a variable such as Boost_DIR names: with files for CMake's find_package."""
    try:
        if any(name.endswith(".cmake") for name in os.listdir(directory)):
            yield directory
    except OSError:
        return


def _there(root: str, names: Iterable[str]) -> Iterator[str]:
    """Those of the directories `names` that are in `root`."""
    paths = (os.path.join(root, name).rstrip("/") for name in names)
    return (path for path in paths if path and os.path.isdir(path))


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    """What is defined in `text`, and each path in the list that is its value; another definition may follow in it."""
    for each in _DEFINITION.finditer(text):
        for part in re.split("[;:,]", each[2]):
            if part.startswith("/"):
                yield each[1], os.path.normpath(part)
            else:
                yield from _definitions(part)


def _add(found: Named, paths: Iterable[str], *, is_whole: bool) -> None:
    for path in paths:
        if is_managed(path):
            continue
        if os.path.isfile(path):  # a library
            found.flat.add(os.path.dirname(path))
        else:
            (found.whole if is_whole else found.flat).add(path)


def is_managed(path: str) -> bool:
    """Whether the list of the installed packages says what is at `path`."""
    return _MANAGED.fullmatch(path) is not None


def without_managed(options: str) -> str:
    """The options for a compiler without the directories of headers and libraries that the package manager keeps.

    >>> without_managed("-O2 -I/usr/include/python3.11 -L/usr/lib -I/opt/python/include")
    '-O2 -I/opt/python/include'
    """
    return " ".join(each for each in options.split() if not (each[:2] in ("-I", "-L") and is_managed(each[2:])))


def _options(text: str) -> Iterator[tuple[bool, str]]:
    """Each directory that an option in `text` names, and whether headers are searched in it."""
    for each in _OPTION.finditer(text):
        is_include = _INCLUDE.match(text, each.start() + (0 if each[0].startswith("-") else 1)) is not None
        first, blank, rest = each[3].partition(" ")
        if blank:  # in quotes: a path with a blank, or several options
            yield is_include, os.path.normpath(first)
            yield from _options(blank + rest)
        for path in {each[3], *each[3].split(":")}:
            if path.startswith("/"):
                yield is_include, os.path.normpath(re.sub(r"\\(.)", r"\1", path))
                if "\\" in path:  # in MAKEFLAGS, an escaped blank separates words
                    yield is_include, os.path.normpath(path.partition("\\")[0])


def _of_pc_files(directory: str, root: str) -> Iterator[tuple[bool, str]]:
    """What the .pc files in `directory` (pkg-config(1)) name, as `_options`; of a library, its directory."""
    try:
        names = sorted(each for each in os.listdir(directory) if each.endswith(".pc"))
    except OSError:
        return
    for name in names:
        text = text_of(f"{directory}/{name}")
        variables = {"pcfiledir": directory, "pc_sysrootdir": root or "/", **dict(_PC_VARIABLE.findall(text))}
        for field in _PC_FIELD.findall(text):
            expanded = _expanded(field, variables)
            yield from _options(expanded)
            yield from ((False, os.path.normpath(word)) for word in expanded.split() if word.startswith("/"))


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    for _ in range(10):  # variables in variables
        if "${" not in text or len(text) > _MOST:
            break
        text = re.sub(r"\$\{([\w.]+)\}", lambda found: variables.get(found[1], "").strip(), text)
    return text


def text_of(path: str) -> str:
    """The beginning of a file; "" if it cannot be read."""
    from sage_wheels.fs.files import read_most, regular

    try:
        with open(path, encoding="utf-8", errors="replace", opener=regular) as f:
            return read_most(f, _MOST)
    except OSError:
        return ""
