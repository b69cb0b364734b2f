"""Find the files and directories outside of a source that it names by absolute paths.

In files that say how to build, each path counts; in files for compilers, only what is included, because most of the
others are paths that the program will open when it runs. What the package manager keeps, and /usr/local, count in any
case, and are left out; so is what the kernel makes.
"""

from __future__ import annotations

import contextlib
import os
import re

from sage_wheels.building.inputs import directories
from sage_wheels.fs.files import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# Files that say how to build.
SAYS_HOW = re.compile(
    r"pyproject\.toml|setup\.(py|cfg)|MANIFEST\.in|hatch(_build\.py|\.toml)|pdm_build\.py|meson\.(build|options)"
    r"|meson_options\.txt|CMakeLists\.txt|[^/]*\.cmake|Makefile|[^/]*build[^/]*\.py|Cargo\.toml|build\.rs"
)
# Files for compilers, by their extensions.
_COMPILED = frozenset(
    (
        *("c", "cc", "cpp", "cxx", "cu", "h", "hh", "hpp", "hxx", "cuh", "inc", "inl", "ipp", "m", "mm", "s", "asm"),
        *("f", "f77", "f90", "f95", "f03", "f08", "for", "pyx", "pxd", "pxi", "i", "swg", "y", "l", "rs", "mk", "am"),
    )
)
# A path of two parts or more, alone, in a URL or after an option. It begins with a byte that is found quickly.
_PATH = re.compile(rb"/(?:(?<![\w.)}\]>/*$+~^\\-]/)|(?<=-[BFIL]/)|(?<=-isystem/)|(?<=file:///))[\w.+-]+(?:/[\w.+-]+)+")
# A path in the home, as Python, make and CMake write it.
_IN_HOME = re.compile(rb"(?:~(?<![\w/]~)|HOME[)}](?:(?<=\$[({]HOME.)|(?<=\$ENV\{HOME.)))(/[\w.+-]+(?:/[\w.+-]+)*)")
_QUOTED = re.compile(rb"""["'](/[\w.+/-]+)(?=["'\\])""")
_WITH_APOSTROPHES = (".pyx", ".pxd", ".pxi", ".f", ".f77", ".f90", ".f95", ".f03", ".f08", ".for", ".F", ".F90")
_INCLUDED = re.compile(rb"(?:include(?:_str|_bytes)?!?|incbin|embed|extern from)[\s(\\]*\Z")
_WIDE = 24  # bytes before a path in which it is said that it is included
_LEFT_OUT = re.compile(r"/(?:dev|proc|run|sys|usr/local)(?:/.*)?")
_MOST = 1 << 20  # bytes of a file that are read


def is_compiled(name: str) -> bool:
    """Whether the file called `name` is for a compiler."""
    return name.rpartition(".")[2].lower() in _COMPILED


def named_in(name: str, text: bytes) -> Iterator[str]:
    """The absolute paths in `text`, the content of a file called `name`; those in the home begin with `~`.

    >>> sorted(named_in("setup.py", b"dirs = ['/opt/x/include', '/usr/include', 'a/b/c', '-L/opt/x/lib']"))
    ['/opt/x/include', '/opt/x/lib']
    >>> list(named_in("x.c", b'#include "/opt/x.h"\\nopen("/opt/y");'))
    ['/opt/x.h']
    """
    if SAYS_HOW.fullmatch(name):
        found = _PATH.findall(text)
        if b"~/" in text or b"HOME}" in text or b"HOME)" in text:
            yield from {f"~{os.path.normpath(os.fsdecode(each))}" for each in _IN_HOME.findall(text)}
    elif b'"/' in text or (b"'/" in text and name.endswith(_WITH_APOSTROPHES)):
        each = _QUOTED.finditer(text)
        found = [one[1] for one in each if _INCLUDED.search(text[max(0, one.start() - _WIDE) : one.start()])]
    else:
        return
    for path in {os.path.normpath(os.fsdecode(each)) for each in found}:
        if not directories.is_managed(path) and not _LEFT_OUT.fullmatch(path):
            yield path


def named_by(top: str) -> list[str]:
    """The absolute paths that files of the source tree `top` name."""
    found: set[str] = set()
    for directory, _, names in os.walk(top):
        for name in names:
            if SAYS_HOW.fullmatch(name) or is_compiled(name):
                with contextlib.suppress(OSError), open(f"{directory}/{name}", "rb", opener=regular) as f:
                    found.update(named_in(name, f.read(_MOST)))
    return sorted(found)


def there(paths: Iterable[str], tree: str, home: str, around: Collection[str]) -> tuple[list[str], list[str]]:
    """The files among `paths`, and the directories that count; `~` is `home`.

    None is in the source `tree`, or is a directory that one of the paths `around` is in. Of a directory in which
    something is installed, those of headers and libraries count.
    """
    files, found = [], []
    for told in paths:
        path = home + told.removeprefix("~") if told.startswith("~") else told
        if tree and f"{path}/".startswith(f"{tree}/"):
            continue
        if os.path.isfile(path):
            files.append(path)
        elif os.path.isdir(path) and not any(f"{each}/".startswith(f"{path}/") for each in (tree, home, *around)):
            found += list(directories.installed_in(path)) or [path]
    return files, found
