"""Parse the list of packages that the make rules read, and check it. It has one line for each package:

NAME SOURCE [OPTION...] [: PACKAGE... [| PACKAGE...]]
"""

from __future__ import annotations

import hashlib
import os
import re

from sage_wheels.errors import UsageError
from sage_wheels.named import NamedTuple
from sage_wheels.rules.trees import Memory

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_RESERVED = ("python-packages",)


class Package(NamedTuple):
    """One line of the list. The packages `after` are its prerequisites: they are installed first, and if one of them is
    installed again, so is this one. Those in `order` are order-only prerequisites: they are only installed first."""

    name: str
    source: str
    options: tuple[str, ...]
    after: tuple[str, ...]
    order: tuple[str, ...]
    line: int


def read(path: str) -> list[Package]:
    """The packages in the list at `path`. Raises `UsageError`, which names the line."""
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the list {path} cannot be read ({reason})", "check the path in PACKAGES") from error
    found: dict[str, Package] = {}
    for number, text in enumerate(lines, 1):
        words = text.partition("#")[0]
        if words.strip():
            package = _package(words, number, f"{path}:{number}")
            if package.name in found:
                first = found[package.name].line
                raise UsageError(f"{path}:{number}: {package.name} is named in line {first}, too", "keep one of them")
            found[package.name] = package
    for package in found.values():
        for other in (*package.after, *package.order):
            if other not in found:
                what = f"{path}:{package.line}: {package.name} comes after {other}, which has no line of its own"
                raise UsageError(what, "add one, or correct the name")
    _refuse_cycles(path, found)
    return list(found.values())


def _package(text: str, number: int, where: str) -> Package:
    # a colon needs white space before it, because a URL has one, too
    parts = re.split(r"[ \t]:", text)
    if len(parts) > 2:
        raise UsageError(f"{where}: there are two colons", "write one, before what is installed first")
    words = parts[0].split()
    after, _, order = (parts[1] if len(parts) == 2 else "").partition("|")
    if not words or not _NAME.fullmatch(words[0]) or words[0].startswith(_RESERVED):
        raise UsageError(f"{where}: {words[0] if words else 'nothing'!r} cannot be the name of a package", "correct it")
    name = words[0]
    if len(words) < 2 or words[1].startswith("-"):
        raise UsageError(f"{where}: {name} has no SOURCE", "name its wheel, sdist or source tree after it")
    if "|" in order or "|" in parts[0]:
        raise UsageError(f"{where}: a | is at the wrong place", "write one, after the colon")
    for other in (*after.split(), *order.split()):
        if other.startswith("-"):
            raise UsageError(f"{where}: the option {other} comes after the colon", "write options after the SOURCE")
        if not _NAME.fullmatch(other):
            raise UsageError(f"{where}: {other!r} cannot be the name of a package", "correct it")
    if bad := next((word for word in words[1:] if set(word) & set("'\"`\\\n")), ""):
        raise UsageError(f"{where}: {bad} has a quotation mark or backslash in it", "write it without")
    return Package(name, words[1], tuple(words[2:]), tuple(after.split()), tuple(order.split()), number)


def _refuse_cycles(path: str, packages: dict[str, Package]) -> None:
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            cycle = " -> ".join([*way[way.index(name) :], name])
            raise UsageError(f"{path}:{packages[name].line}: {cycle} is a cycle", "take one of them out")
        if name not in done:
            for other in (*packages[name].after, *packages[name].order):
                visit(other, [*way, name])
            done.add(name)

    for name in packages:
        visit(name, [])


def fingerprint(package: Package, base: str, stamps: str) -> str:
    """A digest of SOURCE, the options, and everything in SOURCE: if it is another one, the package is installed again.

    A relative SOURCE is relative to the directory `base`. The digests of files are cached in the directory `stamps`.
    """
    source = Memory(os.path.join(stamps, f".{package.name}.seen")).fingerprint(os.path.join(base, package.source))
    return hashlib.sha256("\0".join([package.source, *package.options, source]).encode()).hexdigest()[:32]
