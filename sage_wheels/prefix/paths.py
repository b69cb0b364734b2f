"""`PrefixPath`: the type of paths inside a prefix, so that mypy can check that no operation leaves the prefix.

A `PrefixPath` is relative to the prefix, with `/` between components, and without `.` and `..`. It is made by `plain`,
which checks a text; by `below`, which checks a file name; or by `Locator`, which also resolves all symbolic links. Full
paths, names of archive members, and other strings are different types. A variable called `path` has a `PrefixPath`
where there is also one called `full`, the same path from the root of the file system.
"""

from __future__ import annotations

import posixpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NewType

    PrefixPath = NewType("PrefixPath", str)
else:
    PrefixPath = str  # no cost at run time

_NO_NAMES = frozenset(("", ".", ".."))


NO_FILE = PrefixPath("\0")  # no file can have this name; stands for a file without a path
NOWHERE = PrefixPath("")  # the prefix itself, or no path


def plain(text: str) -> PrefixPath:
    """`text` as a `PrefixPath`; "" is the prefix itself. Raises `ValueError` if `text` is not of that form.

    >>> plain("lib/../../etc")
    Traceback (most recent call last):
    ...
    ValueError: 'lib/../../etc' is no path below a prefix
    """
    if not is_plain(text):
        raise ValueError(f"{text!r} is no path below a prefix")
    return PrefixPath(text)


def is_plain(text: str) -> bool:
    """Whether `text` is of the form of a `PrefixPath`: relative, normalised, without `..`."""
    return not text or ("\0" not in text and _NO_NAMES.isdisjoint(text.split("/")))


def below(directory: PrefixPath, name: str) -> PrefixPath:
    """The path of `name`, one component, in `directory`. Raises `ValueError` if `name` is not one component.

    >>> below(plain("lib"), "six.py"), below(plain(""), "bin")
    ('lib/six.py', 'bin')
    """
    if "/" in name or name in _NO_NAMES:
        raise ValueError(f"{name!r} is no name of a file")
    return PrefixPath(f"{directory}/{name}" if directory else name)


def all_below(directory: PrefixPath, names: list[str]) -> list[PrefixPath]:
    """`below` for each of `names`. Raises `ValueError` if one of them is not one component.

    >>> all_below(plain("lib"), ["six.py", "a.py"])
    ['lib/six.py', 'lib/a.py']
    """
    if "/" in "".join(names) or not _NO_NAMES.isdisjoint(names):
        raise ValueError(f"one of {names!r} is no name of a file")
    start = f"{directory}/" if directory else ""
    return [PrefixPath(start + name) for name in names]


def parent(path: PrefixPath) -> PrefixPath:
    """The directory of `path`; "" if that is the prefix itself."""
    return PrefixPath(path.rpartition("/")[0])


def relative(path: str, directory: str) -> str:
    """`path` relative to `directory`, both in the prefix. (`os.path.relpath` of them asks for the current directory,
    which may have been deleted.)

    >>> relative("bin/six", "lib/site-packages")
    '../../bin/six'
    """
    return posixpath.relpath(f"/{path}", f"/{directory}")


def ancestors(path: PrefixPath) -> Iterator[PrefixPath]:
    """The directories above `path`, innermost first, without the prefix itself.

    >>> list(ancestors(plain("lib/a/b.py")))
    ['lib/a', 'lib']
    """
    while "/" in path:
        path = parent(path)
        yield path
